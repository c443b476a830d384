package main

import (
	"net/http"
	"strconv"

	"left4me/shared/account"
	"left4me/shared/problem"
	"left4me/shared/route"
	"left4me/shared/web"
	view "left4me/templates/account"
)

type handler struct {
	accounts *account.Store
}

func (h handler) serve(w http.ResponseWriter, v *web.Visit) error {
	form, err := v.Form()
	if err != nil {
		return err
	}
	which, said := form.Get(view.SessionField), "That session has ended."
	if which == view.OtherSessions {
		said = "Your other sessions have ended."
		err = h.accounts.EndOtherSessions(v.Context(), v.User.ID, v.SessionToken())
	} else {
		id, perr := strconv.ParseInt(which, 10, 64)
		if perr != nil {
			return problem.Invalid("Please choose a session of the list.")
		}
		var ended bool
		if ended, err = h.accounts.EndSession(v.Context(), v.User.ID, id); !ended {
			said = "That is not, or no longer, one of your sessions. Nothing was changed."
		}
	}
	if err != nil {
		return err
	}
	return v.Redirect(w, route.Account.URL(), said)
}
