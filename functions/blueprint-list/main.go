// Command blueprint-list shows the blueprints that a person may see, and the form for a new one.
package main

import (
	"net/http"

	"left4me/shared/blueprint"
	"left4me/shared/fn"
	"left4me/shared/route"
	view "left4me/templates/blueprint"
	"left4me/templates/web"
)

func main() { web.HTTP(route.BlueprintList, build) }

func build(env *fn.Env) web.Handler {
	page := view.NewListPage(env)
	return web.HandlerFunc(func(w http.ResponseWriter, r *web.Request) error {
		var v view.ListView
		var err error
		if v.Blueprints.Query, err = blueprint.Listing.Parse(r.URL.Query()); err != nil {
			return err
		}
		return page.Render(w, r, http.StatusOK, v)
	})
}
