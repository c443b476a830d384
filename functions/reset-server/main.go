// Command reset-server runs the job server_reset on the game host: it removes what the game of a server wrote.
package main

import (
	"context"

	"left4me/shared/fn"
	"left4me/shared/game/control"
	"left4me/shared/job"
)

func main() { fn.Job(job.ServerReset, build) }

func build(env *fn.Env) func(context.Context, *fn.Run) error {
	host := control.New(env.Settings, env.DB, env.Now, env.Jobs)
	return func(ctx context.Context, run *fn.Run) error {
		return host.Job(ctx, run.JobID, run.Subject.ID, run, (*control.Host).Reset)
	}
}
