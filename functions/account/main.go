// Command account shows a person their own account and sessions.
package main

import (
	"net/http"

	"left4me/shared/account"
	"left4me/shared/fn"
	"left4me/shared/route"
	view "left4me/templates/account"
	"left4me/templates/web"
)

func main() { web.HTTP(route.Account, build) }

func build(env *fn.Env) web.Handler {
	page := view.ShowPage{Accounts: account.NewStore(env.DB, env.Now)}
	return web.HandlerFunc(func(w http.ResponseWriter, r *web.Request) error {
		return page.Render(w, r, http.StatusOK, view.ShowView{})
	})
}
