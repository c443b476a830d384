// Command overlay-delete hides an overlay at once and enqueues the job that removes its directory from the game host.
package main

import (
	"left4me/shared/fn"
	"left4me/shared/overlay"
	"left4me/shared/route"
	view "left4me/templates/overlay"
	"left4me/templates/web"
)

func main() { web.HTTP(route.OverlayDelete, build) }

func build(env *fn.Env) web.Handler {
	return handler{
		overlays: overlay.NewStore(env.DB, env.Now, env.Jobs),
		page:     view.NewShowPage(env.DB, env.Now, env.Jobs, env.Settings.Examples),
	}.serve
}
