package main

import (
	"context"
	"net/http"

	"left4me/shared/db"
	"left4me/shared/jobstore"
	"left4me/shared/overlay"
	"left4me/shared/present"
	"left4me/shared/web"
	"left4me/shared/workshop"
)

type handler struct {
	db       *db.DB
	overlays *overlay.Store
	items    *workshop.Store
	jobs     *jobstore.Store
	ring     func(context.Context)
	page     present.OverlayPage
}

func (h handler) serve(w http.ResponseWriter, v *web.Visit) error {
	itemID, err := v.ID("item_id")
	if err != nil {
		return err
	}
	o, err := web.ByID(v, "id", h.overlays.Editable)
	if err != nil {
		return err
	}
	var removed workshop.Item
	var build jobstore.Enqueued
	err = h.db.InTx(v.Context(), func(ctx context.Context, q db.Querier) error {
		if removed, err = h.items.Remove(ctx, q, o.ID, itemID); err != nil {
			return err
		}
		build, err = h.jobs.EnqueueBuild(ctx, q, o.ID, v.User.ID)
		return err
	})
	if err != nil {
		return err
	}
	h.ring(v.Context())
	return h.page.Changed(w, v, o, present.Removed(removed, build.ID))
}
