// Package doorbell wakes the host agent: whoever has enqueued a job rings, and the agent, waiting, looks for jobs at once
// instead of at its next regular look.
//
// A ring says "look" and nothing else. The truth is in the rows of jobs, so that a ring may get lost, come twice, or come
// from a prankster. On a host the bell is a socket.
package doorbell

import (
	"context"
	"time"
)

// Ringer wakes whoever waits.
type Ringer interface {
	// Ring returns soon, whether or not somebody waits. An error says that nobody can have heard it because something is
	// set up wrongly; what was enqueued is safe and will be found later, so a request does not fail for it.
	Ring(ctx context.Context) error
}

// Waiter is the other side.
type Waiter interface {
	// Wait returns true when it rings, or has rung since the last Wait, and false when that did not happen for atMost. The
	// error is ctx's, or says that the bell has broken and will not ring any more.
	Wait(ctx context.Context, atMost time.Duration) (rung bool, err error)
	Close() error
}
