// Command start-server runs the job server_start on the game host: it freezes what a server starts with, has it started, and waits until
// it answers.
package main

import (
	"context"

	"left4me/shared/fn"
	"left4me/shared/game/control"
	"left4me/shared/job"
	"left4me/shared/server"
)

func main() { fn.Job(job.ServerStart, build) }

func build(env *fn.Env) func(context.Context, *fn.Run) error {
	host := control.New(env.Settings, env.DB, env.Now, env.Jobs)
	return func(ctx context.Context, run *fn.Run) error {
		var asked server.StartArgument
		if err := run.Argument(&asked); err != nil {
			return err
		}
		return host.Job(ctx, run.JobID, run.Subject.ID, run, func(h *control.Host, ctx context.Context, s server.Server) error {
			return h.StartAs(ctx, s, asked)
		})
	}
}
