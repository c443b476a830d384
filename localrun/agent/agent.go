// Package agent is the host agent: the long-lived part of localrun that claims jobs and invokes their functions (promises P31
// to P36). A function does the work of its job and records the result. The agent does so only when the function's process dies.
package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"left4me/localrun/lambdahost"
	"left4me/shared/job"
	"left4me/shared/jobstore"
	"left4me/shared/wake"
)

// Invoker runs functions. It is a *lambdahost.Host except in tests.
type Invoker interface {
	Invoke(ctx context.Context, function, requestID string, payload []byte) (lambdahost.Answer, error)
}

// Run is a finished run of a job.
type Run struct {
	// Operation is the name of the job's operation.
	Operation string
	Result    Result
	Took      time.Duration
}

// Result is the result of a run: the final state of the job, HandedBack or Lost.
type Result string

const (
	// HandedBack means that the run was stopped, or that no process was free or could start. Another run continues the job.
	HandedBack Result = "handed_back"
	// Lost means that the process died, or did not own the job any more.
	Lost Result = "lost"
)

// Results returns all results.
func Results() []Result {
	return []Result{Result(job.Succeeded), Result(job.Failed), Result(job.Cancelled), HandedBack, Lost}
}

// Agent claims jobs and runs them.
type Agent struct {
	Jobs *jobstore.Store
	Host Invoker
	// Wake wakes the agent to look for jobs.
	Wake wake.Waiter
	// Operations are the operations that this host has functions for.
	Operations []job.Operation
	// Parallel is how many jobs run at once.
	Parallel int
	// Worker is the agent's name in the jobs that it claims, and its host.
	Worker jobstore.Worker
	// Look is how often the agent looks for jobs without being woken.
	Look time.Duration
	// Looked is called after each look for jobs, even a failed one. It may be nil.
	Looked func()
	// Worked is called after each run of a job. It may be nil.
	Worked func(Run)
	Log    *slog.Logger

	mu     sync.Mutex
	active map[*active]struct{}
	paused map[string]paused // by function
}

// paused is a function whose program cannot start.
type paused struct {
	failures int
	until    time.Time
}

// active is a run whose function has not answered yet.
type active struct {
	claim jobstore.Claim
	kill  context.CancelCauseFunc
	ended chan struct{} // closed when the function has answered or its process has ended
	// trouble is why its process should end, and since when. Only watch uses both.
	trouble string
	since   time.Time
}

// retryPause is how long the agent waits after an error of the database.
const retryPause = time.Second

const (
	// watchEvery is how often the agent asks which of its runs still own their jobs.
	watchEvery = time.Second
	// stopTime is how long a process may go on after its job was cancelled, lost or ended. Then it is killed.
	stopTime = 5 * time.Second
)

// The pause before a program that could not start is tried again: minPause, doubled with each failure up to maxPause.
const (
	minPause = time.Second
	maxPause = time.Minute
)

// Run claims and runs jobs until ctx ends. Then it stops the running jobs, which hands them back, and returns when all have
// ended.
func (a *Agent) Run(ctx context.Context) {
	slots := make(chan struct{}, a.Parallel)
	look := wake.NewSignal()
	var running sync.WaitGroup
	defer running.Wait()
	running.Go(func() { a.listen(ctx, look) })
	running.Go(func() { a.watch(ctx) })
	logged := "" // the current error; it is logged once, because a database may be unreachable for hours
	for ctx.Err() == nil {
		claimed, err := a.next(ctx, slots, func(c jobstore.Claim) {
			running.Go(func() {
				begun := time.Now()
				result := a.run(ctx, c)
				ended := Run{Operation: c.Operation.Name, Result: result, Took: time.Since(begun)}
				if result == HandedBack || result == Lost {
					pause(ctx, retryPause) // the job can be claimed at once, but the cause may persist for a moment
				}
				if until := a.pausedUntil(c.Operation); !until.IsZero() {
					time.AfterFunc(time.Until(until), look.Set)
				}
				<-slots
				look.Set() // another job may have waited for this one
				if a.Worked != nil {
					a.Worked(ended)
				}
			})
		})
		if a.Looked != nil {
			a.Looked()
		}
		if err == nil && logged != "" {
			a.Log.Info("can look for jobs again")
			logged = ""
		}
		switch {
		case err != nil && ctx.Err() == nil:
			if err.Error() != logged {
				logged = err.Error()
				a.Log.Error("cannot look for jobs; trying on", "error", logged)
			}
			pause(ctx, retryPause)
		case !claimed:
			select {
			case <-look:
			case <-ctx.Done():
			}
		}
	}
}

// listen sets look when the agent is woken, and at least every a.Look.
func (a *Agent) listen(ctx context.Context, look wake.Signal) {
	broken := false
	for ctx.Err() == nil {
		if broken {
			pause(ctx, a.Look)
		} else if _, err := a.Wake.Wait(ctx, a.Look); err != nil && ctx.Err() == nil {
			broken = true
			a.Log.Error("cannot be woken any more; looking for jobs regularly", "error", err.Error(), "every", a.Look)
		}
		look.Set()
	}
}

// watch kills the processes that do not end after their jobs were cancelled, lost or ended, so that a process that hangs does
// not keep its slot. While the database does not answer, it kills nothing.
func (a *Agent) watch(ctx context.Context) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		runs := a.runs()
		if len(runs) == 0 {
			continue
		}
		held, err := a.Jobs.Held(ctx)
		if err != nil {
			continue // looking for jobs fails, too, and logs it
		}
		for _, r := range runs {
			trouble := "it did not end after it had lost or ended its job"
			if i := slices.IndexFunc(held, r.isOf); i >= 0 && held[i].Cancelling {
				trouble = "it did not end after its job was cancelled"
			} else if i >= 0 {
				trouble = ""
			}
			if trouble != r.trouble {
				r.trouble, r.since = trouble, time.Now()
			}
			if trouble != "" && time.Since(r.since) >= stopTime {
				r.kill(&lambdahost.KillError{Reason: trouble})
			}
		}
	}
}

// runs returns the runs whose functions have not answered yet.
func (a *Agent) runs() []*active {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Collect(maps.Keys(a.active))
}

// isOf reports whether h is the run.
func (r *active) isOf(h jobstore.Held) bool {
	return h.JobID == r.claim.JobID && h.Attempt == r.claim.Attempt
}

// awaitLost waits for the processes that have lost or ended their jobs, or until ctx ends. Such a process may have been suspended for
// long, and still change the directory that a new run is about to change. It ends by itself, or watch kills it.
func (a *Agent) awaitLost(ctx context.Context) {
	for _, r := range a.runs() {
		for ctx.Err() == nil {
			held, err := a.Jobs.Held(ctx)
			if err == nil && slices.ContainsFunc(held, r.isOf) {
				break
			}
			if err != nil {
				pause(ctx, retryPause)
				continue
			}
			select {
			case <-r.ended:
			case <-ctx.Done():
			}
			break
		}
	}
}

// invoke invokes the function of a job, watched by watch.
func (a *Agent) invoke(ctx context.Context, c jobstore.Claim, payload []byte) (lambdahost.Answer, error) {
	ctx, kill := context.WithCancelCause(ctx)
	defer kill(nil)
	r := &active{claim: c, kill: kill, ended: make(chan struct{})}
	a.mu.Lock()
	if a.active == nil {
		a.active = map[*active]struct{}{}
	}
	a.active[r] = struct{}{}
	a.mu.Unlock()
	defer func() {
		a.mu.Lock()
		delete(a.active, r)
		a.mu.Unlock()
		close(r.ended)
	}()
	return a.Host.Invoke(ctx, c.Operation.Function, fmt.Sprintf("job-%d-attempt-%d", c.JobID, c.Attempt), payload)
}

// next ends the jobs of lost workers, and then starts one job, if there is one and a free slot.
func (a *Agent) next(ctx context.Context, slots chan struct{}, start func(jobstore.Claim)) (claimed bool, err error) {
	ended, err := a.Jobs.Sweep(ctx)
	for _, id := range ended {
		a.Log.Warn("job ended for its lost worker", "job", id)
	}
	if err != nil {
		return false, err
	}
	select {
	case slots <- struct{}{}:
	default:
		return false, nil
	}
	now := time.Now()
	startable := slices.DeleteFunc(slices.Clone(a.Operations), func(o job.Operation) bool { return now.Before(a.pausedUntil(o)) })
	c, found, err := a.Jobs.Claim(ctx, a.Worker, startable)
	if err != nil || !found {
		<-slots
		return false, err
	}
	start(c)
	return true, nil
}

// pausedUntil returns until when no job of the operation is claimed, because its program could not start, or the zero time.
func (a *Agent) pausedUntil(o job.Operation) time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.paused[o.Function].until
}

// setStarted notes whether the program of the operation could start.
func (a *Agent) setStarted(o job.Operation, started bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	p := a.paused[o.Function]
	switch {
	case started:
		delete(a.paused, o.Function)
	case !time.Now().Before(p.until): // else another run has failed just now, too
		if a.paused == nil {
			a.paused = map[string]paused{}
		}
		a.paused[o.Function] = paused{p.failures + 1, time.Now().Add(min(minPause<<min(p.failures, 10), maxPause))}
	}
}

// run invokes the function of a job. The function itself records the job's result. If Invoke fails, run hands the job back or
// records that its process was lost.
func (a *Agent) run(ctx context.Context, c jobstore.Claim) Result {
	log := a.Log.With("job", c.JobID, "operation", c.Operation.Name, "attempt", c.Attempt)
	payload, err := json.Marshal(job.Event{JobID: c.JobID, Attempt: c.Attempt})
	var answer lambdahost.Answer
	if err == nil {
		a.awaitLost(ctx)
		answer, err = a.invoke(ctx, c, payload)
	}
	if err == nil {
		a.setStarted(c.Operation, true)
		return result(answer)
	}
	_, busy := errors.AsType[*lambdahost.BusyError](err)
	stopping := ctx.Err() != nil || errors.Is(err, lambdahost.ErrClosed)
	ctx = context.WithoutCancel(ctx)
	ended := Lost
	exit, isExit := errors.AsType[*lambdahost.ExitError](err)
	switch {
	case stopping, busy:
		ended = HandedBack
		if busy {
			log.Warn("no process is free for the job", "error", err.Error())
		}
		err = a.Jobs.HandBack(ctx, c)
	case isExit && exit.AtStart:
		ended = HandedBack
		log.Error("job's program cannot start; it will be tried again", "error", err.Error())
		a.setStarted(c.Operation, false)
		err = a.Jobs.CannotStart(ctx, c, publicError(err)+"; it will be tried again")
	default:
		a.setStarted(c.Operation, true)
		log.Error("job's process is lost", "error", err.Error())
		err = a.Jobs.WorkerLost(ctx, c, publicError(err))
	}
	if err != nil && !errors.Is(err, jobstore.ErrLost) {
		log.Error("cannot give the job up; it is noticed when its lease ends", "error", err.Error())
	}
	return ended
}

// result returns the result of a run from the answer of its function.
func result(answer lambdahost.Answer) Result {
	var o job.Outcome
	if err := json.Unmarshal(answer.Payload, &o); err != nil {
		return Lost
	}
	switch r := Result(o.State); {
	case o.State == job.Running:
		return HandedBack
	case slices.Contains(Results(), r):
		return r
	}
	return Lost
}

// publicError returns the text of err for people who may read the job. It leaves out the output of the process, which may be
// about other people's jobs or be a stack trace.
func publicError(err error) string {
	if exit, ok := errors.AsType[*lambdahost.ExitError](err); ok {
		err = &lambdahost.ExitError{Function: exit.Function, AtStart: exit.AtStart, Reason: exit.Reason}
	}
	return err.Error()
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
