package fn

import (
	"context"

	"github.com/aws/aws-lambda-go/lambda"

	"left4me/shared/job"
)

// Schedule is the main of a function that a timer calls with a job.ScheduleEvent: it enqueues the schedule's job. Schedule does
// not return.
func Schedule(s job.Schedule) {
	env := Start(s.Function)
	lambda.Start(func(ctx context.Context, event job.ScheduleEvent) (job.Fired, error) { return fire(ctx, env, s, event) })
}

func fire(ctx context.Context, env *Env, s job.Schedule, event job.ScheduleEvent) (job.Fired, error) {
	slot, err := s.SlotOf(event)
	if err != nil {
		return job.Fired{}, err
	}
	defer env.WakeAgent(ctx)
	e, err := env.Jobs.Fire(ctx, s, slot)
	if err != nil {
		return job.Fired{}, err
	}
	fired := job.Fired{JobID: e.ID, New: e.New, Sentence: e.Sentence(s.Operation)}
	env.Log.InfoContext(ctx, fired.Sentence, "schedule", s.Name, "slot", event.Slot)
	return fired, nil
}
