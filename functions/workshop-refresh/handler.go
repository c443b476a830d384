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
	refresh, err := h.jobs.EnqueueRefresh(v.Context(), h.db, v.User.ID)
	if err != nil {
		return err
	}
	if refresh.New {
		h.ring(v.Context())
	}
	return v.Redirect(w, route.AdminJobs.URL(), refresh.Sentence(job.RefreshWorkshopItems))
}
