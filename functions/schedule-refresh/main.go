// Command schedule-refresh enqueues the daily refresh of all workshop items: a timer calls it, on AWS or on a host.
package main

import (
	"context"
	"time"

	"left4me/shared/fn"
	"left4me/shared/fn/ring"
	"left4me/shared/job"
	"left4me/shared/jobstore"
)

func main() { fn.Schedule(job.DailyRefresh, build) }

func build(env *fn.Env) func(context.Context, time.Time) (jobstore.Enqueued, error) {
	return timer{jobs: jobstore.New(env.DB), ring: ring.New(env)}.fire
}
