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

const timeout = 2 * time.Minute

func open(s *queuetest.Server) *queue.Queue { return queue.New(s.Getenv, s.QueueURL) }

func listen(t *testing.T, s *queuetest.Server) *poll.Listener {
	t.Helper()
	l := poll.Listen(t.Context(), s.Config, s.QueueURL, slog.New(slog.NewTextHandler(t.Output(), nil)))
	t.Cleanup(func() { l.Close() })
	return l
}

func wantNotified(t *testing.T, l *poll.Listener) {
	t.Helper()
	if notified, err := l.Wait(t.Context(), timeout); !notified || err != nil {
		t.Fatalf("Wait = %v, %v", notified, err)
	}
}

// messages returns how many visible and hidden messages the queue has, as "0+0".
func messages(t *testing.T, s *queuetest.Server) string {
	t.Helper()
	got, err := s.Client.GetQueueAttributes(t.Context(), &sqs.GetQueueAttributesInput{QueueUrl: &s.QueueURL, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameAll}})
	if err != nil {
		t.Fatal(err)
	}
	return got.Attributes["ApproximateNumberOfMessages"] + "+" + got.Attributes["ApproximateNumberOfMessagesNotVisible"]
}

func TestNotifyBeforeAndDuringWait(t *testing.T) {
	s := queuetest.Start(t)
	q := open(s)
	if err := q.Notify(t.Context()); err != nil {
		t.Fatal(err)
	}
	l := listen(t, s)
	wantNotified(t, l)
	go q.Notify(t.Context())
	wantNotified(t, l)
}

func TestManyMessagesAreMerged(t *testing.T) {
	s := queuetest.Start(t)
	q := open(s)
	for range 25 {
		if err := q.Notify(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	l := listen(t, s)
	wantNotified(t, l)
	for deadline := time.Now().Add(timeout); messages(t, s) != "0+0"; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("messages stay in the queue: %s", messages(t, s))
		}
	}
	wakes := 0
	for {
		notified, err := l.Wait(t.Context(), 50*time.Millisecond)
		if err != nil {
			t.Fatal(err)
		}
		if !notified {
			break
		}
		wakes++
	}
	if wakes > 3 {
		t.Errorf("25 messages woke the listener %d more times", wakes)
	}
}

func TestWaitWithoutMessages(t *testing.T) {
	l := listen(t, queuetest.Start(t))
	if notified, err := l.Wait(t.Context(), 100*time.Millisecond); notified || err != nil {
		t.Errorf("Wait = %v, %v", notified, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if notified, err := l.Wait(ctx, timeout); notified || err != context.Canceled {
		t.Errorf("Wait after a cancel = %v, %v", notified, err)
	}
}

func TestUnreachableQueue(t *testing.T) {
	s := queuetest.Start(t)
	q := open(s)
	l := listen(t, s)
	s.Stop()
	if err := q.Notify(t.Context()); err == nil || !strings.Contains(err.Error(), s.QueueURL) {
		t.Errorf("Notify = %v", err)
	}
	if notified, err := l.Wait(t.Context(), 50*time.Millisecond); notified || err != nil {
		t.Errorf("Wait = %v, %v", notified, err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		l.Close()
	}()
	select {
	case <-done:
	case <-time.After(timeout):
		t.Fatal("Close does not return")
	}
}

// A page must not wait for a queue that does not answer.
func TestNotifyGivesUpWhenTheQueueDoesNotAnswer(t *testing.T) {
	release := make(chan struct{})
	silent := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	defer silent.Close()
	defer close(release)
	env := map[string]string{queue.Endpoint: silent.URL, "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}
	q := queue.New(func(name string) string { return env[name] }, "https://sqs.eu-central-1.amazonaws.com/1/q")
	result := make(chan error, 1)
	go func() { result <- q.Notify(t.Context()) }()
	select {
	case err := <-result:
		if err == nil {
			t.Error("Notify = nil, want an error")
		}
	case <-time.After(timeout):
		t.Fatal("Notify does not return")
	}
}

func TestNotifyWithoutCredentials(t *testing.T) {
	q := queue.New(func(string) string { return "" }, "https://sqs.eu-central-1.amazonaws.com/1/q")
	if err := q.Notify(t.Context()); err == nil || !strings.Contains(err.Error(), "no AWS credentials") {
		t.Errorf("Notify = %v", err)
	}
}
