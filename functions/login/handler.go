package main

import (
	"net/http"
	"strconv"
	"strings"
	"time"

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
	form, err := r.Form()
	if err != nil {
		return err
	}
	name := strings.TrimSpace(form.Get("name"))
	next := web.SafeNext(form.Get("next"))
	_, token, err := h.accounts.SignIn(r.Context(), name, form.Get("password"), r.Client())
	if p, ok := problem.As(err); ok {
		if p.RetryAfter > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(int(p.RetryAfter/time.Second)))
		}
		return r.Render(w, p.Status, view.Login(view.LoginView{Frame: r.Frame(w), Name: name, Next: next, Error: p.Sentence}))
	}
	if err != nil {
		return err
	}
	r.StartSession(w, token)
	if next == "" {
		next = route.OverlayList.URL()
	}
	return r.Redirect(w, next, "")
}
