package main

import (
	"net/http"

	"left4me/shared/present"
	"left4me/shared/web"
	view "left4me/templates/account"
)

type handler struct {
	page present.AccountPage
}

func (h handler) serve(w http.ResponseWriter, v *web.Visit) error {
	show, err := h.page.View(w, v)
	if err != nil {
		return err
	}
	return v.Render(w, http.StatusOK, view.Show(show))
}
