package jobstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"left4me/shared/db"
	"left4me/shared/db/dbtest"
	"left4me/shared/job"
	"left4me/shared/list"
)

const (
	benchJobs      = 4000
	benchProcesses = 8
)

// BenchmarkClaims is M6: processes empty a queue of jobs with locks. Its peer claims from a table without locks, leases or
// anything else with one bare UPDATE … RETURNING. Both are counted from the moment that all processes stand ready.
func BenchmarkClaims(b *testing.B) {
	for _, mode := range []string{"bare", "claim", "claim and finish"} {
		b.Run(mode, func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				d, databaseURL := openFile(b)
				w := &fixture{Store: NewStore(d, time.Now), DB: d, url: databaseURL}
				dbtest.AddHost(b, d, testHost, time.Now())
				w.fill(b, benchJobs)
				var workers []*exec.Cmd
				var starts []*os.File
				for range benchProcesses {
					cmd := w.worker(b, mode, "", testHost)
					in, start, err := os.Pipe()
					if err != nil {
						b.Fatal(err)
					}
					cmd.Stdin = in
					ready, err := cmd.StdoutPipe()
					if err != nil {
						b.Fatal(err)
					}
					if err := cmd.Start(); err != nil {
						b.Fatal(err)
					}
					in.Close()
					if _, err := ready.Read(make([]byte, 1)); err != nil {
						b.Fatal(err)
					}
					workers, starts = append(workers, cmd), append(starts, start)
				}
				b.StartTimer()
				for _, start := range starts {
					start.Close()
				}
				for _, cmd := range workers {
					if err := cmd.Wait(); err != nil {
						b.Fatal(err)
					}
				}
				b.StopTimer()
				left := "SELECT COUNT(*) FROM jobs WHERE attempt <> 1"
				if mode == "bare" {
					left = "SELECT COUNT(*) FROM bare WHERE claims <> 1"
				}
				if n := w.number(b, left); n != 0 {
					b.Fatalf("%d jobs were not claimed just once", n)
				}
				b.StartTimer()
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/benchJobs, "µs/job")
		})
	}
}

// fill queues n builds, each of another overlay, and as many rows of the bare peer.
func (w *fixture) fill(t testing.TB, n int) {
	ctx := context.Background()
	err := w.DB.InTx(ctx, func(ctx context.Context, q db.Querier) error {
		if _, err := q.ExecContext(ctx, "CREATE TABLE bare (id INTEGER PRIMARY KEY, state TEXT NOT NULL, claims INTEGER NOT NULL DEFAULT 0, worker TEXT NOT NULL DEFAULT '', created_at INTEGER NOT NULL)"); err != nil {
			return err
		}
		if _, err := q.ExecContext(ctx, "CREATE INDEX ix_bare ON bare (created_at, id) WHERE state = 'queued'"); err != nil {
			return err
		}
		for i := range n {
			if _, err := w.Enqueue(ctx, q, buildOf(int64(i+1), 0)); err != nil {
				return err
			}
			if _, err := q.ExecContext(ctx, "INSERT INTO bare (state, created_at) VALUES ('queued', 1)"); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

const bareSQL = `
UPDATE bare SET state = 'running', claims = claims + 1, worker = :worker
WHERE id = (SELECT id FROM bare WHERE state = 'queued' ORDER BY created_at, id LIMIT 1)
RETURNING id`

// bare is as quick as the driver can be with it: prepared, like the claim.
func bare(ctx context.Context, s *Store, id *int64) (bool, error) {
	stmt, err := s.prepare(ctx, bareSQL)
	if err != nil {
		return false, err
	}
	*id, err = db.Row(ctx, prepared{stmt}, db.Value[int64], "", sql.Named("worker", workerName()))
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}

// benchWorker is one process of BenchmarkClaims.
func benchWorker(s *Store, mode string) error {
	ctx := context.Background()
	if err := s.db.PingContext(ctx); err != nil {
		return err
	}
	fmt.Println("ready")
	if _, err := os.Stdin.Read(make([]byte, 1)); err == nil {
		return errors.New("stdin should end")
	}
	for {
		var found bool
		var err error
		var c Claim
		if mode == "bare" {
			found, err = bare(ctx, s, &c.JobID)
		} else {
			c, found, err = s.Claim(ctx, thisWorker(), []job.Operation{job.BuildOverlay})
		}
		if err != nil || !found {
			return err
		}
		if mode == "claim and finish" {
			if err := s.Finish(ctx, c, Ending{State: job.Succeeded}); err != nil {
				return err
			}
		}
	}
}

// BenchmarkAmongFinished is M7: the same with and without a million jobs that have ended.
func BenchmarkAmongFinished(b *testing.B) {
	for _, finished := range []int{0, 1_000_000} {
		d, databaseURL := openFile(b)
		w := &fixture{Store: NewStore(d, time.Now), DB: d, url: databaseURL}
		dbtest.AddHost(b, d, testHost, time.Now())
		w.fill(b, 100)
		ctx := context.Background()
		if _, err := w.DB.ExecContext(ctx, `
			WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
			INSERT INTO jobs (operation, state, subject_kind, subject_id, locks, attempt, created_at, started_at, finished_at)
			SELECT 'build_overlay', 'succeeded', 'overlay', 1 + i % 10000, '[{"resource":"game","write":false}]', 1, i, i, i FROM n LIMIT ?`, finished, finished); err != nil {
			b.Fatal(err)
		}
		if _, err := w.DB.ExecContext(ctx, "DELETE FROM job_locks WHERE job_id > 100"); err != nil {
			b.Fatal(err)
		}
		run := func(name string, do func() error) {
			b.Run(fmt.Sprintf("%s/%d", name, finished), func(b *testing.B) {
				for b.Loop() {
					if err := do(); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
		run("claim and hand back", func() error {
			c, _, err := w.Claim(ctx, "agent", runnable())
			if err != nil {
				return err
			}
			return w.HandBack(ctx, c)
		})
		run("get", func() error { _, err := w.Get(ctx, 50); return err })
		run("list all", func() error { _, err := w.List(ctx, Everyone, list.Query{}); return err })
		run("live of overlay", func() error { _, err := w.LiveOf(ctx, job.Overlay(50)); return err })
		run("live", func() error { _, err := w.CountLive(ctx); return err })
		run("enqueue what is queued", func() error { _, err := w.Enqueue(ctx, w.DB, buildOf(99, 0)); return err })
		run("sweep", func() error { _, err := w.Sweep(ctx); return err })
	}
}

// BenchmarkHosts is M16: claims on one of several hosts, each of which has a build of each of 1,000 overlays to do.
func BenchmarkHosts(b *testing.B) {
	for _, hosts := range []int{1, 20} {
		d, databaseURL := openFile(b)
		w := &fixture{Store: NewStore(d, time.Now), DB: d, url: databaseURL}
		var requests []Request
		for overlay := range int64(1000) {
			requests = append(requests, buildOf(1+overlay, 0))
		}
		for n := range hosts {
			dbtest.AddHost(b, d, fmt.Sprint("h", 1+n), time.Now())
		}
		ctx := context.Background()
		if _, err := w.EnqueueAll(ctx, d, requests); err != nil {
			b.Fatal(err)
		}
		run := func(name string, do func() error) {
			b.Run(fmt.Sprintf("%s/%d", name, hosts), func(b *testing.B) {
				for b.Loop() {
					if err := do(); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
		run("claim and hand back", func() error {
			c, found, err := w.Store.Claim(ctx, Worker{"agent", fmt.Sprint("h", hosts)}, runnable())
			if err != nil || !found {
				return fmt.Errorf("%v, %w", found, err)
			}
			return w.HandBack(ctx, c)
		})
		run("sweep", func() error { _, err := w.Sweep(ctx); return err })
		run("live of overlay", func() error { _, err := w.LiveOf(ctx, job.Overlay(500)); return err })
		run("enqueue what is queued", func() error { _, err := w.Enqueue(ctx, w.DB, buildOf(99, 0)); return err })
	}
}
