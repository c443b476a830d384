package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"time"
)

const (
	// arrivalTime is how long the requests of accepted connections may take to arrive once the server stops.
	arrivalTime = time.Second
	// arrivalPoll is how often Serve checks whether they have arrived.
	arrivalPoll = 2 * time.Millisecond
)

// Serve serves handler on l. Its time limits allow for the slowest function and its queue, and stop slow clients. It keeps the
// number of connections within limits, except that proxies may have more than other clients. When ctx ends, it accepts no more
// connections and answers every request of the accepted ones, unless that takes longer than drain. Then it returns nil, or what
// failed.
func Serve(ctx context.Context, l net.Listener, handler http.Handler, limits Limits, proxies []netip.Prefix, drain time.Duration, log *slog.Logger) error {
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       time.Minute,
		WriteTimeout:      3 * time.Minute,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    32 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	open := newConnections(limits, proxies, log)
	open.limit(server)
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
	// Shutdown drops requests that are still being read, so wait for them first. SetKeepAlivesEnabled closes idle connections.
	server.SetKeepAlivesEnabled(false)
	for end := time.Now().Add(arrivalTime); open.count() > 0 && time.Now().Before(end); {
		time.Sleep(arrivalPoll)
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
	defer cancel()
	if serr := server.Shutdown(last); serr != nil {
		err = errors.Join(err, fmt.Errorf("finish requests: %w", serr), server.Close())
	}
	return err
}
