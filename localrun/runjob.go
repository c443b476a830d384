package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"left4me/localrun/agent"
	"left4me/localrun/lambdahost"
	"left4me/shared/db"
	"left4me/shared/job"
	"left4me/shared/jobstore"
	"left4me/shared/problem"
	"left4me/shared/route"
	"left4me/shared/settings"
	"left4me/shared/wake"
)

const (
	// pollInterval is how often the job and its log are read.
	pollInterval = 200 * time.Millisecond
	// queuedPolls is the number of polls after which a message says that the job is still queued.
	queuedPolls = 5
)

// runJob enqueues a job of operation about a whole host, and shows its log until it has ended. If that is this host, the process is an
// agent for this operation meanwhile, so that the job runs even if there is no other. command is the command of localrun. It returns the
// job that was asked for, or nil if it was not.
func (o *options) runJob(ctx context.Context, command string, s settings.Settings, d *db.DB, operation job.Operation, host, this string, out, stderr io.Writer) (*jobstore.Enqueued, error) {
	log := slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	functions, err := o.newHost(s, []lambdahost.Function{{Name: operation.Function, MaxProcesses: 1, TimeLimit: operation.TimeLimit}}, 1, log)
	if err != nil {
		return nil, err
	}
	jobs := jobstore.NewStore(d, time.Now)
	asked, err := jobs.Enqueue(ctx, d, jobstore.Request{Operation: operation, Host: host})
	if err == nil && asked.ID == 0 {
		err = problem.NotFound("There is no host %s any more.", host)
	}
	if err != nil {
		return nil, errors.Join(err, functions.Shutdown(ctx))
	}
	fmt.Fprintln(out, asked.Sentence(operation))

	ended := make(chan struct{})
	agentCtx, stop := context.WithCancel(ctx)
	defer stop()
	if host == this {
		a := &agent.Agent{
			Jobs:       jobs,
			Host:       functions,
			Wake:       wake.NewSignal(), // never set: the agent looks regularly
			Operations: []job.Operation{operation},
			Parallel:   1,
			Worker:     jobstore.Worker{Name: fmt.Sprintf("localrun %s on %s, process %d", command, s.Host, os.Getpid()), Host: this},
			Look:       lookEmbedded,
			Log:        log,
		}
		go func() {
			a.Run(agentCtx)
			close(ended)
		}()
	} else {
		close(ended)
	}
	err = show(ctx, jobs, asked.ID, out, stderr)
	stop()
	<-ended
	if herr := shutdown(ctx, functions); err == nil {
		err = herr
	}
	if ctx.Err() != nil {
		err = interrupted(ctx, s, jobs, asked)
	}
	return asked, err
}

// interrupted cancels the job after ctx has ended, unless somebody else had asked for it before. The returned error says what
// happens to the job, which this process does not run any more.
func interrupted(ctx context.Context, s settings.Settings, jobs *jobstore.Store, asked *jobstore.Enqueued) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTime)
	defer cancel()
	if !asked.New {
		return fmt.Errorf("interrupted; job %d had been asked for before, and goes on where a host agent runs. It can be cancelled at %s%s",
			asked.ID, s.PublicURL, route.JobShow.URL(asked.ID))
	}
	state, _, err := jobs.Cancel(ctx, asked.ID)
	if err != nil {
		return fmt.Errorf("interrupted, and the job goes on where a host agent runs: %w", err)
	}
	return fmt.Errorf("interrupted; job %d: %s", asked.ID, state)
}

// show prints new lines of the job's log until the job has ended. It returns an error if the job did not succeed, or if ctx
// ended before.
func show(ctx context.Context, jobs *jobstore.Store, id int64, out, stderr io.Writer) error {
	const lines = 1000
	var last int64
	for polls := 1; ; polls++ {
		// Read the state before the lines: after the end of the job, its log is complete.
		j, err := jobs.Get(ctx, id)
		for more := err == nil; more; {
			var log []jobstore.Line
			if log, err = jobs.Logs(ctx, id, last, lines); err != nil {
				break
			}
			for _, l := range log {
				last = l.Seq
				fmt.Fprintln(map[job.Stream]io.Writer{job.Stdout: out, job.Stderr: stderr}[l.Stream], l.Text)
			}
			more = len(log) == lines
		}
		if polls == queuedPolls && j.State == job.Queued {
			fmt.Fprintf(stderr, "job %d waits until no other job is at work on its host, where an agent must be running\n", id)
		}
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			return err
		case j.State == job.Succeeded:
			return nil
		case j.State == job.Cancelled:
			return fmt.Errorf("job %d was cancelled", id)
		case j.State == job.Failed:
			return fmt.Errorf("job %d failed: %s", id, j.Error)
		}
		select {
		case <-time.After(pollInterval):
		case <-ctx.Done():
		}
	}
}
