// Command overlay-create makes an overlay and enqueues its first build, which makes its directory on the game host.
package main

import (
	"left4me/shared/fn"
	"left4me/shared/overlay"
	"left4me/shared/present"
	"left4me/shared/route"
	"left4me/templates/web"
)

func main() { fn.HTTP(route.OverlayCreate, build) }

func build(env *fn.Env) web.Handler {
	overlays := overlay.NewStore(env.DB, env.Now)
	jobs := env.Jobs
	return handler{
		db:       env.DB,
		overlays: overlays,
		jobs:     jobs,
		page:     present.OverlayList{Overlays: overlays, Jobs: jobs},
	}.serve
}
