package jobstore

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"left4me/shared/db"
	"left4me/shared/job"
)

// Claim is the ownership of one run of a job. It stands until the run is finished or handed back, or its lease is over.
type Claim struct {
	JobID int64
	// Attempt is the fencing number.
	Attempt   int
	Operation job.Operation
	// OverlayID is 0 for an operation about no overlay.
	OverlayID int64
	// UserID is who asked for the job, or 0 when no person did.
	UserID int64
	// Lost is how many owners before this one were lost.
	Lost int
	// LeaseUntil is the end of the lease in Unix ms, as the claim left it; renewing moves it in the database.
	LeaseUntil int64
	// LastSeq is the sequence number of the newest log line.
	LastSeq int64
}

// BlockedError says why a job cannot be claimed now.
type BlockedError struct {
	JobID int64
	// Why is a clause such as `job 5 (refresh_workshop_items, running) holds game`.
	Why string
}

func (e *BlockedError) Error() string {
	return fmt.Sprintf("job %d cannot run: %s", e.JobID, e.Why)
}

const (
	// A queued job may start when nothing that is held conflicts with its locks, and no older impatient job does (P36). A
	// reader conflicts with writers (write >= 1), a writer with anybody (write >= 0). The plus keeps the database to the index
	// that has the jobs in order.
	queuedCandidates = `
	SELECT j.id, j.created_at FROM jobs j
	WHERE j.state = 'queued' AND +j.operation IN (%[1]s) %[2]s
	AND NOT EXISTS (
		SELECT 1 FROM job_locks w CROSS JOIN job_locks h
		WHERE w.job_id = j.id AND h.held = 1 AND h.resource = w.resource AND h.write >= 1 - w.write)
	AND NOT EXISTS (
		SELECT 1 FROM jobs i CROSS JOIN job_locks w CROSS JOIN job_locks h
		WHERE i.state = 'queued' AND i.impatient_at <= :now AND (i.created_at, i.id) < (j.created_at, j.id)
		AND w.job_id = j.id AND h.job_id = i.id AND h.resource = w.resource AND h.write + w.write > 0)
	ORDER BY j.created_at, j.id LIMIT 1`

	// A job whose owner was lost, or has handed it back, still is running and has its locks.
	lostCandidates = `
	SELECT j.id, j.created_at FROM jobs j
	WHERE j.lease_until <= :now AND j.state = 'running' %[2]s AND j.lost + (j.lease_until > 0) < CASE j.operation %[3]s END
	ORDER BY j.created_at, j.id LIMIT 1`

	claimUpdate = `
UPDATE jobs SET
	state = 'running', attempt = attempt + 1, lost = lost + (state = 'running' AND lease_until > 0), worker = :worker,
	lease_until = :now + CASE operation %[4]s END, started_at = COALESCE(started_at, :now)
WHERE id = (
	SELECT id FROM (
		SELECT id, created_at FROM (` + queuedCandidates + `)
		UNION ALL
		SELECT id, created_at FROM (` + lostCandidates + `)
	) ORDER BY created_at, id LIMIT 1)
RETURNING id, operation, attempt, COALESCE(overlay_id, 0), COALESCE(user_id, 0), lost, lease_until,
	(SELECT COALESCE(MAX(seq), 0) FROM job_logs WHERE job_id = jobs.id)`

	justOne = "AND j.id = :id"
)

// claimSQL is the statement that claims a job of the operations; with `which`, only such a one. The operations' names are
// plain words.
func claimSQL(operations []job.Operation, which string) string {
	var names, attempts, leases []string
	for _, o := range operations {
		names = append(names, "'"+o.Name+"'")
		attempts = append(attempts, fmt.Sprintf("WHEN '%s' THEN %d", o.Name, o.Attempts))
		leases = append(leases, fmt.Sprintf("WHEN '%s' THEN %d", o.Name, o.Lease.Milliseconds()))
	}
	return fmt.Sprintf(claimUpdate, strings.Join(names, ", "), which, strings.Join(attempts, " "), strings.Join(leases, " "))
}

// Claim takes the oldest job among those of operations that may start, for worker, whose name is only for people to read. It
// reports whether there was one. A job whose owner was lost, or handed it back, counts among them. The claim, once made,
// does not depend on ctx. Where a server's answer to the claim got lost (db.ErrInDoubt), nobody knows whose the job is: like one
// whose owner was lost, it is claimed again when its lease is over.
func (s *Store) Claim(ctx context.Context, worker string, operations []job.Operation) (Claim, bool, error) {
	c, found, err := s.claim(ctx, "", worker, operations)
	if err != nil {
		return Claim{}, false, fmt.Errorf("claim a job: %w", err)
	}
	return c, found, nil
}

// ClaimJob takes this one job of operation, for a function that was started without an agent's claim. When the job may not
// start, the error is a *BlockedError that says why; of a job that is not there, ErrNotFound.
func (s *Store) ClaimJob(ctx context.Context, worker string, id int64, operation job.Operation) (Claim, error) {
	c, found, err := s.claim(ctx, justOne, worker, []job.Operation{operation}, sql.Named("id", id))
	if err == nil && !found {
		err = s.blocked(ctx, id, operation)
	}
	if err != nil {
		return Claim{}, jobError("claim", id, err)
	}
	return c, nil
}

func (s *Store) claim(ctx context.Context, which, worker string, operations []job.Operation, more ...any) (Claim, bool, error) {
	if len(operations) == 0 {
		return Claim{}, false, nil
	}
	// Given up halfway, a claim may have happened without anybody knowing, and the job would lie until the lease is over.
	if err := ctx.Err(); err != nil {
		return Claim{}, false, err
	}
	ctx = context.WithoutCancel(ctx)
	stmt, err := s.prepare(ctx, claimSQL(operations, which))
	if err != nil {
		return Claim{}, false, err
	}
	rows, err := stmt.QueryContext(ctx, append(more, sql.Named("worker", worker), sql.Named("now", s.now()))...)
	if err != nil {
		return Claim{}, false, err
	}
	var c Claim
	var name string
	found, err := one(rows, &c.JobID, &name, &c.Attempt, &c.OverlayID, &c.UserID, &c.Lost, &c.LeaseUntil, &c.LastSeq)
	if err != nil || !found {
		return Claim{}, false, err
	}
	for _, o := range operations {
		if o.Name == name {
			c.Operation = o
		}
	}
	if c.Attempt > 1 {
		// The line is for people; without it the claim stands all the same.
		c.LastSeq++
		_ = s.Log(ctx, c, []Line{{Seq: c.LastSeq, Stream: job.Stderr, At: s.Now(), Text: takeover(c)}})
	}
	return c, true, nil
}

// takeover is the log line of a claim that is not a job's first.
func takeover(c Claim) string {
	switch c.Lost {
	case 0:
		return "handed back by its worker; going on"
	case c.Attempt - 1:
		return fmt.Sprintf("worker lost; attempt %d of %d", c.Attempt, c.Operation.Attempts)
	}
	return fmt.Sprintf("going on; %d of at most %d workers lost, others handed it back", c.Lost, c.Operation.Attempts)
}

const (
	holderSQL = `
SELECT o.id, o.operation, o.state, h.resource
FROM job_locks w CROSS JOIN job_locks h CROSS JOIN jobs o
WHERE w.job_id = :id AND h.held = 1 AND h.resource = w.resource AND h.write >= 1 - w.write AND o.id = h.job_id
ORDER BY o.id LIMIT 1`

	impatientSQL = `
SELECT i.id, i.operation, i.state, h.resource
FROM jobs j CROSS JOIN jobs i CROSS JOIN job_locks w CROSS JOIN job_locks h
WHERE j.id = :id AND i.state = 'queued' AND i.impatient_at <= :now AND (i.created_at, i.id) < (j.created_at, j.id)
AND w.job_id = j.id AND h.job_id = i.id AND h.resource = w.resource AND h.write + w.write > 0
ORDER BY i.created_at, i.id LIMIT 1`
)

// blocked returns the reason why the job could not be claimed: a *BlockedError, or ErrNotFound.
func (s *Store) blocked(ctx context.Context, id int64, operation job.Operation) error {
	j, err := s.Get(ctx, id)
	if err != nil {
		return err
	}
	why := func(format string, args ...any) error {
		return &BlockedError{JobID: id, Why: fmt.Sprintf(format, args...)}
	}
	switch {
	case j.Operation != operation.Name:
		return why("it is a %s, not a %s", j.Operation, operation.Name)
	case j.State.Ended():
		return why("it has already ended: %s", j.State)
	case j.State == job.Cancelling:
		return why("it is being cancelled")
	case j.State == job.Running && j.LeaseUntil.After(s.Now()):
		return why("it is already running (attempt %d, %s)", j.Attempt, j.Worker)
	case j.State == job.Running:
		return why("it has lost its worker too often (%d times)", j.Lost+1)
	}
	for _, q := range []struct{ sql, reason string }{
		{holderSQL, "job %d (%s, %s) holds %s"},
		{impatientSQL, "job %d (%s, %s) has waited too long for %s and goes first"},
	} {
		var other int64
		var name, state, resource string
		found, err := row(ctx, s.DB, q.sql, []any{sql.Named("id", id), sql.Named("now", s.now())}, &other, &name, &state, &resource)
		if err != nil {
			return err
		}
		if found {
			return why(q.reason, other, name, state, resource)
		}
	}
	return why("something else was in its way a moment ago; try again")
}

const (
	expiredSQL = `
SELECT id, operation, state, attempt, lost FROM jobs
WHERE lease_until <= :now AND (state = 'cancelling' OR lease_until > 0)
ORDER BY lease_until`

	sweepSQL = `
UPDATE jobs SET state = :state, finished_at = :now, lease_until = NULL, lost = lost + 1, error = :error, current = ''
WHERE id = :id AND attempt = :attempt AND state = :was AND lease_until <= :now`
)

// Sweep ends the jobs whose owner was lost and that nobody is to run again: those being cancelled become cancelled, and those
// that have lost as many owners as their operation allows fail with `worker lost`. It returns their ids. An agent calls it
// whenever it looks for work; without such jobs it is one read of an index.
func (s *Store) Sweep(ctx context.Context) ([]int64, error) {
	ended, err := s.sweep(ctx)
	if err != nil {
		return ended, fmt.Errorf("sweep lost jobs: %w", err)
	}
	return ended, nil
}

func (s *Store) sweep(ctx context.Context) (ended []int64, err error) {
	type expired struct {
		id            int64
		operation     string
		state         job.State
		attempt, lost int
	}
	now := s.now()
	rows, err := s.DB.QueryContext(ctx, expiredSQL, sql.Named("now", now))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var found []expired
	for rows.Next() {
		var e expired
		if err := rows.Scan(&e.id, &e.operation, &e.state, &e.attempt, &e.lost); err != nil {
			return nil, err
		}
		found = append(found, e)
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	for _, e := range found {
		end, line := job.Cancelled, "worker lost while it was being cancelled"
		if e.state == job.Running {
			op, err := job.ByName(e.operation)
			if err != nil || e.lost+1 < op.Attempts {
				continue // to be run again, by us or by a newer left4me that knows the operation
			}
			end, line = job.Failed, fmt.Sprintf("worker lost; given up after attempt %d of %d", e.lost+1, op.Attempts)
		}
		var n int64
		err := s.DB.InTx(ctx, func(ctx context.Context, q db.Querier) error {
			var err error
			n, err = affected(ctx, q, sweepSQL, sql.Named("state", end), sql.Named("now", now), sql.Named("error", workerLost),
				sql.Named("id", e.id), sql.Named("attempt", e.attempt), sql.Named("was", e.state))
			if err != nil || n == 0 {
				return err // none: its owner has come back, or another sweep was here first
			}
			return appendLine(ctx, q, e.id, now, line)
		})
		if err != nil {
			return ended, jobError("end", e.id, err)
		}
		if n > 0 {
			ended = append(ended, e.id)
		}
	}
	return ended, nil
}
