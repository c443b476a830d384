// Command play shows a server to players who have never seen left4me, if its owner has made it public.
package main

import (
	"left4me/shared/fn"
	"left4me/shared/route"
	"left4me/shared/server"
	view "left4me/templates/server"
	"left4me/templates/web"
)

func main() { web.HTTP(route.Play, build) }

func build(env *fn.Env) web.Handler {
	return web.HandlerFunc(view.PlayPage{Servers: server.NewStore(env.DB, env.Now, env.Jobs)}.Serve)
}
