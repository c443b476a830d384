package jobstore

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"left4me/shared/db"
	"left4me/shared/db/dbtest"
	"left4me/shared/job"
)

// seedVariable has TestJobsOverAServerThatMisbehaves go the way of a seed that it has printed.
const seedVariable = "JOBSTORE_TEST_SEED"

// Workers ask for jobs, claim, renew, log and finish them, die, and hand back, in a random order, over a server whose answers
// get lost, before or after the statement, and which forgets streams and transactions. After each step, what must always hold
// is looked up in the file.
func TestJobsOverAServerThatMisbehaves(t *testing.T) {
	t.Parallel()
	seeds := []uint64{1, 2, rand.Uint64()}
	if text := os.Getenv(seedVariable); text != "" {
		seed, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		seeds = []uint64{seed}
	}
	for _, seed := range seeds {
		t.Run(fmt.Sprint(seedVariable, "=", seed), func(t *testing.T) {
			t.Parallel()
			newFaulty(t, seed).run(t)
		})
	}
}

// faulty is one such fixture. Its clock stands still, except when a step moves it.
type faulty struct {
	*rand.Rand
	server  *dbtest.Server
	file    *db.DB // the same database, without the server
	at      time.Time
	workers []*faultyWorker
	asker   *Store
	claimed map[run]bool
	// asked are the jobs that somebody was told of.
	asked map[int64]bool
}

type run struct {
	job     int64
	attempt int
}

type faultyWorker struct {
	*Store
	Worker
	holds bool
	claim Claim
	lines int64
}

func newFaulty(t *testing.T, seed uint64) *faulty {
	f := &faulty{Rand: rand.New(rand.NewPCG(seed, 0)), at: start, claimed: map[run]bool{}, asked: map[int64]bool{}}
	// The next transaction waits for the end of one that was left open.
	f.server = dbtest.Serve(t, func(s *dbtest.Server) { s.TxTimeout = 30 * time.Millisecond })
	f.file = dbtest.Open(t, db.FileURL(f.server.File()))
	t.Cleanup(func() { checkIntegrity(t, f.file) })
	if _, err := f.file.ExecContext(t.Context(), `CREATE TABLE effects (job_id INTEGER, attempt INTEGER)`); err != nil {
		t.Fatal(err)
	}
	store := func() *Store {
		return NewStore(f.server.Open(t), func() time.Time { return f.at })
	}
	f.asker = store()
	hosts := []string{"h1", "h2"}
	for _, h := range hosts {
		dbtest.AddHost(t, f.file, h, start)
	}
	for n := range 4 {
		f.workers = append(f.workers, &faultyWorker{Store: store(), Worker: Worker{fmt.Sprint("worker ", n), hosts[n%2]}})
	}
	return f
}

func (f *faulty) run(t *testing.T) {
	for range 250 {
		f.misbehave()
		f.step(t)
		f.server.Heal()
		f.at = f.at.Add(time.Duration(f.IntN(4)) * time.Second)
		f.look(t)
	}
	// Once all is well again, every job comes to its end.
	for left := 1; left > 0; left = f.number(t, `SELECT COUNT(*) FROM jobs WHERE finished_at IS NULL`) {
		for _, w := range f.workers {
			f.work(t, w)
			f.look(t)
		}
		f.at = f.at.Add(job.BuildOverlay.Lease / 4)
	}
	if n := f.number(t, `SELECT COUNT(*) FROM jobs WHERE state = 'failed' AND (error <> 'worker lost' OR lost <> 3)`); n > 0 {
		t.Errorf("%d jobs failed that were not lost three times", n)
	}
	for id := range f.asked {
		if f.number(t, `SELECT COUNT(*) FROM jobs WHERE id = ?`, id) != 1 {
			t.Errorf("job %d is gone", id)
		}
	}
	if n := f.number(t, `SELECT COUNT(*) FROM jobs WHERE state = 'succeeded'`); n < 10 {
		t.Errorf("only %d jobs have succeeded: this has shown little", n)
	}
}

// misbehave makes something go wrong with one of the next requests, or not.
func (f *faulty) misbehave() {
	fault := dbtest.Fault{Times: 1, After: f.IntN(2) == 0}
	if f.IntN(3) == 0 {
		fault.Match = "COMMIT"
	}
	switch f.IntN(8) {
	case 0, 1:
		fault.Drop = true
	case 2:
		fault.Status = 500
	case 3:
		fault.Status, fault.After = 429, false
	case 4:
		f.server.ExpireStreams()
		return
	case 5:
		fault.Hit, fault.Delay = f.server.EndTransactions, time.Millisecond
	default:
		return
	}
	f.server.Fail(fault)
}

func (f *faulty) step(t *testing.T) {
	switch f.IntN(4) {
	case 0:
		f.ask(t)
	default:
		w := f.workers[f.IntN(len(f.workers))]
		if w.holds && f.IntN(12) == 0 {
			w.holds = false // killed
			return
		}
		f.work(t, w)
	}
}

func (f *faulty) ask(t *testing.T) {
	var e *Enqueued
	var err error
	if f.IntN(8) == 0 {
		e, err = f.asker.Enqueue(t.Context(), f.asker.db, Request{Operation: job.RefreshWorkshopItems})
	} else {
		err = f.asker.db.InTx(t.Context(), func(ctx context.Context, q db.Querier) (err error) {
			e, err = f.asker.Enqueue(ctx, q, buildOf(int64(1+f.IntN(6)), 0))
			return err
		})
	}
	if err == nil {
		f.asked[e.ID] = true
	}
	f.only(t, "enqueue", err)
}

// only accepts errors that say that the server has failed, or may have.
func (f *faulty) only(t *testing.T, what string, err error) {
	if err != nil && !db.IsAway(err) && !db.IsBusy(err) && !errors.Is(err, db.ErrInDoubt) {
		t.Errorf("%s: %v", what, err)
	}
}

// work is one step of a worker.
func (f *faulty) work(t *testing.T, w *faultyWorker) {
	if !w.holds {
		_, err := w.Sweep(t.Context())
		f.only(t, "sweep", err)
		c, found, err := w.Claim(t.Context(), w.Worker, runnable())
		f.only(t, "claim", err)
		if err == nil && found {
			r := run{c.JobID, c.Attempt}
			if f.claimed[r] {
				t.Errorf("attempt %d of job %d was claimed twice", r.attempt, r.job)
			}
			f.claimed[r] = true
			w.holds, w.claim, w.lines = true, c, c.LastSeq
		}
		return
	}
	c := w.claim
	before := f.of(t, c.JobID)
	owns := f.number(t, `SELECT COUNT(*) FROM jobs WHERE id = ? AND attempt = ? AND state = 'running' AND lease_until > ?`, c.JobID, c.Attempt, db.Millis(f.at)) == 1
	var err error
	switch f.IntN(5) {
	case 0:
		_, err = w.Renew(t.Context(), c)
	case 1:
		_, err = w.Progress(t.Context(), c, Progress{ItemsDone: int64(c.Attempt)})
	case 2:
		err = w.Log(t.Context(), c, []Line{{Seq: w.lines + 1, Stream: job.Stdout, At: f.at, Text: fmt.Sprint("attempt ", c.Attempt)}})
		if err == nil {
			w.lines++
		}
	case 3:
		if f.IntN(3) > 0 {
			return
		}
		err = w.HandBack(t.Context(), c)
		w.holds = w.holds && err != nil
	case 4:
		err = w.Finish(t.Context(), c, Ending{State: job.Succeeded, InTx: func(ctx context.Context, q db.Querier) error {
			_, err := q.ExecContext(ctx, `INSERT INTO effects (job_id, attempt) VALUES (?, ?)`, c.JobID, c.Attempt)
			return err
		}})
		w.holds = w.holds && err != nil
	}
	if errors.Is(err, ErrLost) {
		if owns && before == f.of(t, c.JobID) {
			t.Errorf("%s was told that attempt %d of job %d is lost, and it is not", w.Name, c.Attempt, c.JobID)
		}
		w.holds = false
		return
	}
	f.only(t, "work", err)
	if after := f.of(t, c.JobID); !owns && after != before {
		t.Errorf("%s, which has lost attempt %d of job %d, has changed it:\n%s\n%s", w.Name, c.Attempt, c.JobID, before, after)
	}
}

// of is all that an owner can change about a job.
func (f *faulty) of(t *testing.T, id int64) (all string) {
	t.Helper()
	err := f.file.QueryRowContext(t.Context(), `SELECT concat_ws(' ', state, attempt, worker, lost, lease_until, items_done, finished_at, error,
		(SELECT COUNT(*) FROM job_logs WHERE job_id = jobs.id), (SELECT COUNT(*) FROM effects WHERE job_id = jobs.id)) FROM jobs WHERE id = ?`, id).Scan(&all)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func (f *faulty) number(t *testing.T, query string, args ...any) (n int) {
	t.Helper()
	if err := f.file.QueryRowContext(t.Context(), query, args...).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// look looks whether what must always hold does.
func (f *faulty) look(t *testing.T) {
	t.Helper()
	for what, query := range map[string]string{
		"jobs that run beside what they must not": `SELECT COUNT(*) FROM job_locks a JOIN job_locks b
			ON a.resource = b.resource AND a.job_id < b.job_id AND a.held AND b.held AND a.write + b.write > 0`,
		"locks of ended jobs":                    `SELECT COUNT(*) FROM job_locks l JOIN jobs j ON j.id = l.job_id WHERE j.finished_at IS NOT NULL`,
		"jobs without their locks":               `SELECT COUNT(*) FROM jobs j WHERE finished_at IS NULL AND NOT EXISTS (SELECT 1 FROM job_locks WHERE job_id = j.id)`,
		"successes without exactly their effect": `SELECT COUNT(*) FROM jobs j WHERE (state = 'succeeded') <> (SELECT COUNT(*) FROM effects e WHERE e.job_id = j.id)`,
		"effects of another attempt":             `SELECT COUNT(*) FROM jobs j JOIN effects e ON e.job_id = j.id WHERE e.attempt <> j.attempt`,
		"queued builds of one overlay and host":  `SELECT COUNT(*) FROM (SELECT 1 FROM jobs WHERE state = 'queued' GROUP BY operation, subject_kind, subject_id, host_id HAVING COUNT(*) > 1)`,
		"jobs lost more often than they may be":  `SELECT COUNT(*) FROM jobs WHERE lost > 3`,
	} {
		if n := f.number(t, query); n != 0 {
			t.Errorf("%s: %d", what, n)
		}
	}
}
