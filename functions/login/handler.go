package main

import (
	"net/http"
	"strings"

	"left4me/shared/account"
	view "left4me/templates/account"
	"left4me/templates/page"
	"left4me/templates/web"
)

type handler struct {
	accounts *account.Store
}

func (h handler) serve(w http.ResponseWriter, r *web.Request) error {
	name := strings.TrimSpace(r.PostForm.Get("name"))
	next, beside := web.SafeNext(r.PostForm.Get("next")), r.PostForm.Has(page.BesideParam)
	_, tokens, err := h.accounts.SignIn(r.Context(), name, r.PostForm.Get("password"), r.Client())
	if p, ok := r.Problem(w, err); ok {
		return web.Render(w, r, p.Status, view.LoginView{Frame: r.Frame(w), Name: name, Next: next, Beside: beside, Error: p.Sentence}, view.Login)
	}
	if err != nil {
		return err
	}
	r.StartSession(w, tokens)
	return view.SignedIn(w, r, next, beside)
}
