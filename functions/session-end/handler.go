package main

import (
	"net/http"
	"strconv"

	"left4me/shared/account"
	"left4me/shared/problem"
	"left4me/shared/route"
	view "left4me/templates/account"
	"left4me/templates/web"
)

type handler struct {
	accounts *account.Store
}

func (h handler) serve(w http.ResponseWriter, r *web.Request) error {
	which := r.PostForm.Get(view.SessionField)
	if which == view.OtherSessions {
		if err := h.accounts.EndOtherSessions(r.Context(), r.User.ID, r.SessionToken()); err != nil {
			return err
		}
		return r.Redirect(w, route.Account.URL(), "Your other sessions have ended.")
	}
	id, err := strconv.ParseInt(which, 10, 64)
	if err != nil {
		return problem.Invalid("Please choose a session from the list.")
	}
	ended, err := h.accounts.EndSession(r.Context(), r.User.ID, id)
	if err != nil {
		return err
	}
	notice := "That session has ended."
	if !ended {
		notice = "That is not one of your sessions, or it has already ended. Nothing was changed."
	}
	return r.Redirect(w, route.Account.URL(), notice)
}
