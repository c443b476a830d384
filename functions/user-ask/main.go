// Command user-ask asks an administrator before a person is changed.
package main

import (
	"net/http"

	"left4me/shared/account"
	"left4me/shared/fn"
	"left4me/shared/problem"
	"left4me/shared/route"
	view "left4me/templates/admin"
	"left4me/templates/web"
)

func main() { web.HTTP(route.UserAsk, build) }

func build(env *fn.Env) web.Handler {
	accounts := account.NewStore(env.DB, env.Now)
	return web.HandlerFunc(func(w http.ResponseWriter, r *web.Request) error {
		id, err := r.ID("id")
		if err != nil {
			return err
		}
		p, err := accounts.Person(r.Context(), id)
		if err != nil {
			return err
		}
		action := r.URL.Query().Get(view.ActionField)
		if !view.Asks(action) {
			return problem.Invalid("There is no change “%s”. Please use the buttons of the page.", action)
		}
		return web.Render(w, r, http.StatusOK, view.AskView{Frame: r.Frame(w), Person: p, Action: action}, view.Ask)
	})
}
