package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"left4me/localrun/gateway"
	"left4me/localrun/metrics"
	"left4me/shared/db"
	"left4me/shared/fn"
	"left4me/shared/host"
	"left4me/shared/jobstore"
	"left4me/shared/server"
)

// metricsDrain is how long running scrapes may delay the end.
const metricsDrain = time.Second

// newMetrics returns the metrics of this process, and the service that serves them at address, the value of setting. If address
// is empty, the service does nothing.
func newMetrics(setting, address string, d *db.DB, log *slog.Logger) (*metrics.Metrics, service, error) {
	jobs := jobstore.NewStore(d, time.Now)
	m := metrics.New(fn.Version, jobs, host.NewStore(d, time.Now, jobs), server.NewStore(d, time.Now, jobs), log)
	if address == "" {
		return m, func(ctx context.Context) error {
			<-ctx.Done()
			return nil
		}, nil
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, nil, explainListen(setting, err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", m)
	return m, func(ctx context.Context) error {
		log.Info("serving metrics", "address", l.Addr().String())
		if err := gateway.Serve(ctx, l, mux, gateway.Limits{Connections: 16, ConnectionsEach: 16}, nil, metricsDrain, log); err != nil {
			return fmt.Errorf("serve metrics: %w", err)
		}
		return nil
	}, nil
}
