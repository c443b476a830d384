// Command login-form shows the sign-in form.
package main

import (
	"net/http"

	"left4me/shared/fn"
	"left4me/shared/route"
	"left4me/shared/web"
	view "left4me/templates/account"
)

func main() { fn.HTTP(route.LoginForm, build) }

func build(*fn.Env) web.Handler { return serve }

func serve(w http.ResponseWriter, v *web.Visit) error {
	next := web.SafeNext(v.URL.Query().Get("next"))
	u, err := v.SignedIn()
	if err != nil {
		return err
	}
	if u.ID != 0 {
		if next == "" {
			next = route.OverlayList.URL()
		}
		return v.Redirect(w, next, "")
	}
	return v.Render(w, http.StatusOK, view.Login(view.LoginView{Frame: v.Frame(w), Next: next}))
}
