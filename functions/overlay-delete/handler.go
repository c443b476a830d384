package main

import (
	"fmt"
	"net/http"

	"left4me/shared/overlay"
	"left4me/shared/route"
	view "left4me/templates/overlay"
	"left4me/templates/web"
)

type handler struct {
	page view.ShowPage
}

func (h handler) serve(w http.ResponseWriter, r *web.Request, o overlay.Overlay) error {
	err := r.Confirmed("Nothing was deleted.")
	if p, ok := r.Problem(w, err); ok {
		return h.page.Refuse(w, r, p.Status, o, view.ShowView{DeleteError: p.Sentence})
	}
	if err != nil {
		return err
	}
	removal, err := h.page.Overlays.Delete(r.Context(), r.User, o.ID)
	if err != nil {
		return err
	}
	return r.Redirect(w, route.OverlayList.URL(), fmt.Sprintf("“%s” is deleted. Job %d removes its directory from the game host.", o.Name, removal.ID))
}
