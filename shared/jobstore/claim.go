package jobstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"left4me/shared/db"
	"left4me/shared/job"
)

// Worker is who claims jobs.
type Worker struct {
	// Name is for people to read.
	Name string
	// Host is the id of the host whose disk the worker has; empty for none, as on AWS Lambda.
	Host string
}

// Claim is the ownership of one run of a job, until the run is finished or handed back or its lease has ended.
type Claim struct {
	JobID int64
	// Attempt is the fencing token: how often the job has been claimed.
	Attempt   int
	Operation job.Operation
	Subject   job.Subject
	// Host is the id of the host that the job belongs to; empty for one that runs anywhere.
	Host string
	// Argument is the request's, as JSON.
	Argument string
	// Lost is how many earlier owners were lost.
	Lost int
	// LeaseUntil is when the lease ended that this claim began, in Unix ms. Renewing moves it only in the database.
	LeaseUntil int64
	// LastSeq is the sequence number of the newest log line.
	LastSeq int64
}

// claimColumns are what scanClaim reads.
const claimColumns = `id, operation, attempt, subject_kind, COALESCE(subject_id, 0), COALESCE(host_id, ''), argument, lost, lease_until,
	(SELECT COALESCE(MAX(seq), 0) FROM job_logs WHERE job_id = jobs.id)`

func scanClaim(row db.Scanner) (Claim, error) {
	var c Claim
	var operation string
	err := row.Scan(&c.JobID, &operation, &c.Attempt, &c.Subject.Kind, &c.Subject.ID, &c.Host, &c.Argument, &c.Lost, &c.LeaseUntil, &c.LastSeq)
	c.Operation.Name = operation
	return c, err
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
	// A queued job may start when its locks conflict neither with held ones nor with those of an older job that starves (P36). A
	// reader conflicts with writers (write >= 1), a writer with everybody (write >= 0). The plus makes the database use the index
	// that has the jobs in order.
	queuedCandidates = `
	SELECT j.id, j.created_at FROM jobs j
	WHERE j.state = 'queued' AND j.host_id %[1]s AND +j.operation IN (%[2]s) %[3]s
	AND ` + noHolder + `
	AND NOT EXISTS (
		SELECT 1 FROM jobs i CROSS JOIN job_locks w CROSS JOIN job_locks h
		WHERE i.state = 'queued' AND i.starving_at <= :now AND (i.created_at, i.id) < (j.created_at, j.id)
		AND w.job_id = j.id AND h.job_id = i.id AND h.resource = w.resource AND h.write + w.write > 0)
	ORDER BY j.created_at, j.id LIMIT 1`

	// A job whose owner was lost or has handed it back is still running and holds its locks, except what Sweep has taken from it. The
	// pluses make the database use the index of leases.
	lostCandidates = `
	SELECT j.id, j.created_at FROM jobs j
	WHERE j.lease_until <= :now AND j.state = 'running' AND +j.host_id %[1]s AND +j.operation IN (%[2]s) %[3]s
	AND j.lost + (j.lease_until > 0) < CASE j.operation %[4]s END
	AND ` + noHolder + `
	ORDER BY j.created_at, j.id LIMIT 1`

	// True if no other job holds a lock that conflicts with one that the job j needs and does not hold yet. ix_job_locks_exclusive has
	// the held locks, except those for reading Game or a host's part of it; a job that runs alone looks for these among the leases.
	noHolder = `NOT EXISTS (
		SELECT 1 FROM job_locks w CROSS JOIN job_locks h
		WHERE w.job_id = j.id AND w.held = 0 AND h.held = 1 AND (h.write = 1 OR instr(h.resource, ':') > 0)
		AND h.resource = w.resource AND h.write >= 1 - w.write)
	AND NOT EXISTS (
		SELECT 1 FROM job_locks w CROSS JOIN jobs r CROSS JOIN job_locks h
		WHERE w.job_id = j.id AND w.held = 0 AND w.write = 1 AND instr(w.resource, ':') = 0
		AND r.lease_until >= 0 AND h.job_id = r.id AND h.resource = w.resource AND h.held = 1)`

	claimUpdate = `
UPDATE jobs SET
	state = 'running', attempt = attempt + 1, lost = lost + (state = 'running' AND lease_until > 0), worker = :worker,
	lease_until = :now + CASE operation %s END, started_at = COALESCE(started_at, :now)
WHERE id = (SELECT id FROM (%s) ORDER BY created_at, id LIMIT 1)
RETURNING ` + claimColumns

	justOne = "AND j.id = :id"
)

// claimSQL returns the statement that claims a job of one of operations, or with justOne a certain one: for a worker with the disk of
// the host :host, if onHost, also one of that host's. It is empty when there is nothing that such a worker may claim. The operations'
// names are plain words.
func claimSQL(operations []job.Operation, which string, onHost bool) string {
	var leases, candidates []string
	for place, host := range []string{job.Anywhere: "IS NULL", job.Disk: "= :host"} {
		var names, maxLost []string
		for _, o := range operations {
			if o.Place == job.Place(place) && (onHost || o.Place == job.Anywhere) {
				names = append(names, "'"+o.Name+"'")
				maxLost = append(maxLost, fmt.Sprintf("WHEN '%s' THEN %d", o.Name, o.MaxLost))
				leases = append(leases, fmt.Sprintf("WHEN '%s' THEN %d", o.Name, o.Lease.Milliseconds()))
			}
		}
		for _, query := range []string{queuedCandidates, lostCandidates} {
			if len(names) > 0 {
				candidates = append(candidates, "SELECT id, created_at FROM ("+
					fmt.Sprintf(query, host, strings.Join(names, ", "), which, strings.Join(maxLost, " "))+")")
			}
		}
	}
	if len(candidates) == 0 {
		return ""
	}
	return fmt.Sprintf(claimUpdate, strings.Join(leases, " "), strings.Join(candidates, " UNION ALL "))
}

// Claim takes the oldest job of operations that may start, of the worker's host or of none, and reports whether there was one. Jobs
// whose owner was lost or has handed them back count among them. A claim that has been sent does not depend on ctx. On db.ErrInDoubt
// the job can be claimed again after its lease.
func (s *Store) Claim(ctx context.Context, worker Worker, operations []job.Operation) (Claim, bool, error) {
	c, err := s.claim(ctx, "", worker, operations)
	if errors.Is(err, sql.ErrNoRows) {
		return Claim{}, false, nil
	}
	if err != nil {
		return Claim{}, false, fmt.Errorf("claim a job: %w", err)
	}
	return c, true, nil
}

// ClaimJob takes this one job of operation, for a function that was started without an agent's claim. The error is a
// *BlockedError that says why the job may not start now, or ErrNotFound.
func (s *Store) ClaimJob(ctx context.Context, worker Worker, id int64, operation job.Operation) (Claim, error) {
	c, err := s.claim(ctx, justOne, worker, []job.Operation{operation}, sql.Named("id", id))
	if errors.Is(err, sql.ErrNoRows) {
		err = s.blocked(ctx, worker, id, operation)
	}
	if err != nil {
		return Claim{}, jobError("claim", id, err)
	}
	return c, nil
}

// claim returns sql.ErrNoRows when there is no such job.
func (s *Store) claim(ctx context.Context, which string, worker Worker, operations []job.Operation, more ...any) (Claim, error) {
	query := claimSQL(operations, which, worker.Host != "")
	if query == "" {
		return Claim{}, sql.ErrNoRows
	}
	if strings.Contains(query, ":host") {
		more = append(more, sql.Named("host", worker.Host))
	}
	// A claim that is given up halfway may have happened. Then the job would wait until its lease has ended.
	if err := ctx.Err(); err != nil {
		return Claim{}, err
	}
	ctx = context.WithoutCancel(ctx)
	stmt, err := s.prepare(ctx, query)
	if err != nil {
		return Claim{}, err
	}
	c, err := db.Row(ctx, prepared{stmt}, scanClaim, "", append(more, sql.Named("worker", worker.Name), sql.Named("now", s.millis()))...)
	if err != nil {
		return Claim{}, err
	}
	c.Operation = operations[slices.IndexFunc(operations, func(o job.Operation) bool { return o.Name == c.Operation.Name })]
	return c, nil
}

// prepared is a prepared statement for db.Row, whose query is not needed.
type prepared struct{ *sql.Stmt }

func (p prepared) QueryContext(ctx context.Context, _ string, args ...any) (*sql.Rows, error) {
	return p.Stmt.QueryContext(ctx, args...)
}

// takeover returns the first log line of a run that is not the job's first.
func takeover(c Claim) string {
	switch c.Lost {
	case 0:
		return "handed back by its worker; going on"
	case c.Attempt - 1:
		return fmt.Sprintf("worker lost; attempt %d of %d", c.Attempt, c.Operation.MaxLost)
	}
	return fmt.Sprintf("going on; %d of at most %d workers lost, others handed it back", c.Lost, c.Operation.MaxLost)
}

const (
	holderSQL = `
SELECT o.id, o.operation, o.state, h.resource
FROM job_locks w CROSS JOIN jobs o CROSS JOIN job_locks h
WHERE w.job_id = :id AND w.held = 0 AND o.lease_until >= 0 AND h.job_id = o.id AND h.resource = w.resource AND h.held = 1 AND h.write >= 1 - w.write
ORDER BY o.id LIMIT 1`

	starvingSQL = `
SELECT i.id, i.operation, i.state, h.resource
FROM jobs j CROSS JOIN jobs i CROSS JOIN job_locks w CROSS JOIN job_locks h
WHERE j.id = :id AND i.state = 'queued' AND i.starving_at <= :now AND (i.created_at, i.id) < (j.created_at, j.id)
AND w.job_id = j.id AND h.job_id = i.id AND h.resource = w.resource AND h.write + w.write > 0
ORDER BY i.created_at, i.id LIMIT 1`
)

// blocked returns why the job could not be claimed: a *BlockedError, or ErrNotFound.
func (s *Store) blocked(ctx context.Context, worker Worker, id int64, operation job.Operation) error {
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
	case j.State == job.Running && j.LeaseUntil.After(s.now()):
		return why("it is already running (attempt %d, %s)", j.Attempt, j.Worker)
	case j.State == job.Running && j.Lost+1 >= operation.MaxLost && !j.handedBack():
		return why("it has lost its worker too often (%d times)", j.Lost+1)
	case operation.Place == job.Disk && j.HostID == "":
		return why("it waits for the first host; start a host agent")
	case operation.Place == job.Disk && j.HostID != worker.Host:
		return why("it is a job of host %s (%s), whose agent runs it", j.HostName, j.HostID)
	}
	for _, q := range []struct{ sql, reason string }{
		{holderSQL, "job %d (%s, %s) holds %s"},
		{starvingSQL, "job %d (%s, %s) has waited too long for %s and goes first"},
	} {
		other, err := db.Row(ctx, s.db, func(row db.Scanner) (string, error) {
			var id int64
			var operation, state, resource string
			err := row.Scan(&id, &operation, &state, &resource)
			resource, _, _ = strings.Cut(resource, "@") // there is only one host in question
			return fmt.Sprintf(q.reason, id, operation, state, resource), err
		}, q.sql, sql.Named("id", id), sql.Named("now", s.millis()))
		if err == nil {
			return why("%s", other)
		}
		if !errors.Is(err, sql.ErrNoRows) {
			return err
		}
	}
	return why("another job was in its way a moment ago; try again")
}

const (
	// The last column is whether the job keeps others from Game, although its host has been silent for long.
	expiredSQL = `
SELECT j.id, j.operation, j.state, j.attempt, j.lost, j.lease_until,
	h.seen_at <= :silent AND EXISTS (SELECT 1 FROM job_locks l WHERE l.job_id = j.id AND l.resource = '` + job.Game + `' AND l.held = 1)
FROM jobs j LEFT JOIN hosts h ON h.id = j.host_id
WHERE j.lease_until <= :now AND (j.state = 'cancelling' OR j.lease_until > 0 OR h.seen_at <= :silent)
ORDER BY j.lease_until`

	letGoSQL = `
UPDATE job_locks SET held = 0 WHERE job_id = :id AND resource = '` + job.Game + `'
AND EXISTS (SELECT 1 FROM jobs WHERE id = :id AND attempt = :attempt AND state = 'running' AND lease_until <= :now)`

	sweepSQL = `
UPDATE jobs SET state = :state, finished_at = :now, lease_until = NULL, lost = lost + 1, error = :error, current = ''
WHERE id = :id AND attempt = :attempt AND state = :was AND lease_until <= :now`
)

// Sweep ends the jobs whose owner was lost and that are not to run again: those being cancelled become cancelled, and those
// that have lost as many owners as their operation allows fail with `worker lost`. It returns their ids. The others of a silent host
// no longer hold what all hosts share, until that host's agent claims them again. An agent calls Sweep whenever it looks for work;
// without such jobs it is one read of an index.
func (s *Store) Sweep(ctx context.Context) ([]int64, error) {
	ended, err := s.sweep(ctx)
	if err != nil {
		return ended, fmt.Errorf("sweep lost jobs: %w", err)
	}
	return ended, nil
}

func (s *Store) sweep(ctx context.Context) (ended []int64, err error) {
	now := s.millis()
	type expiredJob struct {
		Job
		blocks sql.NullBool
	}
	expired, err := db.Rows(ctx, s.db, func(row db.Scanner) (j expiredJob, err error) {
		err = row.Scan(&j.ID, &j.Operation, &j.State, &j.Attempt, &j.Lost, db.Moment(&j.LeaseUntil), &j.blocks)
		return j, err
	}, expiredSQL, sql.Named("now", now), sql.Named("silent", now-HostSilentAfter.Milliseconds()))
	if err != nil {
		return nil, err
	}
	for _, j := range expired {
		end, line := job.Cancelled, "worker lost while it was being cancelled"
		if j.State == job.Running {
			op, err := job.ByName(j.Operation)
			if err != nil || j.handedBack() || j.Lost+1 < op.MaxLost {
				// It runs again: here, or on a newer left4me that knows the operation.
				if j.blocks.Bool {
					if _, err := db.Exec(ctx, s.db, letGoSQL, sql.Named("id", j.ID), sql.Named("attempt", j.Attempt), sql.Named("now", now)); err != nil {
						return ended, jobError("release", j.ID, err)
					}
				}
				continue
			}
			end, line = job.Failed, fmt.Sprintf("worker lost; given up after attempt %d of %d", j.Lost+1, op.MaxLost)
		}
		var n int64
		err := s.db.InTx(ctx, func(ctx context.Context, q db.Querier) (err error) {
			n, err = db.Exec(ctx, q, sweepSQL, sql.Named("state", end), sql.Named("now", now), sql.Named("error", workerLost),
				sql.Named("id", j.ID), sql.Named("attempt", j.Attempt), sql.Named("was", j.State))
			if err != nil || n == 0 {
				return err // none: the owner has come back, or another process has swept the job
			}
			return appendLine(ctx, q, j.ID, now, line)
		})
		if err != nil {
			return ended, jobError("end", j.ID, err)
		}
		if n > 0 {
			ended = append(ended, j.ID)
		}
	}
	return ended, nil
}
