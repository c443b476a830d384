// Command items-change disables or enables items of an overlay and enqueues a build.
package main

import (
	"left4me/shared/fn"
	"left4me/shared/route"
	view "left4me/templates/overlay"
	"left4me/templates/web"
)

func main() { web.HTTP(route.ItemsChange, build) }

func build(env *fn.Env) web.Handler {
	page := view.NewShowPage(env)
	return view.Changing(page.Overlays, page.ChangeItems)
}
