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

// Job is one row of jobs, with the names that a page shows beside it. Moments that have not come are zero times.
type Job struct {
	ID        int64
	Operation string
	State     job.State
	// UserID is who asked, 0 when no person did; UserName is that person's name.
	UserID   int64
	UserName string
	// OverlayID is 0 for an operation about no overlay. OverlayName and OverlayUserID (0: system-wide) are empty when the
	// overlay is deleted: then it is nobody's.
	OverlayID     int64
	OverlayName   string
	OverlayUserID int64
	// Attempt counts the claims, Lost those of them whose worker was lost.
	Attempt, Lost int
	// Worker is the name of the newest owner.
	Worker     string
	LeaseUntil time.Time
	Error      string
	Progress   Progress
	CreatedAt  time.Time
	StartedAt  time.Time
	FinishedAt time.Time
}

// Concerns reports whether the job is one that the person asked for or of an overlay that they own (P38). It is Of's rule for
// one job.
func (j Job) Concerns(userID int64) bool {
	return userID != 0 && (j.UserID == userID || j.OverlayUserID == userID)
}

// Scope says whose jobs a list has. The zero Scope has none.
type Scope struct {
	everyone bool
	userID   int64
}

// Everyone is the scope of administrators.
var Everyone = Scope{everyone: true}

// Of is the scope of one person: the jobs that they asked for and those of overlays that they own (P38).
func Of(userID int64) Scope { return Scope{userID: userID} }

const (
	selectJob = `
SELECT j.id, j.operation, j.state, COALESCE(j.user_id, 0), COALESCE(u.name, ''),
	COALESCE(j.overlay_id, 0), COALESCE(o.name, ''), COALESCE(o.user_id, 0), j.attempt, j.lost, j.worker, j.lease_until, j.error,
	j.items_done, j.items_total, j.bytes_done, j.bytes_total, j.current, j.created_at, j.started_at, j.finished_at
FROM jobs j
LEFT JOIN users u ON u.id = j.user_id
LEFT JOIN overlays o ON o.id = j.overlay_id AND o.deleted_at IS NULL`

	getSQL = selectJob + ` WHERE j.id = :id`

	listAllSQL = selectJob + ` WHERE j.id < :before ORDER BY j.id DESC LIMIT :limit`

	// Each half reads only as much of its index as it gives.
	listOfSQL = selectJob + `
WHERE j.id IN (
	SELECT id FROM (SELECT id FROM jobs WHERE user_id = :user AND id < :before ORDER BY id DESC LIMIT :limit)
	UNION
	SELECT id FROM (
		SELECT m.id FROM overlays mine CROSS JOIN jobs m
		WHERE mine.user_id = :user AND mine.deleted_at IS NULL AND m.overlay_id = mine.id AND m.id < :before
		ORDER BY m.id DESC LIMIT :limit))
ORDER BY j.id DESC LIMIT :limit`

	// The plus keeps the database to the index of live jobs: sorting them is nothing, an overlay's ended ones are many.
	liveOfOverlaySQL = selectJob + ` WHERE j.finished_at IS NULL AND j.overlay_id = :overlay ORDER BY +j.id DESC`

	logsSQL = `SELECT seq, stream, logged_at, line FROM job_logs WHERE job_id = :id AND seq > :after ORDER BY seq LIMIT :limit`

	logsBeforeSQL = `
SELECT seq, stream, logged_at, line FROM (
	SELECT seq, stream, logged_at, line FROM job_logs WHERE job_id = :id AND seq < :before ORDER BY seq DESC LIMIT :limit)
ORDER BY seq`

	liveSQL = `SELECT operation, state, COUNT(*), MIN(created_at) FROM jobs WHERE finished_at IS NULL GROUP BY operation, state ORDER BY operation, state`
)

type scanner interface{ Scan(dest ...any) error }

func scanJob(r scanner) (Job, error) {
	var j Job
	var lease, started, finished sql.NullInt64
	var created int64
	err := r.Scan(&j.ID, &j.Operation, &j.State, &j.UserID, &j.UserName,
		&j.OverlayID, &j.OverlayName, &j.OverlayUserID, &j.Attempt, &j.Lost, &j.Worker, &lease, &j.Error,
		&j.Progress.ItemsDone, &j.Progress.ItemsTotal, &j.Progress.BytesDone, &j.Progress.BytesTotal, &j.Progress.Current,
		&created, &started, &finished)
	j.LeaseUntil, j.CreatedAt, j.StartedAt, j.FinishedAt = db.NullTime(lease), db.Time(created), db.NullTime(started), db.NullTime(finished)
	return j, err
}

// Get returns one job, or ErrNotFound.
func (s *Store) Get(ctx context.Context, id int64) (Job, error) {
	j, err := scanJob(s.DB.QueryRowContext(ctx, getSQL, sql.Named("id", id)))
	if errors.Is(err, sql.ErrNoRows) {
		return Job{}, ErrNotFound
	}
	if err != nil {
		return Job{}, jobError("read", id, err)
	}
	return j, nil
}

// List returns at most limit jobs of the scope, newest first: those with ids below before, or from the newest on when before
// is 0.
func (s *Store) List(ctx context.Context, scope Scope, before int64, limit int) ([]Job, error) {
	if before <= 0 {
		before = 1<<63 - 1
	}
	args := []any{sql.Named("before", before), sql.Named("limit", max(limit, 0))}
	if scope.everyone {
		return s.jobs(ctx, listAllSQL, args...)
	}
	return s.jobs(ctx, listOfSQL, append(args, sql.Named("user", scope.userID))...)
}

// LiveOfOverlay returns the overlay's jobs that have not ended, newest first.
func (s *Store) LiveOfOverlay(ctx context.Context, overlayID int64) ([]Job, error) {
	return s.jobs(ctx, liveOfOverlaySQL, sql.Named("overlay", overlayID))
}

func (s *Store) jobs(ctx context.Context, query string, args ...any) ([]Job, error) {
	rows, err := s.DB.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("list jobs: %w", err)
	}
	defer rows.Close()
	var all []Job
	for rows.Next() {
		j, err := scanJob(rows)
		if err != nil {
			return nil, fmt.Errorf("list jobs: %w", err)
		}
		all = append(all, j)
	}
	if err := rows.Err(); err != nil {
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

func (s *Store) logs(ctx context.Context, id int64, query string, bound sql.NamedArg, limit int) ([]Line, error) {
	rows, err := s.DB.QueryContext(ctx, query, sql.Named("id", id), bound, sql.Named("limit", max(limit, 0)))
	if err != nil {
		return nil, jobError("read the log of", id, err)
	}
	defer rows.Close()
	var lines []Line
	for rows.Next() {
		var l Line
		var at int64
		if err := rows.Scan(&l.Seq, &l.Stream, &at, &l.Text); err != nil {
			return nil, jobError("read the log of", id, err)
		}
		l.At = db.Time(at)
		lines = append(lines, l)
	}
	if err := rows.Err(); err != nil {
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

// Live counts the jobs that have not ended, by operation and state. Ended ones are not counted: there may be millions.
func (s *Store) Live(ctx context.Context) ([]Count, error) {
	rows, err := s.DB.QueryContext(ctx, liveSQL)
	if err != nil {
		return nil, fmt.Errorf("count jobs: %w", err)
	}
	defer rows.Close()
	var counts []Count
	for rows.Next() {
		var c Count
		var oldest int64
		if err := rows.Scan(&c.Operation, &c.State, &c.Jobs, &oldest); err != nil {
			return nil, fmt.Errorf("count jobs: %w", err)
		}
		c.Oldest = db.Time(oldest)
		counts = append(counts, c)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("count jobs: %w", err)
	}
	return counts, nil
}
