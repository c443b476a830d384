// Package schedule fires the schedules of left4me on a host that has no other timer for them: each slot once its time has
// come, and one that went by while left4me was not running as soon as it runs again (product.md P30).
//
// Which schedules there are and when their slots are is shared/job's; that a slot is fired once, whoever else fires it, is
// shared/jobstore's.
package schedule

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"left4me/shared/job"
)

// look is how often the clock is looked at: timers of the kernel stand still while a machine sleeps, and know nothing of a
// clock that is put to another time.
const look = time.Minute

// Runner watches schedules.
type Runner struct {
	Schedules []job.Schedule
	// Missed reports whether a slot that has come was not fired yet. It is jobstore.Store.Missed.
	Missed func(ctx context.Context, s job.Schedule, slot time.Time) (bool, error)
	// Fire has a slot fired.
	Fire func(ctx context.Context, s job.Schedule, slot time.Time) error
	// Now is the clock, in the time zone of the slots.
	Now func() time.Time
	// Jitter picks a time from nothing to most, by which a slot is fired late.
	Jitter func(most time.Duration) time.Duration
	Log    *slog.Logger
}

// Run fires slots until ctx ends. What fails is logged and tried again.
func (r *Runner) Run(ctx context.Context) {
	var watching sync.WaitGroup
	for _, s := range r.Schedules {
		watching.Go(func() { r.watch(ctx, s) })
	}
	watching.Wait()
}

// watch looks at the newest slot of a schedule, again and again. Of several that went by, only that one is fired.
func (r *Runner) watch(ctx context.Context, s job.Schedule) {
	var slot, due time.Time
	settled := false // nothing is left to do for slot
	for ctx.Err() == nil {
		now := r.Now()
		if latest := s.Latest(now); !latest.Equal(slot) {
			due, settled = latest, false
			if !slot.IsZero() { // else left4me has just been started, which is late enough
				due = latest.Add(r.Jitter(s.Jitter))
			}
			slot = latest
		}
		if !settled {
			settled = r.settle(ctx, s, slot, due, now)
		}
		next := s.Next(now).Sub(now)
		if !settled && due.After(now) {
			next = min(next, due.Sub(now))
		}
		select {
		case <-time.After(min(next, look)):
		case <-ctx.Done():
		}
	}
}

// settle fires a slot if it was missed and is due, and reports whether it need not be looked at again.
func (r *Runner) settle(ctx context.Context, s job.Schedule, slot, due, now time.Time) bool {
	missed, err := r.Missed(ctx, s, slot)
	if err == nil && missed {
		if now.Before(due) {
			return false
		}
		err = r.Fire(ctx, s, slot)
	}
	if err != nil && ctx.Err() == nil {
		r.Log.Error("cannot fire a schedule; trying again", "schedule", s.Name, "slot", slot, "error", err.Error(), "every", look)
	}
	return err == nil
}
