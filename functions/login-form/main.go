// Command login-form shows the sign-in form.
package main

import (
	"net/http"

	"left4me/shared/fn"
	"left4me/shared/route"
	view "left4me/templates/account"
	"left4me/templates/page"
	"left4me/templates/web"
)

func main() { web.HTTP(route.LoginForm, build) }

func build(*fn.Env) web.Handler { return web.HandlerFunc(serve) }

func serve(w http.ResponseWriter, r *web.Request) error {
	next := web.SafeNext(r.URL.Query().Get("next"))
	u, err := r.SignedIn()
	if err != nil {
		return err
	}
	beside := r.URL.Query().Has(page.BesideParam)
	if u.ID != 0 {
		return view.SignedIn(w, r, next, beside)
	}
	return web.Render(w, r, http.StatusOK, view.LoginView{Frame: r.Frame(w), Next: next, Beside: beside}, view.Login)
}
