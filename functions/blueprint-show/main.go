// Command blueprint-show shows one blueprint with its stack of overlays, its settings, and the server.cfg and command that come of them.
package main

import (
	"left4me/shared/fn"
	"left4me/shared/route"
	view "left4me/templates/blueprint"
	"left4me/templates/web"
)

func main() { web.HTTP(route.BlueprintShow, build) }

func build(env *fn.Env) web.Handler {
	page := view.NewShowPage(env)
	return web.About(page.Find, view.ShowView.Visible, page.Serve)
}
