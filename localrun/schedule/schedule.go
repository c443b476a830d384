// Package schedule fires left4me's schedules on a host without another timer: each slot at its time, and a slot that was missed
// while left4me was not running as soon as it runs again (promise P30).
//
// Package job defines the schedules and their slots. Package jobstore ensures that each slot is fired only once.
package schedule

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"left4me/shared/job"
)

// pollTime is how often a Runner reads the clock. Timers alone would not do: they stop while a machine sleeps, and do not
// notice that the clock was set.
const pollTime = time.Minute

// Runner watches schedules.
type Runner struct {
	Schedules []job.Schedule
	// Missed reports whether a past slot was not fired yet. It is jobstore.Store.Missed.
	Missed func(ctx context.Context, s job.Schedule, slot time.Time) (bool, error)
	// Fire fires a slot.
	Fire func(ctx context.Context, s job.Schedule, slot time.Time) error
	// Now is the clock, in the time zone of the slots.
	Now func() time.Time
	// Jitter returns a random delay between 0 and most for firing a slot.
	Jitter func(most time.Duration) time.Duration
	Log    *slog.Logger
}

// Run fires slots until ctx ends. It logs and retries failures.
func (r *Runner) Run(ctx context.Context) {
	var watching sync.WaitGroup
	for _, s := range r.Schedules {
		watching.Go(func() { r.watch(ctx, s) })
	}
	watching.Wait()
}

// watch fires the slots of one schedule. Of several missed slots it fires only the latest.
func (r *Runner) watch(ctx context.Context, s job.Schedule) {
	var slot, due time.Time
	done := false // slot was fired, by whomever
	for ctx.Err() == nil {
		now := r.Now()
		if latest := s.Latest(now); !latest.Equal(slot) {
			due, done = latest, false
			if !slot.IsZero() { // left4me has not just been started
				due = latest.Add(r.Jitter(s.Jitter))
			}
			slot = latest
		}
		if !done {
			done = r.fireIfDue(ctx, s, slot, due, now)
		}
		next := s.Next(now).Sub(now)
		if !done && due.After(now) {
			next = min(next, due.Sub(now))
		}
		select {
		case <-time.After(min(next, pollTime)):
		case <-ctx.Done():
		}
	}
}

// fireIfDue fires a slot if it was not fired yet and is due. It reports whether the slot is done.
func (r *Runner) fireIfDue(ctx context.Context, s job.Schedule, slot, due, now time.Time) bool {
	missed, err := r.Missed(ctx, s, slot)
	if err == nil && missed {
		if now.Before(due) {
			return false
		}
		err = r.Fire(ctx, s, slot)
	}
	if err != nil && ctx.Err() == nil {
		r.Log.Error("cannot fire a schedule; trying again", "schedule", s.Name, "slot", slot, "error", err.Error(), "every", pollTime)
	}
	return err == nil
}
