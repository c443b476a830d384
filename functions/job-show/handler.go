package main

import (
	"math"
	"net/http"

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

func (h handler) serve(w http.ResponseWriter, r *web.Request) error {
	j, err := view.Visible(r, h.jobs)
	if err != nil {
		return err
	}
	show := view.ShowView{Frame: r.Frame(w), Job: j}
	query := r.URL.Query()
	if r.Fragment() && query.Has(view.AfterParam) {
		show.Seen = job.State(query.Get(view.StateParam))
		err := h.news(r, &show, r.Number(view.AfterParam))
		if err == nil && show.Seen != show.Job.State {
			err = h.ending(r, &show)
		}
		if err != nil {
			return err
		}
		return r.Render(w, http.StatusOK, view.Fragment(show))
	}
	err = h.log(r, &show, r.Number(view.BeforeParam))
	if err == nil {
		err = h.ending(r, &show)
	}
	if err != nil {
		return err
	}
	return r.Render(w, http.StatusOK, view.Show(show))
}

// news adds the lines that the page does not have yet.
func (h handler) news(r *web.Request, show *view.ShowView, after int64) error {
	lines, err := h.jobs.Logs(r.Context(), show.Job.ID, after, logPage+1)
	if err != nil {
		return err
	}
	if show.More = len(lines) > logPage; show.More {
		lines = lines[:logPage]
	}
	show.Log, show.After = lines, after
	if len(lines) > 0 {
		show.After = lines[len(lines)-1].Seq
	}
	return nil
}

// ending adds the last lines of a job that has ended: its summary, or what went wrong.
func (h handler) ending(r *web.Request, show *view.ShowView) error {
	if !show.Job.State.Ended() {
		return nil
	}
	newest, err := h.jobs.LogsBefore(r.Context(), show.Job.ID, math.MaxInt64, logPage)
	if err != nil {
		return err
	}
	switch show.Job.State {
	case job.Failed:
		show.Failures = failures(newest)
	case job.Succeeded:
		for _, l := range newest {
			if l.Stream == job.Stdout {
				show.Summary = l.Text
			}
		}
	}
	return nil
}

// log adds the newest lines, or those before the line with the number before.
func (h handler) log(r *web.Request, show *view.ShowView, before int64) error {
	show.Later = before > 0
	if before <= 0 {
		before = math.MaxInt64
	}
	lines, err := h.jobs.LogsBefore(r.Context(), show.Job.ID, before, logPage+1)
	if err != nil {
		return err
	}
	if show.Earlier = len(lines) > logPage; show.Earlier {
		lines = lines[1:]
	}
	show.Log = lines
	if len(lines) > 0 {
		show.After = lines[len(lines)-1].Seq
	}
	return nil
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
