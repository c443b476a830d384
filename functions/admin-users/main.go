// Command admin-users shows all people.
package main

import (
	"net/http"

	"left4me/shared/account"
	"left4me/shared/fn"
	"left4me/shared/route"
	view "left4me/templates/admin"
	"left4me/templates/web"
)

func main() { web.HTTP(route.AdminUsers, build) }

func build(env *fn.Env) web.Handler {
	page := view.PeoplePage{Accounts: account.NewStore(env.DB, env.Now)}
	return web.HandlerFunc(func(w http.ResponseWriter, r *web.Request) error {
		var v view.PeopleView
		var err error
		if v.People.Query, err = account.Listing.Parse(r.URL.Query()); err != nil {
			return err
		}
		return page.Render(w, r, http.StatusOK, v)
	})
}
