// Command overlay-rename gives an overlay another name. Its directory, which goes by its id, stays as it is.
package main

import (
	"left4me/shared/fn"
	"left4me/shared/overlay"
	"left4me/shared/present"
	"left4me/shared/route"
	"left4me/templates/web"
)

func main() { fn.HTTP(route.OverlayRename, build) }

func build(env *fn.Env) web.Handler {
	return handler{overlays: overlay.NewStore(env.DB, env.Now), page: present.NewOverlayPage(env.DB, env.Now, env.Settings.Examples)}.serve
}
