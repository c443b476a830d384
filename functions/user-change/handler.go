package main

import (
	"context"
	"net/http"

	"left4me/shared/account"
	"left4me/shared/problem"
	"left4me/shared/route"
	view "left4me/templates/admin"
	"left4me/templates/web"
)

type handler struct {
	accounts *account.Store
}

func (h handler) serve(w http.ResponseWriter, r *web.Request) error {
	id, err := r.ID("id")
	if err != nil {
		return err
	}
	action, page := r.PostForm.Get(view.ActionField), view.PeoplePage{Accounts: h.accounts}
	if action == view.ResetPassword {
		return page.ResetPassword(w, r, id)
	}
	p, notice, err := h.change(r.Context(), id, action)
	refused, isProblem := r.Problem(w, err)
	switch {
	case isProblem && refused.Status == http.StatusConflict:
		return page.Render(w, r, refused.Status, view.PeopleView{ChangeError: refused.Sentence})
	case err != nil:
		return err
	}
	next := route.AdminUsers.URL()
	if p.ID == r.User.ID && (!p.Admin || p.Disabled) {
		next = route.Home.URL() // they may not see the list of people any more
	}
	return r.Redirect(w, next, p.Name+notice)
}

// change does what the button says. It returns the changed person, and the notice that follows their name.
func (h handler) change(ctx context.Context, id int64, action string) (p account.Person, notice string, err error) {
	switch action {
	case view.Promote:
		p, err = h.accounts.SetAdmin(ctx, id, true)
		return p, " is an administrator now.", err
	case view.Demote:
		p, err = h.accounts.SetAdmin(ctx, id, false)
		return p, " is no administrator any more.", err
	case view.Disable:
		p, err = h.accounts.Disable(ctx, id)
		return p, " is signed out and cannot sign in any more.", err
	case view.Enable:
		p, err = h.accounts.Enable(ctx, id)
		return p, " can sign in again.", err
	}
	return p, "", problem.Invalid("There is no change “%s”. Please use the buttons of the page.", action)
}
