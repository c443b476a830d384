package main

import (
	"context"
	"net/http"

	"left4me/shared/db"
	"left4me/shared/job"
	"left4me/shared/jobstore"
	"left4me/shared/route"
	"left4me/shared/web"
)

type handler struct {
	db   *db.DB
	jobs *jobstore.Store
	ring func(context.Context)
}

func (h handler) serve(w http.ResponseWriter, v *web.Visit) error {
	garbage, err := h.jobs.EnqueueGarbage(v.Context(), h.db, v.User.ID)
	if err != nil {
		return err
	}
	if garbage.New {
		h.ring(v.Context())
	}
	return v.Redirect(w, route.AdminJobs.URL(), garbage.Sentence(job.CollectGarbage))
}
