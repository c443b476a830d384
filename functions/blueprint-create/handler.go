package main

import (
	"net/http"

	"left4me/shared/route"
	view "left4me/templates/blueprint"
	"left4me/templates/web"
)

type handler struct {
	page view.ListPage
}

func (h handler) serve(w http.ResponseWriter, r *web.Request) error {
	name, system := r.PostForm.Get("name"), r.PostForm.Get("system") != ""
	id, err := h.page.Blueprints.Create(r.Context(), r.User, name, system)
	if p, ok := r.Problem(w, err); ok {
		return h.page.Render(w, r, p.Status, view.ListView{Create: view.CreateForm{Name: name, System: system, Error: p.Sentence}})
	}
	if err != nil {
		return err
	}
	return r.Redirect(w, route.BlueprintShow.URL(id), "")
}
