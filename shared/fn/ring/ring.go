// Package ring wakes the host agent for functions that enqueue jobs: by SQS where JOB_QUEUE_URL names a queue, else by the
// socket on the host.
package ring

import (
	"context"
	"os"

	"left4me/shared/doorbell"
	"left4me/shared/doorbell/queue"
	"left4me/shared/fn"
)

// New returns what a function calls after it has enqueued a job. A bell that is broken costs the job a moment and nobody an
// error: the agent looks at the rows regularly.
func New(env *fn.Env) func(context.Context) {
	var bell doorbell.Ringer = doorbell.Socket(env.Settings.BellPath())
	if url := env.Settings.JobQueueURL; url != "" {
		bell = queue.New(os.Getenv, url)
	}
	return func(ctx context.Context) {
		if err := bell.Ring(ctx); err != nil {
			env.Log.WarnContext(ctx, "cannot wake the host agent", "error", err.Error())
		}
	}
}
