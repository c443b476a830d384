// Package hostinfo stores the reports of the host agents: that they are running, and how much of their disks left4me's files
// use. Pages read the reports because they may run on other machines.
//
// It does not measure anything itself; localrun does.
package hostinfo

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"time"

	"left4me/shared/db"
)

// Every is how often a host agent reports.
const Every = time.Minute

const (
	// silentAfter is the age of the last report from which an agent counts as silent: it has missed two.
	silentAfter = 3 * Every
	// forgetAfter is the age of the last report from which a host is no longer listed.
	forgetAfter = 30 * 24 * time.Hour
)

// Usage is the number and size of left4me's files.
type Usage struct {
	// CacheFiles and CacheBytes are the finished files of the workshop cache.
	CacheFiles, CacheBytes int64
	// Overlays is the number of overlay directories, and OverlayBytes the size of the regular files below them; links into the
	// cache are not counted.
	Overlays, OverlayBytes int64
	// GarbageFiles and GarbageBytes are the files of the cache that the job collect_garbage would remove.
	GarbageFiles, GarbageBytes int64
	// GarbageKnown is false when GarbageFiles and GarbageBytes are unknown.
	GarbageKnown bool
}

// Host is the last report of one host's agent.
type Host struct {
	Name string
	// Command is the command of localrun that the agent is part of: `up` or `agent`.
	Command string
	Version string
	// Root is its LEFT4ME_ROOT, an absolute path; empty: an older version has not reported it.
	Root string
	// SeenAt is the time of the report. Store.Report sets it.
	SeenAt time.Time
	// DiskTotal is the size in bytes of the disk that holds LEFT4ME_ROOT, and DiskFree what left4me can still use of it.
	DiskTotal, DiskFree int64
	Usage               Usage
	// MeasuredAt is when Usage was measured; zero: not yet.
	MeasuredAt time.Time
}

// Silent reports whether the agent has missed its last reports.
func (h Host) Silent(now time.Time) bool { return Silent(h.SeenAt, now) }

// Silent reports whether an agent that reported last at seenAt, or never if that is zero, has missed its last reports.
func Silent(seenAt, now time.Time) bool { return now.Sub(seenAt) > silentAfter }

// Scarce reports whether so little of the disk is free, below 5 % or 2 GiB, that downloads may soon fail.
func Scarce(total, free int64) bool { return total > 0 && free < max(total/20, 2<<30) }

// Store reads and writes reports.
type Store struct {
	db  *db.DB
	now func() time.Time
}

// NewStore returns a Store on d that takes the time from now.
func NewStore(d *db.DB, now func() time.Time) *Store {
	return &Store{db: d, now: now}
}

// Report replaces the last report of h, and forgets hosts that have been silent for a month.
func (s *Store) Report(ctx context.Context, h Host) error {
	values := []sql.NamedArg{
		sql.Named("name", h.Name),
		sql.Named("command", h.Command),
		sql.Named("version", h.Version),
		sql.Named("seen_at", db.Millis(s.now())),
		sql.Named("disk_total", h.DiskTotal),
		sql.Named("disk_free", h.DiskFree),
		sql.Named("measured_at", sql.NullInt64{Int64: db.Millis(h.MeasuredAt), Valid: !h.MeasuredAt.IsZero()}),
		sql.Named("cache_files", h.Usage.CacheFiles),
		sql.Named("cache_bytes", h.Usage.CacheBytes),
		sql.Named("overlays", h.Usage.Overlays),
		sql.Named("overlay_bytes", h.Usage.OverlayBytes),
	}
	garbage := []sql.NamedArg{
		sql.Named("garbage_files", sql.NullInt64{Int64: h.Usage.GarbageFiles, Valid: h.Usage.GarbageKnown}),
		sql.Named("garbage_bytes", sql.NullInt64{Int64: h.Usage.GarbageBytes, Valid: h.Usage.GarbageKnown}),
	}
	root := []sql.NamedArg{sql.Named("root", h.Root)}
	err := s.replace(ctx, h.Name, slices.Concat(values, garbage, root))
	if db.IsOtherSchema(err) { // an agent may run before 00007_host_root.sql has been applied
		err = s.replace(ctx, h.Name, slices.Concat(values, garbage))
	}
	if db.IsOtherSchema(err) { // or 00002_garbage.sql
		err = s.replace(ctx, h.Name, values)
	}
	if err != nil {
		return fmt.Errorf("report of host %s: %w", h.Name, err)
	}
	return nil
}

// replace stores a host's values, which are named like their columns, and forgets hosts that have been silent for a month.
func (s *Store) replace(ctx context.Context, name string, values []sql.NamedArg) error {
	var columns []string
	var args []any
	for _, v := range values {
		columns = append(columns, v.Name)
		args = append(args, v)
	}
	return s.db.InTx(ctx, func(ctx context.Context, q db.Querier) error {
		if _, err := q.ExecContext(ctx, `DELETE FROM hosts WHERE name = :name OR seen_at < :before`,
			sql.Named("name", name), sql.Named("before", db.Millis(s.now().Add(-forgetAfter)))); err != nil {
			return err
		}
		_, err := q.ExecContext(ctx, `INSERT INTO hosts (`+strings.Join(columns, ", ")+`) VALUES (:`+strings.Join(columns, ", :")+`)`, args...)
		return err
	})
}

const listSQL = `SELECT name, command, version, seen_at, disk_total, disk_free, measured_at,
	cache_files, cache_bytes, overlays, overlay_bytes, %s FROM hosts ORDER BY seen_at DESC, name`

// List returns the hosts, the most recent report first.
func (s *Store) List(ctx context.Context) ([]Host, error) {
	all, err := db.Rows(ctx, s.db, scan, fmt.Sprintf(listSQL, "garbage_files, garbage_bytes, root"))
	if db.IsOtherSchema(err) { // pages may be shown before 00007_host_root.sql has been applied
		all, err = db.Rows(ctx, s.db, scan, fmt.Sprintf(listSQL, "garbage_files, garbage_bytes, ''"))
	}
	if db.IsOtherSchema(err) { // or 00002_garbage.sql
		all, err = db.Rows(ctx, s.db, scan, fmt.Sprintf(listSQL, "NULL, NULL, ''"))
	}
	if err != nil {
		return nil, fmt.Errorf("list hosts: %w", err)
	}
	return all, nil
}

func scan(row db.Scanner) (Host, error) {
	var h Host
	var files, bytes sql.NullInt64
	err := row.Scan(&h.Name, &h.Command, &h.Version, db.Moment(&h.SeenAt), &h.DiskTotal, &h.DiskFree, db.Moment(&h.MeasuredAt),
		&h.Usage.CacheFiles, &h.Usage.CacheBytes, &h.Usage.Overlays, &h.Usage.OverlayBytes, &files, &bytes, &h.Root)
	h.Usage.GarbageFiles, h.Usage.GarbageBytes, h.Usage.GarbageKnown = files.Int64, bytes.Int64, files.Valid
	return h, err
}
