// Command overlay-build enqueues a build of one overlay.
package main

import (
	"left4me/shared/fn"
	"left4me/shared/overlay"
	"left4me/shared/route"
	view "left4me/templates/overlay"
	"left4me/templates/web"
)

func main() { web.HTTP(route.OverlayBuild, build) }

func build(env *fn.Env) web.Handler {
	overlays := overlay.NewStore(env.DB, env.Now, env.Jobs)
	return view.Changing(overlays, handler{overlays: overlays}.serve)
}
