// Command build-overlay runs the job build_overlay on the game host: it makes an overlay's directory match the
// database.
package main

import (
	"context"

	"left4me/shared/builder"
	"left4me/shared/fn"
	"left4me/shared/job"
	"left4me/shared/overlay"
	"left4me/shared/workshop"
)

func main() { fn.Job(job.BuildOverlay, build) }

func build(env *fn.Env) func(context.Context, *fn.Run) error {
	return runner{host: builder.Host{
		OverlaysDir: env.Settings.OverlaysDir(),
		Overlays:    overlay.NewStore(env.DB, env.Now, env.Jobs),
		Fetcher:     builder.NewFetcher(env.Settings, workshop.NewStore(env.DB, env.Now, env.Jobs), env.Log),
	}}.run
}
