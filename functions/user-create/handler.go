package main

import (
	"net/http"
	"strings"

	"left4me/shared/account"
	"left4me/shared/route"
	view "left4me/templates/admin"
	"left4me/templates/web"
)

type handler struct {
	accounts *account.Store
}

func (h handler) serve(w http.ResponseWriter, r *web.Request) error {
	name, password, admin := strings.TrimSpace(r.PostForm.Get("name")), r.PostForm.Get("password"), r.PostForm.Get("administrator") != ""
	random := password == ""
	if random {
		password = account.RandomPassword()
	}
	u, err := h.accounts.Create(r.Context(), name, password, admin)
	page := view.PeoplePage{Accounts: h.accounts}
	refused, isProblem := r.Problem(w, err)
	switch {
	case isProblem:
		return page.Render(w, r, refused.Status, view.PeopleView{Create: view.CreateForm{Name: name, Administrator: admin, Error: refused.Sentence}})
	case err != nil:
		return err
	case random:
		// A redirect would need to store the password somewhere.
		return page.Render(w, r, http.StatusOK, view.PeopleView{NewPassword: password, NewPasswordOf: u.Name})
	}
	return r.Redirect(w, route.AdminUsers.URL(), u.Name+" can sign in now.")
}
