package queue_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"left4me/shared/wake"
	"left4me/shared/wake/queue"
	"left4me/shared/wake/queue/poll"
	"left4me/shared/wake/queue/queuetest"
)

var (
	_ wake.Notifier = (*queue.Queue)(nil)
	_ wake.Waiter   = (*poll.Listener)(nil)
)

const patience = 2 * time.Minute

func open(s *queuetest.Server) *queue.Queue { return queue.New(s.Getenv, s.QueueURL) }

func listen(t *testing.T, s *queuetest.Server) *poll.Listener {
	t.Helper()
	b := poll.Listen(t.Context(), s.Config, s.QueueURL, slog.New(slog.NewTextHandler(t.Output(), nil)))
	t.Cleanup(func() { b.Close() })
	return b
}

func wantRing(t *testing.T, b *poll.Listener) {
	t.Helper()
	if rung, err := b.Wait(t.Context(), patience); !rung || err != nil {
		t.Fatalf("Wait = %v, %v", rung, err)
	}
}

// left is how many messages the queue has, those that somebody is working on included.
func left(t *testing.T, s *queuetest.Server) string {
	t.Helper()
	got, err := s.Client.GetQueueAttributes(t.Context(), &sqs.GetQueueAttributesInput{QueueUrl: &s.QueueURL, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameAll}})
	if err != nil {
		t.Fatal(err)
	}
	return got.Attributes["ApproximateNumberOfMessages"] + "+" + got.Attributes["ApproximateNumberOfMessagesNotVisible"]
}

func TestARingIsHeardBeforeAndDuringTheWait(t *testing.T) {
	s := queuetest.Start(t)
	q := open(s)
	if err := q.Notify(t.Context()); err != nil {
		t.Fatal(err)
	}
	b := listen(t, s)
	wantRing(t, b)
	go q.Notify(t.Context())
	wantRing(t, b)
}

// Messages that come twice, late, or all at once are looks, not jobs.
func TestManyMessagesAreOneReasonToLook(t *testing.T) {
	s := queuetest.Start(t)
	q := open(s)
	for range 25 {
		if err := q.Notify(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	b := listen(t, s)
	wantRing(t, b)
	for deadline := time.Now().Add(patience); left(t, s) != "0+0"; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("messages stay in the queue: %s", left(t, s))
		}
	}
	rings := 0
	for {
		rung, err := b.Wait(t.Context(), 50*time.Millisecond)
		if err != nil {
			t.Fatal(err)
		}
		if !rung {
			break
		}
		rings++
	}
	if rings > 3 {
		t.Errorf("25 messages rang %d more times", rings)
	}
}

func TestWithoutMessagesNothingRings(t *testing.T) {
	b := listen(t, queuetest.Start(t))
	if rung, err := b.Wait(t.Context(), 100*time.Millisecond); rung || err != nil {
		t.Errorf("Wait = %v, %v", rung, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if rung, err := b.Wait(ctx, patience); rung || err != context.Canceled {
		t.Errorf("Wait after a cancel = %v, %v", rung, err)
	}
}

func TestAQueueThatIsAwayCostsNobodyAnything(t *testing.T) {
	s := queuetest.Start(t)
	q := open(s)
	b := listen(t, s)
	s.Stop()
	if err := q.Notify(t.Context()); err == nil || !strings.Contains(err.Error(), s.QueueURL) {
		t.Errorf("Ring = %v", err)
	}
	if rung, err := b.Wait(t.Context(), 50*time.Millisecond); rung || err != nil {
		t.Errorf("Wait = %v, %v", rung, err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		b.Close()
	}()
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatal("Close does not return")
	}
}

// A page must not wait for a queue that does not answer.
func TestRingGivesUpOnASilentQueue(t *testing.T) {
	release := make(chan struct{})
	silent := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	defer silent.Close()
	defer close(release)
	env := map[string]string{queue.Endpoint: silent.URL, "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}
	q := queue.New(func(name string) string { return env[name] }, "https://sqs.eu-central-1.amazonaws.com/1/q")
	rung := make(chan error, 1)
	go func() { rung <- q.Notify(t.Context()) }()
	select {
	case err := <-rung:
		if err == nil {
			t.Error("no error")
		}
	case <-time.After(patience):
		t.Fatal("it waits for ever")
	}
}

func TestWithoutCredentialsTheErrorSaysSo(t *testing.T) {
	q := queue.New(func(string) string { return "" }, "https://sqs.eu-central-1.amazonaws.com/1/q")
	if err := q.Notify(t.Context()); err == nil || !strings.Contains(err.Error(), "no AWS credentials") {
		t.Errorf("Ring = %v", err)
	}
}
