package workshop

import (
	"context"
	"database/sql"

	"left4me/shared/account"
	"left4me/shared/db"
	"left4me/shared/jobstore"
	"left4me/shared/overlay"
	"left4me/shared/problem"
	"left4me/shared/steam"
)

// Copy adds items of o, by workshop_items.id, to another overlay for u, who may change both, and enqueues a build of that. Items that
// are not in o are left out. Errors are problems: 400 when the other overlay cannot take items, 404 when none of them is in o, 429
// beyond u's limits.
func (s *Store) Copy(ctx context.Context, u account.User, o overlay.Overlay, itemIDs []int64, to overlay.Overlay) (Added, error) {
	switch {
	case to.ID == o.ID:
		return Added{}, problem.Invalid("The items are in this overlay already. Please choose another one.")
	case !to.Type.HoldsItems:
		return Added{}, problem.Invalid("%s overlays hold no workshop items. Please choose another overlay.", to.Type.Title)
	}
	ids, err := jsonArg("items", itemIDs)
	if err != nil {
		return Added{}, err
	}
	type item struct {
		id    steam.ID
		there bool
	}
	var a Added
	var build *jobstore.Enqueued
	err = s.db.InTx(ctx, func(ctx context.Context, q db.Querier) error {
		a, build = Added{}, nil
		items, err := db.Rows(ctx, q, func(row db.Scanner) (i item, err error) {
			err = row.Scan(&i.id, &i.there)
			return i, err
		}, `SELECT w.steam_id, EXISTS (SELECT 1 FROM overlay_workshop_items t WHERE t.overlay_id = :to AND t.workshop_item_id = w.id)
			FROM overlay_workshop_items o JOIN workshop_items w ON w.id = o.workshop_item_id
			WHERE o.overlay_id = :overlay AND w.id IN (SELECT value FROM json_each(:items))`,
			sql.Named("overlay", o.ID), sql.Named("to", to.ID), ids)
		if err != nil {
			return err
		}
		if len(items) == 0 {
			return notHere(len(itemIDs))
		}
		var missing []steam.ID
		for _, i := range items {
			if i.there {
				a.Already++
			} else {
				missing = append(missing, i.id)
			}
		}
		if len(missing) == 0 {
			return nil
		}
		if err := s.insertInto(ctx, q, u, to.ID, missing, &a.New); err != nil {
			return err
		}
		if err := overlay.Changed(ctx, q, to.ID); err != nil {
			return err
		}
		build, err = s.jobs.Enqueue(ctx, q, overlay.BuildOf(to.ID, u.ID))
		return err
	})
	if err != nil {
		return Added{}, problem.Wrap(tooManyItems(err, u), "copy %d items from overlay %d to %d", len(itemIDs), o.ID, to.ID)
	}
	if build != nil {
		a.JobID = build.ID
	}
	return a, nil
}
