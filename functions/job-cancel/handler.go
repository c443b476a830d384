package main

import (
	"net/http"

	"left4me/shared/job"
	"left4me/shared/jobstore"
	"left4me/shared/route"
	view "left4me/templates/job"
	"left4me/templates/web"
)

type handler struct {
	jobs *jobstore.Store
}

func (h handler) serve(w http.ResponseWriter, r *web.Request) error {
	id, err := r.ID("id")
	if err != nil {
		return err
	}
	j, err := view.Visible(r.Context(), r.User, h.jobs, id)
	if err != nil {
		return err
	}
	state, changed, err := h.jobs.Cancel(r.Context(), j.ID)
	if err != nil {
		return err
	}
	notice := ""
	switch {
	case !changed && state == job.Cancelling:
		notice = "The job is already being cancelled."
	case !changed:
		notice = "The job had already ended."
	}
	return r.Redirect(w, route.JobShow.URL(j.ID), notice)
}
