package fn

import (
	"context"
	"time"

	"github.com/aws/aws-lambda-go/lambda"

	"left4me/shared/job"
)

// Schedule is the main of a function that a timer calls with a job.ScheduleEvent: it enqueues the schedule's job. Schedule does
// not return.
func Schedule(s job.Schedule) {
	env := Start(s.Function)
	lambda.Start(func(ctx context.Context, event job.ScheduleEvent) (job.Fired, error) { return fire(ctx, env, s, event) })
}

// late is the age from which the schedule's job should have ended. Schedules fire once a day.
const late = 12 * time.Hour

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
	if !e.New && !e.State.Ended() {
		j, err := env.Jobs.Get(ctx, e.ID)
		if err != nil {
			return job.Fired{}, err
		}
		// A job that a person or another timer enqueued for the same day is not late.
		if age := env.Now().Sub(j.CreatedAt); age > late {
			env.Log.WarnContext(ctx, job.NotEnded, "job", j.ID, "schedule", s.Name, "hours", int(age.Hours()))
		}
	}
	return fired, nil
}
