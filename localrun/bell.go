package main

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/aws/aws-sdk-go-v2/config"

	"left4me/shared/doorbell"
	"left4me/shared/doorbell/queue/poll"
	"left4me/shared/settings"
)

// listenForJobs opens the bell that pages ring: the queue that JOB_QUEUE_URL names, else the socket on this host. Whose
// credentials ask the queue is found as AWS's own tools find it: environment, profile, or role.
func listenForJobs(ctx context.Context, s settings.Settings, log *slog.Logger) (doorbell.Waiter, error) {
	if s.JobQueueURL == "" {
		return doorbell.Listen(s.BellPath())
	}
	c, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", settings.JobQueueURL, err)
	}
	return poll.Listen(ctx, c, s.JobQueueURL, log), nil
}
