// Command deliver-webhook runs the job deliver_webhook: it sends a webhook what it is to be told now.
package main

import (
	"context"

	"left4me/shared/fn"
	"left4me/shared/job"
	"left4me/shared/settings"
	"left4me/shared/webhook"
)

func main() { fn.Job(job.DeliverWebhook, build) }

func build(env *fn.Env) func(context.Context, *fn.Run) error {
	panel := env.Settings.PublicURL.String()
	if env.Settings.AnyHost || settings.Loopback(env.Settings.PublicURL.Hostname()) {
		panel = "" // nobody else could open it
	}
	return runner{store: webhook.NewStore(env.DB, env.Now, env.Jobs), sender: webhook.NewSender(panel, fn.Version), now: env.Now}.run
}
