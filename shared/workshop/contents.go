package workshop

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"left4me/shared/db"
	"left4me/shared/steam"
	"left4me/shared/vpk"
)

// Content is what is in the file of an item.
type Content struct {
	// Unknown says why the content is unknown; empty: it is known.
	Unknown string
	vpk.Content
}

// Version is a file of an item that a host has downloaded.
type Version struct {
	ItemID  int64 // workshop_items.id
	SteamID steam.ID
	Updated int64 // Unix seconds
	Size    int64 // bytes
}

// Unread returns the files on a host whose content has not been read: of an overlay's items, or of all items if overlayID is 0.
func (s *Store) Unread(ctx context.Context, host string, overlayID int64) ([]Version, error) {
	from := `item_hosts h`
	if overlayID != 0 {
		from = `overlay_workshop_items o JOIN item_hosts h ON o.overlay_id = :overlay AND h.workshop_item_id = o.workshop_item_id`
	}
	found, err := db.Rows(ctx, s.db, func(row db.Scanner) (v Version, err error) {
		err = row.Scan(&v.ItemID, &v.SteamID, &v.Updated, &v.Size)
		return v, err
	}, `SELECT w.id, w.steam_id, h.downloaded_time_updated, h.downloaded_file_size FROM `+from+` JOIN workshop_items w ON w.id = h.workshop_item_id
		WHERE h.host_id = :host AND h.last_downloaded_at IS NOT NULL AND NOT EXISTS (SELECT 1 FROM item_contents c WHERE c.workshop_item_id = w.id
			AND c.time_updated = h.downloaded_time_updated AND c.file_size = h.downloaded_file_size) ORDER BY w.id`,
		sql.Named("host", host), sql.Named("overlay", overlayID))
	if err != nil {
		return nil, fmt.Errorf("find files that were not read: %w", err)
	}
	return found, nil
}

// SaveContents stores what is in files, and forgets it of the same items' files that no host has any more.
func (s *Store) SaveContents(ctx context.Context, contents map[Version]Content) error {
	type row struct {
		ID        int64          `json:"id"`
		Updated   int64          `json:"time_updated"`
		Size      int64          `json:"file_size"`
		Unknown   string         `json:"unknown"`
		Kind      vpk.Kind       `json:"kind"`
		Title     string         `json:"title"`
		Author    string         `json:"author"`
		Version   string         `json:"version"`
		Campaigns []vpk.Campaign `json:"campaigns"`
		Mutations []string       `json:"mutations"`
	}
	rows := []row{}
	for v, c := range contents {
		rows = append(rows, row{v.ItemID, v.Updated, v.Size, c.Unknown, c.Kind, c.Title, c.Author, c.Version,
			append([]vpk.Campaign{}, c.Campaigns...), append([]string{}, c.Mutations...)})
	}
	list, err := jsonArg("contents", rows)
	if err == nil {
		err = s.db.InTx(ctx, func(ctx context.Context, q db.Querier) error {
			if err := db.Later(ctx, q, `DELETE FROM item_contents WHERE workshop_item_id IN (SELECT value ->> 'id' FROM json_each(:contents))
				AND NOT EXISTS (SELECT 1 FROM item_versions v WHERE v.workshop_item_id = item_contents.workshop_item_id
					AND v.time_updated = item_contents.time_updated AND v.file_size = item_contents.file_size)`, list); err != nil {
				return err
			}
			return db.Later(ctx, q, `INSERT OR REPLACE INTO item_contents
				(workshop_item_id, time_updated, file_size, unknown, kind, title, author, version, campaigns, mutations)
				SELECT value ->> 'id', value ->> 'time_updated', value ->> 'file_size', value ->> 'unknown', value ->> 'kind', value ->> 'title',
					value ->> 'author', value ->> 'version', value -> 'campaigns', value -> 'mutations'
				FROM json_each(:contents) JOIN workshop_items w ON w.id = value ->> 'id'`, list)
		})
	}
	if err != nil {
		return fmt.Errorf("save what is in %d files: %w", len(contents), err)
	}
	return nil
}

// ofContent joins an item w of an overlay, as its row o says, with the content c of the file that the overlay has of it, as far as that was
// read. Of several hosts, the one that is furthest behind counts.
const (
	ofContent = `JOIN item_contents c ON c.workshop_item_id = w.id AND (o.pinned = 0 AND ` + isContent + ` OR o.pinned <> 0 AND c.time_updated = o.pinned
		AND c.file_size = (SELECT MAX(v.file_size) FROM item_versions v WHERE v.workshop_item_id = w.id AND v.time_updated = o.pinned))`
	isContent = `c.workshop_item_id = w.id AND c.time_updated = w.downloaded_time_updated AND c.file_size = w.downloaded_file_size`
)

// Campaign is a campaign in the file of an item.
type Campaign struct {
	SteamID steam.ID
	vpk.Campaign
}

// Campaigns returns the campaigns in the enabled items of overlays, in the order of the overlays and of their items.
func Campaigns(ctx context.Context, q db.Querier, overlayIDs []int64) ([]Campaign, error) {
	type item struct {
		id        steam.ID
		campaigns string
	}
	overlays, err := jsonArg("overlays", overlayIDs)
	var items []item
	if err == nil {
		items, err = db.Rows(ctx, q, func(row db.Scanner) (i item, err error) {
			err = row.Scan(&i.id, &i.campaigns)
			return i, err
		}, `SELECT w.steam_id, c.campaigns FROM (SELECT workshop_item_id, MIN(l.key) AS overlay, added_at, pinned
				FROM json_each(:overlays) l JOIN overlay_workshop_items o ON o.overlay_id = l.value WHERE o.disabled = 0 GROUP BY workshop_item_id) o
			JOIN workshop_items w ON w.id = o.workshop_item_id `+ofContent+`
			WHERE c.campaigns <> '[]' ORDER BY o.overlay, o.added_at, w.id`, overlays)
	}
	var all []Campaign
	for _, i := range items {
		var campaigns []vpk.Campaign
		err = errors.Join(err, json.Unmarshal([]byte(i.campaigns), &campaigns))
		for _, c := range campaigns {
			all = append(all, Campaign{i.id, c})
		}
	}
	if err != nil {
		return nil, fmt.Errorf("read the campaigns of overlays: %w", err)
	}
	return all, nil
}
