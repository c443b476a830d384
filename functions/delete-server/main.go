// Command delete-server runs the job delete_server on the game host: it ends the process of a deleted server and removes its directory, and
// then its row.
package main

import (
	"context"

	"left4me/shared/fn"
	"left4me/shared/game/control"
	"left4me/shared/job"
)

func main() { fn.Job(job.DeleteServer, build) }

func build(env *fn.Env) func(context.Context, *fn.Run) error {
	host := control.New(env.Settings, env.DB, env.Now, env.Jobs)
	return func(ctx context.Context, run *fn.Run) error {
		s, err := host.Servers.Deleted(ctx, run.Subject.ID)
		if err != nil {
			return err
		}
		h := host
		h.Report = run
		return h.Remove(ctx, s)
	}
}
