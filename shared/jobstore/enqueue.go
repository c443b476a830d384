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
	// Subject is of the kind that the operation is about.
	Subject job.Subject
	// Reads are further subjects that the run reads, if the operation reads any.
	Reads []job.Subject
	// Argument is anything else that the function needs to know, as a small JSON object; nil for nothing.
	Argument any
	// UserID is who asked; 0 for nobody.
	UserID int64
}

// Enqueued is the job that a request led to.
type Enqueued struct {
	ID int64
	// State is queued for a new job, and the state of the older job otherwise.
	State job.State
	// New is false when an older job already does what was asked.
	New bool
}

// Sentence says what a request for o led to, in the words of product.md P30: `enqueued refresh_workshop_items job 8`, or
// `refresh_workshop_items job 7 already queued`, in whichever state the older job is.
func (e Enqueued) Sentence(o job.Operation) string {
	if e.New {
		return fmt.Sprintf("enqueued %s job %d", o.Name, e.ID)
	}
	return fmt.Sprintf("%s job %d already queued", o.Name, e.ID)
}

// enqueueTries bounds how often EnqueueAll looks again when another process inserts or ends jobs between its statements.
const enqueueTries = 10

// Enqueue adds a job, or returns the older one that already does what is asked (Operation.Coalesce). q is the database, or the
// transaction of what the job is about. It refuses an operation without a function, and a subject of the wrong kind.
func (s *Store) Enqueue(ctx context.Context, q db.Querier, r Request) (Enqueued, error) {
	all, err := s.EnqueueAll(ctx, q, []Request{r})
	if err != nil {
		return Enqueued{}, err
	}
	return all[0], nil
}

// EnqueueAll is Enqueue for many requests, in their order, with two statements: a libSQL server gives a transaction only 5 s.
func (s *Store) EnqueueAll(ctx context.Context, q db.Querier, requests []Request) ([]Enqueued, error) {
	now := s.millis()
	rows := make([]newJob, len(requests))
	for i, r := range requests {
		var err error
		if rows[i], err = rowOf(r, now); err != nil {
			return nil, fmt.Errorf("enqueue %s: %w", r.Operation.Name, err)
		}
	}
	all := make([]Enqueued, len(requests))
	// Older jobs are looked for first: an insertion that conflicts with one would use up an id.
	for range enqueueTries {
		if err := s.findOlder(ctx, q, rows, all); err != nil {
			return nil, fmt.Errorf("enqueue %d jobs: %w", len(rows), err)
		}
		if err := s.insert(ctx, q, now, rows, all); err != nil {
			return nil, fmt.Errorf("enqueue %d jobs: %w", len(rows), err)
		}
		if !slices.ContainsFunc(all, func(e Enqueued) bool { return e.ID == 0 }) {
			return all, nil
		}
	}
	return nil, fmt.Errorf("enqueue %d jobs: %w", len(rows), errors.New("other processes keep adding and ending the same ones"))
}

// newJob is a row to insert, as insertSQL reads it.
type newJob struct {
	Operation   string     `json:"operation"`
	UserID      *int64     `json:"user_id"`
	SubjectKind job.Kind   `json:"subject_kind"`
	SubjectID   *int64     `json:"subject_id"`
	Argument    string     `json:"argument"`
	QueuedKey   *string    `json:"queued_key"`
	LiveKey     *string    `json:"live_key"`
	Locks       []job.Lock `json:"locks"`
	StarvingAt  *int64     `json:"starving_at"`
	key         string     // of the operation, the subject and the argument
}

// rowOf returns the row of a job that is asked for at now, in Unix ms.
func rowOf(r Request, now int64) (newJob, error) {
	op := r.Operation
	if op.Function == "" {
		return newJob{}, errors.New("no function runs this operation")
	}
	locks, err := op.Locks(r.Subject, r.Reads...)
	if err != nil {
		return newJob{}, err
	}
	argument := []byte("{}")
	if r.Argument != nil {
		if argument, err = json.Marshal(r.Argument); err != nil {
			return newJob{}, fmt.Errorf("argument: %w", err)
		}
	}
	n := newJob{Operation: op.Name, SubjectKind: r.Subject.Kind, Argument: string(argument), Locks: locks}
	n.key = key(op.Name, r.Subject, n.Argument)
	if r.UserID != 0 {
		n.UserID = &r.UserID
	}
	if r.Subject.ID != 0 {
		n.SubjectID = &r.Subject.ID
	}
	switch op.Coalesce {
	case job.WhileQueued:
		n.QueuedKey = &n.key
	case job.WhileLive:
		n.LiveKey = &n.key
	}
	if op.StarvesAfter > 0 {
		at := now + op.StarvesAfter.Milliseconds()
		n.StarvingAt = &at
	}
	return n, nil
}

// key is what coalescing compares. 00003_subjects.sql has the same form.
func key(operation string, subject job.Subject, argument string) string {
	return operation + " " + subject.String() + " " + argument
}

const (
	olderSQL = `
SELECT r.key, j.id, j.state FROM json_each(:requests) r CROSS JOIN jobs j
WHERE j.queued_key = r.value ->> 'queued_key' AND j.state = 'queued'
UNION ALL
SELECT r.key, j.id, j.state FROM json_each(:requests) r CROSS JOIN jobs j
WHERE j.live_key = r.value ->> 'live_key' AND j.finished_at IS NULL`

	insertSQL = `
INSERT INTO jobs (operation, state, user_id, subject_kind, subject_id, argument, queued_key, live_key, locks, starving_at, created_at)
SELECT value ->> 'operation', 'queued', value ->> 'user_id', value ->> 'subject_kind', value ->> 'subject_id', value ->> 'argument',
	value ->> 'queued_key', value ->> 'live_key', value -> 'locks', value ->> 'starving_at', :now
FROM json_each(:requests) WHERE true ORDER BY key
ON CONFLICT DO NOTHING
RETURNING id, operation, subject_kind, COALESCE(subject_id, 0), argument`
)

// findOlder sets the elements of all for which there is a job that does what is asked.
func (s *Store) findOlder(ctx context.Context, q db.Querier, rows []newJob, all []Enqueued) error {
	coalesces := func(n newJob) bool { return n.QueuedKey != nil || n.LiveKey != nil }
	if !slices.ContainsFunc(rows, coalesces) {
		return nil
	}
	requests, err := json.Marshal(rows)
	if err != nil {
		return err
	}
	_, err = db.Rows(ctx, q, func(row db.Scanner) (none struct{}, err error) {
		var i int
		var e Enqueued
		if err := row.Scan(&i, &e.ID, &e.State); err != nil {
			return none, err
		}
		if all[i].ID == 0 {
			all[i] = e
		}
		return none, nil
	}, olderSQL, sql.Named("requests", string(requests)))
	return err
}

// insert adds the jobs of the elements of all that are not set, and sets them. A job that a unique index forbids, because
// another process has added the same one meanwhile, is left out.
func (s *Store) insert(ctx context.Context, q db.Querier, now int64, rows []newJob, all []Enqueued) error {
	var missing []newJob
	for i, n := range rows {
		if all[i].ID == 0 {
			missing = append(missing, n)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	requests, err := json.Marshal(missing)
	if err != nil {
		return err
	}
	s.enqueued.Store(true)
	ids := map[string][]int64{} // by key, ascending
	_, err = db.Rows(ctx, q, func(row db.Scanner) (none struct{}, err error) {
		var id int64
		var operation, argument string
		var subject job.Subject
		if err := row.Scan(&id, &operation, &subject.Kind, &subject.ID, &argument); err != nil {
			return none, err
		}
		k := key(operation, subject, argument)
		ids[k] = append(ids[k], id)
		return none, nil
	}, insertSQL, sql.Named("requests", string(requests)), sql.Named("now", now))
	if err != nil {
		return err
	}
	for i, n := range rows {
		if found := ids[n.key]; all[i].ID == 0 && len(found) > 0 {
			all[i], ids[n.key] = Enqueued{ID: found[0], State: job.Queued, New: true}, found[1:]
		}
	}
	return nil
}
