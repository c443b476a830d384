package main

import (
	"net/http"

	"left4me/shared/present"
	view "left4me/templates/account"
	"left4me/templates/web"
)

type handler struct {
	page present.AccountPage
}

func (h handler) serve(w http.ResponseWriter, r *web.Request) error {
	show, err := h.page.View(w, r)
	if err != nil {
		return err
	}
	return r.Render(w, http.StatusOK, view.Show(show))
}
