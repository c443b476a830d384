package main

import (
	"context"

	"left4me/shared/builder"
	"left4me/shared/db"
	"left4me/shared/fn"
)

type runner struct {
	host builder.Host
}

func (r runner) run(ctx context.Context, run *fn.Run) error {
	o, err := r.host.Overlays.Get(ctx, run.OverlayID)
	if err != nil {
		return err
	}
	run.OnSuccess(func(ctx context.Context, q db.Querier) error {
		return r.host.Overlays.Built(ctx, q, o.ID, o.Revision)
	})
	r.host.Report = run
	return builder.Build(ctx, &r.host, o)
}
