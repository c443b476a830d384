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
	run.OnSuccess(func(ctx context.Context, q db.Querier) error {
		return r.overlays.Removed(ctx, q, run.Subject.ID, run.Host)
	})
	return r.remove(ctx, run.Subject.ID, run.Host, run)
}

// remove removes the directory of a deleted overlay from a host, this one. The error says so if the overlay has not been deleted.
func (r runner) remove(ctx context.Context, overlayID int64, host string, report builder.Report) error {
	o, err := r.overlays.Deleted(ctx, overlayID)
	if err != nil {
		return err
	}
	madeAt, err := r.overlays.DirectoryAt(ctx, overlayID, host)
	if err != nil {
		return err
	}
	return builder.Directory(r.overlaysDir, o).Remove(ctx, !madeAt.IsZero(), report)
}
