package jobstore

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"left4me/shared/db"
	"left4me/shared/job"
	"left4me/shared/list"
)

// Job is one row of jobs, with the names that pages show beside it. Times of what has not happened are zero.
type Job struct {
	ID        int64
	Operation string
	State     job.State
	// UserID is who asked, 0 for nobody; UserName is that person's name.
	UserID   int64
	UserName string
	// Subject is what the job is about. SubjectName is empty and SubjectOwnerID 0 when there is none, or it has been deleted.
	// SubjectOwnerID is also 0 for one that belongs to nobody.
	Subject        job.Subject
	SubjectName    string
	SubjectOwnerID int64
	// HostID is the host whose disk the job needs; empty if it needs none, or waits for the first host. HostName is its name; empty if
	// the host was removed.
	HostID, HostName string
	// SeveralHosts is whether there are several hosts. Pages do not name the host of a job if there is only one (P46).
	SeveralHosts bool
	// Argument is the request's, as JSON.
	Argument string `api:"-"`
	// Attempt counts the claims, Lost the workers that were lost.
	Attempt, Lost int
	// Worker is the name of the newest owner.
	Worker     string
	LeaseUntil time.Time `api:"-"`
	Error      string
	Progress   Progress
	CreatedAt  time.Time
	StartedAt  time.Time
	FinishedAt time.Time
	// HostSeenAt is when the agent of the job's host, or of any host for a job without one, last reported; zero: none has.
	HostSeenAt time.Time
}

// handedBack reports whether the job was handed back by its owner, and no other has claimed it since.
func (j Job) handedBack() bool { return j.State == job.Running && j.LeaseUntil.Equal(db.Time(0)) }

// Title says what the job does. An operation that this left4me does not know keeps its name.
func (j Job) Title() string {
	if command := ""; j.Operation == job.ServerCommand.Name && json.Unmarshal([]byte(j.Argument), &command) == nil {
		return title(j.Operation) + ": " + command
	}
	return title(j.Operation)
}

func title(operation string) string {
	if o, err := job.ByName(operation); err == nil {
		return o.Title
	}
	return operation
}

// Concerns reports whether the person has asked for the job or owns its subject (P38). Of lists the same jobs.
func (j Job) Concerns(userID int64) bool {
	return userID != 0 && (j.UserID == userID || j.SubjectOwnerID == userID)
}

// Scope says whose jobs a list has. The zero Scope has none.
type Scope struct {
	everyone bool
	userID   int64
}

// Everyone is the scope of administrators.
var Everyone = Scope{everyone: true}

// Of is the scope of one person: the jobs that they have asked for and those about what they own (P38).
func Of(userID int64) Scope { return Scope{userID: userID} }

// PageSize is the number of jobs on one page of a list.
const PageSize = 50

const (
	jobColumns = `
	j.id, j.operation, j.state, COALESCE(j.user_id, 0), COALESCE(u.name, ''),
	j.subject_kind, COALESCE(j.subject_id, 0),
	COALESCE((SELECT s.name FROM job_subjects s WHERE s.kind = j.subject_kind AND s.id = j.subject_id), ''),
	COALESCE((SELECT s.user_id FROM job_subjects s WHERE s.kind = j.subject_kind AND s.id = j.subject_id), 0),
	COALESCE(j.host_id, ''), COALESCE((SELECT h.name FROM hosts h WHERE h.id = j.host_id), ''),
	(SELECT COUNT(*) > 1 FROM hosts h),
	j.argument, j.attempt, j.lost, j.worker, j.lease_until, j.error,
	j.items_done, j.items_total, j.bytes_done, j.bytes_total, j.current, j.created_at, j.started_at, j.finished_at,
	(SELECT MAX(h.seen_at) FROM hosts h WHERE j.host_id IS NULL OR h.id = j.host_id)`

	fromJobs = `jobs j LEFT JOIN users u ON u.id = j.user_id`

	selectJob = `SELECT ` + jobColumns + ` FROM ` + fromJobs

	getSQL = selectJob + ` WHERE j.id = :id`

	// Each half reads only as much of its index as the page and those before it have.
	ofUserSQL = `j.id IN (
	SELECT id FROM (SELECT id FROM jobs WHERE user_id = :user ORDER BY id DESC LIMIT :offset + :limit)
	UNION
	SELECT id FROM (
		SELECT m.id FROM job_subjects mine CROSS JOIN jobs m
		WHERE mine.user_id = :user AND m.subject_kind = mine.kind AND m.subject_id = mine.id
		ORDER BY m.id DESC LIMIT :offset + :limit))`

	// The plus makes the database use the index of live jobs: a subject's ended jobs are many, and sorting its live ones is cheap.
	liveOfSQL = selectJob + ` WHERE j.finished_at IS NULL AND j.subject_kind = :kind AND j.subject_id IS :subject ORDER BY +j.id DESC`

	// At work comes first, then what waits in its order (P32).
	listLiveSQL = selectJob + ` WHERE j.finished_at IS NULL ORDER BY j.lease_until IS NULL, j.created_at, j.id LIMIT :limit`

	lastSQL = selectJob + ` WHERE j.operation = :operation ORDER BY j.id DESC LIMIT 1`

	lastInSQL = selectJob + ` WHERE j.operation = :operation AND j.state = :state ORDER BY j.id DESC LIMIT 1`

	logsSQL = `SELECT seq, stream, logged_at, line FROM job_logs WHERE job_id = :id AND seq > :after ORDER BY seq LIMIT :limit`

	logsBeforeSQL = `
SELECT seq, stream, logged_at, line FROM (
	SELECT seq, stream, logged_at, line FROM job_logs WHERE job_id = :id AND seq < :before ORDER BY seq DESC LIMIT :limit)
ORDER BY seq`

	endedLogsSQL = `
SELECT seq, stream, logged_at, line FROM (
	SELECT l.seq, l.stream, l.logged_at, l.line FROM jobs j CROSS JOIN job_logs l ON l.job_id = j.id
	WHERE j.id = :id AND j.finished_at IS NOT NULL AND l.seq < :before ORDER BY l.seq DESC LIMIT :limit)
ORDER BY seq`

	lastLineSQL = `
SELECT seq, stream, logged_at, line FROM job_logs
WHERE job_id = (SELECT MAX(id) FROM jobs WHERE operation = :operation) ORDER BY seq DESC LIMIT 1`

	// The plus keeps the database from reading all jobs in the order of their operation.
	countLiveSQL = `
SELECT operation, state, COUNT(*), MIN(created_at) FROM jobs WHERE finished_at IS NULL GROUP BY +operation, state ORDER BY +operation, state`
)

func scanJob(row db.Scanner) (Job, error) {
	var j Job
	err := row.Scan(&j.ID, &j.Operation, &j.State, &j.UserID, &j.UserName,
		&j.Subject.Kind, &j.Subject.ID, &j.SubjectName, &j.SubjectOwnerID, &j.HostID, &j.HostName, &j.SeveralHosts, &j.Argument,
		&j.Attempt, &j.Lost, &j.Worker, db.Moment(&j.LeaseUntil), &j.Error,
		&j.Progress.ItemsDone, &j.Progress.ItemsTotal, &j.Progress.BytesDone, &j.Progress.BytesTotal, &j.Progress.Current,
		db.Moment(&j.CreatedAt), db.Moment(&j.StartedAt), db.Moment(&j.FinishedAt),
		db.Moment(&j.HostSeenAt))
	return j, err
}

// Get returns one job, or ErrNotFound.
func (s *Store) Get(ctx context.Context, id int64) (Job, error) {
	j, err := s.job(ctx, getSQL, sql.Named("id", id))
	if err != nil && !errors.Is(err, ErrNotFound) {
		return Job{}, jobError("read", id, err)
	}
	return j, err
}

// Seen returns the job with an id that somebody has sent, if it is about subject; the zero Job if it is not, or if there is none.
func (s *Store) Seen(ctx context.Context, id int64, subject job.Subject) (Job, error) {
	if id == 0 {
		return Job{}, nil
	}
	j, err := s.Get(ctx, id)
	if errors.Is(err, ErrNotFound) || err == nil && j.Subject != subject {
		return Job{}, nil
	}
	return j, err
}

// Last returns the newest job of operation, in whichever state, or ErrNotFound.
func (s *Store) Last(ctx context.Context, operation job.Operation) (Job, error) {
	return s.job(ctx, lastSQL, sql.Named("operation", operation.Name))
}

// LastIn returns the newest job of operation that is in state, or ErrNotFound. It reads all newer ones.
func (s *Store) LastIn(ctx context.Context, operation job.Operation, state job.State) (Job, error) {
	return s.job(ctx, lastInSQL, sql.Named("operation", operation.Name), sql.Named("state", state))
}

func (s *Store) job(ctx context.Context, query string, args ...any) (Job, error) {
	j, err := db.Row(ctx, s.db, scanJob, query, args...)
	if errors.Is(err, sql.ErrNoRows) {
		return Job{}, ErrNotFound
	}
	return j, err
}

// listing is a list of jobs, newest first, limited by where.
func listing(where string, states ...string) list.Source[Job] {
	return list.Source[Job]{
		Columns: jobColumns, From: fromJobs, Where: where, Key: `j.id`, Order: map[string]string{"": `j.id DESC`}, States: states,
		Size: PageSize, Scan: scanJob, // not Counted, because there may be millions
	}
}

// The lists of jobs. Ended is of those that have ended, in a state or in any.
var (
	Listing = listing(``)
	ofUser  = listing(ofUserSQL)
	Ended   = listing(`j.finished_at IS NOT NULL`, string(job.Succeeded), string(job.Failed), string(job.Cancelled))
	endedIn = listing(`j.finished_at IS NOT NULL AND j.state = :state`)
)

// List returns a page of the jobs of the scope, newest first. q is Listing's.
func (s *Store) List(ctx context.Context, scope Scope, q list.Query) (list.Page[Job], error) {
	from, args := scope.listing()
	return s.page(ctx, from, q, args...)
}

func (s Scope) listing() (from list.Source[Job], args []any) {
	if s.everyone {
		return Listing, nil
	}
	return ofUser, []any{sql.Named("user", s.userID)}
}

// ListLive returns at most limit jobs that have not ended: first those with an owner, then those that wait, oldest first.
func (s *Store) ListLive(ctx context.Context, limit int) ([]Job, error) {
	return s.jobs(ctx, listLiveSQL, sql.Named("limit", max(limit, 0)))
}

// ListEnded returns a page of the jobs of everyone that have ended, newest first. q is Ended's.
func (s *Store) ListEnded(ctx context.Context, q list.Query) (list.Page[Job], error) {
	if q.State == "" {
		return s.page(ctx, Ended, q)
	}
	return s.page(ctx, endedIn, q, q.StateArg())
}

func (s *Store) page(ctx context.Context, from list.Source[Job], q list.Query, args ...any) (list.Page[Job], error) {
	page, err := from.Read(ctx, s.db, q, args...)
	if err != nil {
		return page, fmt.Errorf("list jobs: %w", err)
	}
	return page, nil
}

// LiveOf returns the jobs about subject that have not ended, newest first.
func (s *Store) LiveOf(ctx context.Context, subject job.Subject) ([]Job, error) {
	return s.jobs(ctx, liveOfSQL, subjectArgs(subject)...)
}

// subjectArgs are the arguments :kind and :subject.
func subjectArgs(s job.Subject) []any {
	return []any{sql.Named("kind", s.Kind), sql.Named("subject", sql.NullInt64{Int64: s.ID, Valid: s.ID != 0})}
}

func (s *Store) jobs(ctx context.Context, query string, args ...any) ([]Job, error) {
	all, err := db.Rows(ctx, s.db, scanJob, query, args...)
	if err != nil {
		return nil, fmt.Errorf("list jobs: %w", err)
	}
	return all, nil
}

// Logs returns at most limit lines of the job's log with numbers above after, in order.
func (s *Store) Logs(ctx context.Context, id, after int64, limit int) ([]Line, error) {
	return s.logs(ctx, id, logsSQL, sql.Named("after", after), limit)
}

// LogsBefore returns the last limit lines of the job's log with numbers below before, in order.
func (s *Store) LogsBefore(ctx context.Context, id, before int64, limit int) ([]Line, error) {
	return s.logs(ctx, id, logsBeforeSQL, sql.Named("before", before), limit)
}

// LastLine returns the last line of the log of the newest job of operation, if it has one.
func (s *Store) LastLine(ctx context.Context, operation job.Operation) ([]Line, error) {
	lines, err := db.Rows(ctx, s.db, scanLine, lastLineSQL, sql.Named("operation", operation.Name))
	if err != nil {
		return nil, fmt.Errorf("read the last line of %s: %w", operation.Name, err)
	}
	return lines, nil
}

// newest is a sequence number above all lines'.
const newest = 1<<63 - 1

// EndedLogs is LogsBefore of a job that has ended; of another one it returns nothing.
func (s *Store) EndedLogs(ctx context.Context, id int64, limit int) ([]Line, error) {
	return s.logs(ctx, id, endedLogsSQL, sql.Named("before", newest), limit)
}

func scanLine(row db.Scanner) (l Line, err error) {
	err = row.Scan(&l.Seq, &l.Stream, db.Moment(&l.At), &l.Text)
	return l, err
}

func (s *Store) logs(ctx context.Context, id int64, query string, bound sql.NamedArg, limit int) ([]Line, error) {
	lines, err := db.Rows(ctx, s.db, scanLine, query, sql.Named("id", id), bound, sql.Named("limit", max(limit, 0)))
	if err != nil {
		return nil, jobError("read the log of", id, err)
	}
	return lines, nil
}

// Count is how many jobs of an operation are in a state.
type Count struct {
	Operation string
	State     job.State
	Jobs      int64
	// Oldest is when the oldest of them was asked for.
	Oldest time.Time
}

// Title says what the jobs do, as Job.Title.
func (c Count) Title() string { return title(c.Operation) }

// CountLive counts the jobs that have not ended, by operation and state. There may be millions that have ended.
func (s *Store) CountLive(ctx context.Context) ([]Count, error) {
	counts, err := db.Rows(ctx, s.db, func(row db.Scanner) (c Count, err error) {
		err = row.Scan(&c.Operation, &c.State, &c.Jobs, db.Moment(&c.Oldest))
		return c, err
	}, countLiveSQL)
	if err != nil {
		return nil, fmt.Errorf("count jobs: %w", err)
	}
	return counts, nil
}
