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
	for range enqueueTries {
		// Looked for first: an insertion that finds something in its way would use up an id each time.
		older, found, err := s.coalesce(ctx, q, op, r.Subject.OverlayID)
		if err != nil {
			return Enqueued{}, fmt.Errorf("enqueue %s: %w", op.Name, err)
		}
		if found {
			return older, nil
		}
		ids, err := s.insert(ctx, q, op, []job.Subject{r.Subject}, r.UserID)
		if err != nil {
			return Enqueued{}, fmt.Errorf("enqueue %s: %w", op.Name, err)
		}
		if id, found := ids[r.Subject.OverlayID]; found {
			return Enqueued{ID: id, State: job.Queued, New: true}, nil
		}
	}
	return Enqueued{}, fmt.Errorf("enqueue %s: %w", op.Name, errors.New("another one is in the way and cannot be found"))
}

// EnqueueBuild is the contract's enqueue_build_overlay (P34): a build of the overlay that is still queued is returned instead
// of a second one.
func (s *Store) EnqueueBuild(ctx context.Context, q db.Querier, overlayID, userID int64) (Enqueued, error) {
	return s.Enqueue(ctx, q, Request{Operation: job.BuildOverlay, Subject: job.Subject{OverlayID: overlayID}, UserID: userID})
}

// EnqueueBuilds is EnqueueBuild for many overlays in two statements: a libSQL server gives a transaction 5 s, however far away
// it is. q must be a transaction. The jobs are in the order of overlayIDs, which must not repeat.
func (s *Store) EnqueueBuilds(ctx context.Context, q db.Querier, overlayIDs []int64, userID int64) ([]Enqueued, error) {
	if len(overlayIDs) == 0 {
		return nil, nil
	}
	list, err := json.Marshal(overlayIDs)
	if err != nil {
		return nil, fmt.Errorf("enqueue builds: %w", err)
	}
	older, err := byOverlay(q.QueryContext(ctx, queuedBuildsSQL, sql.Named("overlays", string(list))))
	if err != nil {
		return nil, fmt.Errorf("enqueue builds: %w", err)
	}
	var subjects []job.Subject
	for _, id := range overlayIDs {
		if _, found := older[id]; !found {
			subjects = append(subjects, job.Subject{OverlayID: id})
		}
	}
	newer, err := s.insert(ctx, q, job.BuildOverlay, subjects, userID)
	if err != nil {
		return nil, fmt.Errorf("enqueue builds: %w", err)
	}
	all := make([]Enqueued, len(overlayIDs))
	for n, id := range overlayIDs {
		all[n] = Enqueued{ID: older[id], State: job.Queued}
		if all[n].ID == 0 {
			all[n].ID, all[n].New = newer[id], true
		}
		if all[n].ID == 0 {
			return nil, fmt.Errorf("enqueue a build of overlay %d: another one is in the way and cannot be found", id)
		}
	}
	return all, nil
}

// EnqueueRefresh asks for refresh_workshop_items (P30): one that has not ended is returned instead of a second one.
func (s *Store) EnqueueRefresh(ctx context.Context, q db.Querier, userID int64) (Enqueued, error) {
	return s.Enqueue(ctx, q, Request{Operation: job.RefreshWorkshopItems, UserID: userID})
}

// EnqueueGarbage asks for collect_garbage: one that has not ended is returned instead of a second one.
func (s *Store) EnqueueGarbage(ctx context.Context, q db.Querier, userID int64) (Enqueued, error) {
	return s.Enqueue(ctx, q, Request{Operation: job.CollectGarbage, UserID: userID})
}

// EnqueueDelete asks for delete_overlay (P9): one that has not ended is returned instead of a second one.
func (s *Store) EnqueueDelete(ctx context.Context, q db.Querier, overlayID, userID int64) (Enqueued, error) {
	return s.Enqueue(ctx, q, Request{Operation: job.DeleteOverlay, Subject: job.Subject{OverlayID: overlayID}, UserID: userID})
}

const (
	insertSQL = `
INSERT INTO jobs (operation, state, user_id, overlay_id, locks, impatient_at, created_at)
SELECT :operation, 'queued', :user, value ->> 'overlay', value -> 'locks', :impatient, :now
FROM json_each(:subjects) WHERE true ORDER BY key
ON CONFLICT DO NOTHING
RETURNING COALESCE(overlay_id, 0), id`

	queuedBuildsSQL = `
SELECT overlay_id, id FROM jobs
WHERE overlay_id IN (SELECT value FROM json_each(:overlays)) AND operation = 'build_overlay' AND state = 'queued'`
)

// subject is what a job is about, as insertSQL has it.
type subject struct {
	Overlay *int64     `json:"overlay"`
	Locks   []job.Lock `json:"locks"`
}

// insert adds a job of op about each of subjects and returns their ids by overlay (0 for none). One that a unique index
// forbids, because there is such a job, is not added.
func (s *Store) insert(ctx context.Context, q db.Querier, op job.Operation, subjects []job.Subject, userID int64) (map[int64]int64, error) {
	if len(subjects) == 0 {
		return nil, nil
	}
	about := make([]subject, len(subjects))
	for n := range subjects {
		about[n].Locks = op.Locks(subjects[n])
		if subjects[n].OverlayID != 0 {
			about[n].Overlay = &subjects[n].OverlayID
		}
	}
	list, err := json.Marshal(about)
	if err != nil {
		return nil, err
	}
	now := s.now()
	var impatient sql.NullInt64
	if op.Patience > 0 {
		impatient = sql.NullInt64{Int64: now + op.Patience.Milliseconds(), Valid: true}
	}
	s.enqueued.Store(true)
	return byOverlay(q.QueryContext(ctx, insertSQL,
		sql.Named("operation", op.Name),
		sql.Named("user", null(userID)),
		sql.Named("subjects", string(list)),
		sql.Named("impatient", impatient),
		sql.Named("now", now),
	))
}

// byOverlay reads ids of jobs by the overlay that they are about, to the end, where the embedded database commits a write
// and reports that it could not.
func byOverlay(rows *sql.Rows, err error) (map[int64]int64, error) {
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	jobs := map[int64]int64{}
	for rows.Next() {
		var overlay, id int64
		if err := rows.Scan(&overlay, &id); err != nil {
			return nil, err
		}
		jobs[overlay] = id
	}
	return jobs, rows.Err()
}

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
