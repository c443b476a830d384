// Command webhook-list shows the webhooks of an overlay or a server, or all that a person may see, with the form for a new one.
package main

import (
	"net/http"

	"left4me/shared/fn"
	"left4me/shared/route"
	"left4me/shared/webhook"
	"left4me/templates/web"
	view "left4me/templates/webhook"
)

func main() { web.HTTP(route.WebhookList, build) }

func build(env *fn.Env) web.Handler {
	page := view.NewListPage(env)
	return web.HandlerFunc(func(w http.ResponseWriter, r *web.Request) error {
		var v view.ListView
		about, given, err := view.About(r.URL.Query())
		if err == nil {
			v.Webhooks.Query, err = webhook.Listing.Parse(r.URL.Query())
		}
		if err != nil {
			return err
		}
		v.About, v.All = about, !given
		return page.Render(w, r, http.StatusOK, v)
	})
}
