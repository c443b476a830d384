// Package poll receives the notifications that package queue sends: with long polls of an SQS queue, as long as a host agent
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

	"left4me/shared/wake"
	"left4me/shared/wake/queue"
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

// Listener is the receiving side of a queue. It is a wake.Waiter.
type Listener struct {
	wake.Signal

	client *sqs.Client
	url    string
	log    *slog.Logger
	stop   context.CancelFunc
	ended  sync.WaitGroup
}

// Listen starts to poll the queue at queueURL. config has the credentials; without a region there, the region is that of the
// queue's URL. Failures are logged and retried for ever, with growing pauses: until a poll succeeds, the agent looks for jobs
// regularly.
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
		pauses := retry.WithCappedDuration(longestPause, retry.NewExponential(time.Second))
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
		QueueUrl: &l.url, MaxNumberOfMessages: batch, WaitTimeSeconds: pollTime, VisibilityTimeout: hidden,
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
	// One that stays comes again, and means no more than the first time.
	if _, err := l.client.DeleteMessageBatch(ctx, &sqs.DeleteMessageBatchInput{QueueUrl: &l.url, Entries: entries}); err != nil {
		return fmt.Errorf("delete: %w", err)
	}
	return nil
}

// Close ends the polling.
func (l *Listener) Close() error {
	l.stop()
	l.ended.Wait()
	return nil
}
