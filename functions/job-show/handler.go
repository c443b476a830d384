package main

import (
	"context"
	"math"
	"net/http"

	"left4me/shared/db"
	"left4me/shared/job"
	"left4me/shared/jobstore"
	view "left4me/templates/job"
	"left4me/templates/web"
)

const (
	// logPage is how many lines a page or a fragment has at most.
	logPage = 500
	// maxFailures is how many of the last stderr lines a failed job's page repeats at its top.
	maxFailures = 10
)

type handler struct {
	jobs *jobstore.Store
}

func (h handler) serve(w http.ResponseWriter, r *web.Request, j jobstore.Job) error {
	query := r.URL.Query()
	poll := (r.Fragment() || r.JSON()) && query.Has(view.AfterParam)
	after, before := r.Number(view.AfterParam), r.Number(view.BeforeParam)
	show := view.ShowView{Frame: r.Frame(w), Job: j}
	var ending []jobstore.Line
	// The job was read before, so that the log of a job that has ended is complete.
	err := r.Together(r.Context(),
		func(ctx context.Context) (err error) {
			switch {
			case poll:
				show.Log, err = h.jobs.Logs(ctx, j.ID, after, logPage+1)
			case before > 0:
				show.Log, err = h.jobs.LogsBefore(ctx, j.ID, before, logPage+1)
			default:
				show.Log, err = h.jobs.LogsBefore(ctx, j.ID, math.MaxInt64, logPage+1)
			}
			return err
		},
		db.Into(&ending, func(ctx context.Context) ([]jobstore.Line, error) { return h.jobs.EndedLogs(ctx, j.ID, logPage) }),
	)
	if err != nil {
		return err
	}
	more := len(show.Log) > logPage
	body := view.Show
	if poll {
		show.Seen = job.State(query.Get(view.StateParam))
		if show.More, show.After = more, after; more {
			show.Log = show.Log[:logPage]
		}
		body = view.Fragment
	} else {
		show.Later = before > 0
		if show.Earlier = more; more {
			show.Log = show.Log[1:]
		}
	}
	if len(show.Log) > 0 {
		show.After = show.Log[len(show.Log)-1].Seq
	}
	if !poll || show.Seen != show.Job.State {
		end(&show, ending)
	}
	return web.Render(w, r, http.StatusOK, show, body)
}

// end adds what the last lines of a job that has ended say: its summary, or what went wrong.
func end(show *view.ShowView, lines []jobstore.Line) {
	switch show.Job.State {
	case job.Failed:
		show.Failures = failures(lines)
	case job.Succeeded:
		for _, l := range lines {
			if l.Stream == job.Stdout {
				show.Summary = l.Text
			}
		}
	}
}

// failures returns the last stderr lines, oldest first.
func failures(lines []jobstore.Line) []jobstore.Line {
	var bad []jobstore.Line
	for _, l := range lines {
		if l.Stream == job.Stderr {
			bad = append(bad, l)
		}
	}
	return bad[max(0, len(bad)-maxFailures):]
}
