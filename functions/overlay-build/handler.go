package main

import (
	"context"
	"net/http"

	"left4me/shared/db"
	"left4me/shared/jobstore"
	"left4me/shared/overlay"
	"left4me/shared/route"
	"left4me/templates/web"
)

type handler struct {
	db       *db.DB
	overlays *overlay.Store
	jobs     *jobstore.Store
}

func (h handler) serve(w http.ResponseWriter, r *web.Request) error {
	o, err := web.ByID(r, "id", h.overlays.Editable)
	if err != nil {
		return err
	}
	var build jobstore.Enqueued
	err = h.db.InTx(r.Context(), func(ctx context.Context, q db.Querier) error {
		build, err = h.jobs.EnqueueBuild(ctx, q, o.ID, r.User.ID)
		return err
	})
	if err != nil {
		return err
	}
	return r.Redirect(w, route.JobShow.URL(build.ID), "")
}
