package main

import (
	"context"
	"net/http"

	"left4me/shared/account"
	"left4me/shared/problem"
	"left4me/shared/route"
	view "left4me/templates/account"
	"left4me/templates/web"
)

type handler struct {
	accounts *account.Store
}

func (h handler) find(ctx context.Context, r *web.Request) (account.Password, error) {
	return h.accounts.Password(ctx, r.SessionToken())
}

func (h handler) serve(w http.ResponseWriter, r *web.Request, old account.Password) error {
	var err error
	if r.PostForm.Get("new") == r.PostForm.Get("again") {
		err = h.accounts.ChangePassword(r.Context(), r.User, old, r.SessionToken(), r.PostForm.Get("current"), r.PostForm.Get("new"), r.Client())
	} else {
		err = problem.Invalid("The new passwords differ. Please type the same twice; nothing was changed.")
	}
	if p, ok := r.Problem(w, err); ok {
		return view.ShowPage{Accounts: h.accounts}.Render(w, r, p.Status, view.ShowView{Error: p.Sentence})
	}
	if err != nil {
		return err
	}
	return r.Redirect(w, route.Account.URL(), "Your password is changed, and your other sessions have ended.")
}
