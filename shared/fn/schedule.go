package fn

import (
	"context"
	"time"

	"github.com/aws/aws-lambda-go/lambda"

	"left4me/shared/job"
	"left4me/shared/jobstore"
)

// Schedule is the main of a function that a timer calls for one schedule (job.ScheduleEvent): with build it makes what
// enqueues the schedule's job for a slot, or for now when the slot is the zero time. Schedule does not return.
func Schedule(s job.Schedule, build func(*Env) func(context.Context, time.Time) (jobstore.Enqueued, error)) {
	env := start(s.Function)
	fire := build(env)
	lambda.Start(func(ctx context.Context, event job.ScheduleEvent) (job.Fired, error) {
		slot, err := s.SlotOf(event)
		if err != nil {
			return job.Fired{}, err
		}
		e, err := fire(ctx, slot)
		if err != nil {
			return job.Fired{}, err
		}
		fired := job.Fired{JobID: e.ID, New: e.New, Said: e.Sentence(s.Operation)}
		env.Log.InfoContext(ctx, fired.Said, "schedule", s.Name, "slot", event.Slot)
		return fired, nil
	})
}
