package fn

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/aws/aws-lambda-go/lambda"

	"left4me/shared/db"
	"left4me/shared/host"
	"left4me/shared/job"
	"left4me/shared/jobstore"
)

// Run is one run of a job, for its function: what the job is about, and where its log and progress go.
type Run struct {
	JobID int64
	// Subject is what the job is about.
	Subject job.Subject
	// Host is the id of the host that the job belongs to; empty for one that runs anywhere.
	Host string

	argument string
	recorder *jobstore.Recorder
	success  func(ctx context.Context, q db.Querier) error
}

// Argument decodes the argument of the request into v, such as a pointer to the struct that was enqueued.
func (r *Run) Argument(v any) error {
	if err := json.Unmarshal([]byte(r.argument), v); err != nil {
		return fmt.Errorf("read the argument of job %d: %w", r.JobID, err)
	}
	return nil
}

// Infof writes a line to the job's stdout.
func (r *Run) Infof(format string, args ...any) {
	r.recorder.Log(job.Stdout, fmt.Sprintf(format, args...))
}

// Warnf writes a line to the job's stderr.
func (r *Run) Warnf(format string, args ...any) {
	r.recorder.Log(job.Stderr, fmt.Sprintf(format, args...))
}

// Progress replaces the run's progress.
func (r *Run) Progress(p jobstore.Progress) { r.recorder.Progress(p) }

// OnSuccess sets a function that writes in the transaction that ends the job as succeeded.
func (r *Run) OnSuccess(write func(ctx context.Context, q db.Querier) error) { r.success = write }

// The causes of a run's end after which the job is handed back and continues in another run.
var (
	errStopping = errors.New("the process was told to end")
	errTime     = errors.New("the time of this run is nearly over")
)

// reserve is the most time that a run keeps, before its time limit, to stop consistently and hand its job back.
const reserve = 20 * time.Second

// withReserve returns a context that ends before ctx's deadline, if it has one: by reserve, or a tenth of the time that is left.
func withReserve(ctx context.Context, now time.Time) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	return context.WithDeadlineCause(ctx, deadline.Add(-min(reserve, deadline.Sub(now)/10)), errTime)
}

// Job is the main of a function that runs the jobs of one operation. The runner that build returns is called for each
// job.Event. It works until its context ends, and returns nil when the job has succeeded, else an error whose text people see.
// Job does not return.
//
// A job that was cancelled ends as cancelled. On SIGTERM, and shortly before the time limit, the job is handed back and
// continues in another run. A run that has lost its job stops and writes nothing more.
func Job(operation job.Operation, build func(*Env) func(context.Context, *Run) error) {
	env := Start(operation.Function)
	h := &jobHandler{env: env, operation: operation, run: build(env)}
	ctx, stop := context.WithCancelCause(context.Background())
	terminated := make(chan os.Signal, 1)
	signal.Notify(terminated, syscall.SIGTERM)
	go func() {
		<-terminated
		stop(errStopping)
		if h.busy.Load() == 0 {
			os.Exit(0)
		}
	}()
	lambda.StartWithOptions(func(invocation context.Context, event job.Event) (job.Outcome, error) {
		h.busy.Add(1)
		defer h.busy.Add(-1)
		invocation, end := context.WithCancelCause(invocation)
		defer end(nil)
		defer context.AfterFunc(ctx, func() { end(errStopping) })()
		return h.handle(invocation, event)
	})
}

type jobHandler struct {
	env       *Env
	operation job.Operation
	run       func(context.Context, *Run) error
	busy      atomic.Int32
}

// handle runs one job. The error, for the caller's log, means that the job could not be claimed or was lost. A job that fails is
// not an error here: its row has the error.
func (h *jobHandler) handle(ctx context.Context, event job.Event) (job.Outcome, error) {
	if event.Fired != nil {
		event.JobID = event.Fired.JobID
	}
	if event.JobID <= 0 {
		return job.Outcome{}, errors.New(`a job's event is {"job_id":N} or {"job_id":N,"attempt":A}`)
	}
	claim, err := h.claim(ctx, event)
	if blocked := (*jobstore.BlockedError)(nil); event.Fired != nil && errors.As(err, &blocked) {
		// The host agent has claimed the job already or will claim it later, so AWS must not retry.
		h.env.Log.Info("job left to the host agent", "job", blocked.JobID, "why", blocked.Why)
		return job.Outcome{JobID: blocked.JobID}, nil
	}
	if err != nil {
		return job.Outcome{}, err
	}
	log := h.env.Log.With("job", claim.JobID, "operation", h.operation.Name, "attempt", claim.Attempt)
	log.Info("job started")
	ctx, stop := withReserve(ctx, h.env.Now())
	defer stop()
	recorder := h.env.Jobs.Record(ctx, claim)
	defer recorder.Close()
	run := &Run{JobID: claim.JobID, Subject: claim.Subject, Host: claim.Host, argument: claim.Argument, recorder: recorder}
	end, err := h.end(recorder, run, h.guarded(recorder.Context(), run))
	if err != nil {
		log.Error("job lost", "error", err.Error())
		return job.Outcome{}, err
	}
	switch {
	case end.State == job.Running:
		log.Info("job handed back")
	case end.Error != "":
		log.Info("job ended", "state", end.State, "error", end.Error)
	default:
		log.Info("job ended", "state", end.State)
	}
	h.env.WakeAgent(context.WithoutCancel(ctx)) // now that this job's locks are free
	end.JobID = claim.JobID
	if end.State == job.Running && event.Fired != nil {
		// On AWS, without a host agent, nobody else continues the job. Lambda invokes the function again after an error, twice.
		return job.Outcome{}, fmt.Errorf("job %d was handed back: its time on Lambda was over, or the process was told to end", claim.JobID)
	}
	return end, nil
}

func (h *jobHandler) claim(ctx context.Context, event job.Event) (jobstore.Claim, error) {
	if event.Attempt != 0 {
		return h.env.Jobs.Resume(ctx, event.JobID, event.Attempt, h.operation)
	}
	worker := jobstore.Worker{Name: fmt.Sprintf("%s on %s, process %d", h.operation.Function, h.env.Settings.Host, os.Getpid())}
	if h.operation.Place == job.Disk {
		var err error
		if worker.Host, err = host.ReadID(h.env.Settings.Root); err != nil {
			return jobstore.Claim{}, fmt.Errorf("this is no host that runs jobs: %w", err)
		}
	}
	return h.env.Jobs.ClaimJob(ctx, worker, event.JobID, h.operation)
}

// guarded turns a panic of the run into an error, so that the job fails at once and is not run again as if its worker had been lost.
func (h *jobHandler) guarded(ctx context.Context, run *Run) (err error) {
	defer func() {
		if p := recover(); p != nil {
			h.env.Log.Error("job panicked", "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			err = errors.New("a fault of left4me; the log of the host agent has the details")
		}
	}()
	return h.run(ctx, run)
}

// end records how a run ended. A result of nil counts more than the end of the context: a run that was complete before it noticed
// a cancellation has succeeded.
func (h *jobHandler) end(r *jobstore.Recorder, run *Run, result error) (job.Outcome, error) {
	switch cause := context.Cause(r.Context()); {
	case result == nil:
		err := r.Finish(job.Succeeded, "", run.success)
		if err == nil {
			return job.Outcome{State: job.Succeeded}, nil
		}
		if errors.Is(err, jobstore.ErrLost) {
			return job.Outcome{}, err
		}
		result = err
	case errors.Is(cause, jobstore.ErrLost):
		return job.Outcome{}, cause
	case errors.Is(cause, jobstore.ErrCancelled):
		run.Infof("cancelled")
		return job.Outcome{State: job.Cancelled}, r.Finish(job.Cancelled, "", nil)
	case cause != nil:
		run.Warnf("interrupted (%v); it goes on later", cause)
		return job.Outcome{State: job.Running}, r.HandBack()
	}
	reason := db.Reason(result)
	if reason != result.Error() {
		h.env.Log.Error("job failed", "job", run.JobID, "error", result.Error())
	}
	return job.Outcome{State: job.Failed, Error: reason}, r.Finish(job.Failed, reason, nil)
}
