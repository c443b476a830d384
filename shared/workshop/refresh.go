package workshop

import (
	"context"
	"database/sql"
	"fmt"

	"left4me/shared/account"
	"left4me/shared/db"
	"left4me/shared/jobstore"
	"left4me/shared/overlay"
	"left4me/shared/problem"
	"left4me/shared/steam"
)

// Refreshed is the result of asking Steam again about known items.
type Refreshed struct {
	// Items counts the items that Steam was asked about.
	Items int
	// Changed are the items with a later file or another file name.
	Changed []steam.Item
	// Unavailable items are not offered for download; Missing ones were left out of Steam's answer.
	Unavailable, Missing []steam.Item
	// Foreign items are for another game now. Their rows are unchanged.
	Foreign []steam.Item
	// Advanced are the workshop_items.id of the items with a later time_updated.
	Advanced []int64
	// Builds are the jobs that bring the changes into overlays.
	Builds []Build
}

// Build is a job that builds an overlay.
type Build struct {
	OverlayID int64
	*jobstore.Enqueued
}

// RefreshOverlay asks Steam through client about the items of o, for u, and enqueues a build of o and of the other overlays
// with changed items: all or nothing, within steamTime. The first of Refreshed.Builds is that of o. Errors are problems: 400 when o
// has no items, 429 beyond u's limits, 502 when Steam does not answer.
func (s *Store) RefreshOverlay(ctx context.Context, client *steam.Client, u account.User, o overlay.Overlay) (Refreshed, error) {
	ctx, stop := context.WithTimeout(ctx, steamTime)
	defer stop()
	existing, err := s.act(ctx, u, o)
	if err != nil {
		return Refreshed{}, err
	}
	if len(existing) == 0 {
		return Refreshed{}, problem.Invalid("overlay has no items: paste workshop links into it first.")
	}
	ids := make([]steam.ID, len(existing))
	for n, i := range existing {
		ids[n] = i.SteamID
	}
	items, err := client.Details(ctx, ids)
	if err != nil {
		return Refreshed{}, steamFailed(err)
	}
	return s.saveAndBuild(ctx, items, func(ctx context.Context, q db.Querier, changes []Change) ([]Build, error) {
		if len(changes) > 0 {
			if err := overlay.Changed(ctx, q, o.ID); err != nil {
				return nil, err
			}
		}
		build, err := s.jobs.Enqueue(ctx, q, overlay.BuildOf(o.ID, u.ID))
		if err != nil {
			return nil, err
		}
		others, err := s.rebuild(ctx, q, changes, o.ID)
		return append([]Build{{o.ID, build}}, others...), err
	})
}

// Refresh asks Steam through client about ids in batches and calls each, one call at a time, with the result of every batch
// after it was saved. The rows of a batch are saved in one transaction with the builds that they need. Errors are
// `steam api error: …`, ctx's, or the database's.
func (s *Store) Refresh(ctx context.Context, client *steam.Client, ids []steam.ID, each func(Refreshed)) error {
	var failed error
	err := client.EachDetails(ctx, ids, func(items []steam.Item) error {
		var found Refreshed
		found, failed = s.saveAndBuild(ctx, items, func(ctx context.Context, q db.Querier, changes []Change) ([]Build, error) {
			return s.rebuild(ctx, q, changes, 0)
		})
		if failed == nil {
			each(found)
		}
		return failed
	})
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case failed != nil:
		return failed
	case err != nil:
		return fmt.Errorf("steam api error: %w", err)
	}
	return nil
}

// saveAndBuild saves items and calls build, which enqueues the builds for the changes, in the same transaction.
func (s *Store) saveAndBuild(ctx context.Context, items []steam.Item, build func(context.Context, db.Querier, []Change) ([]Build, error)) (Refreshed, error) {
	found := Refreshed{Items: len(items)}
	var ours []steam.Item
	for _, i := range items {
		switch {
		case i.Missing:
			found.Missing = append(found.Missing, i)
		case i.Result == 1 && i.ConsumerAppID != steam.AppID:
			found.Foreign = append(found.Foreign, i)
			continue
		case i.LastError() != "":
			found.Unavailable = append(found.Unavailable, i)
		}
		ours = append(ours, i)
	}
	err := s.db.InTx(ctx, func(ctx context.Context, q db.Querier) error {
		found.Changed, found.Advanced = nil, nil
		changes, err := s.Save(ctx, q, ours)
		if err != nil {
			return err
		}
		for _, c := range changes {
			if c.Advanced || c.Renamed {
				found.Changed = append(found.Changed, c.Item)
			}
			if c.Advanced {
				found.Advanced = append(found.Advanced, c.ID)
			}
		}
		found.Builds, err = build(ctx, q, changes)
		return err
	})
	if err != nil {
		return Refreshed{}, err
	}
	return found, nil
}

// rebuild enqueues builds, for nobody, of the overlays other than except in which an advanced or renamed item is enabled, or a lost
// one whose last copy they do not keep. Overlays with items that changed otherwise are only marked as changed, so that they no longer count
// as built.
func (s *Store) rebuild(ctx context.Context, q db.Querier, changes []Change, except int64) ([]Build, error) {
	if len(changes) == 0 {
		return nil, nil
	}
	type changed struct {
		ID    int64 `json:"id"` // of the item
		Build bool  `json:"build"`
		Lost  bool  `json:"lost"` // and nothing else
	}
	var items []changed
	for _, c := range changes {
		other := c.Advanced || c.Renamed
		items = append(items, changed{c.ID, other || c.Lost, c.Lost && !other})
	}
	list, err := jsonArg("items", items)
	if err != nil {
		return nil, err
	}
	overlays, err := db.Rows(ctx, q, func(row db.Scanner) (o changed, err error) {
		err = row.Scan(&o.ID, &o.Build)
		return o, err
	}, `SELECT o.id, MAX(value ->> 'build') FROM json_each(:items) JOIN overlay_workshop_items i ON i.workshop_item_id = value ->> 'id'
		JOIN overlays o ON o.id = i.overlay_id WHERE o.deleted_at IS NULL AND i.disabled = 0 AND (i.pinned = 0 OR value ->> 'lost') AND o.id <> :except
			AND NOT (value ->> 'lost' AND o.keeps_lost) GROUP BY o.id ORDER BY o.id`, list, sql.Named("except", except))
	if err != nil {
		return nil, fmt.Errorf("find the overlays of %d items: %w", len(items), err)
	}
	var marked, rebuilt []int64
	for _, o := range overlays {
		marked = append(marked, o.ID)
		if o.Build {
			rebuilt = append(rebuilt, o.ID)
		}
	}
	if err := overlay.Changed(ctx, q, marked...); err != nil {
		return nil, err
	}
	enqueued, err := s.jobs.EnqueueAll(ctx, q, overlay.Builds(rebuilt))
	if err != nil {
		return nil, err
	}
	builds := make([]Build, len(enqueued))
	for n := range enqueued {
		builds[n] = Build{rebuilt[n], &enqueued[n]}
	}
	return builds, nil
}
