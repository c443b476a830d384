package jobstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"left4me/shared/db"
	"left4me/shared/job"
)

// A job that nobody works on, queued or handed back, is cancelled at once; one that has an owner is asked to stop.
const (
	cancelSet = `
UPDATE jobs SET
	state = CASE WHEN state = 'queued' OR lease_until = 0 THEN 'cancelled' ELSE 'cancelling' END,
	finished_at = CASE WHEN state = 'queued' OR lease_until = 0 THEN :now END,
	lease_until = CASE WHEN state = 'queued' OR lease_until = 0 THEN NULL ELSE lease_until END`

	cancelSQL = cancelSet + `
WHERE id = :id AND state IN ('queued', 'running')
RETURNING state`

	cancelBuildsSQL = cancelSet + `
WHERE finished_at IS NULL AND overlay_id = :overlay AND operation = 'build_overlay' AND state IN ('queued', 'running')`
)

// Cancel asks the job to stop. It returns the state that the job is in now (cancelled, if nobody was working on it, or
// cancelling) and whether this call has changed it: a job that is cancelling or has ended stays as it is. The error is
// ErrNotFound when there is no such job. Whether the person may do that is for the caller to check.
func (s *Store) Cancel(ctx context.Context, id int64) (state job.State, changed bool, err error) {
	changed, err = row(ctx, s.DB, cancelSQL, []any{sql.Named("id", id), sql.Named("now", s.now())}, &state)
	if err != nil {
		return "", false, jobError("cancel", id, err)
	}
	if changed {
		return state, true, nil
	}
	j, err := s.Get(ctx, id)
	if errors.Is(err, ErrNotFound) {
		return "", false, ErrNotFound
	}
	if err != nil {
		return "", false, jobError("cancel", id, err)
	}
	return j.State, false, nil
}

// CancelBuilds asks the overlay's builds to stop, as Cancel does, on q, which is the transaction that makes them pointless.
func (s *Store) CancelBuilds(ctx context.Context, q db.Querier, overlayID int64) error {
	if _, err := affected(ctx, q, cancelBuildsSQL, sql.Named("overlay", overlayID), sql.Named("now", s.now())); err != nil {
		return fmt.Errorf("cancel the builds of overlay %d: %w", overlayID, err)
	}
	return nil
}
