// Command check-game runs the job check_game: it asks Steam whether there is a newer release of the game than the one on the host, and
// asks for the job that installs it, if that is wanted.
package main

import (
	"context"

	"left4me/shared/fn"
	"left4me/shared/game"
	"left4me/shared/job"
)

func main() { fn.Job(job.CheckGame, build) }

func build(env *fn.Env) func(context.Context, *fn.Run) error {
	return runner{
		db:        env.DB,
		installer: game.NewInstaller(env.Settings),
		releases:  game.NewStore(env.DB, env.Now, env.Jobs),
		jobs:      env.Jobs,
		install:   env.Settings.InstallUpdates,
	}.run
}
