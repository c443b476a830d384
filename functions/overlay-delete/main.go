// Command overlay-delete hides an overlay at once and enqueues the job that removes its directory from the game host.
package main

import (
	"left4me/shared/fn"
	"left4me/shared/route"
	view "left4me/templates/overlay"
	"left4me/templates/web"
)

func main() { web.HTTP(route.OverlayDelete, build) }

func build(env *fn.Env) web.Handler {
	page := view.NewShowPage(env)
	return view.Changing(page.Overlays, handler{page: page}.serve)
}
