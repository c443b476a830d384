package main

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"left4me/shared/account"
	"left4me/shared/problem"
	"left4me/shared/route"
	"left4me/shared/web"
	view "left4me/templates/account"
)

type handler struct {
	accounts *account.Store
}

func (h handler) serve(w http.ResponseWriter, v *web.Visit) error {
	form, err := v.Form()
	if err != nil {
		return err
	}
	name := strings.TrimSpace(form.Get("name"))
	next := web.SafeNext(form.Get("next"))
	_, token, err := h.accounts.SignIn(v.Context(), name, form.Get("password"), v.Client())
	if p, ok := problem.As(err); ok {
		if p.RetryAfter > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(int(p.RetryAfter/time.Second)))
		}
		return v.Render(w, p.Status, view.Login(view.LoginView{Frame: v.Frame(w), Name: name, Next: next, Error: p.Sentence}))
	}
	if err != nil {
		return err
	}
	v.StartSession(w, token)
	if next == "" {
		next = route.OverlayList.URL()
	}
	return v.Redirect(w, next, "")
}
