package main

import (
	"net/http"

	"left4me/shared/overlay"
	"left4me/shared/present"
	"left4me/shared/problem"
	"left4me/shared/route"
	"left4me/shared/web"
	view "left4me/templates/overlay"
)

type handler struct {
	overlays *overlay.Store
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
	name := form.Get("name")
	err = h.overlays.Rename(v.Context(), v.User, o, name)
	if p, ok := problem.As(err); ok && p.Status != http.StatusNotFound {
		show, err := h.page.View(w, v, o, 0)
		if err != nil {
			return err
		}
		show.NewName, show.RenameError = name, p.Sentence
		return v.Render(w, p.Status, view.Show(show))
	}
	if err != nil {
		return err
	}
	return v.Redirect(w, route.OverlayShow.URL(o.ID), "This overlay has a new name.")
}
