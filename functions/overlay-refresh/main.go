// Command overlay-refresh asks Steam again about the items of one overlay and enqueues a build of it.
package main

import (
	"left4me/shared/fn"
	"left4me/shared/route"
	"left4me/shared/steam"
	view "left4me/templates/overlay"
	"left4me/templates/web"
)

func main() { web.HTTP(route.OverlayRefresh, build) }

func build(env *fn.Env) web.Handler {
	page := view.NewShowPage(env)
	return view.Changing(page.Overlays, handler{page: page, steam: steam.NewClient(env.Settings.SteamAPIURL, env.Log), log: env.Log}.serve)
}
