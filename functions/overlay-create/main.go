// Command overlay-create makes an overlay and enqueues its first build, which makes its directory on the game host.
package main

import (
	"left4me/shared/fn"
	"left4me/shared/route"
	view "left4me/templates/overlay"
	"left4me/templates/web"
)

func main() { web.HTTP(route.OverlayCreate, build) }

func build(env *fn.Env) web.Handler {
	return web.HandlerFunc(handler{page: view.NewListPage(env)}.serve)
}
