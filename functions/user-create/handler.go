package main

import (
	"net/http"
	"strings"

	"left4me/shared/account"
	"left4me/shared/present"
	"left4me/shared/problem"
	"left4me/shared/route"
	"left4me/shared/web"
	view "left4me/templates/admin"
)

type handler struct {
	accounts *account.Store
	page     present.PeoplePage
}

func (h handler) serve(w http.ResponseWriter, v *web.Visit) error {
	form, err := v.Form()
	if err != nil {
		return err
	}
	name, password, admin := strings.TrimSpace(form.Get("name")), form.Get("password"), form.Get("administrator") != ""
	random := password == ""
	if random {
		password = account.RandomPassword()
	}
	u, err := h.accounts.Create(v.Context(), name, password, admin)
	refused, isProblem := problem.As(err)
	if err != nil && !isProblem {
		return err
	}
	if err == nil && !random {
		return v.Redirect(w, route.AdminUsers.URL(), u.Name+" can sign in now.")
	}
	people, err := h.page.View(w, v)
	if err != nil {
		return err
	}
	if isProblem {
		people.Create = view.CreateForm{Name: name, Administrator: admin, Error: refused.Sentence}
		return v.Render(w, refused.Status, view.People(people))
	}
	// Not after a redirect: a password that is shown once is kept nowhere in between.
	people.Fresh = view.Fresh{Name: u.Name, Password: password}
	return v.Render(w, http.StatusOK, view.People(people))
}
