package main

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/aws/aws-sdk-go-v2/config"

	"left4me/shared/settings"
	"left4me/shared/wake"
	"left4me/shared/wake/queue/poll"
)

// newWaiter returns the receiver of the agent's notifications: the queue of JOB_QUEUE_URL, or the socket on this host. The
// queue's credentials are found as in AWS's own tools: environment, profile, or role.
func newWaiter(ctx context.Context, s settings.Settings, log *slog.Logger) (wake.Waiter, error) {
	if s.JobQueueURL == "" {
		return wake.Listen(s.WakeSocket())
	}
	c, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", settings.JobQueueURL, err)
	}
	return poll.Listen(ctx, c, s.JobQueueURL, log), nil
}
