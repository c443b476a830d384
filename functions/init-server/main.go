// Command init-server runs the job server_init on the game host: it makes the directory of a server.
package main

import (
	"context"

	"left4me/shared/fn"
	"left4me/shared/game/control"
	"left4me/shared/job"
)

func main() { fn.Job(job.ServerInit, build) }

func build(env *fn.Env) func(context.Context, *fn.Run) error {
	host := control.New(env.Settings, env.DB, env.Now, env.Jobs)
	return func(ctx context.Context, run *fn.Run) error {
		return host.Job(ctx, run.JobID, run.Subject.ID, run, (*control.Host).Prepare)
	}
}
