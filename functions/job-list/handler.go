package main

import (
	"net/http"

	"left4me/shared/jobstore"
	view "left4me/templates/job"
	"left4me/templates/web"
)

type handler struct {
	jobs *jobstore.Store
}

func (h handler) serve(w http.ResponseWriter, r *web.Request) error {
	scope := jobstore.Of(r.User.ID)
	if r.User.Admin {
		scope = jobstore.Everyone
	}
	listed, err := view.Page(r, func(before int64, limit int) ([]jobstore.Job, error) {
		return h.jobs.List(r.Context(), scope, before, limit)
	})
	if err != nil {
		return err
	}
	return r.Render(w, http.StatusOK, view.List(view.ListView{Frame: r.Frame(w), Listed: listed}))
}
