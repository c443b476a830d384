package workshop

import (
	"context"
	"database/sql"
	"errors"

	"left4me/shared/account"
	"left4me/shared/db"
	"left4me/shared/jobstore"
	"left4me/shared/overlay"
	"left4me/shared/problem"
)

// Rename lets an overlay's link to an item, by workshop_items.id, have the name of a mutation in its file, or of its steam id if that is empty
// (content.md P71), enqueues a build for u, and returns both. Errors are problems: 404 when the item is not in o, 400 when its file has no
// such mutation, 409 when another link has the name.
func (s *Store) Rename(ctx context.Context, u account.User, o overlay.Overlay, itemID int64, mutation string) (i Item, build *jobstore.Enqueued, err error) {
	args := []any{sql.Named("overlay", o.ID), sql.Named("item", itemID), sql.Named("name", mutation)}
	err = s.db.InTx(ctx, func(ctx context.Context, q db.Querier) error {
		var has bool
		var other string
		i, err = db.Row(ctx, q, func(row db.Scanner) (i Item, err error) {
			err = scanInto(row, &i, &has, &other)
			return i, err
		}, `SELECT `+itemColumns+`, EXISTS (SELECT 1 FROM item_contents c JOIN json_each(c.mutations) m ON m.value = :name WHERE `+isContent+`),
			COALESCE((SELECT t.steam_id FROM overlay_link_names n JOIN workshop_items t ON t.id = n.workshop_item_id
				WHERE n.overlay_id = :overlay AND n.name = :name AND t.id <> w.id), '')
			FROM overlay_workshop_items o JOIN workshop_items w ON w.id = o.workshop_item_id AND w.id = :item WHERE o.overlay_id = :overlay`, args...)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			return notHere(1)
		case err != nil:
			return err
		case mutation != "" && !has:
			return problem.Invalid("The file of item %s has no mutation “%s”. Nothing was changed.", i.SteamID, mutation)
		case other != "":
			return problem.Conflict("Item %s of this overlay is linked as %s.vpk already. Give that its own name back first. Nothing was changed.", other, mutation)
		}
		i.LinkName = mutation
		if err := db.Later(ctx, q, `DELETE FROM overlay_link_names WHERE overlay_id = :overlay AND workshop_item_id = :item`, args[:2]...); err != nil {
			return err
		}
		if mutation != "" {
			if err := db.Later(ctx, q, `INSERT INTO overlay_link_names (overlay_id, workshop_item_id, name) VALUES (:overlay, :item, :name)`, args...); err != nil {
				return err
			}
		}
		if err := overlay.Changed(ctx, q, o.ID); err != nil {
			return err
		}
		build, err = s.jobs.Enqueue(ctx, q, overlay.BuildOf(o.ID, u.ID))
		return err
	})
	if err != nil {
		return Item{}, nil, problem.Wrap(err, "rename the link to item %d in overlay %d", itemID, o.ID)
	}
	return i, build, nil
}
