package main

import (
	"context"
	"time"

	"left4me/shared/fn"
	"left4me/shared/webhook"
)

// tellWebhooks asks for the jobs that tell webhooks what has happened, and try again what has failed, until ctx ends.
func tellWebhooks(ctx context.Context, env *fn.Env, every time.Duration) {
	webhooks := webhook.NewStore(env.DB, env.Now, env.Jobs)
	failure := ""
	for ctx.Err() == nil {
		due, err := webhooks.EnqueueDue(ctx)
		switch {
		case err == nil:
			failure = ""
			if due {
				env.WakeAgent(ctx)
			}
		case ctx.Err() == nil && err.Error() != failure:
			failure = err.Error() // logged once, because a database may be unreachable for hours
			env.Log.Error("cannot look what webhooks are to be told; trying on", "error", failure)
		}
		select {
		case <-time.After(every):
		case <-ctx.Done():
		}
	}
}
