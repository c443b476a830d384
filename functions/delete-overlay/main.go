// Command delete-overlay runs the job delete_overlay on the game host: it removes a deleted overlay's directory, and after
// that of the last host its row.
package main

import (
	"context"

	"left4me/shared/fn"
	"left4me/shared/job"
	"left4me/shared/overlay"
)

func main() { fn.Job(job.DeleteOverlay, build) }

func build(env *fn.Env) func(context.Context, *fn.Run) error {
	return runner{overlays: overlay.NewStore(env.DB, env.Now, env.Jobs), overlaysDir: env.Settings.OverlaysDir()}.run
}
