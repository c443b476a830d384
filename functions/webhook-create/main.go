// Command webhook-create adds a webhook of an overlay, of a server, or of the whole panel.
package main

import (
	"left4me/shared/fn"
	"left4me/shared/route"
	"left4me/templates/web"
	view "left4me/templates/webhook"
)

func main() { web.HTTP(route.WebhookCreate, build) }

func build(env *fn.Env) web.Handler {
	return web.HandlerFunc(handler{page: view.NewListPage(env)}.serve)
}
