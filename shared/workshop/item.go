// Package workshop owns workshop items: what people paste, what Steam says of it, which overlay holds what, and what an
// item's state is in plain words (product.md P10 to P17). Items are shared by everybody; an overlay only refers to them.
//
// Files are shared/vpkcache's, links in an overlay shared/linkfarm's.
package workshop

import (
	"context"
	"database/sql"
	"encoding/json"
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

const selectItem = `SELECT w.id, w.steam_id, w.title, w.filename, w.file_url, w.file_size, w.time_updated, w.preview_url,
	w.last_error, w.last_downloaded_at, w.downloaded_time_updated, w.downloaded_file_size FROM workshop_items w`

// isHeld is whether some overlay holds the item w, be it one that is being deleted.
const isHeld = `EXISTS (SELECT 1 FROM overlay_workshop_items o WHERE o.workshop_item_id = w.id)`

// read returns the items that a query which begins with selectItem gives.
func read(ctx context.Context, q db.Querier, query string, args ...any) ([]Item, error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var items []Item
	for rows.Next() {
		var i Item
		var downloadedAt sql.NullInt64
		if err := rows.Scan(&i.ID, &i.SteamID, &i.Title, &i.Filename, &i.FileURL, &i.FileSize, &i.Updated, &i.PreviewURL,
			&i.LastError, &downloadedAt, &i.downloadedUpdated, &i.downloadedSize); err != nil {
			return nil, err
		}
		i.DownloadedAt = db.NullTime(downloadedAt)
		items = append(items, i)
	}
	return items, rows.Err()
}

// OfOverlay returns what an overlay holds, in the order in which it was added.
func (s *Store) OfOverlay(ctx context.Context, overlayID int64) ([]Item, error) {
	items, err := read(ctx, s.db, selectItem+` JOIN overlay_workshop_items o ON o.workshop_item_id = w.id
		WHERE o.overlay_id = ? ORDER BY o.added_at, w.id`, overlayID)
	if err != nil {
		return nil, fmt.Errorf("read the items of overlay %d: %w", overlayID, err)
	}
	return items, nil
}

// Outdated returns the items that Steam offers another file of than the one that was downloaded last. Those that never
// were downloaded, or whose file was removed since, are left to builds, except when their ids are among also and some overlay
// holds them.
func (s *Store) Outdated(ctx context.Context, also []int64) ([]Item, error) {
	ids, err := json.Marshal(also)
	if err != nil {
		return nil, fmt.Errorf("read the outdated items: %w", err)
	}
	items, err := read(ctx, s.db, selectItem+` WHERE w.file_url <> '' AND (
		w.id IN (SELECT value FROM json_each(?)) AND (w.last_downloaded_at IS NOT NULL OR `+isHeld+`) OR w.last_downloaded_at IS NOT NULL
		AND (w.downloaded_time_updated <> w.time_updated OR w.downloaded_file_size <> w.file_size)) ORDER BY w.id`, string(ids))
	if err != nil {
		return nil, fmt.Errorf("read the outdated items: %w", err)
	}
	return items, nil
}

// SteamIDs returns the steam ids of all items.
func (s *Store) SteamIDs(ctx context.Context) ([]string, error) {
	rows, err := s.db.QueryContext(ctx, `SELECT steam_id FROM workshop_items ORDER BY id`)
	if err != nil {
		return nil, fmt.Errorf("read the items: %w", err)
	}
	defer rows.Close()
	var ids []string
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, fmt.Errorf("read the items: %w", err)
		}
		ids = append(ids, id)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read the items: %w", err)
	}
	return ids, nil
}

// hold puts items that have been saved into an overlay on q, and returns how many were not there before.
func (s *Store) hold(ctx context.Context, q db.Querier, overlayID int64, items []steam.Item) (int, error) {
	list, err := steamIDs(items)
	if err != nil {
		return 0, err
	}
	result, err := q.ExecContext(ctx, `INSERT INTO overlay_workshop_items (overlay_id, workshop_item_id, added_at)
		SELECT o.id, w.id, ? FROM overlays o, workshop_items w WHERE o.id = ? AND o.deleted_at IS NULL AND w.steam_id IN (SELECT value FROM json_each(?))
		ON CONFLICT DO NOTHING`, db.Millis(s.now()), overlayID, list)
	if err != nil {
		return 0, fmt.Errorf("add %d items to overlay %d: %w", len(items), overlayID, err)
	}
	n, err := result.RowsAffected()
	return int(n), err
}

// steamIDs returns the ids of items as a JSON array.
func steamIDs(items []steam.Item) (string, error) {
	ids := make([]string, len(items))
	for n, i := range items {
		ids[n] = i.ID
	}
	list, err := json.Marshal(ids)
	return string(list), err
}

// Held returns the steam ids of the items that some overlay holds, be it one that is being deleted.
func (s *Store) Held(ctx context.Context) (map[string]bool, error) {
	rows, err := s.db.QueryContext(ctx, `SELECT steam_id FROM workshop_items w
		WHERE `+isHeld)
	if err != nil {
		return nil, fmt.Errorf("read the items that overlays hold: %w", err)
	}
	defer rows.Close()
	held := map[string]bool{}
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, fmt.Errorf("read the items that overlays hold: %w", err)
		}
		held[id] = true
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read the items that overlays hold: %w", err)
	}
	return held, nil
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

// Change is how the file of an item that was known became another one.
type Change struct {
	// ID is workshop_items.id, Item what Steam says of it.
	ID   int64
	Item steam.Item
	// Advanced: Steam's time_updated is a later one. Renamed: the file has another name. With neither of them the item can be
	// had again, or cannot be had any more, or its file changed without getting a later time.
	Advanced, Renamed bool
}

// saved is an item as Save hands it to the database.
type saved struct {
	SteamID    string `json:"steam_id"`
	Title      string `json:"title"`
	Filename   string `json:"filename"`
	FileURL    string `json:"file_url"`
	FileSize   int64  `json:"file_size"`
	Updated    int64  `json:"time_updated"`
	PreviewURL string `json:"preview_url"`
	LastError  string `json:"last_error"`
}

// Rows that would stay the same are not written: most of a refresh is nothing new.
const (
	saveSQL = `INSERT INTO workshop_items (steam_id, title, filename, file_url, file_size, time_updated, preview_url, last_error, created_at)
		SELECT value ->> 'steam_id', value ->> 'title', value ->> 'filename', value ->> 'file_url', value ->> 'file_size',
			value ->> 'time_updated', value ->> 'preview_url', value ->> 'last_error', ? FROM json_each(?) WHERE true
		ON CONFLICT (steam_id) DO UPDATE SET title = excluded.title, filename = excluded.filename, file_url = excluded.file_url,
			file_size = excluded.file_size, time_updated = excluded.time_updated, preview_url = excluded.preview_url, last_error = excluded.last_error
		WHERE (title, filename, file_url, file_size, time_updated, preview_url, last_error)
			IS NOT (excluded.title, excluded.filename, excluded.file_url, excluded.file_size, excluded.time_updated, excluded.preview_url, excluded.last_error)`

	saveGoneSQL = `UPDATE workshop_items SET file_url = '', last_error = value ->> 'last_error' FROM json_each(?)
		WHERE steam_id = value ->> 'steam_id' AND (file_url, last_error) IS NOT ('', value ->> 'last_error')`
)

// Save writes what Steam says of items on q, new ones included, and leaves last_downloaded_at alone. Of a known item that
// Steam does not give any more only the reason is written, and that there is no download. It returns the known ones whose
// file is another one now.
func (s *Store) Save(ctx context.Context, q db.Querier, items []steam.Item) ([]Change, error) {
	changes, err := s.save(ctx, q, items)
	if err != nil {
		return nil, fmt.Errorf("save what steam says of %d items: %w", len(items), err)
	}
	return changes, nil
}

func (s *Store) save(ctx context.Context, q db.Querier, items []steam.Item) ([]Change, error) {
	list, err := steamIDs(items)
	if err != nil {
		return nil, err
	}
	known, err := read(ctx, q, selectItem+` WHERE w.steam_id IN (SELECT value FROM json_each(?))`, list)
	if err != nil {
		return nil, err
	}
	before := make(map[string]Item, len(known))
	for _, i := range known {
		before[i.SteamID] = i
	}
	var changes []Change
	written, gone := []saved{}, []saved{}
	for _, i := range items {
		now := saved{i.ID, i.Title, i.Filename, i.DownloadURL(), i.FileSize, i.TimeUpdated, i.PreviewURL, i.LastError()}
		old, isKnown := before[i.ID]
		left := i.Missing || i.Result != 1
		if isKnown && left {
			gone = append(gone, now)
		} else {
			written = append(written, now)
		}
		if !isKnown {
			continue
		}
		c := Change{ID: old.ID, Item: i, Advanced: !left && now.Updated > old.Updated, Renamed: !left && now.Filename != old.Filename}
		otherwise := (now.FileURL == "") != (old.FileURL == "") || now.FileURL != "" && (now.Updated != old.Updated || now.FileSize != old.FileSize)
		if c.Advanced || c.Renamed || otherwise {
			changes = append(changes, c)
		}
	}
	for _, step := range []struct {
		query string
		args  []any
		items []saved
	}{
		{saveSQL, []any{db.Millis(s.now())}, written},
		{saveGoneSQL, nil, gone},
	} {
		list, err := json.Marshal(step.items)
		if err != nil {
			return nil, err
		}
		if _, err := q.ExecContext(ctx, step.query, append(step.args, string(list))...); err != nil {
			return nil, err
		}
	}
	return changes, nil
}

// Holding returns the overlays that hold any of these items, by workshop_items.id.
func Holding(ctx context.Context, q db.Querier, itemIDs []int64) ([]int64, error) {
	list, err := json.Marshal(itemIDs)
	if err != nil {
		return nil, fmt.Errorf("look who holds the items: %w", err)
	}
	rows, err := q.QueryContext(ctx, `SELECT DISTINCT o.id FROM overlay_workshop_items i JOIN overlays o ON o.id = i.overlay_id
		WHERE i.workshop_item_id IN (SELECT value FROM json_each(?)) AND o.deleted_at IS NULL ORDER BY o.id`, string(list))
	if err != nil {
		return nil, fmt.Errorf("look who holds the items: %w", err)
	}
	defer rows.Close()
	var overlays []int64
	for rows.Next() {
		var id int64
		if err := rows.Scan(&id); err != nil {
			return nil, fmt.Errorf("look who holds the items: %w", err)
		}
		overlays = append(overlays, id)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("look who holds the items: %w", err)
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

// Removed records that the cache is about to lose the files of items, by their steam ids: they wait for a download again.
func (s *Store) Removed(ctx context.Context, steamIDs []string) error {
	list, err := json.Marshal(steamIDs)
	if err != nil {
		return fmt.Errorf("record removed files: %w", err)
	}
	if _, err := s.db.ExecContext(ctx, `UPDATE workshop_items SET last_downloaded_at = NULL, downloaded_time_updated = 0, downloaded_file_size = 0
		WHERE steam_id IN (SELECT value FROM json_each(?)) AND last_downloaded_at IS NOT NULL`, string(list)); err != nil {
		return fmt.Errorf("record %d removed files: %w", len(steamIDs), err)
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
