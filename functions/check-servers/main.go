// Command check-servers asks the games of a host's running servers what they are doing, records what has changed, and restarts servers for
// updates.
package main

import (
	"context"
	"time"

	"left4me/shared/fn"
	"left4me/shared/game/autorestart"
	"left4me/shared/game/live"
	"left4me/shared/job"
	"left4me/shared/server"
)

func main() { fn.Check(job.CheckServers, build) }

// wait is how long a game may take for an answer.
const wait = 2 * time.Second

func build(env *fn.Env) func(context.Context, string) error {
	servers := server.NewStore(env.DB, env.Now, env.Jobs)
	games := live.Games{Root: env.Settings.Root, Wait: wait, Now: env.Now}
	say := func(ctx context.Context, on server.Check, line string) error {
		ctx, stop := context.WithTimeout(ctx, wait)
		defer stop()
		_, err := games.Command(ctx, on.ServerID, on.RunID, on.Port, server.Announce(line))
		return err
	}
	return func(ctx context.Context, hostID string) error {
		all, err := servers.Checks(ctx, hostID)
		if err == nil {
			err = games.Look(ctx, all)
		}
		if err == nil {
			err = servers.Checked(ctx, all)
		}
		if err != nil {
			return err
		}
		return autorestart.Host{Servers: servers, ID: hostID, Now: env.Now, Say: say}.Check(ctx, all)
	}
}
