// Package queue is the doorbell by way of SQS, for pages on AWS and a host agent elsewhere: a message means "look", and
// nothing else. Messages may get lost, come twice or late; the rows of jobs are the truth.
//
// It is a package of its own because the SDK costs every process that imports it a part of its start.
package queue

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/sethvargo/go-retry"
)

const (
	// ringTime is how long a page waits for SQS before it goes on without having rung.
	ringTime = 2 * time.Second
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

// Queue is an SQS queue. It is a doorbell.Ringer.
type Queue struct {
	client *sqs.Client
	url    string
}

// New returns the queue at queueURL. config says with which credentials; a region that it does not name is that of the
// queue's URL.
func New(config aws.Config, queueURL string) *Queue {
	if config.Region == "" {
		config.Region = region(queueURL)
	}
	return &Queue{client: sqs.NewFromConfig(config), url: queueURL}
}

// region reads `https://sqs.eu-central-1.amazonaws.com/…`; empty for another form of URL.
func region(queueURL string) string {
	u, err := url.Parse(queueURL)
	if err != nil {
		return ""
	}
	if part := strings.Split(u.Hostname(), "."); len(part) > 2 && part[0] == "sqs" {
		return part[1]
	}
	return ""
}

// FromEnviron is the configuration of a function on Lambda, which has everything in its environment: it asks nobody.
func FromEnviron(getenv func(string) string) aws.Config {
	config := aws.Config{
		Region: getenv("AWS_REGION"),
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			c := aws.Credentials{
				AccessKeyID:     getenv("AWS_ACCESS_KEY_ID"),
				SecretAccessKey: getenv("AWS_SECRET_ACCESS_KEY"),
				SessionToken:    getenv("AWS_SESSION_TOKEN"),
				Source:          "environment",
			}
			if !c.HasKeys() {
				return aws.Credentials{}, errors.New("the environment has no AWS credentials")
			}
			return c, nil
		}),
	}
	if endpoint := getenv("AWS_ENDPOINT_URL_SQS"); endpoint != "" {
		config.BaseEndpoint = aws.String(endpoint)
	}
	return config
}

// Ring sends one message.
func (q *Queue) Ring(ctx context.Context) error {
	ctx, stop := context.WithTimeout(ctx, ringTime)
	defer stop()
	_, err := q.client.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: &q.url, MessageBody: aws.String("look")})
	if err != nil {
		return fmt.Errorf("ring by way of %s: %w", q.url, err)
	}
	return nil
}

// Bell is the listening side of a Queue. It is a doorbell.Waiter.
type Bell struct {
	queue *Queue
	log   *slog.Logger
	rings chan struct{}
	stop  context.CancelFunc
	ended sync.WaitGroup
}

// Listen begins to ask the queue for messages, with long polls. What goes wrong is logged to log and tried again for ever,
// with growing pauses: the agent works without its bell, only later.
func (q *Queue) Listen(ctx context.Context, log *slog.Logger) *Bell {
	b := &Bell{queue: q, log: log, rings: make(chan struct{}, 1)}
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
				b.log.Warn("cannot ask the job queue; jobs start later", "queue", b.queue.url, "error", err.Error())
			}
			return retry.RetryableError(err)
		})
	}
}

// poll waits for messages, rings once for all of them, and deletes them.
func (b *Bell) poll(ctx context.Context) error {
	got, err := b.queue.client.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
		QueueUrl: &b.queue.url, MaxNumberOfMessages: batch, WaitTimeSeconds: pollTime, VisibilityTimeout: hidden,
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
	if _, err := b.queue.client.DeleteMessageBatch(ctx, &sqs.DeleteMessageBatchInput{QueueUrl: &b.queue.url, Entries: entries}); err != nil {
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
