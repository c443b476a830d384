// Command install runs the job install: it installs the newest release of the game on the host.
package main

import (
	"context"
	"errors"

	"left4me/shared/db"
	"left4me/shared/fn"
	"left4me/shared/game"
	"left4me/shared/job"
	"left4me/shared/server"
)

func main() { fn.Job(job.Install, build) }

func build(env *fn.Env) func(context.Context, *fn.Run) error {
	installer, releases := game.NewInstaller(env.Settings), game.NewStore(env.DB, env.Now, env.Jobs)
	return func(ctx context.Context, run *fn.Run) error {
		installer.Report = run
		installer.Record = func(ctx context.Context, newest int64, onDisk []game.Release) error {
			return env.DB.InTx(ctx, func(ctx context.Context, q db.Querier) error {
				return releases.RecordReleases(ctx, q, run.Host, newest, onDisk)
			})
		}
		installer.InUse = func(ctx context.Context) ([]int64, error) { return server.Builds(ctx, env.DB, run.Host) }
		newest, onDisk, err := installer.Install(ctx)
		run.OnSuccess(func(ctx context.Context, q db.Querier) error {
			return errors.Join(releases.RecordReleases(ctx, q, run.Host, newest, onDisk), releases.RecordCheck(ctx, q, run.Host, newest))
		})
		return err
	}
}
