package main

import (
	"context"

	"left4me/shared/builder"
	"left4me/shared/db"
	"left4me/shared/fn"
	"left4me/shared/overlay"
)

type runner struct {
	overlays    *overlay.Store
	overlaysDir string
}

func (r runner) run(ctx context.Context, run *fn.Run) error {
	o, err := r.overlays.Deleted(ctx, run.OverlayID)
	if err != nil {
		return err
	}
	run.OnSuccess(func(ctx context.Context, q db.Querier) error {
		return r.overlays.Forget(ctx, q, o.ID)
	})
	return builder.Remove(ctx, r.overlaysDir, o, run)
}
