package main

import (
	"net/http"
	"strconv"
	"time"

	"left4me/shared/account"
	"left4me/shared/present"
	"left4me/shared/problem"
	"left4me/shared/route"
	"left4me/shared/web"
	view "left4me/templates/account"
)

type handler struct {
	accounts *account.Store
	page     present.AccountPage
}

func (h handler) serve(w http.ResponseWriter, v *web.Visit) error {
	form, err := v.Form()
	if err != nil {
		return err
	}
	if form.Get("new") == form.Get("again") {
		err = h.accounts.ChangePassword(v.Context(), v.User, v.SessionToken(), form.Get("current"), form.Get("new"), v.Client())
	} else {
		err = problem.Invalid("The new passwords differ. Please type the same twice; nothing was changed.")
	}
	if p, ok := problem.As(err); ok {
		if p.RetryAfter > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(int(p.RetryAfter/time.Second)))
		}
		show, err := h.page.View(w, v)
		if err != nil {
			return err
		}
		show.Error = p.Sentence
		return v.Render(w, p.Status, view.Show(show))
	}
	if err != nil {
		return err
	}
	return v.Redirect(w, route.Account.URL(), "Your password is changed, and your other sessions have ended.")
}
