// Command webhook-show shows a webhook with its last deliveries and what they were answered.
package main

import (
	"left4me/shared/fn"
	"left4me/shared/route"
	"left4me/templates/web"
	view "left4me/templates/webhook"
)

func main() { web.HTTP(route.WebhookShow, build) }

func build(env *fn.Env) web.Handler {
	page := view.ShowPage{Webhooks: view.NewStore(env)}
	return web.About(page.Find, view.ShowView.Editable, page.Serve)
}
