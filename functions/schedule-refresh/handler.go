package main

import (
	"context"
	"time"

	"left4me/shared/job"
	"left4me/shared/jobstore"
)

type timer struct {
	jobs *jobstore.Store
	ring func(context.Context)
}

// fire enqueues the refresh of a slot, unless another timer has.
func (t timer) fire(ctx context.Context, slot time.Time) (jobstore.Enqueued, error) {
	refresh, err := t.jobs.Fire(ctx, job.DailyRefresh, slot)
	if err == nil && refresh.New {
		t.ring(ctx)
	}
	return refresh, err
}
