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
	if err := h.accounts.SignOut(r.Context(), r.SessionToken()); err != nil {
		return err // the browser keeps its session, so that it can try again
	}
	r.EndSession(w)
	return r.Redirect(w, route.LoginForm.URL(), "You have signed out.")
}
