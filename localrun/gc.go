package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/spf13/cobra"

	"left4me/localrun/agent"
	"left4me/localrun/lambdahost"
	"left4me/shared/db"
	"left4me/shared/garbage"
	"left4me/shared/job"
	"left4me/shared/jobstore"
	"left4me/shared/route"
	"left4me/shared/settings"
	"left4me/shared/vpkcache"
	"left4me/shared/wake"
	"left4me/shared/workshop"
	"left4me/templates/page"
)

func gcCommand() *cobra.Command {
	var o options
	var dryRun bool
	c := &cobra.Command{
		Use:   "gc",
		Short: "Remove files of the cache that nobody needs",
		Long: `Remove unneeded files from the cache: files of items that no overlay holds, and leftovers of broken downloads. A file stays if
a link below LEFT4ME_ROOT/overlays leads to it, or if left4me did not put it into the cache. Files that are needed again later
are downloaded again.

This is the job collect_garbage, which waits until no build is running. The command shows its log until it has ended. The host
agent runs the job, or this command does if there is no agent. The exit status is 0 if all files could be removed. Ctrl-C
cancels the job, unless it had been asked for before. The database must be current: see localrun migrate.

On a full disk the embedded database cannot store the job. Therefore the host agent keeps a file of 4 MiB beside the database,
left4me.reserve, which this command removes then, and creates again when the job has made room.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := loadSettings()
			if err != nil {
				return err
			}
			used, err := useReserve(s)
			if err != nil {
				return err
			}
			d, err := openDatabase(s)
			if err != nil {
				return err
			}
			err = checkCurrent(cmd.Context(), d, slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), nil)))
			switch {
			case err != nil:
			case dryRun:
				err = listGarbage(cmd.Context(), s, d, cmd.OutOrStdout())
			default:
				err = o.collectGarbage(cmd.Context(), s, d, cmd.OutOrStdout(), cmd.ErrOrStderr())
			}
			err = errors.Join(err, d.Close())
			if used { // closing has made room, too
				err = errors.Join(err, keepReserve(s))
			}
			return err
		},
	}
	c.Flags().BoolVar(&dryRun, "dry-run", false, "list what would be removed, and remove nothing")
	o.addFunctionsFlag(c)
	return c
}

func listGarbage(ctx context.Context, s settings.Settings, d *db.DB, w io.Writer) error {
	found, err := garbage.Collector{
		Cache:       vpkcache.New(s.CacheDir(), nil, vpkcache.Options{}),
		Items:       workshop.NewStore(d, time.Now, jobstore.NewStore(d, time.Now)),
		OverlaysDir: s.OverlaysDir(),
	}.Find(ctx)
	if err != nil {
		return err
	}
	for _, l := range found.Linked {
		fmt.Fprintf(w, "would keep %s: %s, no overlay holds it, but %s leads to it\n", l.Name(), page.Bytes(l.Bytes()), l.Link)
	}
	for _, f := range found.Files {
		fmt.Fprintf(w, "would remove %s: %s, %s\n", f.Name(), page.Bytes(f.Bytes()), garbage.Reason(f))
	}
	_, err = fmt.Fprintf(w, "would remove %s, %s\n", page.Count(len(found.Files), "file"), page.Bytes(found.Bytes()))
	return err
}

const (
	// pollInterval is how often the job and its log are read.
	pollInterval = 200 * time.Millisecond
	// queuedPolls is the number of polls after which a message says that the job is still queued.
	queuedPolls = 5
)

// collectGarbage enqueues the job and shows its log until it has ended. Meanwhile it is a host agent for this operation, so that
// the job runs even if there is no other agent.
func (o *options) collectGarbage(ctx context.Context, s settings.Settings, d *db.DB, out, stderr io.Writer) error {
	log := slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	operation := job.CollectGarbage
	host, err := o.newHost(s, []lambdahost.Function{{Name: operation.Function, MaxProcesses: 1, TimeLimit: operation.TimeLimit}}, 1, log)
	if err != nil {
		return err
	}
	jobs := jobstore.NewStore(d, time.Now)
	var asked *jobstore.Enqueued
	this, err := knownHost(ctx, "gc", s, d)
	if err == nil {
		asked, err = jobs.Enqueue(ctx, d, jobstore.Request{Operation: operation, Host: this.ID})
	}
	if err != nil {
		return errors.Join(err, host.Shutdown(ctx))
	}
	fmt.Fprintln(out, asked.Sentence(operation))

	a := &agent.Agent{
		Jobs:       jobs,
		Host:       host,
		Wake:       wake.NewSignal(), // never set: the agent looks regularly
		Operations: []job.Operation{operation},
		Parallel:   1,
		Worker:     jobstore.Worker{Name: fmt.Sprintf("localrun gc on %s, process %d", this.Name, os.Getpid()), Host: this.ID},
		Look:       lookEmbedded,
		Log:        log,
	}
	agentCtx, stop := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		a.Run(agentCtx)
		close(ended)
	}()
	err = show(ctx, jobs, asked.ID, out, stderr)
	stop()
	<-ended
	if herr := shutdown(ctx, host); err == nil {
		err = herr
	}
	if ctx.Err() != nil {
		return interrupted(ctx, s, jobs, asked)
	}
	return err
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
			fmt.Fprintf(stderr, "job %d waits until no other job is at work on this host\n", id)
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
