// Command overlay-delete hides an overlay at once and enqueues the job that removes its directory from the game host.
package main

import (
	"left4me/shared/fn"
	"left4me/shared/overlay"
	"left4me/shared/present"
	"left4me/shared/route"
	"left4me/templates/web"
)

func main() { fn.HTTP(route.OverlayDelete, build) }

func build(env *fn.Env) web.Handler {
	return handler{
		db:       env.DB,
		overlays: overlay.NewStore(env.DB, env.Now),
		jobs:     env.Jobs,
		page:     present.NewOverlayPage(env.DB, env.Now, env.Settings.Examples),
	}.serve
}
