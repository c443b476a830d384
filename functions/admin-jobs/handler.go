package main

import (
	"context"
	"net/http"
	"slices"

	"left4me/shared/db"
	"left4me/shared/job"
	"left4me/shared/jobstore"
	"left4me/shared/problem"
	view "left4me/templates/admin"
	jobview "left4me/templates/job"
	"left4me/templates/web"
)

type handler struct {
	jobs *jobstore.Store
}

func (h handler) serve(w http.ResponseWriter, r *web.Request) error {
	v := view.JobsView{Frame: r.Frame(w), State: job.State(r.URL.Query().Get(view.StateParam))}
	if v.State != "" && !slices.Contains(view.States, v.State) {
		return problem.Invalid("No job ends in the state “%s”.", v.State)
	}
	reads := []func(context.Context) error{func(ctx context.Context) (err error) {
		v.Ended, err = jobview.Page(r, func(before int64, limit int) ([]jobstore.Job, error) {
			return h.jobs.ListEnded(ctx, v.State, before, limit)
		})
		return err
	}}
	var counts []jobstore.Count
	if r.Number(jobview.BeforeParam) <= 0 {
		reads = append(reads, db.Into(&counts, h.jobs.CountLive),
			db.Into(&v.Live, func(ctx context.Context) ([]jobstore.Job, error) { return h.jobs.ListLive(ctx, jobview.PageSize) }))
	}
	if err := r.Together(reads...); err != nil {
		return err
	}
	for _, c := range counts {
		v.LiveTotal += int(c.Jobs)
	}
	return r.Render(w, http.StatusOK, view.Jobs(v))
}
