// Package queue rings the doorbell by way of SQS, for pages on AWS and a host agent elsewhere: a message means "look", and
// nothing else. Messages may get lost, come twice or late; the rows of jobs are the truth.
//
// Listening is package poll's, which needs AWS's SDK: that costs every process that imports it a part of its start.
package queue

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"time"

	"left4me/shared/awsapi"
)

// ringTime is how long a page waits for SQS before it goes on without having rung.
const ringTime = 2 * time.Second

// Endpoint replaces SQS's address, for a stand-in. The name is that of AWS's SDKs.
const Endpoint = "AWS_ENDPOINT_URL_SQS"

// Queue is an SQS queue. It is a doorbell.Ringer.
type Queue struct {
	service awsapi.Service
	url     string
}

// New returns the queue at queueURL for a function on Lambda, which has its region and credentials in its environment.
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

// Region reads `https://sqs.eu-central-1.amazonaws.com/…`; empty for another form of URL.
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

// Ring sends one message.
func (q *Queue) Ring(ctx context.Context) error {
	ctx, stop := context.WithTimeout(ctx, ringTime)
	defer stop()
	if _, err := q.service.Ask(ctx, "AmazonSQS.SendMessage", map[string]string{"QueueUrl": q.url, "MessageBody": "look"}); err != nil {
		return fmt.Errorf("ring by way of %s: %w", q.url, err)
	}
	return nil
}
