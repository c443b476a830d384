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
	if r.PostForm.Has(view.RevokeField) {
		return h.revoke(w, r)
	}
	days, _ := strconv.Atoi(r.PostForm.Get(view.DaysField)) // 0, which is refused, for what is no number
	form := view.TokenForm{Name: r.PostForm.Get(view.NameField), Days: days, Writes: r.PostForm.Get(view.WritesField) != ""}
	token, err := h.accounts.CreateToken(r.Context(), r.User, form.Name, form.Days, form.Writes)
	page := view.ShowPage{Accounts: h.accounts}
	if p, ok := r.Problem(w, err); ok {
		form.Error = p.Sentence
		return page.Render(w, r, p.Status, view.ShowView{Token: form})
	}
	if err != nil {
		return err
	}
	// A redirect would need to store the token somewhere.
	return page.Render(w, r, http.StatusOK, view.ShowView{NewToken: token})
}

func (h handler) revoke(w http.ResponseWriter, r *web.Request) error {
	id, err := strconv.ParseInt(r.PostForm.Get(view.RevokeField), 10, 64)
	if err != nil {
		return problem.Invalid("Please choose a token from the list.")
	}
	revoked, err := h.accounts.RevokeToken(r.Context(), r.User.ID, id)
	if err != nil {
		return err
	}
	notice := "That token is revoked. Programs that use it are refused from now on."
	if !revoked {
		notice = "That is not one of your tokens, or it is already revoked. Nothing was changed."
	}
	return r.Redirect(w, route.Account.URL(), notice)
}
