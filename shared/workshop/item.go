// Package workshop owns workshop items: what people paste, what Steam says of it, which overlay holds what, and what an
// item's state is in plain words (product.md P10 to P17). Items are shared by everybody; an overlay only refers to them.
//
// Files are shared/vpkcache's, links in an overlay shared/linkfarm's.
package workshop

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"left4me/shared/db"
	"left4me/shared/overlay"
	"left4me/shared/problem"
	"left4me/shared/steam"
)

// Item is one row of workshop_items.
type Item struct {
	ID      int64
	SteamID string
	Title   string
	// Filename is what the author called the file. Never use it as a path.
	Filename string
	// FileURL is empty when Steam offers no download; LastError says why.
	FileURL    string
	FileSize   int64 // bytes
	Updated    int64 // Unix seconds, as Steam gives it
	PreviewURL string
	LastError  string
	// DownloadedAt is when the file was last downloaded; zero: never.
	DownloadedAt time.Time
	// downloadedUpdated and downloadedSize are Updated and FileSize of the file that was downloaded.
	downloadedUpdated, downloadedSize int64
}

// downloadFailed starts the last_error of an item whose download attempts are used up (P24).
const downloadFailed = "download failed: "

// Link is the item's page on Steam.
func (i Item) Link() string {
	return "https://steamcommunity.com/sharedfiles/filedetails/?id=" + i.SteamID
}

// State says in plain words where the item stands (P17), as far as the database knows.
func (i Item) State() string {
	switch {
	case strings.HasPrefix(i.LastError, downloadFailed):
		return i.LastError
	case i.FileURL == "" && strings.HasPrefix(i.LastError, "steam re"): // `steam result N`, `steam returned no entry …`
		return "not on Steam any more"
	case i.FileURL == "":
		return i.LastError
	case i.DownloadedAt.IsZero():
		return "waiting for download"
	case i.downloadedUpdated != i.Updated || i.downloadedSize != i.FileSize:
		return "update waiting"
	}
	return "ready"
}

// Store reads and writes workshop items and what overlays hold.
type Store struct {
	db  *db.DB
	now func() time.Time
}

// NewStore returns a Store on d that takes the time from now.
func NewStore(d *db.DB, now func() time.Time) *Store {
	return &Store{db: d, now: now}
}

// OfOverlay returns what an overlay holds, in the order in which it was added.
func (s *Store) OfOverlay(ctx context.Context, overlayID int64) ([]Item, error) {
	return ofOverlay(ctx, s.db, overlayID)
}

func ofOverlay(ctx context.Context, q db.Querier, overlayID int64) ([]Item, error) {
	rows, err := q.QueryContext(ctx, `SELECT w.id, w.steam_id, w.title, w.filename, w.file_url, w.file_size, w.time_updated, w.preview_url,
		w.last_error, w.last_downloaded_at, w.downloaded_time_updated, w.downloaded_file_size
		FROM overlay_workshop_items o JOIN workshop_items w ON w.id = o.workshop_item_id
		WHERE o.overlay_id = ? ORDER BY o.added_at, w.id`, overlayID)
	if err != nil {
		return nil, fmt.Errorf("read the items of overlay %d: %w", overlayID, err)
	}
	defer rows.Close()
	var items []Item
	for rows.Next() {
		var i Item
		var downloadedAt sql.NullInt64
		if err := rows.Scan(&i.ID, &i.SteamID, &i.Title, &i.Filename, &i.FileURL, &i.FileSize, &i.Updated, &i.PreviewURL,
			&i.LastError, &downloadedAt, &i.downloadedUpdated, &i.downloadedSize); err != nil {
			return nil, fmt.Errorf("read the items of overlay %d: %w", overlayID, err)
		}
		i.DownloadedAt = db.NullTime(downloadedAt)
		items = append(items, i)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read the items of overlay %d: %w", overlayID, err)
	}
	return items, nil
}

// Remove takes an item, by workshop_items.id, out of an overlay on q and returns it. The error is a problem (404) when it
// is not there.
func (s *Store) Remove(ctx context.Context, q db.Querier, overlayID, itemID int64) (Item, error) {
	var i Item
	err := q.QueryRowContext(ctx, `SELECT w.id, w.steam_id, w.title FROM overlay_workshop_items o
		JOIN workshop_items w ON w.id = o.workshop_item_id WHERE o.overlay_id = ? AND w.id = ?`, overlayID, itemID).
		Scan(&i.ID, &i.SteamID, &i.Title)
	if errors.Is(err, sql.ErrNoRows) {
		return Item{}, problem.NotFound("That item is not in this overlay any more.")
	}
	if err == nil {
		_, err = q.ExecContext(ctx, `DELETE FROM overlay_workshop_items WHERE overlay_id = ? AND workshop_item_id = ?`, overlayID, itemID)
	}
	if err != nil {
		return Item{}, fmt.Errorf("remove item %d from overlay %d: %w", itemID, overlayID, err)
	}
	return i, overlay.Changed(ctx, q, overlayID)
}

// Save writes what Steam says of items on q, new ones included, and leaves last_downloaded_at alone. Of an item that
// Steam does not give any more only the reason is written, and that there is no download. It returns the ids of those
// that were known and whose file is another one now: its time advanced, or its name changed.
func (s *Store) Save(ctx context.Context, q db.Querier, items []steam.Item) (changed []int64, err error) {
	now := db.Millis(s.now())
	for _, i := range items {
		var id, updated int64
		var filename string
		err := q.QueryRowContext(ctx, `SELECT id, time_updated, filename FROM workshop_items WHERE steam_id = ?`, i.ID).Scan(&id, &updated, &filename)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			_, err = q.ExecContext(ctx, `INSERT INTO workshop_items
				(steam_id, title, filename, file_url, file_size, time_updated, preview_url, last_error, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
				i.ID, i.Title, i.Filename, i.DownloadURL(), i.FileSize, i.TimeUpdated, i.PreviewURL, i.LastError(), now)
		case err != nil:
		case i.Missing || i.Result != 1:
			_, err = q.ExecContext(ctx, `UPDATE workshop_items SET file_url = '', last_error = ? WHERE id = ?`, i.LastError(), id)
		default:
			if i.TimeUpdated > updated || i.Filename != filename {
				changed = append(changed, id)
			}
			_, err = q.ExecContext(ctx, `UPDATE workshop_items SET title = ?, filename = ?, file_url = ?, file_size = ?, time_updated = ?,
				preview_url = ?, last_error = ? WHERE id = ?`,
				i.Title, i.Filename, i.DownloadURL(), i.FileSize, i.TimeUpdated, i.PreviewURL, i.LastError(), id)
		}
		if err != nil {
			return nil, fmt.Errorf("save what steam says of item %s: %w", i.ID, err)
		}
	}
	return changed, nil
}

// Holding returns the overlays that hold any of these items, by workshop_items.id.
func Holding(ctx context.Context, q db.Querier, itemIDs []int64) ([]int64, error) {
	var overlays []int64
	seen := map[int64]bool{}
	for _, item := range itemIDs {
		rows, err := q.QueryContext(ctx, `SELECT o.id FROM overlay_workshop_items i JOIN overlays o ON o.id = i.overlay_id
			WHERE i.workshop_item_id = ? AND o.deleted_at IS NULL ORDER BY o.id`, item)
		if err != nil {
			return nil, fmt.Errorf("look who holds item %d: %w", item, err)
		}
		for rows.Next() {
			var id int64
			if err := rows.Scan(&id); err != nil {
				rows.Close()
				return nil, fmt.Errorf("look who holds item %d: %w", item, err)
			}
			if !seen[id] {
				seen[id] = true
				overlays = append(overlays, id)
			}
		}
		if err := rows.Err(); err != nil {
			return nil, fmt.Errorf("look who holds item %d: %w", item, err)
		}
	}
	return overlays, nil
}

// Downloaded records that the cache holds the file that i describes.
func (s *Store) Downloaded(ctx context.Context, i Item) error {
	if _, err := s.db.ExecContext(ctx, `UPDATE workshop_items SET last_downloaded_at = ?, downloaded_time_updated = ?, downloaded_file_size = ?,
		last_error = '' WHERE id = ?`, db.Millis(s.now()), i.Updated, i.FileSize, i.ID); err != nil {
		return fmt.Errorf("record the download of item %s: %w", i.SteamID, err)
	}
	return nil
}

// DownloadFailed records why all attempts to download an item failed.
func (s *Store) DownloadFailed(ctx context.Context, i Item, reason error) error {
	if _, err := s.db.ExecContext(ctx, `UPDATE workshop_items SET last_error = ? WHERE id = ?`, downloadFailed+reason.Error(), i.ID); err != nil {
		return fmt.Errorf("record the failed download of item %s: %w", i.SteamID, err)
	}
	return nil
}
