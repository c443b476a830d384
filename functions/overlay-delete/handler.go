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
	view "left4me/templates/overlay"
	"left4me/templates/web"
)

type handler struct {
	db       *db.DB
	overlays *overlay.Store
	jobs     *jobstore.Store
	page     present.OverlayPage
}

func (h handler) serve(w http.ResponseWriter, r *web.Request) error {
	o, err := web.ByID(r, "id", h.overlays.Editable)
	if err != nil {
		return err
	}
	form, err := r.Form()
	if err != nil {
		return err
	}
	if form.Get("confirm") != "yes" {
		show, err := h.page.View(w, r, o, 0)
		if err != nil {
			return err
		}
		show.DeleteError = "Please tick the box to confirm. Nothing was deleted."
		return r.Render(w, http.StatusBadRequest, view.Show(show))
	}
	var removal jobstore.Enqueued
	err = h.db.InTx(r.Context(), func(ctx context.Context, q db.Querier) error {
		if err := h.overlays.Delete(ctx, q, o.ID); err != nil {
			return err
		}
		// The removal waits for a build that runs, and nobody wants what that build still fetches.
		if err := h.jobs.CancelBuilds(ctx, q, o.ID); err != nil {
			return err
		}
		removal, err = h.jobs.EnqueueDelete(ctx, q, o.ID, r.User.ID)
		return err
	})
	if err != nil {
		return err
	}
	return r.Redirect(w, route.OverlayList.URL(), fmt.Sprintf("“%s” is deleted. Job %d removes its directory from the game host.", o.Name, removal.ID))
}
