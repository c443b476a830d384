// Package poll receives the notifications that package queue sends. A host agent long-polls the SQS queue while it runs.
package poll

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/sethvargo/go-retry"

	"left4me/shared/wake"
	"left4me/shared/wake/queue"
)

const (
	// pollSeconds is the duration of a poll. SQS allows no longer ones.
	pollSeconds = 20
	// maxMessages is the highest number of messages in one answer.
	maxMessages = 10
	// hiddenSeconds is how long a received message stays hidden from other polls. It is short because a message may go to the
	// last poll of an agent that has just ended, and the next agent should receive it soon.
	hiddenSeconds = 1
	// maxPause limits the growing pause between failed polls.
	maxPause = time.Minute
)

// Listener is the receiving side of a queue. It is a wake.Waiter.
type Listener struct {
	wake.Signal

	client *sqs.Client
	url    string
	log    *slog.Logger
	stop   context.CancelFunc
	ended  sync.WaitGroup
}

// Listen starts to poll the queue at queueURL. config has the credentials and perhaps the region; otherwise the region is taken
// from queueURL. Failed polls are logged and repeated until Close, with growing pauses. Meanwhile the agent still looks for
// jobs regularly.
func Listen(ctx context.Context, config aws.Config, queueURL string, log *slog.Logger) *Listener {
	if config.Region == "" {
		config.Region = queue.Region(queueURL)
	}
	l := &Listener{Signal: wake.NewSignal(), client: sqs.NewFromConfig(config), url: queueURL, log: log}
	ctx, l.stop = context.WithCancel(context.WithoutCancel(ctx))
	l.ended.Go(func() { l.listen(ctx) })
	return l
}

func (l *Listener) listen(ctx context.Context) {
	for ctx.Err() == nil {
		pauses := retry.WithCappedDuration(maxPause, retry.NewExponential(time.Second))
		_ = retry.Do(ctx, pauses, func(ctx context.Context) error {
			err := l.poll(ctx)
			if err != nil && ctx.Err() == nil {
				l.log.Warn("cannot ask the job queue; jobs start later", "queue", l.url, "error", err.Error())
			}
			return retry.RetryableError(err)
		})
	}
}

// poll waits for messages, sets the signal once for all of them, and deletes them.
func (l *Listener) poll(ctx context.Context) error {
	got, err := l.client.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
		QueueUrl: &l.url, MaxNumberOfMessages: maxMessages, WaitTimeSeconds: pollSeconds, VisibilityTimeout: hiddenSeconds,
	})
	if err != nil {
		return fmt.Errorf("receive: %w", err)
	}
	if len(got.Messages) == 0 {
		return nil
	}
	l.Set()
	var entries []types.DeleteMessageBatchRequestEntry
	for i, m := range got.Messages {
		entries = append(entries, types.DeleteMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), ReceiptHandle: m.ReceiptHandle})
	}
	// A message that is not deleted arrives again, which does no harm.
	if _, err := l.client.DeleteMessageBatch(ctx, &sqs.DeleteMessageBatchInput{QueueUrl: &l.url, Entries: entries}); err != nil {
		return fmt.Errorf("delete: %w", err)
	}
	return nil
}

// Close stops polling.
func (l *Listener) Close() error {
	l.stop()
	l.ended.Wait()
	return nil
}
