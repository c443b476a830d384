// Command collect-garbage runs the job collect_garbage: it removes the files in the host's cache that no overlay needs.
package main

import (
	"context"

	"left4me/shared/fn"
	"left4me/shared/garbage"
	"left4me/shared/job"
	"left4me/shared/vpkcache"
	"left4me/shared/workshop"
)

func main() { fn.Job(job.CollectGarbage, build) }

func build(env *fn.Env) func(context.Context, *fn.Run) error {
	c := garbage.Collector{
		Cache:       vpkcache.New(env.Settings.CacheDir(), nil, vpkcache.Options{}),
		Items:       workshop.NewStore(env.DB, env.Now, env.Jobs),
		OverlaysDir: env.Settings.OverlaysDir(),
		Versions:    env.Settings.Versions,
	}
	return func(ctx context.Context, run *fn.Run) error {
		c.HostID = run.Host
		return c.Collect(ctx, run)
	}
}
