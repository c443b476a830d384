// Command asset serves the stylesheet, the script and the pictures of left4me's own pages.
package main

import (
	"net/http"

	"left4me/shared/fn"
	"left4me/shared/problem"
	"left4me/shared/route"
	"left4me/templates/assets"
	"left4me/templates/web"
)

func main() { web.HTTP(route.Asset, build) }

func build(*fn.Env) web.Handler {
	return web.HandlerFunc(func(w http.ResponseWriter, r *web.Request) error {
		if !assets.Has(r.PathValue("file")) {
			return problem.NotFound("There is no such file.")
		}
		assets.Handler(http.NotFoundHandler()).ServeHTTP(w, r.Request)
		return nil
	})
}
