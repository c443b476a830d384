// Command item-add adds pasted workshop items to an overlay and enqueues a build.
package main

import (
	"left4me/shared/fn"
	"left4me/shared/route"
	"left4me/shared/steam"
	view "left4me/templates/overlay"
	"left4me/templates/web"
)

func main() { web.HTTP(route.ItemAdd, build) }

func build(env *fn.Env) web.Handler {
	page := view.NewShowPage(env)
	return view.Changing(page.Overlays, handler{steam: steam.NewClient(env.Settings.SteamAPIURL, env.Log), page: page}.serve)
}
