package main

import (
	"context"
	"net/http"

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
	id, err := r.ID("id")
	if err != nil {
		return err
	}
	form, err := r.Form()
	if err != nil {
		return err
	}
	p, fresh, done, err := h.change(r.Context(), id, form.Get(view.ActionField))
	refused, isProblem := problem.As(err)
	switch {
	case isProblem && refused.Status == http.StatusConflict:
		people, err := h.page.View(w, r)
		if err != nil {
			return err
		}
		people.Trouble = refused.Sentence
		return r.Render(w, refused.Status, view.People(people))
	case err != nil:
		return err
	case fresh != "":
		people, err := h.page.View(w, r)
		if err != nil {
			return err
		}
		// Not after a redirect: a password that is shown once is kept nowhere in between.
		people.Fresh = view.Fresh{Name: p.Name, Password: fresh}
		return r.Render(w, http.StatusOK, view.People(people))
	}
	next := route.AdminUsers.URL()
	if p.ID == r.User.ID && (!p.Admin || p.Disabled) {
		next = route.Home.URL() // the list of people is no longer theirs
	}
	return r.Redirect(w, next, p.Name+done)
}

// change does what the button says. It returns whom it was done to, a password that was made, and what to say of it after
// the name.
func (h handler) change(ctx context.Context, id int64, action string) (p account.Person, fresh, done string, err error) {
	switch action {
	case view.Promote:
		p, err = h.accounts.SetAdmin(ctx, id, true)
		return p, "", " is an administrator now.", err
	case view.Demote:
		p, err = h.accounts.SetAdmin(ctx, id, false)
		return p, "", " is no administrator any more.", err
	case view.Disable:
		p, err = h.accounts.Disable(ctx, id)
		return p, "", " is signed out and cannot sign in any more.", err
	case view.Enable:
		p, err = h.accounts.Enable(ctx, id)
		return p, "", " can sign in again.", err
	case view.NewPassword:
		p, fresh, err = h.accounts.ResetPassword(ctx, id)
		return p, fresh, "", err
	}
	return p, "", "", problem.Invalid("There is no change “%s”. Please use the buttons of the page.", action)
}
