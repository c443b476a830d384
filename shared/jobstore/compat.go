package jobstore

import (
	"context"

	"left4me/shared/db"
	"left4me/shared/job"
)

// The old names, until their last callers are gone.

func (s *Store) EnqueueBuild(ctx context.Context, q db.Querier, overlayID, userID int64) (Enqueued, error) {
	return s.Enqueue(ctx, q, Request{Operation: job.BuildOverlay, Subject: job.Overlay(overlayID), UserID: userID})
}

func (s *Store) EnqueueBuilds(ctx context.Context, q db.Querier, overlayIDs []int64, userID int64) ([]Enqueued, error) {
	var all []Request
	for _, id := range overlayIDs {
		all = append(all, Request{Operation: job.BuildOverlay, Subject: job.Overlay(id), UserID: userID})
	}
	return s.EnqueueAll(ctx, q, all)
}

func (s *Store) EnqueueDelete(ctx context.Context, q db.Querier, overlayID, userID int64) (Enqueued, error) {
	return s.Enqueue(ctx, q, Request{Operation: job.DeleteOverlay, Subject: job.Overlay(overlayID), UserID: userID})
}

func (s *Store) CancelBuilds(ctx context.Context, q db.Querier, overlayID int64) error {
	return s.CancelAll(ctx, q, job.BuildOverlay, job.Overlay(overlayID))
}

func (s *Store) LiveOfOverlay(ctx context.Context, overlayID int64) ([]Job, error) {
	return s.LiveOf(ctx, job.Overlay(overlayID))
}

func (s *Store) Live(ctx context.Context) ([]Count, error) { return s.CountLive(ctx) }

func (s *Store) LastRefresh(ctx context.Context) (Job, error) {
	return s.Last(ctx, job.RefreshWorkshopItems)
}
