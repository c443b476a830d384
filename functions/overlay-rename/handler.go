package main

import (
	"net/http"

	"left4me/shared/overlay"
	"left4me/shared/present"
	"left4me/shared/problem"
	"left4me/shared/route"
	view "left4me/templates/overlay"
	"left4me/templates/web"
)

type handler struct {
	overlays *overlay.Store
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
	name := form.Get("name")
	err = h.overlays.Rename(r.Context(), r.User, o, name)
	if p, ok := problem.As(err); ok && p.Status != http.StatusNotFound {
		show, err := h.page.View(w, r, o, 0)
		if err != nil {
			return err
		}
		show.NewName, show.RenameError = name, p.Sentence
		return r.Render(w, p.Status, view.Show(show))
	}
	if err != nil {
		return err
	}
	return r.Redirect(w, route.OverlayShow.URL(o.ID), "This overlay has a new name.")
}
