package jobstore

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"left4me/shared/db"
	"left4me/shared/job"
)

// Request asks for a job.
type Request struct {
	Operation job.Operation
	Subject   job.Subject
	// UserID is who asked, or 0 when no person did.
	UserID int64
}

// Enqueued is the job that a request led to.
type Enqueued struct {
	ID int64
	// State is queued for a new job, and that of the job found for one that is not.
	State job.State
	// New is false when an older job already does what was asked.
	New bool
}

// Sentence says what a request for o led to, in the words of product.md P30: `enqueued refresh_workshop_items job 8`, or
// `refresh_workshop_items job 7 already queued`, whichever state that older job is in.
func (e Enqueued) Sentence(o job.Operation) string {
	if e.New {
		return fmt.Sprintf("enqueued %s job %d", o.Name, e.ID)
	}
	return fmt.Sprintf("%s job %d already queued", o.Name, e.ID)
}

// enqueueTries bounds how often Enqueue looks again when another process was quicker between its looking and its inserting.
const enqueueTries = 10

// Enqueue adds a job, or returns the one that already does what is asked (Operation.Coalesce). q is the transaction of what
// the job is about, or the database. An operation that has no function is refused: nothing would ever run it.
func (s *Store) Enqueue(ctx context.Context, q db.Querier, r Request) (Enqueued, error) {
	op := r.Operation
	if op.Function == "" {
		return Enqueued{}, fmt.Errorf("enqueue %s: no function runs this operation", op.Name)
	}
	locks, err := json.Marshal(op.Locks(r.Subject))
	if err != nil {
		return Enqueued{}, fmt.Errorf("enqueue %s: %w", op.Name, err)
	}
	now := s.now()
	var impatient sql.NullInt64
	if op.Patience > 0 {
		impatient = sql.NullInt64{Int64: now + op.Patience.Milliseconds(), Valid: true}
	}
	args := []any{
		sql.Named("operation", op.Name),
		sql.Named("user", null(r.UserID)),
		sql.Named("overlay", null(r.Subject.OverlayID)),
		sql.Named("locks", string(locks)),
		sql.Named("impatient", impatient),
		sql.Named("now", now),
	}
	for range enqueueTries {
		// Looked for first: an insertion that finds something in its way would use up an id each time.
		older, found, err := s.coalesce(ctx, q, op, r.Subject.OverlayID)
		if err != nil {
			return Enqueued{}, fmt.Errorf("enqueue %s: %w", op.Name, err)
		}
		if found {
			return older, nil
		}
		new := Enqueued{State: job.Queued, New: true}
		found, err = row(ctx, q, insertSQL, args, &new.ID)
		if err != nil {
			return Enqueued{}, fmt.Errorf("enqueue %s: %w", op.Name, err)
		}
		if found {
			return new, nil
		}
	}
	return Enqueued{}, fmt.Errorf("enqueue %s: %w", op.Name, errors.New("another one is in the way and cannot be found"))
}

// EnqueueBuild is the contract's enqueue_build_overlay (P34): a build of the overlay that is still queued is returned instead
// of a second one.
func (s *Store) EnqueueBuild(ctx context.Context, q db.Querier, overlayID, userID int64) (Enqueued, error) {
	return s.Enqueue(ctx, q, Request{Operation: job.BuildOverlay, Subject: job.Subject{OverlayID: overlayID}, UserID: userID})
}

// EnqueueRefresh asks for refresh_workshop_items (P30): one that has not ended is returned instead of a second one.
func (s *Store) EnqueueRefresh(ctx context.Context, q db.Querier, userID int64) (Enqueued, error) {
	return s.Enqueue(ctx, q, Request{Operation: job.RefreshWorkshopItems, UserID: userID})
}

// EnqueueDelete asks for delete_overlay (P9): one that has not ended is returned instead of a second one.
func (s *Store) EnqueueDelete(ctx context.Context, q db.Querier, overlayID, userID int64) (Enqueued, error) {
	return s.Enqueue(ctx, q, Request{Operation: job.DeleteOverlay, Subject: job.Subject{OverlayID: overlayID}, UserID: userID})
}

const insertSQL = `
INSERT INTO jobs (operation, state, user_id, overlay_id, locks, impatient_at, created_at)
VALUES (:operation, 'queued', :user, :overlay, :locks, :impatient, :now)
ON CONFLICT DO NOTHING
RETURNING id`

// The plus keeps the database to the index of live jobs, whatever it believes about their number.
const coalesceSQL = `
SELECT id, state FROM jobs
WHERE finished_at IS NULL AND overlay_id IS :overlay AND operation = :operation
ORDER BY +id`

// coalesce finds the job that a request of op about the overlay (or none, 0) leads to.
func (s *Store) coalesce(ctx context.Context, q db.Querier, op job.Operation, overlayID int64) (older Enqueued, found bool, err error) {
	if len(op.Coalesce) == 0 {
		return Enqueued{}, false, nil
	}
	rows, err := q.QueryContext(ctx, coalesceSQL, sql.Named("overlay", null(overlayID)), sql.Named("operation", op.Name))
	if err != nil {
		return Enqueued{}, false, err
	}
	defer rows.Close()
	for rows.Next() {
		var e Enqueued
		if err := rows.Scan(&e.ID, &e.State); err != nil {
			return Enqueued{}, false, err
		}
		if slices.Contains(op.Coalesce, e.State) {
			older, found = e, true
		}
	}
	return older, found, rows.Err()
}

func null(id int64) sql.NullInt64 { return sql.NullInt64{Int64: id, Valid: id != 0} }
