// Command item-change changes how an overlay uses an item, and enqueues a build.
package main

import (
	"left4me/shared/fn"
	"left4me/shared/route"
	view "left4me/templates/overlay"
	"left4me/templates/web"
)

func main() { web.HTTP(route.ItemChange, build) }

func build(env *fn.Env) web.Handler {
	h := handler{page: view.NewShowPage(env)}
	return view.Changing(h.page.Overlays, h.serve)
}
