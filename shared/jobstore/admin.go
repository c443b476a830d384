package jobstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"left4me/shared/db"
	"left4me/shared/job"
)

// The statements of lists for administrators.
const (
	// At work comes first, then what waits in its order (P32).
	listLiveSQL = selectJob + ` WHERE j.finished_at IS NULL ORDER BY j.lease_until IS NULL, j.created_at, j.id LIMIT :limit`

	listEndedSQL = selectJob + ` WHERE j.finished_at IS NOT NULL AND j.id < :before ORDER BY j.id DESC LIMIT :limit`

	listEndedInSQL = selectJob + ` WHERE j.finished_at IS NOT NULL AND j.state = :state AND j.id < :before ORDER BY j.id DESC LIMIT :limit`

	// The newest of them, through the same index: a failed one now and then is passed over.
	refreshedSQL = `SELECT j.finished_at FROM jobs j WHERE j.operation = 'refresh_workshop_items' AND j.state = 'succeeded' ORDER BY j.id DESC LIMIT 1`

	// Spelt out, because the index holds only rows of this operation.
	lastRefreshSQL = selectJob + ` WHERE j.operation = 'refresh_workshop_items' ORDER BY j.id DESC LIMIT 1`
)

// ListLive returns at most limit jobs that have not ended: first those at work, then those that wait, oldest first.
func (s *Store) ListLive(ctx context.Context, limit int) ([]Job, error) {
	return s.jobs(ctx, listLiveSQL, sql.Named("limit", max(limit, 0)))
}

// ListEnded returns at most limit jobs that ended in that state, or in any when it is empty, newest first: those with ids
// below before, or from the newest on when before is 0.
func (s *Store) ListEnded(ctx context.Context, state job.State, before int64, limit int) ([]Job, error) {
	if before <= 0 {
		before = 1<<63 - 1
	}
	args := []any{sql.Named("before", before), sql.Named("limit", max(limit, 0))}
	if state == "" {
		return s.jobs(ctx, listEndedSQL, args...)
	}
	return s.jobs(ctx, listEndedInSQL, append(args, sql.Named("state", string(state)))...)
}

// LastRefresh returns the newest refresh_workshop_items job, ended or not, or ErrNotFound.
func (s *Store) LastRefresh(ctx context.Context) (Job, error) {
	jobs, err := s.jobs(ctx, lastRefreshSQL)
	if err != nil {
		return Job{}, err
	}
	if len(jobs) == 0 {
		return Job{}, ErrNotFound
	}
	return jobs[0], nil
}

// Refreshed returns when the last refresh_workshop_items job that succeeded ended, or the zero time.
func (s *Store) Refreshed(ctx context.Context) (time.Time, error) {
	var at int64
	switch err := s.DB.QueryRowContext(ctx, refreshedSQL).Scan(&at); {
	case errors.Is(err, sql.ErrNoRows):
		return time.Time{}, nil
	case err != nil:
		return time.Time{}, fmt.Errorf("time of the last refresh: %w", err)
	}
	return db.Time(at), nil
}
