// Command server-change changes what people have chosen about a server, from its next start on.
package main

import (
	"left4me/shared/fn"
	"left4me/shared/route"
	view "left4me/templates/server"
	"left4me/templates/web"
)

func main() { web.HTTP(route.ServerChange, build) }

func build(env *fn.Env) web.Handler {
	page := view.NewShowPage(env)
	return view.Changing(page.Servers, handler{page: page}.serve)
}
