package main

import (
	"math"
	"net/http"
	"net/url"
	"strconv"

	"left4me/shared/job"
	"left4me/shared/jobstore"
	"left4me/shared/present"
	view "left4me/templates/job"
	"left4me/templates/web"
)

const (
	// logPage is how many lines a page or a fragment has at most.
	logPage = 500
	// maxFailures is how many of the last stderr lines a failed job's page repeats on top.
	maxFailures = 10
)

type handler struct {
	jobs *jobstore.Store
}

func (h handler) serve(w http.ResponseWriter, r *web.Request) error {
	j, err := present.VisibleJob(r, h.jobs)
	if err != nil {
		return err
	}
	show := view.ShowView{
		Frame:     r.Frame(w),
		Job:       present.Summary(j),
		Progress:  present.Progress(j),
		CanCancel: true, // who may see a job may cancel it
		Result:    j.Error,
	}
	query := r.URL.Query()
	if r.Fragment() && query.Has(view.AfterParam) {
		show.Seen = query.Get(view.StateParam)
		err := h.news(r, &show, number(query, view.AfterParam))
		if err == nil && show.Seen != show.Job.State {
			err = h.ending(r, &show)
		}
		if err != nil {
			return err
		}
		return r.Render(w, http.StatusOK, view.Fragment(show))
	}
	err = h.log(r, &show, number(query, view.BeforeParam))
	if err == nil {
		err = h.ending(r, &show)
	}
	if err != nil {
		return err
	}
	return r.Render(w, http.StatusOK, view.Show(show))
}

// news adds the lines after the last that the page has.
func (h handler) news(r *web.Request, show *view.ShowView, after int64) error {
	lines, err := h.jobs.Logs(r.Context(), show.Job.ID, after, logPage+1)
	if err != nil {
		return err
	}
	if show.More = len(lines) > logPage; show.More {
		lines = lines[:logPage]
	}
	show.Log, show.After = present.Lines(lines), after
	if len(lines) > 0 {
		show.After = lines[len(lines)-1].Seq
	}
	return nil
}

// ending adds what the last lines say of a job that has ended: what it did, or what went wrong.
func (h handler) ending(r *web.Request, show *view.ShowView) error {
	if !show.Job.Ended() {
		return nil
	}
	newest, err := h.jobs.LogsBefore(r.Context(), show.Job.ID, math.MaxInt64, logPage)
	if err != nil {
		return err
	}
	switch job.State(show.Job.State) {
	case job.Failed:
		show.Failures = failures(newest)
	case job.Succeeded:
		for _, l := range newest {
			if l.Stream == job.Stdout {
				show.Result = l.Text
			}
		}
	}
	return nil
}

// log adds the newest lines, or those before a line.
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
	show.Log = present.Lines(lines)
	if len(lines) > 0 {
		show.After = lines[len(lines)-1].Seq
	}
	return nil
}

// failures are the last stderr lines, oldest first.
func failures(lines []jobstore.Line) []view.Line {
	var bad []jobstore.Line
	for _, l := range lines {
		if l.Stream == job.Stderr {
			bad = append(bad, l)
		}
	}
	return present.Lines(bad[max(0, len(bad)-maxFailures):])
}

func number(query url.Values, name string) int64 {
	n, _ := strconv.ParseInt(query.Get(name), 10, 64)
	return n
}
