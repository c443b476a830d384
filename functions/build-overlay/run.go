package main

import (
	"context"
	"net/http"

	"left4me/shared/builder"
	"left4me/shared/db"
	"left4me/shared/fn"
	"left4me/shared/problem"
)

type runner struct {
	host builder.Host
}

func (r runner) run(ctx context.Context, run *fn.Run) error {
	o, err := r.host.Overlays.Get(ctx, run.Subject.ID)
	if p, ok := problem.As(err); ok && p.Status == http.StatusNotFound {
		run.Infof("overlay %d was deleted meanwhile; there is nothing to build", run.Subject.ID)
		return nil
	}
	if err != nil {
		return err
	}
	run.OnSuccess(func(ctx context.Context, q db.Querier) error {
		return r.host.Record(ctx, q, o, run.JobID)
	})
	r.host.Report, r.host.HostID = run, run.Host
	return builder.Build(ctx, &r.host, o)
}
