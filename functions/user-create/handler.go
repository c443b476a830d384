package main

import (
	"net/http"
	"strings"

	"left4me/shared/account"
	"left4me/shared/present"
	"left4me/shared/problem"
	"left4me/shared/route"
	view "left4me/templates/admin"
	"left4me/templates/web"
)

type handler struct {
	accounts *account.Store
	page     present.PeoplePage
}

func (h handler) serve(w http.ResponseWriter, r *web.Request) error {
	form, err := r.Form()
	if err != nil {
		return err
	}
	name, password, admin := strings.TrimSpace(form.Get("name")), form.Get("password"), form.Get("administrator") != ""
	random := password == ""
	if random {
		password = account.RandomPassword()
	}
	u, err := h.accounts.Create(r.Context(), name, password, admin)
	refused, isProblem := problem.As(err)
	if err != nil && !isProblem {
		return err
	}
	if err == nil && !random {
		return r.Redirect(w, route.AdminUsers.URL(), u.Name+" can sign in now.")
	}
	people, err := h.page.View(w, r)
	if err != nil {
		return err
	}
	if isProblem {
		people.Create = view.CreateForm{Name: name, Administrator: admin, Error: refused.Sentence}
		return r.Render(w, refused.Status, view.People(people))
	}
	// Not after a redirect: a password that is shown once is kept nowhere in between.
	people.Fresh = view.Fresh{Name: u.Name, Password: password}
	return r.Render(w, http.StatusOK, view.People(people))
}
