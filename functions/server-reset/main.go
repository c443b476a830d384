// Command server-reset enqueues that what the game of a server wrote is removed.
package main

import (
	"left4me/shared/fn"
	"left4me/shared/route"
	view "left4me/templates/server"
	"left4me/templates/web"
)

func main() { web.HTTP(route.ServerReset, build) }

func build(env *fn.Env) web.Handler {
	page := view.NewShowPage(env)
	refused := func(sentence string) view.ShowView { return view.ShowView{ResetError: sentence} }
	return page.Confirmed(refused, page.Servers.Reset)
}
