// Package wake wakes the host agent: a program that has enqueued a job notifies the agent, which then looks for jobs at once
// instead of at its next regular look.
//
// A notification only says "look". The jobs are rows of the database, so a notification may be lost, arrive twice or be
// forged without harm. On a host it travels through a socket (this package), between AWS and a host through SQS (package
// queue).
package wake

import (
	"context"
	"time"
)

// Notifier is the sending side.
type Notifier interface {
	// Notify returns soon, whether or not an agent is waiting. An error means that the setup is broken and no agent received
	// the notification. The jobs are safe and are found at the next regular look, so a request does not fail because of it.
	Notify(ctx context.Context) error
}

// Waiter is the receiving side.
type Waiter interface {
	// Wait returns true when a notification arrives or has arrived since the last Wait, and false after atMost without one.
	// The error is ctx's, or means that no notification can arrive any more.
	Wait(ctx context.Context, atMost time.Duration) (notified bool, err error)
	Close() error
}

// Signal merges notifications until somebody waits for them. Make it with NewSignal.
type Signal chan struct{}

// NewSignal returns a Signal that is not set.
func NewSignal() Signal { return make(Signal, 1) }

// Set sets the signal. It does not block.
func (s Signal) Set() {
	select {
	case s <- struct{}{}:
	default:
	}
}

// Wait implements Waiter: it waits until the signal is set, and resets it. The error is ctx's.
func (s Signal) Wait(ctx context.Context, atMost time.Duration) (notified bool, err error) {
	timer := time.NewTimer(atMost)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false, ctx.Err()
	case <-s:
		return true, nil
	case <-timer.C:
		return false, nil
	}
}

// Close makes Signal a Waiter. It does nothing.
func (s Signal) Close() error { return nil }
