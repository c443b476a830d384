package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/mattn/go-isatty"
	"github.com/spf13/cobra"

	"left4me/shared/job"
	"left4me/shared/list"
	"left4me/shared/route"
)

// jobJSON is what commands show of a job.
type jobJSON struct {
	ID          int64     `json:"id"`
	Title       string    `json:"title"`
	State       job.State `json:"state"`
	SubjectName string    `json:"subject_name"`
	UserName    string    `json:"user_name"`
	Error       string    `json:"error"`
	CreatedAt   time.Time `json:"created_at"`
	Progress    progress  `json:"progress"`
}

type progress struct {
	ItemsDone  int64  `json:"items_done"`
	ItemsTotal int64  `json:"items_total"`
	BytesDone  int64  `json:"bytes_done"`
	BytesTotal int64  `json:"bytes_total"`
	Current    string `json:"current"`
}

// jobView is a job with lines of its log.
type jobView struct {
	Job jobJSON `json:"job"`
	Log []struct {
		Stream job.Stream `json:"stream"`
		Text   string     `json:"text"`
	} `json:"log"`
	After int64 `json:"after"`
	More  bool  `json:"more"`
}

func jobsCommand() *cobra.Command {
	var c caller
	g := c.group("job", "List, show, follow and cancel jobs", "List, show, follow and cancel jobs. A job is named by its id.")
	var all bool
	show := &cobra.Command{
		Use:   "list",
		Short: "List the newest jobs",
		Args:  usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.run(cmd, func(ctx context.Context, api *client) error {
				var view struct {
					Jobs listPage `json:"jobs"`
				}
				_, err := api.get(ctx, list.Query{}.URL(route.JobList.URL()), &view)
				if err != nil {
					return err
				}
				rows := view.Jobs.Rows
				if all {
					if rows, err = api.rows(ctx, route.JobList.URL(), "jobs", list.Query{}); err != nil {
						return err
					}
				}
				jobs, err := decode[jobJSON](rows)
				if err != nil {
					return err
				}
				return c.print(cmd.OutOrStdout(), rows, func(w io.Writer) error { return printJobs(w, jobs...) })
			})
		},
	}
	show.Flags().BoolVar(&all, "all", false, "list all jobs")
	g.AddCommand(show,
		c.jobCommand("show", "Show a job and the end of its log", func(ctx context.Context, api *client, cmd *cobra.Command, id string) error {
			var v jobView
			text, err := api.get(ctx, route.JobShow.URL(id), &v)
			if err != nil {
				return err
			}
			return c.print(cmd.OutOrStdout(), text, func(w io.Writer) error {
				if err := printJobs(w, v.Job); err != nil {
					return err
				}
				for _, l := range v.Log {
					fmt.Fprintln(w, l.Text)
				}
				return nil
			})
		}),
		c.jobCommand("follow", "Print the log of a job until it has ended", func(ctx context.Context, api *client, cmd *cobra.Command, id string) error {
			return c.follow(ctx, api, cmd, route.JobShow.URL(id))
		}),
		c.jobCommand("cancel", "Cancel a job", func(ctx context.Context, api *client, cmd *cobra.Command, id string) error {
			d, text, err := api.post(ctx, route.JobCancel.URL(id), nil)
			if err != nil {
				return err
			}
			return c.print(cmd.OutOrStdout(), text, func(w io.Writer) error {
				_, err := fmt.Fprintln(w, d.Message)
				return err
			})
		}))
	return g
}

// jobCommand is a command about the job with an id.
func (c *caller) jobCommand(name, short string, do func(context.Context, *client, *cobra.Command, string) error) *cobra.Command {
	return &cobra.Command{
		Use:   name + " ID",
		Short: short,
		Args:  usage(oneArgument),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.run(cmd, func(ctx context.Context, api *client) error { return do(ctx, api, cmd, args[0]) })
		},
	}
}

func printJobs(w io.Writer, jobs ...jobJSON) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "ID\tWHAT\tSTATE\tABOUT\tBY\tASKED")
	for _, j := range jobs {
		fmt.Fprintf(table, "%d\t%s\t%s\t%s\t%s\t%s\n", j.ID, j.Title, j.State, j.SubjectName, j.UserName, humanize.Time(j.CreatedAt))
	}
	return table.Flush()
}

// follow prints the log of the job at a path until it has ended: on a terminal with a bar for its progress. With --json it prints only the job
// at its end. The error has the exit code of a job that did not succeed.
func (c *caller) follow(ctx context.Context, api *client, cmd *cobra.Command, path string) error {
	stderr := cmd.ErrOrStderr()
	bar := stderr == os.Stderr && isatty.IsTerminal(os.Stderr.Fd()) && !c.json
	for after := int64(0); ; {
		var v jobView
		text, err := api.get(ctx, fmt.Sprintf("%s?after=%d", path, after), &v)
		if err != nil {
			return err
		}
		after = v.After
		if bar {
			fmt.Fprint(stderr, "\r\x1b[K")
		}
		for _, l := range v.Log {
			if c.json {
				continue
			}
			w := cmd.OutOrStdout()
			if l.Stream == job.Stderr {
				w = stderr
			}
			fmt.Fprintln(w, l.Text)
		}
		switch {
		case v.More:
			continue
		case v.Job.State.Ended():
			return errorsOf(v.Job, c.printJob(cmd, text))
		case bar:
			fmt.Fprint(stderr, barOf(v.Job))
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("interrupted; job %d goes on", v.Job.ID)
		case <-time.After(time.Second):
		}
	}
}

// printJob prints the job of a view as JSON, if that is asked for.
func (c *caller) printJob(cmd *cobra.Command, view json.RawMessage) error {
	var v struct {
		Job json.RawMessage `json:"job"`
	}
	if err := json.Unmarshal(view, &v); err != nil {
		return err
	}
	return c.print(cmd.OutOrStdout(), v.Job, func(io.Writer) error { return nil })
}

// errorsOf returns err, or how a job that has not succeeded has ended.
func errorsOf(j jobJSON, err error) error {
	switch {
	case err != nil || j.State == job.Succeeded:
		return err
	case j.State == job.Cancelled:
		return exitError{codeJobCancelled, fmt.Errorf("job %d was cancelled", j.ID)}
	}
	return exitError{codeJobFailed, fmt.Errorf("job %d failed: %s", j.ID, j.Error)}
}

// barOf is one line about the progress of a job.
func barOf(j jobJSON) string {
	const width = 24
	p := j.Progress
	part := 0.0
	switch {
	case p.BytesTotal > 0:
		part = float64(p.BytesDone) / float64(p.BytesTotal)
	case p.ItemsTotal > 0:
		part = float64(p.ItemsDone) / float64(p.ItemsTotal)
	}
	full := int(width * min(part, 1))
	words := []string{"[" + strings.Repeat("#", full) + strings.Repeat(".", width-full) + "]", string(j.State)}
	if p.ItemsTotal > 0 {
		words = append(words, fmt.Sprintf("%d of %d items", p.ItemsDone, p.ItemsTotal))
	}
	if p.BytesTotal > 0 {
		words = append(words, humanize.IBytes(uint64(p.BytesDone))+" of "+humanize.IBytes(uint64(p.BytesTotal)))
	}
	line := []rune(strings.Join(append(words, p.Current), " "))
	return string(line[:min(len(line), 79)])
}
