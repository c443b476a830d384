// Command overlay-use shows how game servers use one overlay.
package main

import (
	"left4me/shared/fn"
	"left4me/shared/host"
	"left4me/shared/overlay"
	"left4me/shared/route"
	view "left4me/templates/overlay"
	"left4me/templates/web"
)

func main() { web.HTTP(route.OverlayUse, build) }

func build(env *fn.Env) web.Handler {
	return view.UsePage{Overlays: overlay.NewStore(env.DB, env.Now, env.Jobs), Hosts: host.NewStore(env.DB, env.Now, env.Jobs)}.Serve
}
