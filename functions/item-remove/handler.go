package main

import (
	"net/http"

	"left4me/shared/workshop"
	view "left4me/templates/overlay"
	"left4me/templates/web"
)

type handler struct {
	page view.ShowPage
}

func (h handler) serve(w http.ResponseWriter, r *web.Request) error {
	itemID, err := r.ID("item_id")
	if err != nil {
		return err
	}
	o, err := web.ByID(r, "id", h.page.Overlays.Editable)
	if err != nil {
		return err
	}
	q, err := workshop.Listing.Parse(r.PostForm)
	if err != nil {
		return err
	}
	removed, build, err := h.page.Items.Remove(r.Context(), r.User, o, []int64{itemID})
	if err != nil {
		return err
	}
	return h.page.RenderChanged(w, r, o.ID, q, view.Outcome{Removed: removed, JobID: build.ID})
}
