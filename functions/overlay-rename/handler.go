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
	to, err := view.ParseSettings(o, r.PostForm)
	if err != nil {
		return err
	}
	err = h.page.Overlays.Change(r.Context(), r.User, o, to)
	if p, ok := r.Problem(w, err); ok && p.Status != http.StatusNotFound {
		return h.page.Refuse(w, r, p.Status, o, view.ShowView{Changed: to, ChangeError: p.Sentence})
	}
	if err != nil {
		return err
	}
	notice := "The settings of this overlay are saved."
	if to == (overlay.Settings{Name: to.Name, KeepsLost: o.KeepsLost}) {
		notice = "This overlay has a new name."
	}
	return r.Redirect(w, route.OverlayShow.URL(o.ID), notice)
}
