// Command overlay-build enqueues a build of one overlay.
package main

import (
	"left4me/shared/fn"
	"left4me/shared/overlay"
	"left4me/shared/route"
	"left4me/templates/web"
)

func main() { web.HTTP(route.OverlayBuild, build) }

func build(env *fn.Env) web.Handler {
	return handler{overlays: overlay.NewStore(env.DB, env.Now, env.Jobs)}.serve
}
