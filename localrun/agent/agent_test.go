package agent_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"left4me/localrun/agent"
	"left4me/localrun/lambdahost"
	"left4me/shared/db"
	"left4me/shared/db/dbtest"
	"left4me/shared/job"
	"left4me/shared/jobstore"
	"left4me/shared/list"
	"left4me/shared/wake"
	"left4me/shared/wake/queue"
	"left4me/shared/wake/queue/poll"
	"left4me/shared/wake/queue/queuetest"
)

// functions stands for the processes: do is what one does with a job.
type functions struct {
	do func(ctx context.Context, e job.Event) error

	mu         sync.Mutex
	busy, most int
}

func (f *functions) Invoke(ctx context.Context, function, requestID string, payload []byte) (lambdahost.Answer, error) {
	f.mu.Lock()
	f.busy++
	f.most = max(f.most, f.busy)
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		f.busy--
		f.mu.Unlock()
	}()
	var e job.Event
	if err := json.Unmarshal(payload, &e); err != nil {
		return lambdahost.Answer{}, err
	}
	return lambdahost.Answer{Payload: []byte(`{"state":"succeeded"}`)}, f.do(ctx, e)
}

type fixture struct {
	db    *db.DB
	jobs  *jobstore.Store
	agent wake.Notifier
}

// start runs an agent with a socket for a waiter: see startWith.
func start(t *testing.T, parallel int, do func(context.Context, fixture, job.Event) error) (w fixture, f *functions, stop func()) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "waiter")
	waiter, err := wake.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	return startWith(t, wake.Socket(path), waiter, parallel, do)
}

// startWith runs an agent that looks on its own only once an hour: what happens before is the waiter's doing.
func startWith(t *testing.T, notifier wake.Notifier, waiter wake.Waiter, parallel int, do func(context.Context, fixture, job.Event) error) (w fixture, f *functions, stop func()) {
	t.Helper()
	d := dbtest.New(t)
	dbtest.AddHost(t, d, "here", time.Now())
	w = fixture{db: d, jobs: jobstore.NewStore(d, time.Now), agent: notifier}
	f = &functions{do: func(ctx context.Context, e job.Event) error { return do(ctx, w, e) }}
	a := &agent.Agent{
		Jobs: w.jobs, Host: f, Wake: waiter, Operations: job.Runnable(), Parallel: parallel, Worker: jobstore.Worker{Name: "test", Host: "here"},
		Look: time.Hour, Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		a.Run(ctx)
	}()
	stop = func() {
		cancel()
		<-ended
	}
	t.Cleanup(func() {
		stop()
		waiter.Close()
	})
	return w, f, stop
}

func (w fixture) enqueue(t *testing.T, overlays ...int64) {
	t.Helper()
	for _, id := range overlays {
		if _, err := w.jobs.Enqueue(t.Context(), w.db, jobstore.Request{Operation: job.BuildOverlay, Subject: job.Overlay(id)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.agent.Notify(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func (w fixture) finish(ctx context.Context, e job.Event, state job.State) error {
	j, err := w.jobs.Get(ctx, e.JobID)
	if err != nil {
		return err
	}
	c, err := w.jobs.Resume(ctx, e.JobID, e.Attempt, job.Operation{Name: j.Operation, Lease: time.Minute})
	if err != nil {
		return err
	}
	return w.jobs.Finish(ctx, c, jobstore.Ending{State: state})
}

// wait asks until every job is in a state.
func (w fixture) wait(t *testing.T, jobs int, state job.State) []jobstore.Job {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(5 * time.Millisecond) {
		all, err := w.jobs.List(t.Context(), jobstore.Everyone, list.Query{})
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, j := range all.Rows {
			if j.State == state {
				n++
			}
		}
		if n == jobs {
			return all.Rows
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d jobs are %s: %+v", n, jobs, state, all)
		}
	}
}

func TestARingIsEnoughAndTheBoundIsKept(t *testing.T) {
	w, f, _ := start(t, 2, func(ctx context.Context, w fixture, e job.Event) error { return w.finish(ctx, e, job.Succeeded) })
	w.enqueue(t, 1, 2, 3, 4, 5, 6, 7, 8)
	w.wait(t, 8, job.Succeeded)
	if f.most > 2 {
		t.Errorf("%d jobs ran at once", f.most)
	}
}

// One job after another: an agent that is not woken would find only those that are enqueued just when another one ends.
func TestEveryNotificationStartsItsJob(t *testing.T) {
	finish := func(ctx context.Context, w fixture, e job.Event) error { return w.finish(ctx, e, job.Succeeded) }
	eachWakes := func(t *testing.T, w fixture) {
		for n := range 20 {
			w.enqueue(t, int64(n+1))
			w.wait(t, n+1, job.Succeeded)
		}
	}
	t.Run("by the socket", func(t *testing.T) {
		w, _, _ := start(t, 1, finish)
		eachWakes(t, w)
	})
	t.Run("by the queue", func(t *testing.T) {
		s := queuetest.Start(t)
		waiter := poll.Listen(t.Context(), s.Config, s.QueueURL, slog.New(slog.NewTextHandler(t.Output(), nil)))
		w, _, _ := startWith(t, queue.New(s.Getenv, s.QueueURL), waiter, 1, finish)
		eachWakes(t, w)
	})
}

func TestABusyAgentTakesTheNextWhenOneEnds(t *testing.T) {
	release := make(chan struct{})
	w, _, _ := start(t, 1, func(ctx context.Context, w fixture, e job.Event) error {
		<-release
		return w.finish(ctx, e, job.Succeeded)
	})
	w.enqueue(t, 1, 2)
	w.wait(t, 1, job.Running)
	close(release)
	w.wait(t, 2, job.Succeeded)
}

// A process that dies is noticed at once, not when its lease ends, and not for ever.
func TestAJobWhoseProcessDiesRunsAgainAtMostThreeTimes(t *testing.T) {
	w, _, _ := start(t, 2, func(context.Context, fixture, job.Event) error {
		return &lambdahost.ExitError{Function: "build-overlay", Reason: "signal: killed", Lines: []string{"goroutine 1 [running]:"}}
	})
	w.enqueue(t, 1)
	all := w.wait(t, 1, job.Failed)
	if all[0].Attempt != 3 || all[0].Error != "worker lost" {
		t.Errorf("%+v", all[0])
	}
	lines, err := w.jobs.Logs(t.Context(), all[0].ID, 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	said := ""
	for _, l := range lines {
		said += l.Text + "\n"
	}
	if strings.Count(said, "signal: killed\n") != 3 || !strings.Contains(said, "attempt 3 of 3") || strings.Contains(said, "goroutine") {
		t.Errorf("the log says\n%s", said)
	}
}

// A function that ended its job and then failed to answer changes nothing.
func TestAnEndedJobStaysEnded(t *testing.T) {
	w, _, _ := start(t, 2, func(ctx context.Context, w fixture, e job.Event) error {
		return errors.Join(w.finish(ctx, e, job.Succeeded), errors.New("the answer got lost"))
	})
	w.enqueue(t, 1)
	all := w.wait(t, 1, job.Succeeded)
	if all[0].Attempt != 1 {
		t.Errorf("%+v", all[0])
	}
}

func TestStoppingGivesRunningJobsBack(t *testing.T) {
	started := make(chan struct{})
	w, _, stop := start(t, 1, func(ctx context.Context, w fixture, e job.Event) error {
		close(started)
		<-ctx.Done()
		return context.Cause(ctx)
	})
	w.enqueue(t, 1)
	<-started
	w.enqueue(t, 2)
	stop()
	all, err := w.jobs.List(t.Context(), jobstore.Everyone, list.Query{})
	if err != nil {
		t.Fatal(err)
	}
	first := all.Rows[len(all.Rows)-1]
	if first.State != job.Running || first.LeaseUntil.UnixMilli() != 0 || first.Lost != 0 {
		t.Errorf("the running job: %+v", first)
	}
	if c, found, err := w.jobs.Claim(t.Context(), jobstore.Worker{Name: "next", Host: "here"}, job.Runnable()); err != nil || !found || c.JobID != first.ID || c.Attempt != 2 {
		t.Errorf("the next agent claims %+v, %v, %v", c, found, err)
	}
}

// inBubble runs an agent with one slot on fake time. What its functions do returns what Invoke returns.
func inBubble(t *testing.T, do func(ctx context.Context, w fixture, e job.Event) error, test func(w fixture)) {
	t.Helper()
	d := dbtest.New(t) // outside, as the driver leaves a goroutine
	dbtest.AddHost(t, d, "here", time.Now())
	synctest.Test(t, func(t *testing.T) {
		notifier := wake.NewSignal()
		w := fixture{db: d, jobs: jobstore.NewStore(d, time.Now), agent: signalNotifier(notifier)}
		a := &agent.Agent{
			Jobs: w.jobs, Host: &functions{do: func(ctx context.Context, e job.Event) error { return do(ctx, w, e) }}, Wake: notifier,
			Operations: job.Runnable(), Parallel: 1, Worker: jobstore.Worker{Name: "test", Host: "here"}, Look: time.Hour, Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			a.Run(ctx)
		}()
		test(w)
		cancel()
		<-ended
	})
}

type signalNotifier wake.Signal

func (s signalNotifier) Notify(context.Context) error {
	wake.Signal(s).Set()
	return nil
}

// log returns the lines of a job's log.
func (w fixture) log(t *testing.T, id int64) []string {
	t.Helper()
	lines, err := w.jobs.Logs(t.Context(), id, 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	var texts []string
	for _, l := range lines {
		texts = append(texts, l.Text)
	}
	return texts
}

// A program that is missing, or finds no file descriptors, has lost no worker, and does not keep other programs from running.
func TestAProgramThatCannotStartIsTriedAgain(t *testing.T) {
	broken := true
	inBubble(t, func(ctx context.Context, w fixture, e job.Event) error {
		if e.JobID == 1 && broken {
			return &lambdahost.ExitError{Function: "build-overlay", AtStart: true, Reason: "no such file", Lines: []string{"secret"}}
		}
		return w.finish(ctx, e, job.Succeeded)
	}, func(w fixture) {
		w.enqueue(t, 1)
		deletion := jobstore.Request{Operation: job.DeleteOverlay, Subject: job.Overlay(2)}
		if _, err := w.jobs.Enqueue(t.Context(), w.db, deletion); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Hour)
		all := w.wait(t, 1, job.Succeeded)
		if build := all[1]; build.State != job.Running || build.Lost != 0 || build.Attempt < 100 || build.Attempt > 200 {
			t.Errorf("the build: %+v", build)
		}
		want := []string{"function build-overlay cannot start: no such file; it will be tried again"}
		if got := w.log(t, 1); !slices.Equal(got, want) {
			t.Errorf("the log says %q", got)
		}
		broken = false
		time.Sleep(2 * time.Minute)
		w.wait(t, 2, job.Succeeded)
	})
}

// A process that hangs does not renew its lease. It must not keep the only slot.
func TestAHungProcessIsKilledWhenItHasLostItsLease(t *testing.T) {
	var killed *lambdahost.KillError
	inBubble(t, func(ctx context.Context, w fixture, e job.Event) error {
		if e.JobID == 1 && e.Attempt == 1 {
			<-ctx.Done()
			killed, _ = errors.AsType[*lambdahost.KillError](context.Cause(ctx))
			return context.Cause(ctx)
		}
		return w.finish(ctx, e, job.Succeeded)
	}, func(w fixture) {
		w.enqueue(t, 1, 2)
		time.Sleep(time.Minute)
		all := w.wait(t, 2, job.Succeeded)
		if killed == nil || all[1].Attempt != 2 || all[1].Lost != 1 {
			t.Errorf("killed with %v, %+v", killed, all)
		}
	})
}

func TestAProcessThatIgnoresACancelIsKilled(t *testing.T) {
	inBubble(t, func(ctx context.Context, w fixture, e job.Event) error {
		if e.JobID == 2 {
			return w.finish(ctx, e, job.Succeeded)
		}
		c, err := w.jobs.Resume(ctx, e.JobID, e.Attempt, job.BuildOverlay)
		for ; err == nil && ctx.Err() == nil; time.Sleep(time.Second) {
			_, err = w.jobs.Renew(ctx, c) // only its work hangs
		}
		return context.Cause(ctx)
	}, func(w fixture) {
		w.enqueue(t, 1, 2)
		time.Sleep(time.Minute)
		w.wait(t, 1, job.Running) // one that works is left alone
		if _, _, err := w.jobs.Cancel(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		time.Sleep(4 * time.Second)
		w.wait(t, 1, job.Cancelling) // one that winds down has a moment
		time.Sleep(10 * time.Second)
		w.wait(t, 1, job.Cancelled)
		w.wait(t, 1, job.Succeeded)
		if log := strings.Join(w.log(t, 1), "\n"); !strings.Contains(log, "killed, because it did not end after its job was cancelled") {
			t.Errorf("the log says %q", log)
		}
	})
}

// One that has ended its job has a moment to answer, and is killed when it never does.
func TestAProcessThatNeverAnswersIsKilled(t *testing.T) {
	inBubble(t, func(ctx context.Context, w fixture, e job.Event) error {
		if err := w.finish(ctx, e, job.Succeeded); err != nil || e.JobID == 2 {
			return err
		}
		<-ctx.Done()
		return context.Cause(ctx)
	}, func(w fixture) {
		w.enqueue(t, 1, 2)
		time.Sleep(4 * time.Second)
		w.wait(t, 1, job.Queued)
		time.Sleep(10 * time.Second)
		w.wait(t, 2, job.Succeeded)
	})
}

func TestABrokenBellCostsOnlyTime(t *testing.T) {
	d := dbtest.New(t)
	dbtest.AddHost(t, d, "here", time.Now())
	jobs := jobstore.NewStore(d, time.Now)
	waiter, err := wake.Listen(filepath.Join(t.TempDir(), "waiter"))
	if err != nil {
		t.Fatal(err)
	}
	waiter.Close()
	w := fixture{db: d, jobs: jobs}
	f := &functions{do: func(ctx context.Context, e job.Event) error { return w.finish(ctx, e, job.Succeeded) }}
	a := &agent.Agent{Jobs: jobs, Host: f, Wake: waiter, Operations: job.Runnable(), Parallel: 1, Worker: jobstore.Worker{Name: "test", Host: "here"},
		Look: 10 * time.Millisecond, Log: slog.New(slog.NewTextHandler(t.Output(), nil))}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		a.Run(ctx)
	}()
	if _, err := jobs.Enqueue(t.Context(), d, jobstore.Request{Operation: job.BuildOverlay, Subject: job.Overlay(1)}); err != nil {
		t.Fatal(err)
	}
	w.wait(t, 1, job.Succeeded)
	cancel()
	<-ended
}

// ending is an Invoker that answers for each job what it has for it.
type ending map[int64]struct {
	answer string
	err    error
}

func (e ending) Invoke(_ context.Context, _, _ string, payload []byte) (lambdahost.Answer, error) {
	var event job.Event
	if err := json.Unmarshal(payload, &event); err != nil {
		return lambdahost.Answer{}, err
	}
	return lambdahost.Answer{Payload: []byte(e[event.JobID].answer)}, e[event.JobID].err
}

func TestHowRunsEndIsTold(t *testing.T) {
	functions := ending{
		1: {answer: `{"job_id":1,"state":"succeeded"}`},
		2: {answer: `{"job_id":2,"state":"failed","error":"x"}`},
		3: {answer: `{"job_id":3,"state":"cancelled"}`},
		4: {answer: `{"job_id":4,"state":"running"}`},
		5: {err: &lambdahost.BusyError{}},
		6: {err: &lambdahost.ExitError{}},
		7: {answer: `rubbish`},
	}
	want := map[agent.Result]bool{"succeeded": true, "failed": true, "cancelled": true, agent.HandedBack: true, agent.Lost: true}
	d := dbtest.New(t)
	dbtest.AddHost(t, d, "here", time.Now())
	jobs := jobstore.NewStore(d, time.Now)
	for overlay := range functions {
		if _, err := jobs.Enqueue(t.Context(), d, jobstore.Request{Operation: job.BuildOverlay, Subject: job.Overlay(overlay)}); err != nil {
			t.Fatal(err)
		}
	}
	waiter, err := wake.Listen(filepath.Join(t.TempDir(), "waiter"))
	if err != nil {
		t.Fatal(err)
	}
	defer waiter.Close()
	told := make(chan agent.Run)
	ctx, cancel := context.WithCancel(t.Context())
	a := &agent.Agent{Jobs: jobs, Host: functions, Wake: waiter, Operations: job.Runnable(), Parallel: len(functions), Worker: jobstore.Worker{Name: "test", Host: "here"}, Look: time.Hour,
		Worked: func(r agent.Run) {
			select {
			case told <- r:
			case <-ctx.Done():
			}
		}, Log: slog.New(slog.NewTextHandler(t.Output(), nil))}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		a.Run(ctx)
	}()
	got := map[agent.Result]bool{}
	for len(got) < len(want) { // what was handed back or lost runs, and is told of, again
		select {
		case r := <-told:
			if r.Operation != "build_overlay" || r.Took <= 0 {
				t.Errorf("told of %+v", r)
			}
			got[r.Result] = true
		case <-time.After(2 * time.Minute):
			t.Fatalf("told only of %v", got)
		}
	}
	cancel()
	<-ended
	if !maps.Equal(got, want) {
		t.Errorf("results %v, want %v", got, want)
	}
	for _, r := range agent.Results() {
		if !want[r] {
			t.Errorf("%s is no result", r)
		}
	}
}

// lines passes on each line of a log.
type lines chan string

func (l lines) Write(line []byte) (int, error) {
	l <- string(line)
	return len(line), nil
}

func TestADatabaseThatIsAwayIsSaidOnce(t *testing.T) {
	d := dbtest.New(t)
	dbtest.AddHost(t, d, "here", time.Now())
	rename := func(from, to string) {
		t.Helper()
		if _, err := d.ExecContext(t.Context(), `ALTER TABLE `+from+` RENAME TO `+to); err != nil {
			t.Fatal(err)
		}
	}
	rename("jobs", "away")
	waiter, err := wake.Listen(filepath.Join(t.TempDir(), "waiter"))
	if err != nil {
		t.Fatal(err)
	}
	defer waiter.Close()
	said, looked := make(lines, 10), make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	a := &agent.Agent{Jobs: jobstore.NewStore(d, time.Now), Wake: waiter, Operations: job.Runnable(), Parallel: 1, Worker: jobstore.Worker{Name: "test", Host: "here"}, Look: time.Hour,
		Looked: func() {
			select {
			case looked <- struct{}{}:
			case <-ctx.Done():
			}
		}, Log: slog.New(slog.NewTextHandler(said, nil))}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		a.Run(ctx)
	}()
	for range 3 {
		<-looked
	}
	rename("away", "jobs")
	for i, want := range []string{"cannot look for jobs", "can look for jobs again"} {
		for line := ""; !strings.Contains(line, want); {
			select {
			case line = <-said:
				if !strings.Contains(line, want) {
					t.Fatalf("line %d is %q, want %q", i, line, want)
				}
			case <-looked:
			}
		}
	}
	cancel()
	<-ended
}
