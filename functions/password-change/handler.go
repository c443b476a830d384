package main

import (
	"net/http"
	"strconv"
	"time"

	"left4me/shared/account"
	"left4me/shared/present"
	"left4me/shared/problem"
	"left4me/shared/route"
	view "left4me/templates/account"
	"left4me/templates/web"
)

type handler struct {
	accounts *account.Store
	page     present.AccountPage
}

func (h handler) serve(w http.ResponseWriter, r *web.Request) error {
	form, err := r.Form()
	if err != nil {
		return err
	}
	if form.Get("new") == form.Get("again") {
		err = h.accounts.ChangePassword(r.Context(), r.User, r.SessionToken(), form.Get("current"), form.Get("new"), r.Client())
	} else {
		err = problem.Invalid("The new passwords differ. Please type the same twice; nothing was changed.")
	}
	if p, ok := problem.As(err); ok {
		if p.RetryAfter > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(int(p.RetryAfter/time.Second)))
		}
		show, err := h.page.View(w, r)
		if err != nil {
			return err
		}
		show.Error = p.Sentence
		return r.Render(w, p.Status, view.Show(show))
	}
	if err != nil {
		return err
	}
	return r.Redirect(w, route.Account.URL(), "Your password is changed, and your other sessions have ended.")
}
