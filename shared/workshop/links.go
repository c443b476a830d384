package workshop

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"

	"left4me/shared/db"
)

// ofOverlay are the items w of the overlay :overlay, each with a row l if it is linked on all hosts as it is pinned.
const ofOverlay = `overlay_workshop_items o JOIN workshop_items w ON w.id = o.workshop_item_id AND o.overlay_id = :overlay
	LEFT JOIN (SELECT overlay_id, workshop_item_id, pinned FROM overlay_links WHERE overlay_id = :overlay GROUP BY workshop_item_id, pinned
		HAVING COUNT(*) = (SELECT COUNT(*) FROM overlay_hosts WHERE overlay_id = :overlay)) l ON l.workshop_item_id = w.id AND l.pinned = o.pinned`

const (
	ofOverlayColumns = itemColumns + `, l.overlay_id IS NOT NULL, o.added_at, o.disabled, o.pinned,
		(SELECT json_group_array(json_array(v.time_updated, v.file_size)) FROM item_versions v WHERE v.workshop_item_id = w.id),
		COALESCE((SELECT name FROM overlay_link_names n WHERE n.overlay_id = o.overlay_id AND n.workshop_item_id = w.id), '')`
	selectOfOverlay = `SELECT ` + ofOverlayColumns + ` FROM ` + ofOverlay
)

func scanOfOverlay(row db.Scanner) (i Item, err error) {
	err = scanOfOverlayInto(row, &i)
	return i, err
}

// scanOfOverlayInto scans ofOverlayColumns into i, and the columns that follow them into more.
func scanOfOverlayInto(row db.Scanner, i *Item, more ...any) error {
	var versions string
	err := scanInto(row, i, append([]any{&i.Linked, db.Moment(&i.AddedAt), &i.Disabled, &i.Pinned, &versions, &i.LinkName}, more...)...)
	if err != nil {
		return err
	}
	var onHosts [][2]int64
	err = json.Unmarshal([]byte(versions), &onHosts)
	for _, v := range onHosts {
		at := slices.IndexFunc(i.Versions, func(k Kept) bool { return k.Updated == v[0] })
		if at < 0 {
			at, i.Versions = len(i.Versions), append(i.Versions, Kept{Updated: v[0], Size: v[1]})
		}
		i.Versions[at].Hosts++
	}
	slices.SortFunc(i.Versions, func(a, b Kept) int { return cmp.Compare(b.Updated, a.Updated) })
	return err
}

// Links returns the items (workshop_items.id) that an overlay's directory on a host has a link to, each with its Item.Pinned at the time.
func (s *Store) Links(ctx context.Context, overlayID int64, host string) (map[int64]int64, error) {
	links := map[int64]int64{}
	_, err := db.Rows(ctx, s.db, func(row db.Scanner) (id int64, err error) {
		var pinned int64
		err = row.Scan(&id, &pinned)
		links[id] = pinned
		return id, err
	}, `SELECT workshop_item_id, pinned FROM overlay_links WHERE overlay_id = :overlay AND host_id = :host`,
		sql.Named("overlay", overlayID), sql.Named("host", host))
	if err != nil {
		return nil, fmt.Errorf("read the links of overlay %d: %w", overlayID, err)
	}
	return links, nil
}

// Unlink records, before the links to these items are removed from an overlay's directory on a host, that they are not there any more:
// whatever stops the removal, no item without a link counts as linked.
func (s *Store) Unlink(ctx context.Context, overlayID int64, host string, itemIDs []int64) error {
	ids, err := jsonArg("items", itemIDs)
	if err == nil {
		_, err = s.db.ExecContext(ctx, `DELETE FROM overlay_links WHERE overlay_id = :overlay AND host_id = :host
			AND workshop_item_id IN (SELECT value FROM json_each(:items))`, sql.Named("overlay", overlayID), sql.Named("host", host), ids)
	}
	if err != nil {
		return fmt.Errorf("record %d removed links of overlay %d: %w", len(itemIDs), overlayID, err)
	}
	return nil
}

// ForgetLinks records that it is not known what is linked in any overlay.
func ForgetLinks(ctx context.Context, q db.Querier) error {
	if _, err := q.ExecContext(ctx, `DELETE FROM overlay_links`); err != nil {
		return fmt.Errorf("forget the links of all overlays: %w", err)
	}
	return nil
}

// Link records, in the transaction that ends a build, that an overlay's directory on a host has links to these items, as Links
// returns them.
func (s *Store) Link(ctx context.Context, q db.Querier, overlayID int64, host string, links map[int64]int64) error {
	ids, err := jsonArg("items", links)
	if err == nil {
		_, err = q.ExecContext(ctx, `INSERT INTO overlay_links (overlay_id, workshop_item_id, host_id, pinned)
			SELECT h.overlay_id, i.key, h.host_id, i.value FROM overlay_hosts h, json_each(:items) i WHERE h.overlay_id = :overlay AND h.host_id = :host
			ON CONFLICT DO UPDATE SET pinned = excluded.pinned`, sql.Named("overlay", overlayID), sql.Named("host", host), ids)
	}
	if err != nil {
		return fmt.Errorf("record %d links of overlay %d: %w", len(links), overlayID, err)
	}
	return nil
}

// Waiting says how an overlay's directory differs from the overlay's items.
type Waiting struct {
	// Changes is how many items the next successful build will link, update or unlink.
	Changes int
	// Failed are the items of the overlay that could not be downloaded. They keep a build from succeeding.
	Failed []Item
	// Removed are the items that are not in the overlay any more, or are disabled, but are still linked.
	Removed []Item
}

// notBuilt is whether the last build of the overlay :overlay has not succeeded, or the overlay has changed since.
const notBuilt = `EXISTS (SELECT 1 FROM overlays WHERE id = :overlay AND last_build_status <> 'ok')`

// waitingSQL selects the failed and the removed items, or any other change if there are none: each row has the number of all changes.
// An item that Steam no longer offers cannot be downloaded or updated. It counts as a change only if its last copy is to be linked or unlinked.
const waitingSQL = `WITH changes (id, linked, removed) AS (
		SELECT w.id, l.overlay_id IS NOT NULL, false FROM ` + ofOverlay + ` WHERE o.disabled = 0 AND ` + notBuilt + ` AND CASE
			WHEN w.file_url = '' THEN w.last_downloaded_at IS NOT NULL AND (l.overlay_id IS NOT NULL) <> (SELECT keeps_lost FROM overlays WHERE id = :overlay)
			WHEN o.pinned NOT IN (0, w.time_updated) THEN l.overlay_id IS NULL
			ELSE w.last_downloaded_at IS NULL OR l.overlay_id IS NULL OR ` + failedSQL + ` OR ` + otherVersionSQL + ` END
		UNION ALL
		SELECT DISTINCT l.workshop_item_id, true, true FROM overlay_links l WHERE l.overlay_id = :overlay AND ` + notBuilt + ` AND NOT EXISTS (
			SELECT 1 FROM overlay_workshop_items o WHERE o.overlay_id = l.overlay_id AND o.workshop_item_id = l.workshop_item_id AND o.disabled = 0))
	SELECT ` + itemColumns + `, c.linked, c.removed, (SELECT COUNT(*) FROM changes) FROM changes c JOIN workshop_items w ON w.id = c.id
	WHERE c.removed OR ` + failedSQL + ` OR c.id = (SELECT MIN(id) FROM changes) ORDER BY w.id`

// Waiting returns what waits in an overlay for a successful build, as far as the database knows.
func (s *Store) Waiting(ctx context.Context, overlayID int64) (Waiting, error) {
	var found Waiting
	_, err := db.Rows(ctx, s.db, func(row db.Scanner) (i Item, err error) {
		var removed bool
		err = scanInto(row, &i, &i.Linked, &removed, &found.Changes)
		switch {
		case removed:
			found.Removed = append(found.Removed, i)
		case i.FailedBecause() != "":
			found.Failed = append(found.Failed, i)
		}
		return i, err
	}, waitingSQL, sql.Named("overlay", overlayID))
	if err != nil {
		return Waiting{}, fmt.Errorf("read what waits in overlay %d: %w", overlayID, err)
	}
	return found, nil
}
