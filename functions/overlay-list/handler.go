package main

import (
	"net/http"

	"left4me/shared/present"
	view "left4me/templates/overlay"
	"left4me/templates/web"
)

type handler struct {
	page present.OverlayList
}

func (h handler) serve(w http.ResponseWriter, r *web.Request) error {
	list, err := h.page.View(w, r)
	if err != nil {
		return err
	}
	return r.Render(w, http.StatusOK, view.List(list))
}
