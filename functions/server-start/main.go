// Command server-start enqueues the start of a server.
package main

import (
	"left4me/shared/fn"
	"left4me/shared/route"
	"left4me/shared/server"
	view "left4me/templates/server"
	"left4me/templates/web"
)

func main() { web.HTTP(route.ServerStart, build) }

func build(env *fn.Env) web.Handler {
	servers := server.NewStore(env.DB, env.Now, env.Jobs)
	return view.Ask(servers, servers.Start)
}
