package main

import (
	"net/http"

	"left4me/shared/job"
	"left4me/shared/jobstore"
	"left4me/shared/route"
	"left4me/templates/web"
)

type handler struct {
	jobs *jobstore.Store
}

func (h handler) serve(w http.ResponseWriter, r *web.Request, j jobstore.Job) error {
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
