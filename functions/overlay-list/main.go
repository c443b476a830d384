// Command overlay-list shows the overlays that a person may see, and the form for a new one.
package main

import (
	"net/http"

	"left4me/shared/fn"
	"left4me/shared/overlay"
	"left4me/shared/route"
	view "left4me/templates/overlay"
	"left4me/templates/web"
)

func main() { web.HTTP(route.OverlayList, build) }

func build(env *fn.Env) web.Handler {
	page := view.NewListPage(env)
	return web.HandlerFunc(func(w http.ResponseWriter, r *web.Request) error {
		var v view.ListView
		var err error
		if v.Overlays.Query, err = overlay.Listing.Parse(r.URL.Query()); err != nil {
			return err
		}
		return page.Render(w, r, http.StatusOK, v)
	})
}
