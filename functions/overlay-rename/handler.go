package main

import (
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
	name := r.PostForm.Get("name")
	err := h.page.Overlays.Rename(r.Context(), r.User, o, name)
	if p, ok := r.Problem(w, err); ok && p.Status != http.StatusNotFound {
		return h.page.Refuse(w, r, p.Status, o, view.ShowView{NewName: name, RenameError: p.Sentence})
	}
	if err != nil {
		return err
	}
	return r.Redirect(w, route.OverlayShow.URL(o.ID), "This overlay has a new name.")
}
