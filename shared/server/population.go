package server

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"left4me/shared/db"
)

// Population is how many people played from a moment on.
type Population struct {
	At time.Time
	// Known is false while the server did not run or did not answer.
	Known  bool
	Humans int
}

// keptPopulation is how long changes are kept.
const keptPopulation = 3 * 24 * time.Hour

// populate records on q how many people play on a server, if that has changed. humans is not valid if it is not known, or the server does not run.
func (s *Store) populate(ctx context.Context, q db.Querier, serverID int64, humans sql.NullInt64) error {
	server := sql.Named("server", serverID)
	err := db.Later(ctx, q, `INSERT INTO server_population (server_id, at, humans) SELECT :server, :now, :humans
			WHERE (SELECT humans FROM server_population WHERE server_id = :server ORDER BY at DESC LIMIT 1) IS NOT :humans
		ON CONFLICT (server_id, at) DO UPDATE SET humans = excluded.humans`, server, s.nowArg(), sql.Named("humans", humans))
	if err == nil {
		// The last of the older ones says how many played when the time that is kept began.
		err = db.Later(ctx, q, `DELETE FROM server_population WHERE server_id = :server AND at < (SELECT MAX(at) FROM server_population WHERE server_id = :server AND at < :old)`,
			server, sql.Named("old", db.Millis(s.now().Add(-keptPopulation))))
	}
	if err != nil {
		return fmt.Errorf("record how many play on server %d: %w", serverID, err)
	}
	return nil
}

// Populate records how many people play on a running server, according to a check. It writes nothing if that has not changed.
func (s *Store) Populate(ctx context.Context, p Pending, seen Seen) error {
	humans := sql.NullInt64{Int64: int64(seen.Humans), Valid: seen.Answering}
	if humans == p.humans {
		return nil
	}
	return s.db.InTx(ctx, func(ctx context.Context, q db.Querier) error { return s.populate(ctx, q, p.ID, humans) })
}

// Populations returns how many people have played on a server in the time before now, the oldest first. The first may be older.
func (s *Store) Populations(ctx context.Context, serverID int64, before time.Duration) ([]Population, error) {
	all, err := db.Rows(ctx, s.db, func(row db.Scanner) (p Population, err error) {
		err = row.Scan(db.Moment(&p.At), &p.Known, &p.Humans)
		return p, err
	}, `SELECT at, humans IS NOT NULL, COALESCE(humans, 0) FROM server_population WHERE server_id = :server
		AND at >= COALESCE((SELECT MAX(at) FROM server_population WHERE server_id = :server AND at < :since), 0) ORDER BY at`,
		sql.Named("server", serverID), sql.Named("since", db.Millis(s.now().Add(-before))))
	if err != nil {
		return nil, fmt.Errorf("read how many played on server %d: %w", serverID, err)
	}
	return all, nil
}
