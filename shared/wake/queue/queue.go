// Package queue sends notifications through an SQS queue, from pages on AWS to a host agent elsewhere.
//
// Package poll receives them. It is separate because it needs AWS's SDK, which slows down the start of every program that
// imports it.
package queue

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"time"

	"left4me/shared/awsapi"
)

// sendTimeout limits how long a page waits for SQS.
const sendTimeout = 2 * time.Second

// Endpoint is the environment variable that replaces SQS's address in tests, as in AWS's SDKs.
const Endpoint = "AWS_ENDPOINT_URL_SQS"

// Queue is an SQS queue. It is a wake.Notifier.
type Queue struct {
	service awsapi.Service
	url     string
}

// New returns the queue at queueURL. getenv gives the region and the credentials, as in the environment of a Lambda function.
func New(getenv func(string) string, queueURL string) *Queue {
	s := awsapi.Service{Name: "sqs", Region: getenv("AWS_REGION"), Endpoint: getenv(Endpoint), JSON: "1.0", Getenv: getenv}
	if s.Region == "" {
		s.Region = Region(queueURL)
	}
	if u, err := url.Parse(queueURL); err == nil && s.Endpoint == "" {
		s.Endpoint = u.Scheme + "://" + u.Host
	}
	return &Queue{service: s, url: queueURL}
}

// Region returns the region in a URL such as https://sqs.eu-central-1.amazonaws.com/…, or "" for other URLs.
func Region(queueURL string) string {
	u, err := url.Parse(queueURL)
	if err != nil {
		return ""
	}
	if part := strings.Split(u.Hostname(), "."); len(part) > 2 && part[0] == "sqs" {
		return part[1]
	}
	return ""
}

// Notify sends one message.
func (q *Queue) Notify(ctx context.Context) error {
	ctx, stop := context.WithTimeout(ctx, sendTimeout)
	defer stop()
	if _, err := q.service.Call(ctx, "AmazonSQS.SendMessage", map[string]string{"QueueUrl": q.url, "MessageBody": "look"}); err != nil {
		return fmt.Errorf("notify through %s: %w", q.url, err)
	}
	return nil
}
