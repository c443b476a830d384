// Command server-show shows one server, and answers its page when it polls a running job.
package main

import (
	"left4me/shared/fn"
	"left4me/shared/route"
	view "left4me/templates/server"
	"left4me/templates/web"
)

func main() { web.HTTP(route.ServerShow, build) }

func build(env *fn.Env) web.Handler {
	page := view.NewShowPage(env)
	return web.About(page.Find, view.ShowView.Editable, page.Serve)
}
