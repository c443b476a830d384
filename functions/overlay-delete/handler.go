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
	if r.PostForm.Get("confirm") != "yes" {
		return h.page.Refuse(w, r, http.StatusBadRequest, o, view.ShowView{DeleteError: "Please tick the box to confirm. Nothing was deleted."})
	}
	removal, err := h.page.Overlays.Delete(r.Context(), r.User, o.ID)
	if err != nil {
		return err
	}
	return r.Redirect(w, route.OverlayList.URL(), fmt.Sprintf("“%s” is deleted. Job %d removes its directory from the game host.", o.Name, removal.ID))
}
