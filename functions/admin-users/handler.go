package main

import (
	"net/http"

	"left4me/shared/present"
	view "left4me/templates/admin"
	"left4me/templates/web"
)

type handler struct {
	page present.PeoplePage
}

func (h handler) serve(w http.ResponseWriter, r *web.Request) error {
	people, err := h.page.View(w, r)
	if err != nil {
		return err
	}
	return r.Render(w, http.StatusOK, view.People(people))
}
