package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/aws/aws-sdk-go-v2/config"

	"left4me/shared/settings"
	"left4me/shared/wake"
	"left4me/shared/wake/queue/poll"
)

// newWaiter returns the receiver of the agent's notifications: the first queue of JOB_QUEUE_URL, or the socket on this host. The
// socket wakes only the first agent of a LEFT4ME_ROOT; the receiver of any other is never notified. The queue's credentials are found
// as in AWS's own tools: environment, profile, or role.
func newWaiter(ctx context.Context, s settings.Settings, log *slog.Logger) (wake.Waiter, error) {
	if len(s.JobQueueURLs) == 0 {
		l, err := wake.Listen(s.WakeSocket())
		if errors.Is(err, wake.ErrTaken) {
			log.Warn("another agent works on this LEFT4ME_ROOT and is woken by new jobs; this one finds them only by looking regularly", "socket", s.WakeSocket())
			return wake.NewSignal(), nil
		}
		return l, err
	}
	c, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", settings.JobQueueURL, err)
	}
	return poll.Listen(ctx, c, s.JobQueueURLs[0], log), nil
}
