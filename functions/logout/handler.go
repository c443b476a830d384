package main

import (
	"net/http"

	"left4me/shared/account"
	"left4me/shared/route"
	"left4me/shared/web"
)

type handler struct {
	accounts *account.Store
}

func (h handler) serve(w http.ResponseWriter, v *web.Visit) error {
	if err := h.accounts.SignOut(v.Context(), v.EndSession(w)); err != nil {
		return err
	}
	return v.Redirect(w, route.LoginForm.URL(), "You have signed out.")
}
