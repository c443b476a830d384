// Package host owns the machines with a disk of their own (servers.md P44 to P47): the id of each, and what its agent reports,
// that it is running and how much of the disk left4me's files use. Pages read the reports because they may run on other machines.
//
// It does not measure anything itself; localrun does.
package host

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"left4me/shared/db"
	"left4me/shared/job"
	"left4me/shared/jobstore"
	"left4me/shared/overlay"
	"left4me/shared/problem"
)

// Every is how often a host agent reports.
const Every = time.Minute

// silentAfter is the age of the last report from which an agent counts as silent: it has missed two.
const silentAfter = jobstore.HostSilentAfter

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

// Host is one row of hosts: a host, and the last report of its agent.
type Host struct {
	// ID is the id in the host's LEFT4ME_ROOT/host.json.
	ID string
	// Name is for people. Several hosts may have the same one.
	Name string
	// Address is what players connect to; may be empty.
	Address string
	// Agent is the agent that uses the id. It is zero after a migration or restoration, until the agent has started.
	Agent Agent `api:"-"`
	// Command is the command of localrun that the agent is part of: `up` or `agent`.
	Command string
	Version string
	// Root is its LEFT4ME_ROOT, an absolute path; empty: not reported yet.
	Root string
	// SeenAt is the time of the report. The Store sets it.
	SeenAt time.Time
	// StoppedAt is when the agent ended as it should; zero: it runs, or was lost.
	StoppedAt time.Time
	// DiskTotal is the size in bytes of the disk that holds LEFT4ME_ROOT, and DiskFree what left4me can still use of it.
	DiskTotal, DiskFree int64
	Usage               Usage
	// MeasuredAt is when Usage was measured; zero: not yet.
	MeasuredAt time.Time
	// ServersProblem is why it cannot run game servers, and what to do; empty if it can.
	ServersProblem string
}

// Silent reports whether the agent has missed its last reports.
func (h Host) Silent(now time.Time) bool { return Silent(h.SeenAt, now) }

// Silent reports whether an agent that reported last at seenAt, or never if that is zero, has missed its last reports.
func Silent(seenAt, now time.Time) bool { return now.Sub(seenAt) > silentAfter }

// States of a host's agent.
const (
	AgentHere    = "here"    // it reports
	AgentSilent  = "silent"  // it has missed its last reports
	AgentStopped = "stopped" // it has ended as it should
)

// State is that of the agent.
func (h Host) State(now time.Time) string {
	switch {
	case !h.StoppedAt.IsZero():
		return AgentStopped
	case h.Silent(now):
		return AgentSilent
	}
	return AgentHere
}

// live reports whether an agent of the host may be running.
func (h Host) live(now time.Time) bool { return h.State(now) == AgentHere }

// Removable returns nil if the host can be removed, or the problem (409) that its agent may be running.
func (h Host) Removable(now time.Time) error {
	if h.live(now) {
		return problem.Conflict("The agent of %s is running, or was a few minutes ago. Only a host that is gone for good can be removed: stop its agent, or wait.", h.Name)
	}
	return nil
}

// Listed is a host and what is to be done on it.
type Listed struct {
	Host
	// Running and Waiting count its jobs that have not ended: those that a worker has begun, and those that are queued.
	Running, Waiting int
	// Failed counts the overlays whose last build there failed.
	Failed int
	// Servers counts its game servers.
	Servers int
	// Game is the release of the game that servers start with.
	Game Game
}

// Game is a release of the game on a host, as shared/game records it, and what Steam offers.
type Game struct {
	// BuildID is Steam's number of the release; 0: the game is not installed.
	BuildID     int64
	Bytes       int64
	InstalledAt time.Time
	// NewestBuildID is the release that Steam offered at CheckedAt; 0: not known.
	NewestBuildID int64
	CheckedAt     time.Time
}

// Outdated reports whether Steam offers another release than the one that is installed.
func (g Game) Outdated() bool {
	return g.BuildID != 0 && g.NewestBuildID != 0 && g.BuildID != g.NewestBuildID
}

// Scarce reports whether so little of the disk is free, below 5 % or 2 GiB, that downloads may soon fail.
func Scarce(total, free int64) bool { return total > 0 && free < max(total/20, 2<<30) }

// ErrReplaced says that an agent's host was removed, or that another agent has taken the host's id while this one was silent.
var ErrReplaced = errors.New("this host was removed, or another agent has taken its id while this one was silent")

// InUseError says that the agent of another disk may be using the same id: this disk was copied with its host.json.
type InUseError struct {
	// Host is the row of that agent.
	Host Host
}

func (e *InUseError) Error() string {
	return fmt.Sprintf("another agent, on %s, uses the same id of a host, %s. If this LEFT4ME_ROOT is a copy of that one, remove host.json here: "+
		"then this becomes a host of its own. If that agent is to end, stop it first", e.Host.Name, e.Host.ID)
}

// Store reads and writes hosts.
type Store struct {
	db   *db.DB
	now  func() time.Time
	jobs *jobstore.Store
}

// NewStore returns a Store on d that takes the time from now and enqueues jobs in jobs.
func NewStore(d *db.DB, now func() time.Time, jobs *jobstore.Store) *Store {
	return &Store{db: d, now: now, jobs: jobs}
}

// Register begins the work of an agent on h: it adds the host, or takes the row that it has had before, and reports whether the host
// is new: then builds of all overlays are enqueued on it. The error is an *InUseError while the agent of another disk may be using the
// same id.
//
// A host that no agent has taken yet, as after a migration, is this one if it has the same name, also the machine's, or if the database
// is embedded and has no other host.
func (s *Store) Register(ctx context.Context, h Host) (added bool, err error) {
	err = s.db.InTx(ctx, func(ctx context.Context, q db.Querier) error {
		added = false
		known, err := db.Row(ctx, q, scan, selectHost+` WHERE id = :id`, sql.Named("id", h.ID))
		switch {
		case errors.Is(err, sql.ErrNoRows):
			if added, err = s.adopt(ctx, q, h); added || err != nil {
				return err
			}
		case err != nil:
			return err
		case s.otherMayLive(known, h.Agent):
			return &InUseError{known}
		}
		_, err = q.ExecContext(ctx, `UPDATE hosts SET name = :name, address = :address, root = :root, boot = :boot, disk = :disk,
			command = :command, version = :version, seen_at = :now, stopped_at = NULL WHERE id = :id`, s.args(h)...)
		return err
	})
	if err != nil {
		return false, fmt.Errorf("register host %s: %w", h.Name, err)
	}
	return added, nil
}

// otherMayLive reports whether an agent other than this one may be using the row. The machine of an embedded database is the only
// one that uses it, so no agent of an earlier boot is left.
func (s *Store) otherMayLive(known Host, this Agent) bool {
	switch {
	case known.Agent == this || known.Agent == Agent{}:
		return false
	case s.db.Embedded() && known.Agent.Boot != this.Boot:
		return false
	}
	return known.live(s.now())
}

// adopt gives the id of h to a host that no agent has taken yet and that is h, or adds h, with jobs that make its disk what the
// database says. It reports whether it has added it.
func (s *Store) adopt(ctx context.Context, q db.Querier, h Host) (added bool, err error) {
	machine, _ := os.Hostname()
	n, err := db.Exec(ctx, q, `UPDATE hosts SET id = :id WHERE id = (SELECT id FROM hosts WHERE disk = ''
		AND (name IN (:name, :machine) OR :embedded AND (SELECT COUNT(*) FROM hosts) = 1) ORDER BY seen_at DESC LIMIT 1)`,
		sql.Named("id", h.ID), sql.Named("name", h.Name), sql.Named("machine", machine), sql.Named("embedded", s.db.Embedded()))
	if err != nil || n > 0 {
		return false, err
	}
	_, err = q.ExecContext(ctx, `INSERT INTO hosts (id, name, address, root, boot, disk, command, version, seen_at, disk_total, disk_free)
		VALUES (:id, :name, :address, :root, :boot, :disk, :command, :version, :now, 0, 0)`, s.args(h)...)
	if err == nil {
		err = s.jobs.TakeWaiting(ctx, q, h.ID)
	}
	if err != nil {
		return true, err
	}
	requests, err := db.Rows(ctx, q, func(row db.Scanner) (jobstore.Request, error) {
		r := jobstore.Request{Operation: job.BuildOverlay, Host: h.ID}
		var id int64
		var deleted bool
		err := row.Scan(&id, &deleted)
		if r.Subject = job.Overlay(id); deleted {
			r.Operation = job.DeleteOverlay
		}
		return r, err
	}, `SELECT id, deleted_at IS NOT NULL FROM overlays ORDER BY id`)
	if err == nil {
		_, err = s.jobs.EnqueueAll(ctx, q, requests)
	}
	return true, err
}

// args are the parameters that describe a host and its agent.
func (s *Store) args(h Host) []any {
	return []any{
		sql.Named("id", h.ID), sql.Named("name", h.Name), sql.Named("address", h.Address),
		sql.Named("root", h.Root), sql.Named("boot", h.Agent.Boot), sql.Named("disk", h.Agent.Disk),
		sql.Named("command", h.Command), sql.Named("version", h.Version), sql.Named("now", db.Millis(s.now())),
	}
}

// Report replaces the last report of h. The error is ErrReplaced when h.Agent does not have the host any more.
func (s *Store) Report(ctx context.Context, h Host) error {
	n, err := db.Exec(ctx, s.db, `UPDATE hosts SET name = :name, address = :address, root = :root, command = :command, version = :version,
		seen_at = :now, stopped_at = NULL, disk_total = :disk_total, disk_free = :disk_free, measured_at = :measured_at, cache_files = :cache_files,
		cache_bytes = :cache_bytes, overlays = :overlays, overlay_bytes = :overlay_bytes, garbage_files = :garbage_files,
		garbage_bytes = :garbage_bytes, servers_problem = :servers_problem WHERE id = :id AND boot = :boot AND disk = :disk`,
		append(s.args(h),
			sql.Named("disk_total", h.DiskTotal), sql.Named("disk_free", h.DiskFree),
			sql.Named("measured_at", sql.NullInt64{Int64: db.Millis(h.MeasuredAt), Valid: !h.MeasuredAt.IsZero()}),
			sql.Named("cache_files", h.Usage.CacheFiles), sql.Named("cache_bytes", h.Usage.CacheBytes),
			sql.Named("overlays", h.Usage.Overlays), sql.Named("overlay_bytes", h.Usage.OverlayBytes),
			sql.Named("garbage_files", sql.NullInt64{Int64: h.Usage.GarbageFiles, Valid: h.Usage.GarbageKnown}),
			sql.Named("garbage_bytes", sql.NullInt64{Int64: h.Usage.GarbageBytes, Valid: h.Usage.GarbageKnown}),
			sql.Named("servers_problem", h.ServersProblem))...)
	if err == nil && n == 0 {
		err = ErrReplaced
	}
	if err != nil {
		return fmt.Errorf("report of host %s: %w", h.Name, err)
	}
	return nil
}

// Stopped records that the agent of h has ended as it should. Another agent of the same disk that still runs reports again.
func (s *Store) Stopped(ctx context.Context, h Host) error {
	if _, err := db.Exec(ctx, s.db, `UPDATE hosts SET stopped_at = :now WHERE id = :id AND boot = :boot AND disk = :disk`, s.args(h)...); err != nil {
		return fmt.Errorf("report the end of host %s: %w", h.Name, err)
	}
	return nil
}

// Remove removes a host that is gone for good, by its id or its name, and ends its jobs: nothing waits for it any more. The error is a
// problem: 404 when there is no such host, 409 when several have that name, or when its agent may be running.
func (s *Store) Remove(ctx context.Context, idOrName string) (Host, error) {
	var h Host
	err := s.db.InTx(ctx, func(ctx context.Context, q db.Querier) error {
		var err error
		if h, err = find(ctx, q, idOrName); err != nil {
			return err
		}
		if err := h.Removable(s.now()); err != nil {
			return err
		}
		if err := s.jobs.EndOfHost(ctx, q, h.ID); err != nil {
			return err
		}
		if err := db.Later(ctx, q, `DELETE FROM hosts WHERE id = :id`, sql.Named("id", h.ID)); err != nil {
			return err
		}
		return overlay.Purge(ctx, q)
	})
	return h, problem.Wrap(err, "remove host %s", idOrName)
}

// Find returns the host with that id or name. The error is a problem: 404 when there is none, 409 when several have that name.
func (s *Store) Find(ctx context.Context, idOrName string) (Host, error) {
	h, err := find(ctx, s.db, idOrName)
	return h, problem.Wrap(err, "look for host %s", idOrName)
}

func find(ctx context.Context, q db.Querier, idOrName string) (Host, error) {
	found, err := db.Rows(ctx, q, scan, selectHost+` WHERE id = :host OR name = :host ORDER BY id = :host DESC, id`, sql.Named("host", idOrName))
	switch {
	case err != nil:
		return Host{}, err
	case len(found) == 0:
		return Host{}, missing(idOrName)
	case len(found) > 1 && found[0].ID != idOrName:
		var ids []string
		for _, f := range found {
			ids = append(ids, f.ID)
		}
		return Host{}, problem.Conflict("%d hosts are named %s. Please name one of them by its id: %s.", len(found), idOrName, strings.Join(ids, ", "))
	}
	return found[0], nil
}

func missing(idOrName string) error {
	return problem.NotFound("There is no host %s. It may have been removed.", idOrName)
}

// Release lets the agents that start next take the hosts of a restored database, on q: none of the agents in it is running.
func Release(ctx context.Context, q db.Querier) error {
	if _, err := q.ExecContext(ctx, `UPDATE hosts SET boot = '', disk = ''`); err != nil {
		return fmt.Errorf("release the hosts: %w", err)
	}
	return nil
}

const (
	columns = `id, name, address, root, boot, disk, command, version, seen_at, stopped_at, disk_total, disk_free, measured_at,
		cache_files, cache_bytes, overlays, overlay_bytes, garbage_files, garbage_bytes, servers_problem`
	selectHost   = `SELECT ` + columns + ` FROM hosts`
	selectListed = `SELECT ` + columns + `,
		(SELECT COUNT(*) FROM jobs j WHERE j.finished_at IS NULL AND j.host_id = hosts.id AND j.state <> 'queued'),
		(SELECT COUNT(*) FROM jobs j WHERE j.finished_at IS NULL AND j.host_id = hosts.id AND j.state = 'queued'),
		(SELECT COUNT(*) FROM overlay_hosts b JOIN overlays o ON o.id = b.overlay_id
			WHERE b.host_id = hosts.id AND b.last_build_status = 'failed' AND o.deleted_at IS NULL),
		(SELECT COUNT(*) FROM servers g WHERE g.host_id = hosts.id AND g.deleted_at IS NULL),
		COALESCE(r.build_id, 0), COALESCE(r.bytes, 0), r.installed_at, COALESCE(newest_build_id, 0), game_checked_at
		FROM hosts LEFT JOIN releases r ON r.host_id = hosts.id
			AND r.build_id = (SELECT build_id FROM releases n WHERE n.host_id = hosts.id ORDER BY installed_at DESC, build_id DESC LIMIT 1)`
	byName = ` ORDER BY name COLLATE NOCASE, id`
)

// List returns the hosts by name.
func (s *Store) List(ctx context.Context) ([]Host, error) {
	return rows(ctx, s, scan, selectHost+byName)
}

// ListAll returns the hosts by name, with what is to be done on each.
func (s *Store) ListAll(ctx context.Context) ([]Listed, error) {
	return rows(ctx, s, scanListed, selectListed+byName)
}

func rows[T any](ctx context.Context, s *Store, scan func(db.Scanner) (T, error), query string) ([]T, error) {
	all, err := db.Rows(ctx, s.db, scan, query)
	if err != nil {
		return nil, fmt.Errorf("list hosts: %w", err)
	}
	return all, nil
}

// Get returns the host with that id; the error is a problem (404) when there is none.
func (s *Store) Get(ctx context.Context, id string) (Listed, error) {
	h, err := db.Row(ctx, s.db, scanListed, selectListed+` WHERE id = :id`, sql.Named("id", id))
	if errors.Is(err, sql.ErrNoRows) {
		return h, missing(id)
	}
	if err != nil {
		return h, fmt.Errorf("read host %s: %w", id, err)
	}
	return h, nil
}

func scan(row db.Scanner) (h Host, err error) {
	err = scanInto(row, &h)
	return h, err
}

func scanListed(row db.Scanner) (l Listed, err error) {
	err = scanInto(row, &l.Host, &l.Running, &l.Waiting, &l.Failed, &l.Servers,
		&l.Game.BuildID, &l.Game.Bytes, db.Moment(&l.Game.InstalledAt), &l.Game.NewestBuildID, db.Moment(&l.Game.CheckedAt))
	return l, err
}

// scanInto scans columns into h, and the columns that follow them into more.
func scanInto(row db.Scanner, h *Host, more ...any) error {
	var files, bytes sql.NullInt64
	err := row.Scan(append([]any{&h.ID, &h.Name, &h.Address, &h.Root, &h.Agent.Boot, &h.Agent.Disk, &h.Command, &h.Version,
		db.Moment(&h.SeenAt), db.Moment(&h.StoppedAt), &h.DiskTotal, &h.DiskFree, db.Moment(&h.MeasuredAt),
		&h.Usage.CacheFiles, &h.Usage.CacheBytes, &h.Usage.Overlays, &h.Usage.OverlayBytes, &files, &bytes, &h.ServersProblem}, more...)...)
	h.Usage.GarbageFiles, h.Usage.GarbageBytes, h.Usage.GarbageKnown = files.Int64, bytes.Int64, files.Valid
	return err
}
