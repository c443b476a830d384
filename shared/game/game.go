// Package game owns the dedicated server of Left 4 Dead 2 on a host's disk (servers.md P49 to P51): its releases below
// LEFT4ME_ROOT/game/releases, installing the newest one with SteamCMD, and asking Steam which one that is. Rows tell pages about them.
//
// Only this package writes to LEFT4ME_ROOT/game and LEFT4ME_ROOT/steam. What servers do with a release is not its concern.
package game

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"left4me/shared/db"
	"left4me/shared/job"
	"left4me/shared/jobstore"
	"left4me/shared/problem"
)

// Store reads and writes what pages know of the releases on hosts.
type Store struct {
	db   *db.DB
	now  func() time.Time
	jobs *jobstore.Store
}

// NewStore returns a Store on d that takes the time from now and enqueues jobs in jobs.
func NewStore(d *db.DB, now func() time.Time, jobs *jobstore.Store) *Store {
	return &Store{d, now, jobs}
}

// Request asks for a job of operation, Install or CheckGame, on a host for userID (0: nobody). The error is a problem if there is no such
// host.
func (s *Store) Request(ctx context.Context, operation job.Operation, hostID string, userID int64) (*jobstore.Enqueued, error) {
	e, err := s.jobs.Enqueue(ctx, s.db, jobstore.Request{Operation: operation, Host: hostID, UserID: userID})
	if err == nil && e.ID == 0 {
		err = problem.NotFound("There is no such host.")
	}
	return e, err
}

// Release is a release on a host's disk.
type Release struct {
	// BuildID is Steam's number of the version.
	BuildID int64 `json:"build_id"`
	Bytes   int64 `json:"bytes"`
	// InstalledAt is set only for what Newest returns.
	InstalledAt time.Time `json:"-"`
}

// Newest returns the release that servers on a host start with. It is the one that was installed last, because Steam may take a release
// back. found is false if there is none.
func (s *Store) Newest(ctx context.Context, q db.Querier, hostID string) (r Release, found bool, err error) {
	r, err = db.Row(ctx, q, func(row db.Scanner) (r Release, err error) {
		err = row.Scan(&r.BuildID, &r.Bytes, db.Moment(&r.InstalledAt))
		return r, err
	}, `SELECT build_id, bytes, installed_at FROM releases WHERE host_id = :host ORDER BY installed_at DESC, build_id DESC LIMIT 1`, sql.Named("host", hostID))
	if errors.Is(err, sql.ErrNoRows) {
		return Release{}, false, nil
	}
	if err != nil {
		err = fmt.Errorf("look for the release on host %s: %w", hostID, err)
	}
	return r, err == nil, err
}

// RecordReleases makes the rows of a host those of the releases on its disk, in the transaction q. newest is the one that servers are to
// start with.
func (s *Store) RecordReleases(ctx context.Context, q db.Querier, hostID string, newest int64, onDisk []Release) error {
	list, err := json.Marshal(append([]Release{}, onDisk...)) // never null
	if err != nil {
		return err
	}
	host, releases := sql.Named("host", hostID), sql.Named("releases", string(list))
	err = db.Later(ctx, q, `DELETE FROM releases WHERE host_id = :host AND build_id NOT IN (SELECT value ->> 'build_id' FROM json_each(:releases))`, host, releases)
	if err == nil {
		// A release that is the newest again, because Steam took back the one after it, counts as installed now.
		err = db.Later(ctx, q, `INSERT INTO releases (host_id, build_id, bytes, installed_at)
				SELECT :host, value ->> 'build_id', value ->> 'bytes', CASE WHEN value ->> 'build_id' = :newest THEN :now ELSE 0 END FROM json_each(:releases) WHERE true
			ON CONFLICT (host_id, build_id) DO UPDATE SET installed_at = excluded.installed_at
			WHERE excluded.installed_at > 0 AND EXISTS (SELECT 1 FROM releases o WHERE o.host_id = :host AND o.installed_at > releases.installed_at)`,
			host, releases, sql.Named("newest", newest), sql.Named("now", db.Millis(s.now())))
	}
	if err != nil {
		return fmt.Errorf("record the releases on host %s: %w", hostID, err)
	}
	return nil
}

// Forget removes the rows of all releases, in the transaction q, as after a restoration: the disks may have others. The next look for a
// newer release brings the rows back.
func Forget(ctx context.Context, q db.Querier) error {
	if _, err := q.ExecContext(ctx, `DELETE FROM releases`); err != nil {
		return fmt.Errorf("forget the releases: %w", err)
	}
	return nil
}

// RecordCheck records, in the transaction q, the newest release that Steam offers now.
func (s *Store) RecordCheck(ctx context.Context, q db.Querier, hostID string, newest int64) error {
	if err := db.Later(ctx, q, `UPDATE hosts SET newest_build_id = :newest, game_checked_at = :now WHERE id = :host`,
		sql.Named("host", hostID), sql.Named("newest", newest), sql.Named("now", db.Millis(s.now()))); err != nil {
		return fmt.Errorf("record the newest release for host %s: %w", hostID, err)
	}
	return nil
}
