// Command items-copy adds the selected items of an overlay to another one, and enqueues a build of that.
package main

import (
	"left4me/shared/fn"
	"left4me/shared/route"
	view "left4me/templates/overlay"
	"left4me/templates/web"
)

func main() { web.HTTP(route.ItemsCopy, build) }

func build(env *fn.Env) web.Handler {
	h := handler{page: view.NewShowPage(env)}
	return web.About(h.find, copying.editable, h.serve)
}
