package main

import (
	"net/http"

	"left4me/shared/route"
	view "left4me/templates/overlay"
	"left4me/templates/web"
)

type handler struct {
	page view.ListPage
}

func (h handler) serve(w http.ResponseWriter, r *web.Request) error {
	name, typeName := r.PostForm.Get("name"), r.PostForm.Get("type")
	id, err := h.page.Overlays.Create(r.Context(), r.User, name, typeName)
	if p, ok := r.Problem(w, err); ok {
		return h.page.Render(w, r, p.Status, view.ListView{Create: view.CreateForm{Name: name, Type: typeName, Error: p.Sentence}})
	}
	if err != nil {
		return err
	}
	return r.Redirect(w, route.OverlayShow.URL(id), "")
}
