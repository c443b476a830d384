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
	form, err := r.Form()
	if err != nil {
		return err
	}
	which, said := form.Get(view.SessionField), "That session has ended."
	if which == view.OtherSessions {
		said = "Your other sessions have ended."
		err = h.accounts.EndOtherSessions(r.Context(), r.User.ID, r.SessionToken())
	} else {
		id, perr := strconv.ParseInt(which, 10, 64)
		if perr != nil {
			return problem.Invalid("Please choose a session of the list.")
		}
		var ended bool
		if ended, err = h.accounts.EndSession(r.Context(), r.User.ID, id); !ended {
			said = "That is not, or no longer, one of your sessions. Nothing was changed."
		}
	}
	if err != nil {
		return err
	}
	return r.Redirect(w, route.Account.URL(), said)
}
