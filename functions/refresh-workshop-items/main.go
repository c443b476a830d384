// Command refresh-workshop-items runs the job refresh_workshop_items: it asks Steam about every item, downloads the
// newer ones if it runs on a game host, and enqueues builds of the overlays whose items changed.
package main

import (
	"context"

	"left4me/shared/builder"
	"left4me/shared/fn"
	"left4me/shared/job"
	"left4me/shared/steam"
	"left4me/shared/workshop"
)

func main() { fn.Job(job.RefreshWorkshopItems, build) }

func build(env *fn.Env) func(context.Context, *fn.Run) error {
	r := runner{
		steam:   steam.NewClient(env.Settings.SteamAPIURL, env.Log),
		fetcher: builder.NewFetcher(env.Settings, workshop.NewStore(env.DB, env.Now, env.Jobs), env.Log),
		root:    env.Settings.Root,
	}
	return func(ctx context.Context, run *fn.Run) error { return r.run(ctx, run) }
}
