// Command command-server runs the job server_command on the game host: it has the game of a server execute a command.
package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"left4me/shared/db"
	"left4me/shared/fn"
	"left4me/shared/game/live"
	"left4me/shared/game/rcon"
	"left4me/shared/job"
	"left4me/shared/server"
)

func main() { fn.Job(job.ServerCommand, build) }

// wait is how long a game may take to answer.
const wait = 20 * time.Second

func build(env *fn.Env) func(context.Context, *fn.Run) error {
	servers := server.NewStore(env.DB, env.Now, env.Jobs)
	games := live.Games{Root: env.Settings.Root}
	return func(ctx context.Context, run *fn.Run) error {
		var command string
		if err := run.Argument(&command); err != nil {
			return err
		}
		id := run.Subject.ID
		r, err := servers.LastRun(ctx, id)
		if err != nil {
			return err
		}
		if r.ID == 0 || !r.EndedAt.IsZero() {
			return errors.New("the server is not running")
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		// What has been sent is not sent again: the job ends with it, even if it is cancelled or this process is to end.
		sent, stop := context.WithTimeout(context.WithoutCancel(ctx), wait)
		defer stop()
		answer, err := games.Command(sent, id, r.ID, r.Port, command)
		switch {
		case errors.Is(err, rcon.ErrRejected):
			return fmt.Errorf("%w; restart the server, and do not change rcon_password", err)
		case err != nil && !errors.Is(err, rcon.ErrTooLong):
			return err
		}
		for line := range strings.Lines(answer) {
			run.Infof("%s", strings.TrimSuffix(line, "\n"))
		}
		if err != nil {
			run.Warnf("%v; the rest is left out", err)
		}
		run.OnSuccess(func(ctx context.Context, q db.Querier) error { return servers.Commanded(ctx, q, id) })
		return nil
	}
}
