// Package poll listens to the doorbell that package queue rings: by long polls of an SQS queue, for as long as a host agent
// runs.
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

	"left4me/shared/doorbell/queue"
)

const (
	// pollTime is SQS's longest long poll, in seconds.
	pollTime = 20
	// batch is the most messages that one answer has.
	batch = 10
	// hidden is for how many seconds a message that was received stays hidden from other polls. A poll that was on its way
	// when its agent ended may swallow one, and the next agent must not wait for it.
	hidden = 1
	// longestPause bounds the growing pause between polls that fail.
	longestPause = time.Minute
)

// Bell is the listening side of a queue. It is a doorbell.Waiter.
type Bell struct {
	client *sqs.Client
	url    string
	log    *slog.Logger
	rings  chan struct{}
	stop   context.CancelFunc
	ended  sync.WaitGroup
}

// Listen begins to ask the queue at queueURL for messages, with long polls. config says with which credentials; a region that
// it does not name is that of the queue's URL. What goes wrong is logged to log and tried again for ever, with growing
// pauses: the agent works without its bell, only later.
func Listen(ctx context.Context, config aws.Config, queueURL string, log *slog.Logger) *Bell {
	if config.Region == "" {
		config.Region = queue.Region(queueURL)
	}
	b := &Bell{client: sqs.NewFromConfig(config), url: queueURL, log: log, rings: make(chan struct{}, 1)}
	ctx, b.stop = context.WithCancel(context.WithoutCancel(ctx))
	b.ended.Go(func() { b.listen(ctx) })
	return b
}

func (b *Bell) listen(ctx context.Context) {
	for ctx.Err() == nil {
		pauses := retry.WithCappedDuration(longestPause, retry.NewExponential(time.Second))
		_ = retry.Do(ctx, pauses, func(ctx context.Context) error {
			err := b.poll(ctx)
			if err != nil && ctx.Err() == nil {
				b.log.Warn("cannot ask the job queue; jobs start later", "queue", b.url, "error", err.Error())
			}
			return retry.RetryableError(err)
		})
	}
}

// poll waits for messages, rings once for all of them, and deletes them.
func (b *Bell) poll(ctx context.Context) error {
	got, err := b.client.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
		QueueUrl: &b.url, MaxNumberOfMessages: batch, WaitTimeSeconds: pollTime, VisibilityTimeout: hidden,
	})
	if err != nil {
		return fmt.Errorf("receive: %w", err)
	}
	if len(got.Messages) == 0 {
		return nil
	}
	select {
	case b.rings <- struct{}{}:
	default:
	}
	var entries []types.DeleteMessageBatchRequestEntry
	for i, m := range got.Messages {
		entries = append(entries, types.DeleteMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), ReceiptHandle: m.ReceiptHandle})
	}
	// One that stays comes again, and means no more than the first time.
	if _, err := b.client.DeleteMessageBatch(ctx, &sqs.DeleteMessageBatchInput{QueueUrl: &b.url, Entries: entries}); err != nil {
		return fmt.Errorf("delete: %w", err)
	}
	return nil
}

// Wait waits for a ring: see doorbell.Waiter. A queue never breaks for good.
func (b *Bell) Wait(ctx context.Context, atMost time.Duration) (rung bool, err error) {
	timer := time.NewTimer(atMost)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false, ctx.Err()
	case <-b.rings:
		return true, nil
	case <-timer.C:
		return false, nil
	}
}

// Close ends the polling.
func (b *Bell) Close() error {
	b.stop()
	b.ended.Wait()
	return nil
}
