package main

import (
	"context"
	"net/http"

	"left4me/shared/db"
	"left4me/shared/jobstore"
	"left4me/shared/overlay"
	"left4me/shared/route"
	"left4me/shared/web"
)

type handler struct {
	db       *db.DB
	overlays *overlay.Store
	jobs     *jobstore.Store
	ring     func(context.Context)
}

func (h handler) serve(w http.ResponseWriter, v *web.Visit) error {
	o, err := web.ByID(v, "id", h.overlays.Editable)
	if err != nil {
		return err
	}
	var build jobstore.Enqueued
	err = h.db.InTx(v.Context(), func(ctx context.Context, q db.Querier) error {
		build, err = h.jobs.EnqueueBuild(ctx, q, o.ID, v.User.ID)
		return err
	})
	if err != nil {
		return err
	}
	h.ring(v.Context())
	return v.Redirect(w, route.JobShow.URL(build.ID), "")
}
