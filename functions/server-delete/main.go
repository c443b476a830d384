// Command server-delete hides a server and enqueues that it is stopped and its directory removed.
package main

import (
	"left4me/shared/fn"
	"left4me/shared/route"
	view "left4me/templates/server"
	"left4me/templates/web"
)

func main() { web.HTTP(route.ServerDelete, build) }

func build(env *fn.Env) web.Handler {
	page := view.NewShowPage(env)
	refused := func(sentence string) view.ShowView { return view.ShowView{DeleteError: sentence} }
	return page.Confirmed(refused, page.Servers.Delete)
}
