package workshop

import (
	"context"
	"fmt"
	"slices"

	"left4me/shared/account"
	"left4me/shared/db"
	"left4me/shared/jobstore"
	"left4me/shared/overlay"
	"left4me/shared/problem"
	"left4me/shared/steam"
)

// Refresh asks Steam again about items that are known.
type Refresh struct {
	Steam *steam.Client
	Items *Store
	Jobs  *jobstore.Store
	DB    *db.DB
}

// Refreshed says what Steam's answers brought.
type Refreshed struct {
	// Items counts those that were asked about.
	Items int
	// Changed are later ones now, or have another name.
	Changed []steam.Item
	// Unavailable are not given for download, Missing were left out of the answer.
	Unavailable, Missing []steam.Item
	// Foreign are for another game now. Their rows are as they were.
	Foreign []steam.Item
	// Advanced are the workshop_items.id of those whose time_updated is a later one.
	Advanced []int64
	// Builds are those that bring the changes into overlays.
	Builds []Build
}

// Build is a job that makes an overlay again.
type Build struct {
	OverlayID int64
	jobstore.Enqueued
}

// Overlay asks Steam about what o holds, for u, and enqueues a build of it, and of the other overlays that hold what has
// changed: all or nothing. The first of Refreshed.Builds is o's own. Errors are problems: 400 when o holds no items, 502
// when Steam does not answer.
func (r *Refresh) Overlay(ctx context.Context, u account.User, o overlay.Overlay) (Refreshed, error) {
	held, err := r.Items.OfOverlay(ctx, o.ID)
	if err != nil {
		return Refreshed{}, err
	}
	if len(held) == 0 {
		return Refreshed{}, problem.Invalid("overlay has no items: paste workshop links into it first.")
	}
	ids := make([]string, len(held))
	for n, i := range held {
		ids[n] = i.SteamID
	}
	items, err := r.Steam.Details(ctx, ids)
	if err != nil {
		return Refreshed{}, steamFailed(err)
	}
	return r.save(ctx, items, func(ctx context.Context, q db.Querier, changes []Change) ([]Build, error) {
		if len(changes) > 0 {
			if err := overlay.Changed(ctx, q, o.ID); err != nil {
				return nil, err
			}
		}
		build, err := r.Jobs.EnqueueBuild(ctx, q, o.ID, u.ID)
		if err != nil {
			return nil, err
		}
		others, err := rebuild(ctx, q, r.Jobs, changes, o.ID)
		return append([]Build{{o.ID, build}}, others...), err
	})
}

// Each asks Steam about all of ids and hands to each, one call at a time, what every batch of answers brought, when it is
// saved: the rows of a batch and the builds that they call for come to be together, so that whenever it ends early, nothing
// is half saved and no change goes without its builds. Errors are `steam api error: …`, ctx's, or the database's.
func (r *Refresh) Each(ctx context.Context, ids []string, each func(Refreshed)) error {
	var failed error
	err := r.Steam.EachDetails(ctx, ids, func(items []steam.Item) error {
		var found Refreshed
		found, failed = r.save(ctx, items, func(ctx context.Context, q db.Querier, changes []Change) ([]Build, error) {
			return rebuild(ctx, q, r.Jobs, changes, 0)
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

// save writes what Steam says and, in the same transaction, has build enqueue what follows from it.
func (r *Refresh) save(ctx context.Context, items []steam.Item, build func(context.Context, db.Querier, []Change) ([]Build, error)) (Refreshed, error) {
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
	err := r.DB.InTx(ctx, func(ctx context.Context, q db.Querier) error {
		found.Changed, found.Advanced = nil, nil
		changes, err := r.Items.Save(ctx, q, ours)
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

// rebuild enqueues builds, which nobody asked for, of the overlays other than except that hold an item which is a later one
// now or has another name. Overlays that hold one which changed otherwise are only marked: their last build does not say any
// more that they are right.
func rebuild(ctx context.Context, q db.Querier, jobs *jobstore.Store, changes []Change, except int64) ([]Build, error) {
	var called, all []int64
	for _, c := range changes {
		all = append(all, c.ID)
		if c.Advanced || c.Renamed {
			called = append(called, c.ID)
		}
	}
	changed, err := Holding(ctx, q, all)
	if err != nil {
		return nil, err
	}
	rebuilt, err := Holding(ctx, q, called)
	if err != nil {
		return nil, err
	}
	excepted := func(id int64) bool { return id == except }
	changed, rebuilt = slices.DeleteFunc(changed, excepted), slices.DeleteFunc(rebuilt, excepted)
	if len(changed) > 0 {
		if err := overlay.Changed(ctx, q, changed...); err != nil {
			return nil, err
		}
	}
	enqueued, err := jobs.EnqueueBuilds(ctx, q, rebuilt, 0)
	if err != nil {
		return nil, err
	}
	builds := make([]Build, len(enqueued))
	for n, e := range enqueued {
		builds[n] = Build{rebuilt[n], e}
	}
	return builds, nil
}
