// Command overlay-list shows the overlays that a person may see, and the form for a new one.
package main

import (
	"left4me/shared/fn"
	"left4me/shared/overlay"
	"left4me/shared/present"
	"left4me/shared/route"
	"left4me/templates/web"
)

func main() { fn.HTTP(route.OverlayList, build) }

func build(env *fn.Env) web.Handler {
	return handler{page: present.OverlayList{Overlays: overlay.NewStore(env.DB, env.Now), Jobs: env.Jobs}}.serve
}
