package fn

import (
	"context"
	"errors"

	"github.com/aws/aws-lambda-go/lambda"

	"left4me/shared/job"
)

// Check is the main of a function that the agent of a host calls with a job.CheckEvent. The function that build returns checks the host
// with that id. Check does not return.
func Check(c job.Check, build func(*Env) func(ctx context.Context, hostID string) error) {
	env := Start(c.Function)
	check := build(env)
	lambda.Start(func(ctx context.Context, event job.CheckEvent) error {
		if event.Host == "" {
			return errors.New(`a check's event is {"host":"ID"}`)
		}
		defer env.WakeAgent(ctx)
		return check(ctx, event.Host)
	})
}
