package jobstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"left4me/shared/db"
	"left4me/shared/job"
)

// record runs test in a bubble of fake time, with a recorder of a build of overlay 1.
func record(t *testing.T, test func(t *testing.T, w *fixture, r *Recorder)) {
	t.Helper()
	w := newFixture(t, openFile) // outside, as the driver leaves a goroutine
	w.useRealTime()
	synctest.Test(t, func(t *testing.T) {
		w.overlay(t, "mine", 0)
		r := w.Record(t.Context(), w.claim(t, w.build(t, 1)))
		defer r.Close()
		test(t, w, r)
	})
}

// away makes every write of an owner fail until back is called, as when the database is busy or cannot be reached.
func (w *fixture) away(t *testing.T) (back func()) {
	t.Helper()
	w.exec(t, "CREATE TRIGGER tr_away BEFORE UPDATE ON jobs BEGIN SELECT RAISE(ABORT, 'the database is away'); END")
	w.exec(t, "CREATE TRIGGER tr_away_logs BEFORE INSERT ON job_logs BEGIN SELECT RAISE(ABORT, 'the database is away'); END")
	return func() {
		t.Helper()
		w.exec(t, "DROP TRIGGER tr_away")
		w.exec(t, "DROP TRIGGER tr_away_logs")
	}
}

// after lets fake time pass until everything that is due has been done.
func after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

const soon = 250 * time.Millisecond

func TestRecorderWritesAFewTimesASecond(t *testing.T) {
	record(t, func(t *testing.T, w *fixture, r *Recorder) {
		after(time.Second)
		r.Log(job.Stdout, "one\r\ntwo\n")
		r.Log(job.Stderr, "three")
		r.Progress(Progress{ItemsDone: 1, ItemsTotal: 2})
		r.Progress(Progress{ItemsDone: 2, ItemsTotal: 2, Current: "x"})
		if got := w.texts(t, 1); len(got) != 0 {
			t.Errorf("written at once: %q", got)
		}
		after(soon)
		if got := w.texts(t, 1); !slices.Equal(got, []string{"one", "two", "three"}) {
			t.Errorf("log %q", got)
		}
		if got := w.get(t, 1).Progress; got != (Progress{ItemsDone: 2, ItemsTotal: 2, Current: "x"}) {
			t.Errorf("progress %+v", got)
		}
		r.Log(job.Stdout, "four")
		if err := r.Flush(); err != nil {
			t.Error(err)
		}
		if got := w.texts(t, 1); len(got) != 4 {
			t.Errorf("log %q after Flush", got)
		}
		r.Log(job.Stdout, "last")
		if err := r.Finish(job.Succeeded, "", nil); err != nil {
			t.Error(err)
		}
		if got := w.texts(t, 1); len(got) != 5 || got[4] != "last" {
			t.Errorf("log %q", got)
		}
		w.state(t, 1, job.Succeeded)
		if err := r.Finish(job.Failed, "", nil); err == nil {
			t.Error("finished twice")
		}
		if err := r.Flush(); err != nil {
			t.Errorf("Flush after the end: %v", err)
		}
	})
}

func TestRecorderKeepsTheLease(t *testing.T) {
	record(t, func(t *testing.T, w *fixture, r *Recorder) {
		for range 5 {
			after(job.BuildOverlay.Lease - time.Millisecond)
			w.claimNothing(t)
			if ended, err := w.Sweep(t.Context()); len(ended) > 0 || err != nil {
				t.Fatal(ended, err)
			}
		}
		if err := r.Context().Err(); err != nil {
			t.Error(context.Cause(r.Context()))
		}
		r.Close()
		after(job.BuildOverlay.Lease)
		w.claim(t, 1)
	})
}

// A run that hangs loses its job, although its process can still write to the database.
func TestRecorderKeepsTheLeaseOnlyWhileTheRunMakesProgress(t *testing.T) {
	record(t, func(t *testing.T, w *fixture, r *Recorder) {
		for n := range int64(3) {
			after(maxSilence - time.Second)
			r.Progress(Progress{BytesDone: 2*n + 1})
			after(maxSilence - time.Second)
			r.Progress(Progress{BytesDone: 2*n + 2})
			after(maxSilence - time.Second)
			r.Log(job.Stdout, "a line")
		}
		after(maxSilence - time.Second)
		r.Progress(Progress{BytesDone: 6}) // what it was before is not progress
		w.claimNothing(t)
		if err := r.Context().Err(); err != nil {
			t.Fatal(context.Cause(r.Context()))
		}
		after(time.Second + job.BuildOverlay.Lease + time.Second)
		if cause := context.Cause(r.Context()); !errors.Is(cause, ErrLost) || !strings.Contains(cause.Error(), "no progress for 15m0s") {
			t.Errorf("cause %v", cause)
		}
		if got := w.texts(t, 1); len(got) != 4 || !strings.HasPrefix(got[3], "no progress for 15m0s") {
			t.Errorf("log %q", got)
		}
		w.claim(t, 1)
	})
}

func TestRecorderNoticesThatTheJobIsCancelled(t *testing.T) {
	record(t, func(t *testing.T, w *fixture, r *Recorder) {
		after(time.Minute)
		if _, _, err := w.Cancel(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		asked := time.Now()
		<-r.Context().Done()
		if waited := time.Since(asked); waited > soon {
			t.Errorf("noticed after %v", waited)
		}
		if cause := context.Cause(r.Context()); cause != ErrCancelled {
			t.Errorf("cause %v", cause)
		}
		// Winding down may take longer than a lease.
		after(time.Minute)
		r.Log(job.Stdout, "cleaned up")
		if err := r.Finish(job.Cancelled, "", nil); err != nil {
			t.Error(err)
		}
		w.state(t, 1, job.Cancelled)
		if got := w.texts(t, 1); !slices.Equal(got, []string{"cleaned up"}) {
			t.Errorf("log %q", got)
		}
	})
}

func TestRecorderNoticesThatTheJobIsLost(t *testing.T) {
	record(t, func(t *testing.T, w *fixture, r *Recorder) {
		w.exec(t, "UPDATE jobs SET attempt = attempt + 1, lost = lost + 1")
		lost := time.Now()
		<-r.Context().Done()
		if waited := time.Since(lost); waited > soon {
			t.Errorf("noticed after %v", waited)
		}
		if cause := context.Cause(r.Context()); !errors.Is(cause, ErrLost) {
			t.Errorf("cause %v", cause)
		}
		r.Log(job.Stdout, "too late")
		if err := r.Flush(); !errors.Is(err, ErrLost) {
			t.Errorf("Flush = %v", err)
		}
		if err := r.Finish(job.Succeeded, "", nil); !errors.Is(err, ErrLost) {
			t.Errorf("Finish = %v", err)
		}
		if err := r.HandBack(); !errors.Is(err, ErrLost) {
			t.Errorf("HandBack = %v", err)
		}
		w.state(t, 1, job.Running)
		if got := w.texts(t, 1); len(got) != 0 {
			t.Errorf("log %q", got)
		}
	})
}

func TestRecorderBridgesAnOutage(t *testing.T) {
	record(t, func(t *testing.T, w *fixture, r *Recorder) {
		r.Log(job.Stdout, "before")
		after(soon)
		back := w.away(t)
		for i := range 8 {
			r.Log(job.Stdout, fmt.Sprint(i))
			r.Progress(Progress{ItemsDone: int64(i)})
			after(time.Second)
		}
		if err := r.Flush(); err == nil || errors.Is(err, ErrLost) {
			t.Errorf("Flush = %v", err)
		}
		back()
		after(soon)
		if got := strings.Join(w.texts(t, 1), " "); got != "before 0 1 2 3 4 5 6 7" {
			t.Errorf("log %q", got)
		}
		if got := w.get(t, 1).Progress.ItemsDone; got != 7 {
			t.Errorf("progress %d", got)
		}

		back = w.away(t)
		r.Progress(Progress{ItemsDone: 42})
		after(time.Second)
		back()
		after(soon)
		if got := w.get(t, 1).Progress.ItemsDone; got != 42 {
			t.Errorf("progress %d", got)
		}

		// It also ends the job as soon as it can.
		back = w.away(t)
		finished := make(chan error)
		go func() { finished <- r.Finish(job.Failed, "no room", nil) }()
		after(5 * time.Second)
		back()
		if err := <-finished; err != nil {
			t.Error(err)
		}
		w.state(t, 1, job.Failed)
	})
}

func TestRecorderGivesUpBeforeTheLeaseIsOver(t *testing.T) {
	record(t, func(t *testing.T, w *fixture, r *Recorder) {
		after(time.Minute)
		until := w.get(t, 1).LeaseUntil
		back := w.away(t)
		finished := make(chan error)
		go func() { finished <- r.Finish(job.Succeeded, "", nil) }()
		<-r.Context().Done()
		if now := time.Now(); !now.Before(until) {
			t.Errorf("given up at %v, the lease was over at %v", now, until)
		}
		cause := context.Cause(r.Context())
		if !errors.Is(cause, ErrLost) || !strings.Contains(cause.Error(), "the database is away") {
			t.Errorf("cause %v", cause)
		}
		if err := <-finished; !errors.Is(err, ErrLost) {
			t.Errorf("Finish = %v", err)
		}
		back()
		after(time.Minute)
		w.claim(t, 1)
	})
}

func TestRecorderBoundsWhatWaits(t *testing.T) {
	record(t, func(t *testing.T, w *fixture, r *Recorder) {
		back := w.away(t)
		const sent = 2500
		line := strings.Repeat("x", 2*maxLine)
		for range sent {
			r.Log(job.Stdout, line)
		}
		back()
		after(soon)
		kept := w.number(t, "SELECT COUNT(*) FROM job_logs") - 1
		if bytes := w.number(t, "SELECT SUM(length(CAST(line AS BLOB))) FROM job_logs"); bytes > maxPending || bytes < maxPending/2 {
			t.Errorf("%d bytes were kept", bytes)
		}
		lines, err := w.Logs(t.Context(), 1, kept, 10)
		want := fmt.Sprintf("%d log lines were left out: the database did not take them in time", sent-kept)
		if err != nil || len(lines) != 1 || lines[0].Text != want {
			t.Errorf("%+v, %v, want %q", lines, err, want)
		}
		r.Log(job.Stdout, "again")
		after(soon)
		if lines, err := w.Logs(t.Context(), 1, kept+1, 10); err != nil || len(lines) != 1 || lines[0].Text != "again" {
			t.Errorf("%+v, %v", lines, err)
		}
	})
}

func TestRecorderFinishWithAnErrorOfTheCallersWrites(t *testing.T) {
	record(t, func(t *testing.T, w *fixture, r *Recorder) {
		mine := errors.New("mine")
		err := r.Finish(job.Succeeded, "", func(context.Context, db.Querier) error { return mine })
		if err != mine {
			t.Errorf("Finish = %v", err)
		}
		if err := r.Finish("running", "", nil); err == nil {
			t.Error("finished as running")
		}
		after(time.Minute) // the lease is kept
		w.state(t, 1, job.Running)
		if err := r.Context().Err(); err != nil {
			t.Error(err)
		}
		if err := r.Finish(job.Failed, "mine", nil); err != nil {
			t.Error(err)
		}
		w.state(t, 1, job.Failed)
	})
}

func TestRecorderOutlivesTheRunsContext(t *testing.T) {
	w := newFixture(t, openFile)
	w.useRealTime()
	synctest.Test(t, func(t *testing.T) {
		overlayID := w.overlay(t, "mine", 0)
		id := w.build(t, 1)
		stopped := errors.New("SIGTERM")
		ctx, stop := context.WithCancelCause(t.Context())
		r := w.Record(ctx, w.claim(t, id))
		defer r.Close()
		stop(stopped)
		<-r.Context().Done()
		if cause := context.Cause(r.Context()); cause != stopped {
			t.Errorf("cause %v", cause)
		}
		after(time.Minute)
		r.Log(job.Stdout, "stopped")
		err := r.Finish(job.Succeeded, "", func(ctx context.Context, q db.Querier) error {
			_, err := q.ExecContext(ctx, "UPDATE overlays SET last_build_status = 'ok' WHERE id = ?", overlayID)
			return err
		})
		if err != nil {
			t.Error(err)
		}
		w.state(t, id, job.Succeeded)
	})
}

func TestRecorderHandsBackWithItsLines(t *testing.T) {
	record(t, func(t *testing.T, w *fixture, r *Recorder) {
		r.Log(job.Stdout, "draining")
		if err := r.HandBack(); err != nil {
			t.Fatal(err)
		}
		c := w.claim(t, 1)
		if c.Attempt != 2 || c.Lost != 0 {
			t.Errorf("%+v", c)
		}
		w.Record(t.Context(), c).Close()
		if got := w.texts(t, 1); !slices.Equal(got, []string{"draining", "handed back by its worker; going on"}) {
			t.Errorf("log %q", got)
		}
	})
}

func TestRecorderIsSafeForManyGoroutines(t *testing.T) {
	w := newFixture(t, openFile)
	w.useRealTime()
	r := w.Record(t.Context(), w.claim(t, w.build(t, 1)))
	defer r.Close()
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 200 {
				r.Log(job.Stdout, fmt.Sprintf("%d %d", g, i))
				r.Progress(Progress{ItemsDone: int64(i)})
				if i%100 == 0 {
					if err := r.Flush(); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	if err := r.Finish(job.Succeeded, "", nil); err != nil {
		t.Fatal(err)
	}
	next := make([]int, 8)
	lines, err := w.Logs(t.Context(), 1, 0, 10_000)
	if err != nil || len(lines) != 1600 {
		t.Fatalf("%d lines, %v", len(lines), err)
	}
	for n, l := range lines {
		var g, i int
		if _, err := fmt.Sscan(l.Text, &g, &i); err != nil || next[g] != i || l.Seq != int64(n+1) {
			t.Fatalf("line %d is %q after %v", l.Seq, l.Text, next)
		}
		next[g]++
	}
}
