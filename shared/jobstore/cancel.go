package jobstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"left4me/shared/db"
	"left4me/shared/job"
)

// A job without an owner, queued or handed back, is cancelled at once. An owner is asked to stop.
const (
	cancelSet = `
UPDATE jobs SET
	state = CASE WHEN state = 'queued' OR lease_until = 0 THEN 'cancelled' ELSE 'cancelling' END,
	finished_at = CASE WHEN state = 'queued' OR lease_until = 0 THEN :now END,
	lease_until = CASE WHEN state = 'queued' OR lease_until = 0 THEN NULL ELSE lease_until END`

	cancelSQL = cancelSet + `
WHERE id = :id AND state IN ('queued', 'running')
RETURNING state`

	cancelAllSQL = cancelSet + `
WHERE finished_at IS NULL AND subject_kind = :kind AND subject_id IS :subject AND operation = :operation AND state IN ('queued', 'running')`
)

// Cancel asks the job to stop. It returns the job's state afterwards (cancelled without an owner, else cancelling) and whether
// this call has changed it: a job that is cancelling or has ended stays as it is. The error is ErrNotFound when there is no such
// job.
func (s *Store) Cancel(ctx context.Context, id int64) (state job.State, changed bool, err error) {
	state, err = db.Row(ctx, s.db, db.Value[job.State], cancelSQL, sql.Named("id", id), sql.Named("now", s.millis()))
	if err == nil {
		return state, true, nil
	}
	if !errors.Is(err, sql.ErrNoRows) {
		return "", false, jobError("cancel", id, err)
	}
	j, err := s.Get(ctx, id)
	return j.State, false, err
}

// CancelAll asks all jobs of operation about subject to stop, as Cancel does, on q.
func (s *Store) CancelAll(ctx context.Context, q db.Querier, operation job.Operation, subject job.Subject) error {
	if err := db.Later(ctx, q, cancelAllSQL, append(subjectArgs(subject), sql.Named("operation", operation.Name), sql.Named("now", s.millis()))...); err != nil {
		return fmt.Errorf("cancel %s of %s: %w", operation.Name, subject, err)
	}
	return nil
}
