package main

import (
	"net/http"

	"left4me/shared/overlay"
	"left4me/shared/workshop"
	view "left4me/templates/overlay"
	"left4me/templates/web"
)

type handler struct {
	overlays *overlay.Store
	items    *workshop.Store
	page     view.ShowPage
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
	removed, build, err := h.items.Remove(r.Context(), r.User, o, itemID)
	if err != nil {
		return err
	}
	return h.page.RenderChanged(w, r, o.ID, view.Outcome{Removed: &removed, JobID: build.ID})
}
