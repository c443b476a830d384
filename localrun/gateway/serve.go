package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

const (
	// settle is how long a connection that has just been accepted has for its request to come, once the server is to stop.
	settle = time.Second
	// settleLook is how often it is looked at meanwhile.
	settleLook = 2 * time.Millisecond
)

// Serve serves handler on l, with limits that slow and greedy clients meet: a request's body has to arrive within a minute; an
// answer may take as long as the slowest function and its queue. When ctx ends it takes no more connections and brings to an
// end what has begun: every request of an accepted connection is answered, unless that takes longer than drain. The error
// says what went wrong, nil when ctx ended it well.
func Serve(ctx context.Context, l net.Listener, handler http.Handler, drain time.Duration, log *slog.Logger) error {
	var open atomic.Int64
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       time.Minute,
		WriteTimeout:      3 * time.Minute,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    32 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		ConnState: func(_ net.Conn, state http.ConnState) {
			switch state {
			case http.StateNew:
				open.Add(1)
			case http.StateClosed, http.StateHijacked:
				open.Add(-1)
			}
		},
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(l) }()
	select {
	case err := <-failed:
		return errors.Join(err, server.Close())
	case <-ctx.Done():
	}

	err := errors.Join(l.Close(), <-failed)
	if errors.Is(err, net.ErrClosed) {
		err = nil
	}
	// Shutdown drops a request that it finds being read, so those that are on their way come first. Connections without one
	// are closed by the first line.
	server.SetKeepAlivesEnabled(false)
	for end := time.Now().Add(settle); open.Load() > 0 && time.Now().Before(end); {
		time.Sleep(settleLook)
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
	defer cancel()
	if serr := server.Shutdown(last); serr != nil {
		err = errors.Join(err, fmt.Errorf("finish requests: %w", serr), server.Close())
	}
	return err
}
