package main

import (
	"context"
	"net/http"

	"left4me/shared/db"
	"left4me/shared/jobstore"
	view "left4me/templates/admin"
	"left4me/templates/web"
)

type handler struct {
	jobs *jobstore.Store
}

func (h handler) serve(w http.ResponseWriter, r *web.Request) error {
	q, err := jobstore.Ended.Parse(r.URL.Query())
	if err != nil {
		return err
	}
	var v view.JobsView
	reads := []func(context.Context) error{func(ctx context.Context) (err error) {
		v.Ended, err = h.jobs.ListEnded(ctx, q)
		return err
	}}
	var counts []jobstore.Count
	if q.Page <= 1 {
		reads = append(reads, db.Into(&counts, h.jobs.CountLive),
			db.Into(&v.Live, func(ctx context.Context) ([]jobstore.Job, error) { return h.jobs.ListLive(ctx, jobstore.PageSize) }))
	}
	if err := r.Together(r.Context(), reads...); err != nil {
		return err
	}
	for _, c := range counts {
		v.LiveTotal += int(c.Jobs)
	}
	return v.Render(w, r)
}
