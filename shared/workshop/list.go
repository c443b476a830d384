package workshop

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"

	"left4me/shared/db"
	"left4me/shared/list"
)

// States of items, besides Ready, by which an overlay's list can be limited. Each is one or several of Item.State.
const (
	waits      = "waiting"
	failed     = "failed"
	noDownload = "no download"
	pinned     = "pinned"
)

const stateSQL = `CASE WHEN o.disabled = 1 THEN '` + Disabled + `' WHEN o.pinned <> 0 AND w.file_url <> '' THEN '` + pinned + `' WHEN ` + failedSQL + ` THEN '` + failed + `' WHEN w.file_url = '' THEN '` + noDownload + `'
	WHEN w.last_downloaded_at IS NULL OR ` + otherVersionSQL + ` OR l.overlay_id IS NULL THEN '` + waits + `'
	ELSE '` + Ready + `' END`

// Listing is the list of an overlay's items, in the order in which they were added.
var Listing = list.Source[Item]{
	Columns: ofOverlayColumns + `, c.workshop_item_id IS NOT NULL, COALESCE(c.unknown, ''), COALESCE(c.kind, ''), COALESCE(c.title, ''),
		COALESCE(c.author, ''), COALESCE(c.version, ''), COALESCE(c.mutations, '[]')`,
	From:  ofOverlay + ` LEFT ` + ofContent,
	Where: `(w.title LIKE :text ESCAPE '\' OR w.steam_id LIKE :text ESCAPE '\') AND (:state = '' OR :state = ` + stateSQL + `)`,
	Key:   `w.id`,
	Order: map[string]string{
		"": `o.added_at, w.id`, "title": `w.title COLLATE NOCASE`, "state": stateSQL, "size": `w.file_size`, "updated": `w.time_updated`,
		"downloaded": `w.last_downloaded_at`,
	},
	States:  []string{Ready, waits, failed, noDownload, pinned, Disabled},
	Size:    200,
	Counted: true,
	Scan: func(row db.Scanner) (i Item, err error) {
		var c Content
		var isRead bool
		var mutations string
		err = scanOfOverlayInto(row, &i, &isRead, &c.Unknown, &c.Kind, &c.Title, &c.Author, &c.Version, &mutations)
		if isRead {
			i.Content = &c
			err = cmp.Or(err, json.Unmarshal([]byte(mutations), &c.Mutations))
		}
		return i, err
	},
}

// List returns a page of an overlay's items. q is Listing's.
func (s *Store) List(ctx context.Context, overlayID int64, q list.Query) (list.Page[Item], error) {
	page, err := Listing.Read(ctx, s.db, q, sql.Named("overlay", overlayID), q.TextArg(), q.StateArg())
	if err != nil {
		return page, fmt.Errorf("list the items of overlay %d: %w", overlayID, err)
	}
	return page, nil
}

// Sum is what the items of an overlay amount to.
type Sum struct {
	Items int
	// Size is the sum of the known sizes in bytes.
	Size int64
}

// Sum sums up the items of an overlay.
func (s *Store) Sum(ctx context.Context, overlayID int64) (Sum, error) {
	sum, err := db.Row(ctx, s.db, func(row db.Scanner) (sum Sum, err error) {
		err = row.Scan(&sum.Items, &sum.Size)
		return sum, err
	}, `SELECT COUNT(*), COALESCE(SUM(w.file_size), 0) FROM `+ofOverlay, sql.Named("overlay", overlayID))
	if err != nil {
		return Sum{}, fmt.Errorf("sum up the items of overlay %d: %w", overlayID, err)
	}
	return sum, nil
}
