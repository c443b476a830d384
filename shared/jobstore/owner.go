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
)

// Line is one line of a job's log.
type Line struct {
	// Seq orders the lines of a job and makes writing one twice harmless. Its owner counts on from Claim.LastSeq.
	Seq    int64
	Stream job.Stream
	At     time.Time
	Text   string
}

// Progress is how far a run has come. Totals are 0 while they are not known.
type Progress struct {
	ItemsDone, ItemsTotal int64
	BytesDone, BytesTotal int64
	// Current is what is being worked on now, for people.
	Current string
}

// Ending is how a run ends.
type Ending struct {
	// State is Succeeded, Failed or Cancelled.
	State job.State
	// Error is a sentence for people, empty for a success.
	Error string
	// Lines are the log's last ones.
	Lines []Line
	// Progress is the last one; nil leaves what is there.
	Progress *Progress
	// InTx, if there is one, writes in the same transaction what is true only if the job ends so. It may run more than once,
	// but not again once it is committed.
	InTx func(ctx context.Context, q db.Querier) error
}

// owner is the condition of every write by a job's owner: fenced, and within the lease.
const owner = `id = :id AND attempt = :attempt AND state IN ('running', 'cancelling') AND lease_until > :now`

const (
	resumeSQL = `
UPDATE jobs SET lease_until = :now + :lease
WHERE ` + owner + ` AND operation = :operation
RETURNING COALESCE(overlay_id, 0), COALESCE(user_id, 0), lost, lease_until,
	(SELECT COALESCE(MAX(seq), 0) FROM job_logs WHERE job_id = jobs.id)`

	renewSQL = `UPDATE jobs SET lease_until = :now + :lease WHERE ` + owner + ` RETURNING state = 'cancelling'`

	progressSQL = `
UPDATE jobs SET lease_until = :now + :lease, items_done = :items_done, items_total = :items_total,
	bytes_done = :bytes_done, bytes_total = :bytes_total, current = :current
WHERE ` + owner + ` RETURNING state = 'cancelling'`

	cancellingSQL = `SELECT state = 'cancelling' FROM jobs WHERE ` + owner

	logSQL = `
INSERT INTO job_logs (job_id, seq, stream, logged_at, line)
SELECT :id, value ->> 'seq', value ->> 'stream', value ->> 'at', value ->> 'line' FROM json_each(:lines)
WHERE EXISTS (SELECT 1 FROM jobs WHERE ` + owner + `)
ON CONFLICT (job_id, seq) DO NOTHING`

	finishSQL = `
UPDATE jobs SET state = :state, error = :error, finished_at = :now, lease_until = NULL, current = ''
WHERE ` + owner

	// A sweep counts the owner as lost, so a job that was ended with the owner's own count was ended by its owner.
	finishedSQL = `SELECT 1 FROM jobs WHERE id = :id AND attempt = :attempt AND lost = :lost AND state = :state`

	handBackSet = `
UPDATE jobs SET
	state = CASE state WHEN 'cancelling' THEN 'cancelled' ELSE state END,
	finished_at = CASE state WHEN 'cancelling' THEN :now END,
	lease_until = CASE state WHEN 'cancelling' THEN NULL ELSE 0 END,
	current = ''`

	handBackSQL = handBackSet + ` WHERE ` + owner

	handBackAllSQL = handBackSet + ` WHERE lease_until IS NOT NULL RETURNING id`

	workerLostSQL = `UPDATE jobs SET lease_until = :now WHERE ` + owner

	appendSQL = `
INSERT INTO job_logs (job_id, seq, stream, logged_at, line)
SELECT :id, COALESCE(MAX(seq), 0) + 1, 'stderr', :now, :line FROM job_logs WHERE job_id = :id`
)

func (s *Store) ownerArgs(c Claim, more ...any) []any {
	return append([]any{
		sql.Named("id", c.JobID), sql.Named("attempt", c.Attempt), sql.Named("now", s.now()),
	}, more...)
}

func leaseArg(o job.Operation) any { return sql.Named("lease", o.Lease.Milliseconds()) }

// Resume makes the calling process the owner of a claim that an agent made for it, and renews its lease. The error is ErrLost
// when that claim no longer stands or is not for this operation.
func (s *Store) Resume(ctx context.Context, id int64, attempt int, operation job.Operation) (Claim, error) {
	c := Claim{JobID: id, Attempt: attempt, Operation: operation}
	found, err := row(ctx, s.DB, resumeSQL, s.ownerArgs(c, leaseArg(operation), sql.Named("operation", operation.Name)),
		&c.OverlayID, &c.UserID, &c.Lost, &c.LeaseUntil, &c.LastSeq)
	if err == nil && !found {
		err = ErrLost
	}
	if err != nil {
		return Claim{}, jobError("resume", id, err)
	}
	return c, nil
}

// Renew begins the lease anew and reports whether somebody asks the job to stop. The error is ErrLost when it is not c's any
// more.
func (s *Store) Renew(ctx context.Context, c Claim) (cancelling bool, err error) {
	return s.ask(ctx, "renew", renewSQL, c, leaseArg(c.Operation))
}

// Progress stores p; apart from that it is Renew.
func (s *Store) Progress(ctx context.Context, c Claim, p Progress) (cancelling bool, err error) {
	return s.ask(ctx, "report progress of", progressSQL, c, append(progressArgs(p), leaseArg(c.Operation))...)
}

// Cancelling reports, without writing, whether somebody asks the job to stop. The error is ErrLost when it is not c's any
// more.
func (s *Store) Cancelling(ctx context.Context, c Claim) (bool, error) {
	return s.ask(ctx, "look at", cancellingSQL, c)
}

func (s *Store) ask(ctx context.Context, what, query string, c Claim, more ...any) (cancelling bool, err error) {
	found, err := row(ctx, s.DB, query, s.ownerArgs(c, more...), &cancelling)
	if err == nil && !found {
		err = ErrLost
	}
	if err != nil {
		return false, jobError(what, c.JobID, err)
	}
	return cancelling, nil
}

func progressArgs(p Progress) []any {
	return []any{
		sql.Named("items_done", p.ItemsDone), sql.Named("items_total", p.ItemsTotal),
		sql.Named("bytes_done", p.BytesDone), sql.Named("bytes_total", p.BytesTotal),
		sql.Named("current", clean(p.Current, maxCurrent)),
	}
}

// Log adds lines to the job's log, all or none of them; those whose numbers are there already are left alone. Texts are
// cleaned and cut. The error is ErrLost when the job is not c's any more.
func (s *Store) Log(ctx context.Context, c Claim, lines []Line) error {
	if err := s.log(ctx, s.DB, c, lines); err != nil {
		return jobError("log of", c.JobID, err)
	}
	return nil
}

func (s *Store) log(ctx context.Context, q db.Querier, c Claim, lines []Line) error {
	if len(lines) == 0 {
		return nil
	}
	type entry struct {
		Seq    int64      `json:"seq"`
		Stream job.Stream `json:"stream"`
		At     int64      `json:"at"`
		Line   string     `json:"line"`
	}
	entries := make([]entry, len(lines))
	for i, l := range lines {
		entries[i] = entry{l.Seq, l.Stream, db.Millis(l.At), clean(l.Text, maxLine)}
	}
	encoded, err := json.Marshal(entries)
	if err != nil {
		return err
	}
	n, err := affected(ctx, q, logSQL, s.ownerArgs(c, sql.Named("lines", string(encoded)))...)
	if err != nil || n == int64(len(lines)) {
		return err
	}
	// Either all lines were there already, or we are not the owner.
	var cancelling bool
	found, err := row(ctx, q, cancellingSQL, s.ownerArgs(c), &cancelling)
	if err == nil && !found {
		err = ErrLost
	}
	return err
}

// Finish ends the job as e says, in one transaction with e's lines and writes. Repeated after it has happened, it does
// nothing and returns nil. An error of e.InTx is returned as it is and leaves the job running; ErrLost says that the job is
// not c's any more. A job that is asked to stop may still succeed or fail: what ends it is its owner's word.
func (s *Store) Finish(ctx context.Context, c Claim, e Ending) error {
	if !e.State.Ended() {
		return jobError("finish", c.JobID, fmt.Errorf("%q is not an ending", e.State))
	}
	e.Error = clean(e.Error, maxError)
	var inner error
	err := s.DB.InTx(ctx, func(ctx context.Context, q db.Querier) error {
		inner = nil
		done, err := s.finish(ctx, q, c, e)
		if err != nil || done || e.InTx == nil {
			return err
		}
		inner = e.InTx(ctx, q)
		return inner
	})
	if err != nil && inner == nil {
		return jobError("finish", c.JobID, err)
	}
	return err
}

// finish ends the job, or reports that it has been ended just so before.
func (s *Store) finish(ctx context.Context, q db.Querier, c Claim, e Ending) (done bool, err error) {
	if err := s.log(ctx, q, c, e.Lines); err != nil && !errors.Is(err, ErrLost) {
		return false, err
	}
	if e.Progress != nil {
		if _, err := affected(ctx, q, progressSQL, s.ownerArgs(c, append(progressArgs(*e.Progress), leaseArg(c.Operation))...)...); err != nil {
			return false, err
		}
	}
	n, err := affected(ctx, q, finishSQL, s.ownerArgs(c, sql.Named("state", e.State), sql.Named("error", e.Error))...)
	if err != nil || n > 0 {
		return false, err
	}
	var one int
	found, err := row(ctx, q, finishedSQL, s.ownerArgs(c, sql.Named("state", e.State), sql.Named("lost", c.Lost)), &one)
	if err == nil && !found {
		err = ErrLost
	}
	return true, err
}

// HandBack gives the job up before it is done, so that any worker takes it over at once, without counting against its
// attempts: for a process that must end while the job is fine. A job that is asked to stop ends as cancelled instead.
// ErrLost says that it is not c's any more, or that it has been handed back before.
func (s *Store) HandBack(ctx context.Context, c Claim) error {
	n, err := affected(ctx, s.DB, handBackSQL, s.ownerArgs(c)...)
	if err == nil && n == 0 {
		err = ErrLost
	}
	if err != nil {
		return jobError("hand back", c.JobID, err)
	}
	return nil
}

// HandBackAll is HandBack on q for every job that is at work, whoever owns it, with a log line that says why: for a time when it
// is known that no process is at work. It returns how many there were.
func (s *Store) HandBackAll(ctx context.Context, q db.Querier, why string) (int, error) {
	ids, err := s.handBackAll(ctx, q, why)
	if err != nil {
		return 0, fmt.Errorf("hand back all jobs: %w", err)
	}
	return len(ids), nil
}

func (s *Store) handBackAll(ctx context.Context, q db.Querier, why string) (ids []int64, err error) {
	rows, err := q.QueryContext(ctx, handBackAllSQL, sql.Named("now", s.now()))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var id int64
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	for _, id := range ids {
		if err := appendLine(ctx, q, id, s.now(), why); err != nil {
			return nil, err
		}
	}
	return ids, nil
}

// WorkerLost ends the lease of a run whose process is known to be gone, with a log line that says how it went, so that the
// job is taken over, or swept, without waiting for the lease. It counts as lost. ErrLost says that the run had ended before.
func (s *Store) WorkerLost(ctx context.Context, c Claim, how string) error {
	err := s.DB.InTx(ctx, func(ctx context.Context, q db.Querier) error {
		n, err := affected(ctx, q, workerLostSQL, s.ownerArgs(c)...)
		if err == nil && n == 0 {
			err = ErrLost
		}
		if err != nil {
			return err
		}
		return appendLine(ctx, q, c.JobID, s.now(), how)
	})
	if err != nil {
		return jobError("give up", c.JobID, err)
	}
	return nil
}

// appendLine adds a line to the log of a job that has no owner; q is the transaction that says so.
func appendLine(ctx context.Context, q db.Querier, id, now int64, text string) error {
	_, err := q.ExecContext(ctx, appendSQL, sql.Named("id", id), sql.Named("now", now), sql.Named("line", clean(text, maxLine)))
	return err
}
