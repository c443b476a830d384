// Command overlay-build enqueues a build of one overlay.
package main

import (
	"left4me/shared/fn"
	"left4me/shared/fn/ring"
	"left4me/shared/jobstore"
	"left4me/shared/overlay"
	"left4me/shared/route"
	"left4me/shared/web"
)

func main() { fn.HTTP(route.OverlayBuild, build) }

func build(env *fn.Env) web.Handler {
	return handler{
		db:       env.DB,
		overlays: overlay.NewStore(env.DB, env.Now),
		jobs:     jobstore.New(env.DB),
		ring:     ring.New(env),
	}.serve
}
