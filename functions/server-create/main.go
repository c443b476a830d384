// Command server-create adds a server and enqueues the job that makes its directory on its host.
package main

import (
	"left4me/shared/fn"
	"left4me/shared/route"
	view "left4me/templates/server"
	"left4me/templates/web"
)

func main() { web.HTTP(route.ServerCreate, build) }

func build(env *fn.Env) web.Handler {
	return web.HandlerFunc(handler{page: view.NewListPage(env)}.serve)
}
