// Command overlay-refresh asks Steam again about the items of one overlay and enqueues a build of it.
package main

import (
	"left4me/shared/fn"
	"left4me/shared/overlay"
	"left4me/shared/route"
	"left4me/shared/steam"
	"left4me/shared/workshop"
	"left4me/templates/web"
)

func main() { web.HTTP(route.OverlayRefresh, build) }

func build(env *fn.Env) web.Handler {
	return handler{
		overlays: overlay.NewStore(env.DB, env.Now, env.Jobs),
		items:    workshop.NewStore(env.DB, env.Now, env.Jobs),
		steam:    steam.NewClient(env.Settings.SteamAPIURL, env.Log),
		log:      env.Log,
	}.serve
}
