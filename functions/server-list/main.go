// Command server-list shows the servers that a person may see, and for administrators the form for a new one.
package main

import (
	"net/http"

	"left4me/shared/fn"
	"left4me/shared/route"
	"left4me/shared/server"
	view "left4me/templates/server"
	"left4me/templates/web"
)

func main() { web.HTTP(route.ServerList, build) }

func build(env *fn.Env) web.Handler {
	page := view.NewListPage(env)
	return web.HandlerFunc(func(w http.ResponseWriter, r *web.Request) error {
		var v view.ListView
		var err error
		if v.Servers.Query, err = server.Listing.Parse(r.URL.Query()); err != nil {
			return err
		}
		return page.Render(w, r, http.StatusOK, v)
	})
}
