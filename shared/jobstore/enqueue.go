package jobstore

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

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
	// Host is the id of the host whose disk the job needs; empty for one job on each host. It is not used by operations that run
	// anywhere.
	Host string
	// Argument is anything else that the function needs to know, as a small JSON object; nil for nothing.
	Argument any
	// UserID is who asked; 0 for nobody.
	UserID int64
}

// Enqueued says which job does what a request asked for. If the request asked for a job on each of several hosts, it is one of these
// jobs, a new one if any is new.
type Enqueued struct {
	ID int64
	// State is queued for a new job, and the state of the older job otherwise.
	State job.State
	// New is false when an older job already does what was asked.
	New bool
	// Several is whether the request asked for a job on each of several hosts.
	Several bool
}

// Sentence says what a request for o led to, in the words of product.md P30: `enqueued refresh_workshop_items job 8`, or
// `refresh_workshop_items job 7 already queued`, in whichever state the older job is.
func (e Enqueued) Sentence(o job.Operation) string {
	if e.New {
		return fmt.Sprintf("enqueued %s job %d", o.Name, e.ID)
	}
	return fmt.Sprintf("%s job %d already queued", o.Name, e.ID)
}

// Enqueue adds a job, or finds the older one that already does what is asked (Operation.Coalesce). q is the database, or the
// transaction of what the job is about: then the result is only set when that is committed. It refuses an operation without a
// function, and a subject of the wrong kind.
func (s *Store) Enqueue(ctx context.Context, q db.Querier, r Request) (*Enqueued, error) {
	all, err := s.EnqueueAll(ctx, q, []Request{r})
	if err != nil {
		return nil, err
	}
	return &all[0], nil
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
	if len(rows) == 0 {
		return all, nil
	}
	insert := func(ctx context.Context, q db.Querier) error { return s.insert(ctx, q, now, rows, all) }
	var err error
	if d, ok := q.(*db.DB); ok {
		err = d.InTx(ctx, insert)
	} else {
		err = insert(ctx, q)
	}
	if err != nil {
		return nil, fmt.Errorf("enqueue %d jobs: %w", len(rows), err)
	}
	return all, nil
}

// newJob is a row to insert, as insertSQL reads it.
type newJob struct {
	Operation   string     `json:"operation"`
	UserID      *int64     `json:"user_id"`
	SubjectKind job.Kind   `json:"subject_kind"`
	SubjectID   *int64     `json:"subject_id"`
	Argument    string     `json:"argument"`
	Disk        bool       `json:"disk"` // whether the job needs the disk of a host
	Host        *string    `json:"host"` // the id of that host; nil: a job is added for each host
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
	locks, err := op.Locks("", r.Subject, r.Reads...)
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
	n.Disk = op.Place == job.Disk
	if n.Disk && r.Host != "" {
		n.Host = &r.Host
	}
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
	// The table wanted has one row for each job to add: of a request without a disk one, with no host_id; of one that names a host one, if
	// there is such a host; of any other one for each host. If there is no host yet, that is one row without host_id: TakeWaiting
	// gives the job to the first host.
	wantedSQL = `
WITH wanted (key, value, host_id) AS MATERIALIZED (
	SELECT r.key, r.value, h.id FROM json_each(:requests) r
	LEFT JOIN hosts h ON r.value ->> 'disk' AND (r.value ->> 'host' IS NULL OR h.id = r.value ->> 'host')
	WHERE h.id IS NOT NULL OR r.value ->> 'host' IS NULL)`

	olderOf = `
SELECT r.key, r.host_id, j.id, j.state FROM wanted r CROSS JOIN jobs j
WHERE j.queued_key = r.value ->> 'queued_key' AND COALESCE(j.host_id, '') = COALESCE(r.host_id, '') AND j.state = 'queued'
UNION ALL
SELECT r.key, r.host_id, j.id, j.state FROM wanted r CROSS JOIN jobs j
WHERE j.live_key = r.value ->> 'live_key' AND COALESCE(j.host_id, '') = COALESCE(r.host_id, '') AND j.finished_at IS NULL`

	olderSQL = wantedSQL + ` SELECT key, id, state FROM (` + olderOf + `)`

	// An insertion that conflicts would use up an id, so what has an older job is not inserted.
	insertSQL = `
INSERT INTO jobs (operation, state, user_id, subject_kind, subject_id, host_id, argument, queued_key, live_key, locks, starving_at, created_at)
` + wantedSQL + `
SELECT value ->> 'operation', 'queued', value ->> 'user_id', value ->> 'subject_kind', value ->> 'subject_id', host_id, value ->> 'argument',
	value ->> 'queued_key', value ->> 'live_key', value -> 'locks', value ->> 'starving_at', :now
FROM wanted WHERE (key, COALESCE(host_id, '')) NOT IN (SELECT key, COALESCE(host_id, '') FROM (` + olderOf + `)) ORDER BY key, host_id
ON CONFLICT DO NOTHING
RETURNING id, operation, subject_kind, COALESCE(subject_id, 0), argument`
)

// insert adds, in the transaction q, the jobs of rows for which there is no older one, and sets all.
func (s *Store) insert(ctx context.Context, q db.Querier, now int64, rows []newJob, all []Enqueued) error {
	list, err := json.Marshal(rows)
	if err != nil {
		return err
	}
	clear(all)
	s.enqueued.Store(true)
	requests := sql.Named("requests", string(list))
	type inserted struct {
		id  int64
		key string
	}
	err = db.RowsLater(ctx, q, func(added []inserted) {
		ids := map[string][]int64{} // by key, ascending
		for _, a := range added {
			ids[a.key] = append(ids[a.key], a.id)
		}
		for i, n := range rows {
			if found := ids[n.key]; len(found) > 0 {
				all[i], ids[n.key] = Enqueued{ID: found[0], State: job.Queued, New: true, Several: len(found) > 1}, found[1:]
			}
		}
	}, func(row db.Scanner) (a inserted, err error) {
		var operation, argument string
		var subject job.Subject
		err = row.Scan(&a.id, &operation, &subject.Kind, &subject.ID, &argument)
		a.key = key(operation, subject, argument)
		return a, err
	}, insertSQL, requests, sql.Named("now", now))
	if err != nil {
		return err
	}
	type older struct {
		index int
		job   Enqueued
	}
	return db.RowsLater(ctx, q, func(found []older) {
		for _, o := range found { // also the new ones, if the operation coalesces
			e := &all[o.index]
			switch e.ID {
			case 0:
				*e = o.job
			case o.job.ID:
			default:
				e.Several = true
			}
		}
	}, func(row db.Scanner) (o older, err error) {
		err = row.Scan(&o.index, &o.job.ID, &o.job.State)
		return o, err
	}, olderSQL, requests)
}
