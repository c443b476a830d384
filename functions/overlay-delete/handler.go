package main

import (
	"context"
	"fmt"
	"net/http"

	"left4me/shared/db"
	"left4me/shared/jobstore"
	"left4me/shared/overlay"
	"left4me/shared/present"
	"left4me/shared/route"
	"left4me/shared/web"
	view "left4me/templates/overlay"
)

type handler struct {
	db       *db.DB
	overlays *overlay.Store
	jobs     *jobstore.Store
	ring     func(context.Context)
	page     present.OverlayPage
}

func (h handler) serve(w http.ResponseWriter, v *web.Visit) error {
	o, err := web.ByID(v, "id", h.overlays.Editable)
	if err != nil {
		return err
	}
	form, err := v.Form()
	if err != nil {
		return err
	}
	if form.Get("confirm") != "yes" {
		show, err := h.page.View(w, v, o, 0)
		if err != nil {
			return err
		}
		show.DeleteError = "Please tick the box to confirm. Nothing was deleted."
		return v.Render(w, http.StatusBadRequest, view.Show(show))
	}
	var removal jobstore.Enqueued
	err = h.db.InTx(v.Context(), func(ctx context.Context, q db.Querier) error {
		if err := h.overlays.Delete(ctx, q, o.ID); err != nil {
			return err
		}
		// The removal waits for a build that runs, and nobody wants what that build still fetches.
		if err := h.jobs.CancelBuilds(ctx, q, o.ID); err != nil {
			return err
		}
		removal, err = h.jobs.EnqueueDelete(ctx, q, o.ID, v.User.ID)
		return err
	})
	if err != nil {
		return err
	}
	h.ring(v.Context())
	return v.Redirect(w, route.OverlayList.URL(), fmt.Sprintf("“%s” is deleted. Job %d removes its directory from the game host.", o.Name, removal.ID))
}
