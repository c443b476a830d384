// Command webhook-change sends a webhook a test, or deletes it.
package main

import (
	"net/http"

	"left4me/shared/fn"
	"left4me/shared/problem"
	"left4me/shared/route"
	"left4me/shared/webhook"
	"left4me/templates/web"
	view "left4me/templates/webhook"
)

func main() { web.HTTP(route.WebhookChange, build) }

func build(env *fn.Env) web.Handler {
	webhooks := view.NewStore(env)
	return web.About(web.ByID(webhooks.Get), webhook.Webhook.Editable, func(w http.ResponseWriter, r *web.Request, hook webhook.Webhook) error {
		switch action := r.PostForm.Get(view.ActionField); action {
		case view.TestAction:
			e, err := webhooks.Test(r.Context(), r.User, hook.ID)
			if err != nil {
				return err
			}
			return r.Redirect(w, route.JobShow.URL(e.ID), "")
		case view.Delete:
			if err := webhooks.Delete(r.Context(), r.User, hook.ID); err != nil {
				return err
			}
			return r.Redirect(w, view.URL(hook.About), "The webhook is deleted.")
		default:
			return problem.Invalid("There is no change “%s”. Please use the buttons of the page.", action)
		}
	})
}
