package main

import (
	"net/http"

	"left4me/shared/account"
	"left4me/shared/route"
	"left4me/templates/web"
)

type handler struct {
	accounts *account.Store
}

func (h handler) serve(w http.ResponseWriter, r *web.Request) error {
	if err := h.accounts.SignOut(r.Context(), r.EndSession(w)); err != nil {
		return err
	}
	return r.Redirect(w, route.LoginForm.URL(), "You have signed out.")
}
