// Command home redirects / to the list of overlays.
package main

import (
	"net/http"

	"left4me/shared/fn"
	"left4me/shared/route"
	"left4me/templates/web"
)

func main() { web.HTTP(route.Home, build) }

func build(*fn.Env) web.Handler {
	return web.HandlerFunc(func(w http.ResponseWriter, r *web.Request) error {
		return r.Redirect(w, route.OverlayList.URL(), "")
	})
}
