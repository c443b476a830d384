// Command item-remove removes an item from an overlay and enqueues a build.
package main

import (
	"left4me/shared/fn"
	"left4me/shared/overlay"
	"left4me/shared/route"
	"left4me/shared/workshop"
	view "left4me/templates/overlay"
	"left4me/templates/web"
)

func main() { web.HTTP(route.ItemRemove, build) }

func build(env *fn.Env) web.Handler {
	return handler{
		overlays: overlay.NewStore(env.DB, env.Now, env.Jobs),
		items:    workshop.NewStore(env.DB, env.Now, env.Jobs),
		page:     view.NewShowPage(env.DB, env.Now, env.Jobs, env.Settings.Examples),
	}.serve
}
