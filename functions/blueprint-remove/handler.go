package main

import (
	"net/http"

	"left4me/shared/blueprint"
	view "left4me/templates/blueprint"
	"left4me/templates/web"
)

type handler struct {
	page view.ShowPage
}

func (h handler) serve(w http.ResponseWriter, r *web.Request, b blueprint.Blueprint) error {
	overlayID, err := r.ID("overlay_id")
	if err != nil {
		return err
	}
	return h.page.Stacked(w, r, b, 0, h.page.Blueprints.Remove(r.Context(), b.ID, overlayID))
}
