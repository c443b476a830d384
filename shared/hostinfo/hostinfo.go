// Package hostinfo owns what the host agents say of themselves: that they are there, and what left4me's files take of
// their disks. Pages read it, for they may run where none of these disks is.
//
// It looks at no disk; localrun does.
package hostinfo

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"left4me/shared/db"
)

// Every is how often a host agent reports.
const Every = time.Minute

const (
	// silentAfter is when an agent counts as gone: it has missed two reports.
	silentAfter = 3 * Every
	// forgetAfter is when a host that is not heard of leaves the list.
	forgetAfter = 30 * 24 * time.Hour
)

// Usage is what left4me's files take.
type Usage struct {
	// CacheFiles and CacheBytes are the finished files of the workshop cache.
	CacheFiles, CacheBytes int64
	// Overlays are directories; OverlayBytes the real files below them. A link into the cache weighs nothing.
	Overlays, OverlayBytes int64
	// GarbageFiles and GarbageBytes are what the job collect_garbage would remove from the cache.
	GarbageFiles, GarbageBytes int64
	// GarbageKnown is false when that could not be found out.
	GarbageKnown bool
}

// Host is the last report of one host's agent.
type Host struct {
	Name string
	// Command is the command of localrun that the agent is part of: `up` or `agent`.
	Command string
	Version string
	// SeenAt is when it reported; Report sets it.
	SeenAt time.Time
	// DiskTotal and DiskFree are the bytes of the disk below LEFT4ME_ROOT, and those of them that left4me can still use.
	DiskTotal, DiskFree int64
	// Usage was counted at MeasuredAt; zero: not yet.
	Usage      Usage
	MeasuredAt time.Time
}

// Silent reports whether the agent should have been heard of again by now.
func (h Host) Silent(now time.Time) bool { return now.Sub(h.SeenAt) > silentAfter }

// Scarce reports whether so little of the disk is free that it should be seen to: downloads fail when it is full.
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

// Report replaces what is known of h, and forgets hosts that have not been heard of for a month.
func (s *Store) Report(ctx context.Context, h Host) error {
	now := s.now()
	var measured sql.NullInt64
	if !h.MeasuredAt.IsZero() {
		measured = sql.NullInt64{Int64: db.Millis(h.MeasuredAt), Valid: true}
	}
	columns := "name, command, version, seen_at, disk_total, disk_free, measured_at, cache_files, cache_bytes, overlays, overlay_bytes"
	values := []any{h.Name, h.Command, h.Version, db.Millis(now), h.DiskTotal, h.DiskFree, measured,
		h.Usage.CacheFiles, h.Usage.CacheBytes, h.Usage.Overlays, h.Usage.OverlayBytes}
	err := s.replace(ctx, h.Name, now, columns+", garbage_files, garbage_bytes", append(values[:len(values):len(values)],
		sql.NullInt64{Int64: h.Usage.GarbageFiles, Valid: h.Usage.GarbageKnown}, sql.NullInt64{Int64: h.Usage.GarbageBytes, Valid: h.Usage.GarbageKnown}))
	if db.IsOlderSchema(err) { // an agent may run before 00002_garbage.sql has
		err = s.replace(ctx, h.Name, now, columns, values)
	}
	if err != nil {
		return fmt.Errorf("report of host %s: %w", h.Name, err)
	}
	return nil
}

// replace puts the columns of one host in the place of what it has reported before, and forgets hosts that are long silent.
func (s *Store) replace(ctx context.Context, name string, now time.Time, columns string, values []any) error {
	return s.db.InTx(ctx, func(ctx context.Context, q db.Querier) error {
		if _, err := q.ExecContext(ctx, `DELETE FROM hosts WHERE name = ? OR seen_at < ?`, name, db.Millis(now.Add(-forgetAfter))); err != nil {
			return err
		}
		_, err := q.ExecContext(ctx, `INSERT INTO hosts (`+columns+`) VALUES (?`+strings.Repeat(", ?", len(values)-1)+`)`, values...)
		return err
	})
}

const listSQL = `SELECT name, command, version, seen_at, disk_total, disk_free, measured_at,
	cache_files, cache_bytes, overlays, overlay_bytes, %s FROM hosts ORDER BY seen_at DESC, name`

// List returns the hosts, the one heard of last first.
func (s *Store) List(ctx context.Context) ([]Host, error) {
	all, err := s.list(ctx, fmt.Sprintf(listSQL, "garbage_files, garbage_bytes"))
	if db.IsOlderSchema(err) { // pages may run before 00002_garbage.sql has
		all, err = s.list(ctx, fmt.Sprintf(listSQL, "NULL, NULL"))
	}
	if err != nil {
		return nil, fmt.Errorf("list hosts: %w", err)
	}
	return all, nil
}

func (s *Store) list(ctx context.Context, query string) ([]Host, error) {
	rows, err := s.db.QueryContext(ctx, query)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []Host
	for rows.Next() {
		var h Host
		var seen int64
		var measured, files, bytes sql.NullInt64
		if err := rows.Scan(&h.Name, &h.Command, &h.Version, &seen, &h.DiskTotal, &h.DiskFree, &measured,
			&h.Usage.CacheFiles, &h.Usage.CacheBytes, &h.Usage.Overlays, &h.Usage.OverlayBytes, &files, &bytes); err != nil {
			return nil, err
		}
		h.SeenAt, h.MeasuredAt = db.Time(seen), db.NullTime(measured)
		h.Usage.GarbageFiles, h.Usage.GarbageBytes, h.Usage.GarbageKnown = files.Int64, bytes.Int64, files.Valid
		all = append(all, h)
	}
	return all, rows.Err()
}
