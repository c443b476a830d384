// Package agent is the host agent: the long-lived part of localrun that claims jobs and has their functions run
// (product.md P31 to P36). What a job does is its function's business; the agent notices when a function's process dies.
package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"left4me/localrun/lambdahost"
	"left4me/shared/job"
	"left4me/shared/jobstore"
	"left4me/shared/wake"
)

// Invoker runs functions; it is a *lambdahost.Host.
type Invoker interface {
	Invoke(ctx context.Context, function, requestID string, payload []byte) (lambdahost.Answer, error)
}

// Run is one run of a job that has come to its end.
type Run struct {
	// Operation is the name of the job's.
	Operation string
	Result    Result
	Took      time.Duration
}

// Result is how a run ended.
type Result string

// The results, and the states of jobs that have ended.
const (
	// HandedBack is a run that was stopped, or found no process: its job goes on in another one.
	HandedBack Result = "handed_back"
	// Lost is a run whose process died, or was not the job's owner any more.
	Lost Result = "lost"
)

// Results are all results.
func Results() []Result {
	return []Result{Result(job.Succeeded), Result(job.Failed), Result(job.Cancelled), HandedBack, Lost}
}

// Agent claims jobs and runs them.
type Agent struct {
	Jobs *jobstore.Store
	Host Invoker
	// Wake says when to look for jobs.
	Wake wake.Waiter
	// Operations are those that this host has a function for.
	Operations []job.Operation
	// Parallel is how many jobs run at once.
	Parallel int
	// Worker is the name under which the agent claims, for people to read.
	Worker string
	// Look is how often the agent looks for jobs when it is not woken.
	Look time.Duration
	// Looked, unless it is nil, is told of each look for jobs, of one that failed too.
	Looked func()
	// Worked, unless it is nil, is told after each run of a job.
	Worked func(Run)
	Log    *slog.Logger
}

// retryPause is how long the agent waits after the database failed it.
const retryPause = time.Second

// Run claims and runs jobs until ctx ends. Then it claims no more, has the running ones stopped, which hands them back, and
// returns when none is left.
func (a *Agent) Run(ctx context.Context) {
	slots := make(chan struct{}, a.Parallel)
	look := wake.NewSignal()
	var running sync.WaitGroup
	defer running.Wait()
	// The agent looks when it is woken, and when a job has ended.
	running.Go(func() { a.listen(ctx, look) })
	said := "" // what is wrong, once it has been said; a database may be away for a night
	for ctx.Err() == nil {
		claimed, err := a.next(ctx, slots, func(c jobstore.Claim) {
			running.Go(func() {
				begun := time.Now()
				result := a.run(ctx, c)
				ended := Run{Operation: c.Operation.Name, Result: result, Took: time.Since(begun)}
				if result == HandedBack || result == Lost {
					pause(ctx, retryPause) // the job can be claimed again at once, and what was wrong may need a moment to pass
				}
				<-slots
				look.Set() // it may have held what another one waits for
				if a.Worked != nil {
					a.Worked(ended)
				}
			})
		})
		if a.Looked != nil {
			a.Looked()
		}
		if err == nil && said != "" {
			a.Log.Info("can look for jobs again")
			said = ""
		}
		switch {
		case err != nil && ctx.Err() == nil:
			if err.Error() != said {
				said = err.Error()
				a.Log.Error("cannot look for jobs; trying on", "error", said)
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

// listen sets look when the agent is woken, and regularly. When it cannot be woken any more, only regularly.
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

// next ends what lost workers have left and starts one job, if there is one and a slot for it.
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
	c, found, err := a.Jobs.Claim(ctx, a.Worker, a.Operations)
	if err != nil || !found {
		<-slots
		return false, err
	}
	start(c)
	return true, nil
}

// run has one job run by its function. The function itself writes how the job ended; only when its process is gone does the
// agent speak for it.
func (a *Agent) run(ctx context.Context, c jobstore.Claim) Result {
	log := a.Log.With("job", c.JobID, "operation", c.Operation.Name, "attempt", c.Attempt)
	payload, err := json.Marshal(job.Event{JobID: c.JobID, Attempt: c.Attempt})
	var answer lambdahost.Answer
	if err == nil {
		answer, err = a.Host.Invoke(ctx, c.Operation.Function, fmt.Sprintf("job-%d-attempt-%d", c.JobID, c.Attempt), payload)
	}
	if err == nil {
		return result(answer)
	}
	stopping, busy := ctx.Err() != nil || errors.Is(err, lambdahost.ErrClosed), isBusy(err)
	ctx = context.WithoutCancel(ctx)
	ended := Lost
	if stopping || busy {
		ended = HandedBack
		if busy {
			log.Warn("no process is free for the job", "error", err.Error())
		}
		err = a.Jobs.HandBack(ctx, c) // its process is gone or never was, through no fault of the job
	} else {
		log.Error("job's process is lost", "error", err.Error())
		err = a.Jobs.WorkerLost(ctx, c, how(err))
	}
	if err != nil && !errors.Is(err, jobstore.ErrLost) {
		log.Error("cannot give the job up; it is noticed when its lease ends", "error", err.Error())
	}
	return ended
}

// result is how the run ended that a job's function has answered about.
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

// how says for a job's readers how its process was lost. What the process has printed is for the log alone: it may be about
// other people's jobs, or the stack of a fault of ours.
func how(err error) string {
	if exit, ok := errors.AsType[*lambdahost.ExitError](err); ok {
		err = &lambdahost.ExitError{Function: exit.Function, Reason: exit.Reason}
	}
	return err.Error()
}

func isBusy(err error) bool {
	_, busy := errors.AsType[*lambdahost.BusyError](err)
	return busy
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
