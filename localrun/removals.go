package main

import (
	"context"
	"log/slog"
	"time"

	"left4me/shared/db"
	"left4me/shared/job"
	"left4me/shared/jobstore"
	"left4me/shared/overlay"
)

// removalInterval is how often failed removals are retried.
const removalInterval = 24 * time.Hour

// completeRemovals enqueues, at once and then daily, the removal from this host of every deleted overlay that still has its row
// because its delete_overlay failed or was cancelled. An administrator who has removed the cause restarts the agent, or waits.
func completeRemovals(ctx context.Context, d *db.DB, host string, log *slog.Logger) {
	jobs := jobstore.NewStore(d, time.Now)
	overlays := overlay.NewStore(d, time.Now, jobs)
	ticker := time.NewTicker(removalInterval)
	defer ticker.Stop()
	for {
		if err := enqueueRemovals(ctx, d, host, overlays, jobs, log); err != nil && ctx.Err() == nil {
			log.Error("cannot ask for the removal of deleted overlays again", "error", err.Error())
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

func enqueueRemovals(ctx context.Context, d *db.DB, host string, overlays *overlay.Store, jobs *jobstore.Store, log *slog.Logger) error {
	ids, err := overlays.AllDeleted(ctx, host)
	if err != nil {
		return err
	}
	var requests []jobstore.Request
	for _, id := range ids {
		requests = append(requests, jobstore.Request{Operation: job.DeleteOverlay, Subject: job.Overlay(id), Host: host})
	}
	removals, err := jobs.EnqueueAll(ctx, d, requests)
	for i, removal := range removals {
		if removal.New {
			log.Info("deleted overlay is not removed yet; asked for it again", "overlay", ids[i], "job", removal.ID)
		}
	}
	return err
}
