// Command overlay-rename changes an overlay's name and settings. Its directory is named by its id and stays as it is.
package main

import (
	"left4me/shared/fn"
	"left4me/shared/route"
	view "left4me/templates/overlay"
	"left4me/templates/web"
)

func main() { web.HTTP(route.OverlayRename, build) }

func build(env *fn.Env) web.Handler {
	page := view.NewShowPage(env)
	return view.Changing(page.Overlays, handler{page: page}.serve)
}
