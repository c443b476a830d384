// Command server-command enqueues a command for the game of a server: one that a person has typed, or one behind a button.
package main

import (
	"left4me/shared/fn"
	"left4me/shared/route"
	view "left4me/templates/server"
	"left4me/templates/web"
)

func main() { web.HTTP(route.ServerCommand, build) }

func build(env *fn.Env) web.Handler {
	page := view.NewShowPage(env)
	return view.Changing(page.Servers, page.Command)
}
