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
	"left4me/shared/text"
)

// Line is one line of a job's log.
type Line struct {
	// Seq orders the lines of a job and makes it harmless to write one twice. The owner counts on from Claim.LastSeq.
	Seq    int64
	Stream job.Stream
	At     time.Time
	Text   string
}

// Progress is how far a run is. Totals are 0 while they are unknown.
type Progress struct {
	ItemsDone, ItemsTotal int64
	BytesDone, BytesTotal int64
	// Current names what the run works on now, for people.
	Current string
}

// Ending is how a run ends.
type Ending struct {
	// State is Succeeded, Failed or Cancelled.
	State job.State
	// Error is a sentence for people, empty for a success.
	Error string
	// Lines are the last lines of the log.
	Lines []Line
	// Progress is the last one; nil leaves the stored one.
	Progress *Progress
	// InTx, unless nil, writes in the same transaction what is true only if the job ends like this. It may be called again when
	// a transaction is retried, but not after a commit.
	InTx func(ctx context.Context, q db.Querier) error
}

// owner is the condition of every write by a job's owner: the fencing token is the newest, and the lease has not ended.
const owner = `id = :id AND attempt = :attempt AND state IN ('running', 'cancelling') AND lease_until > :now`

const (
	resumeSQL = `
UPDATE jobs SET lease_until = :now + :lease
WHERE ` + owner + ` AND operation = :operation
RETURNING ` + claimColumns

	renewSQL = `UPDATE jobs SET lease_until = :now + :lease WHERE ` + owner + ` RETURNING state = 'cancelling'`

	progressSQL = `
UPDATE jobs SET lease_until = :now + :lease, items_done = :items_done, items_total = :items_total,
	bytes_done = :bytes_done, bytes_total = :bytes_total, current = :current
WHERE ` + owner + ` RETURNING state = 'cancelling'`

	cancellingSQL = `SELECT state = 'cancelling' FROM jobs WHERE ` + owner

	heldSQL = `SELECT id, attempt, state = 'cancelling' FROM jobs WHERE lease_until > :now`

	logSQL = `
INSERT INTO job_logs (job_id, seq, stream, logged_at, line)
SELECT :id, value ->> 'seq', value ->> 'stream', value ->> 'at', value ->> 'line' FROM json_each(:lines)
WHERE EXISTS (SELECT 1 FROM jobs WHERE ` + owner + `)
ON CONFLICT (job_id, seq) DO NOTHING`

	finishSQL = `
UPDATE jobs SET state = :state, error = :error, finished_at = :now, lease_until = NULL, current = ''
WHERE ` + owner

	// A sweep increments lost. A job that has ended with the owner's count of lost was ended by its owner.
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

	newestLineSQL = `SELECT line FROM job_logs WHERE job_id = :id ORDER BY seq DESC LIMIT 1`

	appendSQL = `
INSERT INTO job_logs (job_id, seq, stream, logged_at, line)
SELECT :id, COALESCE(MAX(seq), 0) + 1, 'stderr', :now, :line FROM job_logs WHERE job_id = :id`
)

func (s *Store) ownerArgs(c Claim, more ...any) []any {
	return append([]any{
		sql.Named("id", c.JobID), sql.Named("attempt", c.Attempt), sql.Named("now", s.millis()),
	}, more...)
}

func leaseArg(o job.Operation) any { return sql.Named("lease", o.Lease.Milliseconds()) }

// Resume makes the calling process the owner of a claim that an agent has made for it, and renews the lease. The error is
// ErrLost when that claim has ended or is not of this operation.
func (s *Store) Resume(ctx context.Context, id int64, attempt int, operation job.Operation) (Claim, error) {
	args := s.ownerArgs(Claim{JobID: id, Attempt: attempt}, leaseArg(operation), sql.Named("operation", operation.Name))
	c, err := db.Row(ctx, s.db, scanClaim, resumeSQL, args...)
	if err != nil {
		return Claim{}, jobError("resume", id, orLost(err))
	}
	c.Operation = operation
	return c, nil
}

// Renew renews the lease and reports whether the job is being cancelled. The error is ErrLost when c does not own it any more.
func (s *Store) Renew(ctx context.Context, c Claim) (cancelling bool, err error) {
	return s.ask(ctx, "renew", renewSQL, c, leaseArg(c.Operation))
}

// Progress stores p and renews the lease: see Renew.
func (s *Store) Progress(ctx context.Context, c Claim, p Progress) (cancelling bool, err error) {
	return s.ask(ctx, "report progress of", progressSQL, c, append(progressArgs(p), leaseArg(c.Operation))...)
}

// Cancelling reports whether the job is being cancelled, without writing. The error is ErrLost when c does not own it any more.
func (s *Store) Cancelling(ctx context.Context, c Claim) (bool, error) {
	return s.ask(ctx, "look at", cancellingSQL, c)
}

// Held is a run whose lease has not ended.
type Held struct {
	JobID      int64
	Attempt    int
	Cancelling bool
}

// Held returns the runs of all agents whose leases have not ended. It is one read of an index.
func (s *Store) Held(ctx context.Context) ([]Held, error) {
	held, err := db.Rows(ctx, s.db, func(row db.Scanner) (h Held, err error) {
		err = row.Scan(&h.JobID, &h.Attempt, &h.Cancelling)
		return h, err
	}, heldSQL, sql.Named("now", s.millis()))
	if err != nil {
		return nil, fmt.Errorf("list held jobs: %w", err)
	}
	return held, nil
}

func (s *Store) ask(ctx context.Context, what, query string, c Claim, more ...any) (cancelling bool, err error) {
	cancelling, err = db.Row(ctx, s.db, db.Value[bool], query, s.ownerArgs(c, more...)...)
	if err != nil {
		return false, jobError(what, c.JobID, orLost(err))
	}
	return cancelling, nil
}

func progressArgs(p Progress) []any {
	return []any{
		sql.Named("items_done", p.ItemsDone), sql.Named("items_total", p.ItemsTotal),
		sql.Named("bytes_done", p.BytesDone), sql.Named("bytes_total", p.BytesTotal),
		sql.Named("current", text.Line(p.Current, maxCurrent)),
	}
}

// Log adds lines to the job's log, all or none of them; those whose numbers are there already are left alone. Texts are
// cleaned and cut. The error is ErrLost when the job is not c's any more.
func (s *Store) Log(ctx context.Context, c Claim, lines []Line) error {
	if err := s.log(ctx, s.db, c, lines); err != nil {
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
		entries[i] = entry{l.Seq, l.Stream, db.Millis(l.At), text.Line(l.Text, maxLine)}
	}
	encoded, err := json.Marshal(entries)
	if err != nil {
		return err
	}
	n, err := db.Exec(ctx, q, logSQL, s.ownerArgs(c, sql.Named("lines", string(encoded)))...)
	if err != nil || n == int64(len(lines)) {
		return err
	}
	// Either the lines were there already, or c is not the owner.
	_, err = db.Row(ctx, q, db.Value[bool], cancellingSQL, s.ownerArgs(c)...)
	return orLost(err)
}

// Finish ends the job as e says, in one transaction with e's lines and writes. Called again after it has happened, it does
// nothing and returns nil. An error of e.InTx is returned as it is and leaves the job running. ErrLost says that c does not own
// the job any more. A job that is being cancelled may still succeed or fail: its owner decides.
func (s *Store) Finish(ctx context.Context, c Claim, e Ending) error {
	if !e.State.Ended() {
		return jobError("finish", c.JobID, fmt.Errorf("%q is not an ending", e.State))
	}
	e.Error = text.Line(e.Error, maxError)
	var inner error
	err := s.db.InTx(ctx, func(ctx context.Context, q db.Querier) error {
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

// finish ends the job, or reports that it has already been ended like this.
func (s *Store) finish(ctx context.Context, q db.Querier, c Claim, e Ending) (done bool, err error) {
	if err := s.log(ctx, q, c, e.Lines); err != nil && !errors.Is(err, ErrLost) {
		return false, err
	}
	if e.Progress != nil {
		if _, err := db.Exec(ctx, q, progressSQL, s.ownerArgs(c, append(progressArgs(*e.Progress), leaseArg(c.Operation))...)...); err != nil {
			return false, err
		}
	}
	n, err := db.Exec(ctx, q, finishSQL, s.ownerArgs(c, sql.Named("state", e.State), sql.Named("error", e.Error))...)
	if err != nil || n > 0 {
		return false, err
	}
	_, err = db.Row(ctx, q, db.Value[bool], finishedSQL, s.ownerArgs(c, sql.Named("state", e.State), sql.Named("lost", c.Lost))...)
	return true, orLost(err)
}

// write runs a statement that changes the job of its owner c, or returns ErrLost if c does not own the job any more.
func (s *Store) write(ctx context.Context, q db.Querier, query string, c Claim) error {
	n, err := db.Exec(ctx, q, query, s.ownerArgs(c)...)
	if err == nil && n == 0 {
		err = ErrLost
	}
	return err
}

// HandBack gives the job up unfinished, so that any worker can continue it at once, without counting a lost worker: for a process
// that has to end while the job is fine. A job that is being cancelled ends as cancelled instead. ErrLost says that c does not
// own the job any more, or has handed it back before.
func (s *Store) HandBack(ctx context.Context, c Claim) error {
	if err := s.write(ctx, s.db, handBackSQL, c); err != nil {
		return jobError("hand back", c.JobID, err)
	}
	return nil
}

// CannotStart hands the job back as HandBack does, because its program cannot be started, and logs why, unless that is the newest
// line of the log already.
func (s *Store) CannotStart(ctx context.Context, c Claim, why string) error {
	why = text.Line(why, maxLine)
	err := s.db.InTx(ctx, func(ctx context.Context, q db.Querier) error {
		if err := s.write(ctx, q, handBackSQL, c); err != nil {
			return err
		}
		newest, err := db.Row(ctx, q, db.Value[string], newestLineSQL, sql.Named("id", c.JobID))
		if err != nil && !errors.Is(err, sql.ErrNoRows) || newest == why {
			return err
		}
		return appendLine(ctx, q, c.JobID, s.millis(), why)
	})
	if err != nil {
		return jobError("hand back", c.JobID, err)
	}
	return nil
}

// HandBackAll is HandBack on q for every running job, whoever owns it, with a log line that says why. It is for a time when it is
// certain that no worker runs. It returns how many jobs there were.
func (s *Store) HandBackAll(ctx context.Context, q db.Querier, why string) (int, error) {
	ids, err := db.Rows(ctx, q, db.Value[int64], handBackAllSQL, sql.Named("now", s.millis()))
	for _, id := range ids {
		if err == nil {
			err = appendLine(ctx, q, id, s.millis(), why)
		}
	}
	if err != nil {
		return 0, fmt.Errorf("hand back all jobs: %w", err)
	}
	return len(ids), nil
}

// WorkerLost ends the lease of a run whose process is known to have ended, so that the job is taken over or swept at once. It
// counts a lost worker and logs how it was lost. ErrLost says that the run had ended before.
func (s *Store) WorkerLost(ctx context.Context, c Claim, how string) error {
	err := s.db.InTx(ctx, func(ctx context.Context, q db.Querier) error {
		if err := s.write(ctx, q, workerLostSQL, c); err != nil {
			return err
		}
		return appendLine(ctx, q, c.JobID, s.millis(), how)
	})
	if err != nil {
		return jobError("give up", c.JobID, err)
	}
	return nil
}

// appendLine adds a line to the log of a job without an owner. q is the transaction that has ensured that.
func appendLine(ctx context.Context, q db.Querier, id, now int64, line string) error {
	_, err := q.ExecContext(ctx, appendSQL, sql.Named("id", id), sql.Named("now", now), sql.Named("line", text.Line(line, maxLine)))
	return err
}
