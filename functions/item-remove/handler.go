package main

import (
	"context"
	"net/http"

	"left4me/shared/db"
	"left4me/shared/jobstore"
	"left4me/shared/overlay"
	"left4me/shared/present"
	"left4me/shared/workshop"
	"left4me/templates/web"
)

type handler struct {
	db       *db.DB
	overlays *overlay.Store
	items    *workshop.Store
	jobs     *jobstore.Store
	page     present.OverlayPage
}

func (h handler) serve(w http.ResponseWriter, r *web.Request) error {
	itemID, err := r.ID("item_id")
	if err != nil {
		return err
	}
	o, err := web.ByID(r, "id", h.overlays.Editable)
	if err != nil {
		return err
	}
	var removed workshop.Item
	var build jobstore.Enqueued
	err = h.db.InTx(r.Context(), func(ctx context.Context, q db.Querier) error {
		if removed, err = h.items.Remove(ctx, q, o.ID, itemID); err != nil {
			return err
		}
		build, err = h.jobs.EnqueueBuild(ctx, q, o.ID, r.User.ID)
		return err
	})
	if err != nil {
		return err
	}
	return h.page.Changed(w, r, o, present.Removed(removed, build.ID))
}
