// Package workshop owns workshop items as rows: reading pasted ids, what Steam says about items, which overlays contain them,
// and their states in plain words (product.md P10 to P17). Items are shared by everybody; an overlay only refers to them.
//
// Files belong to shared/vpkcache, the links in an overlay to shared/linkfarm.
package workshop

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"left4me/shared/account"
	"left4me/shared/db"
	"left4me/shared/jobstore"
	"left4me/shared/overlay"
	"left4me/shared/problem"
	"left4me/shared/steam"
	"left4me/shared/webhook"
)

// Item is one row of workshop_items.
type Item struct {
	ID      int64
	SteamID steam.ID
	Title   string
	// Filename is what the author called the file. Never use it as a path.
	Filename string
	// FileURL is empty when Steam offers no download; LastError says why.
	FileURL    string
	FileSize   int64 // bytes
	Updated    int64 `api:"unix"` // Unix seconds, as Steam gives it
	PreviewURL string
	LastError  string
	// DownloadedAt is when the file was last downloaded, of several hosts on the one that is furthest behind; zero: never.
	DownloadedAt time.Time
	// DownloadedUpdated and DownloadedSize are the values of Updated and FileSize at that time.
	DownloadedUpdated int64 `api:"unix"`
	DownloadedSize    int64
	// Linked is whether the directory of the overlay that was asked about has a link to the file, on all hosts. Only List, OfOverlay,
	// Remove, Disable and Waiting set it.
	Linked bool
	// AddedAt is when the item was added to the overlay that was asked about, and Disabled whether it is disabled there. Only List,
	// OfOverlay, Remove and Disable set them.
	AddedAt  time.Time
	Disabled bool
	// Pinned is the version, by its Updated, that the overlay that was asked about stays with; 0: the one that Steam offers. Set as Disabled.
	Pinned int64
	// Versions are those that hosts have, the newest first. Set as Disabled.
	Versions []Kept
	// LinkName is the name of the mutation that the link in the directory of the overlay that was asked about has, as Rename set it; empty:
	// the steam id. Only List, OfOverlay, Remove and Disable set it.
	LinkName string
	// LostAt is when Steam was first seen to offer no download any more; zero: it does, or it is not known.
	LostAt time.Time
	// Content is what is in the file that was downloaded last, without its campaigns, which Campaigns returns; nil: it has not been read.
	// Only List sets it.
	Content *Content
}

// Kept is a version of an item that hosts have.
type Kept struct {
	Updated int64 // Unix seconds
	Size    int64 // bytes
	// Hosts is how many hosts have it.
	Hosts int
}

// Has reports whether a host has a version of the item, by its Updated.
func (i Item) Has(version int64) bool {
	return slices.ContainsFunc(i.Versions, func(k Kept) bool { return k.Updated == version })
}

// StaysBehind reports whether the overlay that was asked about stays with another version than Steam offers.
func (i Item) StaysBehind() bool { return i.Pinned != 0 && i.Pinned != i.Updated }

// downloadFailed is the prefix of the last_error of an item whose download attempts have all failed (P24).
const downloadFailed = "download failed: "

// States of items (P17) that views distinguish.
const (
	// Ready: the current file is downloaded and linked.
	Ready              = "ready"
	WaitingForDownload = "waiting for download"
	UpdateWaiting      = "update waiting"
	NotLinked          = "downloaded, not linked yet"
	// Disabled: the overlay contains the item, but not its file.
	Disabled = "disabled"
	// UpdateWaitingPinned: Steam has another version than the one that the overlay is pinned to.
	UpdateWaitingPinned = "update waiting, pinned"
	// LastCopyKept ends the state of an item that Steam no longer provides, but that is still linked.
	LastCopyKept = ", last copy kept"
)

// State returns the state of the item in plain words (P17), as far as the database knows.
func (i Item) State() string {
	switch {
	case i.Disabled:
		return Disabled
	case i.FileURL != "" && i.StaysBehind():
		return UpdateWaitingPinned
	case i.FailedBecause() != "":
		return i.LastError
	case i.FileURL == "":
		state := i.LastError
		if strings.HasPrefix(state, "steam re") { // `steam result N`, `steam returned no entry …`
			state = "not on Steam any more"
		}
		if i.Linked {
			state += LastCopyKept
		}
		return state
	case i.DownloadedAt.IsZero():
		return WaitingForDownload
	case !i.Current():
		return UpdateWaiting
	case !i.Linked:
		return NotLinked
	}
	return Ready
}

// LinkFile is the file name of the item's link in the overlay that was asked about.
func (i Item) LinkFile() string {
	if i.LinkName != "" {
		return i.LinkName + ".vpk"
	}
	return i.SteamID.FileName()
}

// Current reports whether the file that Steam offers now was downloaded, and no later attempt to download it has failed.
func (i Item) Current() bool {
	return i.FileURL != "" && i.FailedBecause() == "" && !i.DownloadedAt.IsZero() && i.DownloadedUpdated == i.Updated && i.DownloadedSize == i.FileSize
}

// FailedBecause returns why the item could not be downloaded, as its LastError says; empty if that says something else.
func (i Item) FailedBecause() string {
	reason, failed := strings.CutPrefix(i.LastError, downloadFailed)
	if !failed {
		return ""
	}
	return reason
}

// Store reads and writes workshop items and the overlays that contain them.
type Store struct {
	db   *db.DB
	now  func() time.Time
	jobs *jobstore.Store
}

// NewStore returns a Store on d that takes the time from now and enqueues builds in jobs.
func NewStore(d *db.DB, now func() time.Time, jobs *jobstore.Store) *Store {
	return &Store{db: d, now: now, jobs: jobs}
}

const itemColumns = `w.id, w.steam_id, w.title, w.filename, w.file_url, w.file_size, w.time_updated, w.preview_url,
	w.last_error, w.last_downloaded_at, w.downloaded_time_updated, w.downloaded_file_size, w.lost_at`

// Conditions of the item w. failedSQL: all attempts to download it have failed (Item.FailedBecause). otherVersionSQL: the file that was
// downloaded last is not the one that Steam offers now.
const (
	failedSQL       = `w.last_error LIKE '` + downloadFailed + `%'`
	otherVersionSQL = `(w.downloaded_time_updated <> w.time_updated OR w.downloaded_file_size <> w.file_size)`
)

const selectItem = `SELECT ` + itemColumns + ` FROM workshop_items w`

// inOverlay is whether the item w is in an overlay, and neededSQL whether the version that Steam offers is to be linked in one. Overlays
// that are being deleted count.
const (
	inOverlay = `EXISTS (SELECT 1 FROM overlay_workshop_items o WHERE o.workshop_item_id = w.id)`
	neededSQL = `EXISTS (SELECT 1 FROM overlay_workshop_items o WHERE o.workshop_item_id = w.id AND o.disabled = 0 AND o.pinned IN (0, w.time_updated))`
)

// scanInto scans itemColumns into i, and the columns that follow them into more.
func scanInto(row db.Scanner, i *Item, more ...any) error {
	return row.Scan(append([]any{&i.ID, &i.SteamID, &i.Title, &i.Filename, &i.FileURL, &i.FileSize, &i.Updated, &i.PreviewURL,
		&i.LastError, db.Moment(&i.DownloadedAt), &i.DownloadedUpdated, &i.DownloadedSize, db.Moment(&i.LostAt)}, more...)...)
}

func scan(row db.Scanner) (i Item, err error) {
	err = scanInto(row, &i)
	return i, err
}

// jsonArg is a parameter for json_each.
func jsonArg(name string, value any) (sql.NamedArg, error) {
	text, err := json.Marshal(value)
	return sql.Named(name, string(text)), err
}

// OfOverlay returns an overlay's items in the order in which they were added.
func (s *Store) OfOverlay(ctx context.Context, overlayID int64) ([]Item, error) {
	items, err := db.Rows(ctx, s.db, scanOfOverlay, selectOfOverlay+` ORDER BY o.added_at, w.id`, sql.Named("overlay", overlayID))
	if err != nil {
		return nil, fmt.Errorf("read the items of overlay %d: %w", overlayID, err)
	}
	return items, nil
}

// Outdated returns the items whose file on a host is not the one that Steam offers now, although an overlay needs that. Items that
// were never downloaded there, or whose file was removed, are left to builds, except those with an id in also.
func (s *Store) Outdated(ctx context.Context, host string, also []int64) ([]Item, error) {
	ids, err := jsonArg("also", also)
	var items []Item
	if err == nil {
		items, err = db.Rows(ctx, s.db, scan, selectItem+` LEFT JOIN item_hosts h ON h.workshop_item_id = w.id AND h.host_id = :host
			WHERE w.file_url <> '' AND `+neededSQL+` AND (w.id IN (SELECT value FROM json_each(:also)) OR h.last_downloaded_at IS NOT NULL
			AND (h.downloaded_time_updated <> w.time_updated OR h.downloaded_file_size <> w.file_size)) ORDER BY w.id`, ids, sql.Named("host", host))
	}
	if err != nil {
		return nil, fmt.Errorf("read the outdated items: %w", err)
	}
	return items, nil
}

// SteamIDs returns the steam ids of all items.
func (s *Store) SteamIDs(ctx context.Context) ([]steam.ID, error) {
	ids, err := db.Rows(ctx, s.db, db.Value[steam.ID], `SELECT steam_id FROM workshop_items ORDER BY id`)
	if err != nil {
		return nil, fmt.Errorf("read the items: %w", err)
	}
	return ids, nil
}

// UsedSteamIDs returns the steam ids of the items that are in an overlay. Overlays that are being deleted count.
func (s *Store) UsedSteamIDs(ctx context.Context) (map[steam.ID]bool, error) {
	ids, err := db.Rows(ctx, s.db, db.Value[steam.ID], `SELECT steam_id FROM workshop_items w WHERE `+inOverlay)
	if err != nil {
		return nil, fmt.Errorf("read the items of all overlays: %w", err)
	}
	used := make(map[steam.ID]bool, len(ids))
	for _, id := range ids {
		used[id] = true
	}
	return used, nil
}

// restore gives items of o the places that they had in the list when addedAt was their Item.AddedAt, in the transaction q.
func restore(ctx context.Context, q db.Querier, o overlay.Overlay, addedAt map[steam.ID]time.Time) error {
	millis := map[steam.ID]int64{}
	for id, at := range addedAt {
		millis[id] = db.Millis(at)
	}
	times, err := jsonArg("times", millis)
	if err == nil {
		err = db.Later(ctx, q, `UPDATE overlay_workshop_items SET added_at = MIN(added_at, t.value)
			FROM json_each(:times) t JOIN workshop_items w ON w.steam_id = t.key
			WHERE overlay_id = :overlay AND workshop_item_id = w.id`, times, sql.Named("overlay", o.ID))
	}
	if err != nil {
		return fmt.Errorf("restore the order of overlay %d: %w", o.ID, err)
	}
	return nil
}

// Remove removes items, by workshop_items.id, from o for u, enqueues one build and returns both. Those that are not in o are left
// out; the error is a problem (404) when none is.
func (s *Store) Remove(ctx context.Context, u account.User, o overlay.Overlay, itemIDs []int64) ([]Item, *jobstore.Enqueued, error) {
	return s.change(ctx, u, o, itemIDs, anyItem, `DELETE FROM overlay_workshop_items`)
}

// Disable disables items in o, or enables them if not disabled, as Remove removes them. It returns them as they were.
func (s *Store) Disable(ctx context.Context, u account.User, o overlay.Overlay, itemIDs []int64, disabled bool) ([]Item, *jobstore.Enqueued, error) {
	return s.change(ctx, u, o, itemIDs, anyItem, `UPDATE overlay_workshop_items SET disabled = :disabled`, sql.Named("disabled", disabled))
}

// Pin makes o stay with a version of items, by its Updated, as Remove removes them; with the one that each has if it is 0. The error is a
// problem (409) if no host has that version of an item any more.
func (s *Store) Pin(ctx context.Context, u account.User, o overlay.Overlay, itemIDs []int64, version int64) ([]Item, *jobstore.Enqueued, error) {
	has := func(i Item) error {
		if version != 0 && !i.Has(version) || len(i.Versions) == 0 {
			return problem.Conflict("No host has that version of item %s. Nothing was changed.", i.SteamID)
		}
		return nil
	}
	return s.change(ctx, u, o, itemIDs, has, `UPDATE overlay_workshop_items SET pinned = COALESCE(NULLIF(:version, 0),
		(SELECT downloaded_time_updated FROM workshop_items w WHERE w.id = workshop_item_id))`, sql.Named("version", version))
}

// Unpin makes o follow what Steam offers again, as Remove removes items.
func (s *Store) Unpin(ctx context.Context, u account.User, o overlay.Overlay, itemIDs []int64) ([]Item, *jobstore.Enqueued, error) {
	return s.change(ctx, u, o, itemIDs, anyItem, `UPDATE overlay_workshop_items SET pinned = 0`)
}

func anyItem(Item) error { return nil }

// change runs the statement, with args, for those of the items that are in o, unless may returns a problem for one of them.
func (s *Store) change(ctx context.Context, u account.User, o overlay.Overlay, itemIDs []int64, may func(Item) error, statement string, args ...any) (items []Item, build *jobstore.Enqueued, err error) {
	ids, err := jsonArg("items", itemIDs)
	if err != nil {
		return nil, nil, err
	}
	chosen := []any{sql.Named("overlay", o.ID), ids}
	err = s.db.InTx(ctx, func(ctx context.Context, q db.Querier) (err error) {
		items, err = db.Rows(ctx, q, scanOfOverlay, selectOfOverlay+` WHERE w.id IN (SELECT value FROM json_each(:items)) ORDER BY o.added_at, w.id`, chosen...)
		if err != nil {
			return err
		}
		if len(items) == 0 {
			return notHere(len(itemIDs))
		}
		for _, i := range items {
			if err := may(i); err != nil {
				return err
			}
		}
		if err := db.Later(ctx, q, statement+` WHERE overlay_id = :overlay AND workshop_item_id IN (SELECT value FROM json_each(:items))`,
			append(chosen, args...)...); err != nil {
			return err
		}
		if err := overlay.Changed(ctx, q, o.ID); err != nil {
			return err
		}
		build, err = s.jobs.Enqueue(ctx, q, overlay.BuildOf(o.ID, u.ID))
		return err
	})
	if err != nil {
		return nil, nil, problem.Wrap(err, "change %d items of overlay %d", len(itemIDs), o.ID)
	}
	return items, build, nil
}

// notHere is the problem (404) when none of so many selected items is in the overlay.
func notHere(items int) error {
	if items == 1 {
		return problem.NotFound("That item is not in this overlay any more.")
	}
	return problem.NotFound("None of those items is in this overlay any more.")
}

// Change is a known item whose file has changed on Steam.
type Change struct {
	// ID is workshop_items.id, and Item what Steam says now.
	ID   int64
	Item steam.Item
	// Advanced: the file has a later time_updated. Renamed: it has another name. With none of the three, the item can be downloaded again,
	// or its file changed without a later time; or it is Lost: Steam offers no download any more.
	Advanced, Renamed, Lost bool
}

// saved is an item as parameter of saveSQL and saveGoneSQL.
type saved struct {
	SteamID    steam.ID `json:"steam_id"`
	Title      string   `json:"title"`
	Filename   string   `json:"filename"`
	FileURL    string   `json:"file_url"`
	FileSize   int64    `json:"file_size"`
	Updated    int64    `json:"time_updated"`
	PreviewURL string   `json:"preview_url"`
	LastError  string   `json:"last_error"`
}

// saveSQL writes what Steam says about items. Rows that stay the same are not written: most items of a refresh have not changed.
var saveSQL = upsert("title", "filename", "file_url", "file_size", "time_updated", "preview_url", "last_error")

// upsert returns the statement that inserts the JSON array :items into workshop_items, or updates these columns where one differs.
func upsert(columns ...string) string {
	each := func(form string) string {
		var parts []string
		for _, c := range columns {
			parts = append(parts, strings.ReplaceAll(form, "$", c))
		}
		return strings.Join(parts, ", ")
	}
	return `INSERT INTO workshop_items (steam_id, ` + each("$") + `, created_at, lost_at)
		SELECT value ->> 'steam_id', ` + each("value ->> '$'") + `, :now, CASE WHEN value ->> 'file_url' = '' THEN :now END FROM json_each(:items) WHERE true
		ON CONFLICT (steam_id) DO UPDATE SET ` + each("$ = excluded.$") + `, lost_at = CASE WHEN excluded.file_url = '' THEN COALESCE(lost_at, :now) END
		WHERE (` + each("$") + `) IS NOT (` + each("excluded.$") + `)`
}

const saveGoneSQL = `UPDATE workshop_items SET file_url = '', last_error = value ->> 'last_error', lost_at = COALESCE(lost_at, :now) FROM json_each(:items)
	WHERE steam_id = value ->> 'steam_id' AND (file_url, last_error) IS NOT ('', value ->> 'last_error')`

// Save inserts or updates items on q with what Steam says about them; last_downloaded_at stays. Of a known item that Steam no
// longer provides, only the reason is stored and the download link removed. It returns the known items whose file has changed.
func (s *Store) Save(ctx context.Context, q db.Querier, items []steam.Item) ([]Change, error) {
	changes, err := s.save(ctx, q, items)
	if err != nil {
		return nil, fmt.Errorf("save what steam says of %d items: %w", len(items), err)
	}
	return changes, nil
}

func (s *Store) save(ctx context.Context, q db.Querier, items []steam.Item) ([]Change, error) {
	ids, err := jsonArg("steam_ids", steamIDs(items))
	if err != nil {
		return nil, err
	}
	known, err := db.Rows(ctx, q, scan, selectItem+` WHERE w.steam_id IN (SELECT value FROM json_each(:steam_ids))`, ids)
	if err != nil {
		return nil, err
	}
	before := make(map[steam.ID]Item, len(known))
	for _, i := range known {
		before[i.SteamID] = i
	}
	var changes []Change
	written, gone, goneIDs := []saved{}, []saved{}, []string(nil)
	for _, i := range items {
		now := saved{i.SteamID, i.Title, i.Filename, i.DownloadURL(), i.FileSize, i.TimeUpdated, i.PreviewURL, i.LastError()}
		old, isKnown := before[i.SteamID]
		isGone := i.Missing || i.Result != 1
		if isKnown && isGone {
			gone, goneIDs = append(gone, now), append(goneIDs, string(i.SteamID))
		} else {
			written = append(written, now)
		}
		if !isKnown {
			continue
		}
		c := Change{ID: old.ID, Item: i, Advanced: !isGone && now.Updated > old.Updated, Renamed: !isGone && now.Filename != old.Filename,
			Lost: now.FileURL == "" && old.FileURL != ""}
		otherFile := now.FileURL != "" && (old.FileURL == "" || now.Updated != old.Updated || now.FileSize != old.FileSize)
		if c.Advanced || c.Renamed || c.Lost || otherFile {
			changes = append(changes, c)
		}
	}
	write := func(query string, items []saved) error {
		list, err := jsonArg("items", items)
		if err == nil {
			err = db.Later(ctx, q, query, list, sql.Named("now", db.Millis(s.now())))
		}
		return err
	}
	if err := write(saveSQL, written); err != nil {
		return nil, err
	}
	if err := webhook.ItemsGone(ctx, q, s.now(), goneIDs); err != nil {
		return nil, err
	}
	if err := write(saveGoneSQL, gone); err != nil {
		return nil, err
	}
	return changes, nil
}

func steamIDs(items []steam.Item) []steam.ID {
	ids := make([]steam.ID, len(items))
	for n, i := range items {
		ids[n] = i.SteamID
	}
	return ids
}

// insertInto puts stored items into an overlay in the transaction q, for u, and sets added to how many were not in it before. The
// database refuses it, and so the transaction, beyond u's limits: pass the error of the transaction through tooManyItems.
func (s *Store) insertInto(ctx context.Context, q db.Querier, u account.User, overlayID int64, items []steam.ID, added *int) error {
	var limits account.Limits
	if u.Limits != nil {
		limits = *u.Limits
	}
	ids, err := jsonArg("steam_ids", items)
	if err == nil {
		// A NULL is refused: in workshop_item_id when the overlay would have too many items, in added_at when all overlays of u would.
		err = db.RowsLater(ctx, q, func(all []int64) { *added = len(all) }, db.Value[int64], `WITH new AS (SELECT w.id FROM workshop_items w
				WHERE w.steam_id IN (SELECT value FROM json_each(:steam_ids))
				AND NOT EXISTS (SELECT 1 FROM overlay_workshop_items i WHERE i.overlay_id = :overlay AND i.workshop_item_id = w.id))
			INSERT INTO overlay_workshop_items (overlay_id, workshop_item_id, added_at)
			SELECT o.id,
				CASE WHEN :unlimited OR (SELECT COUNT(*) FROM new) + (SELECT COUNT(*) FROM overlay_workshop_items WHERE overlay_id = :overlay) <= :here THEN new.id END,
				CASE WHEN :unlimited OR (SELECT COUNT(*) FROM new) + (SELECT COUNT(*) FROM overlays a JOIN overlay_workshop_items i ON i.overlay_id = a.id
					WHERE a.user_id = :user AND a.deleted_at IS NULL) <= :all THEN :now END
			FROM overlays o, new WHERE o.id = :overlay AND o.deleted_at IS NULL RETURNING workshop_item_id`,
			sql.Named("now", db.Millis(s.now())), sql.Named("overlay", overlayID), sql.Named("user", u.ID),
			sql.Named("unlimited", u.Limits == nil), sql.Named("here", limits.OverlayItems), sql.Named("all", limits.Items), ids)
	}
	if err != nil {
		return fmt.Errorf("add %d items to overlay %d: %w", len(items), overlayID, err)
	}
	return nil
}

// tooManyItems returns err, or a problem (429) if err says that the items of u would be more than u may have.
func tooManyItems(err error, u account.User) error {
	const advice = "Nothing was added. Please remove items that you no longer need, or ask an administrator."
	switch {
	case db.IsNull(err, "overlay_workshop_items.workshop_item_id"):
		return problem.TooMany(0, "This overlay would have more than %d items, which is the most that one may have. "+advice, u.Limits.OverlayItems)
	case db.IsNull(err, "overlay_workshop_items.added_at"):
		return problem.TooMany(0, "Your overlays would have more than %d items together, which is the most that one person may have. "+advice, u.Limits.Items)
	}
	return err
}

// onHost selects the item :id and the host :host, unless Steam has published another file since the item was read, or has withdrawn it.
const onHost = `FROM workshop_items w, hosts h WHERE w.id = :id AND w.time_updated = :updated AND w.file_size = :size AND w.file_url <> '' AND h.id = :host`

func onHostArgs(i Item, host string) []any {
	return []any{sql.Named("id", i.ID), sql.Named("updated", i.Updated), sql.Named("size", i.FileSize), sql.Named("host", host)}
}

// Downloaded records that a host's cache has the file that i describes. It changes nothing if that is no longer the item's file.
func (s *Store) Downloaded(ctx context.Context, i Item, host string) error {
	args := onHostArgs(i, host)
	err := s.db.InTx(ctx, func(ctx context.Context, q db.Querier) error {
		if err := db.Later(ctx, q, `INSERT INTO item_versions (workshop_item_id, host_id, time_updated, file_size)
			SELECT w.id, h.id, w.time_updated, w.file_size `+onHost+` ON CONFLICT DO UPDATE SET file_size = excluded.file_size`, args...); err != nil {
			return err
		}
		return db.Later(ctx, q, `INSERT INTO item_hosts (workshop_item_id, host_id, last_downloaded_at, downloaded_time_updated, downloaded_file_size)
			SELECT w.id, h.id, :now, w.time_updated, w.file_size `+onHost+`
			ON CONFLICT DO UPDATE SET last_error = '', last_downloaded_at = excluded.last_downloaded_at,
				downloaded_time_updated = excluded.downloaded_time_updated, downloaded_file_size = excluded.downloaded_file_size`,
			append(args, sql.Named("now", db.Millis(s.now())))...)
	})
	if err != nil {
		return fmt.Errorf("record the download of item %s: %w", i.SteamID, err)
	}
	return nil
}

// ForgetVersions records, before they are removed, that a host has no versions of an item that it need not keep, and returns them by their
// Updated: they are not among its newest ones, of which there are keep, and no overlay is pinned to them.
func (s *Store) ForgetVersions(ctx context.Context, itemID int64, host string, keep int) ([]int64, error) {
	old, err := db.Rows(ctx, s.db, db.Value[int64], `DELETE FROM item_versions WHERE (workshop_item_id, host_id) = (:id, :host) AND NOT (`+keptSQL+`)
		RETURNING time_updated`, sql.Named("id", itemID), sql.Named("host", host), sql.Named("keep", keep))
	if err != nil {
		return nil, fmt.Errorf("forget old versions of item %d: %w", itemID, err)
	}
	return old, nil
}

// keptSQL is whether a host keeps a version, a row of item_versions: it is the file that was downloaded last, one of :keep newest ones, or
// an overlay is pinned to it.
const keptSQL = `EXISTS (SELECT 1 FROM item_hosts h WHERE h.workshop_item_id = item_versions.workshop_item_id AND h.host_id = item_versions.host_id
		AND h.downloaded_time_updated = item_versions.time_updated)
	OR (SELECT COUNT(*) FROM item_versions n WHERE n.workshop_item_id = item_versions.workshop_item_id AND n.host_id = item_versions.host_id
		AND n.time_updated > item_versions.time_updated) < :keep
	OR EXISTS (SELECT 1 FROM overlay_workshop_items o WHERE o.workshop_item_id = item_versions.workshop_item_id AND o.pinned = item_versions.time_updated)`

// KeptVersions returns the versions, by their Updated, that a host keeps of items that are in an overlay.
func (s *Store) KeptVersions(ctx context.Context, host string, keep int) (map[steam.ID][]int64, error) {
	kept := map[steam.ID][]int64{}
	_, err := db.Rows(ctx, s.db, func(row db.Scanner) (id steam.ID, err error) {
		var version int64
		err = row.Scan(&id, &version)
		kept[id] = append(kept[id], version)
		return id, err
	}, `SELECT w.steam_id, item_versions.time_updated FROM item_versions JOIN workshop_items w ON w.id = workshop_item_id
		WHERE host_id = :host AND `+inOverlay+` AND (`+keptSQL+`)`, sql.Named("host", host), sql.Named("keep", keep))
	if err != nil {
		return nil, fmt.Errorf("read the versions of items: %w", err)
	}
	return kept, nil
}

// VersionGone records that a host does not have a version of an item.
func (s *Store) VersionGone(ctx context.Context, host string, id steam.ID, version int64) error {
	if _, err := db.Exec(ctx, s.db, `DELETE FROM item_versions WHERE host_id = :host AND time_updated = :version
		AND workshop_item_id = (SELECT id FROM workshop_items WHERE steam_id = :id)`, sql.Named("host", host), sql.Named("version", version), sql.Named("id", id)); err != nil {
		return fmt.Errorf("record a removed version of item %s: %w", id, err)
	}
	return nil
}

// DownloadFailed records why all attempts of a host to download the file that i describes failed. It changes nothing if that is no
// longer the item's file.
func (s *Store) DownloadFailed(ctx context.Context, i Item, host string, reason error) error {
	if _, err := s.db.ExecContext(ctx, `INSERT INTO item_hosts (workshop_item_id, host_id, last_error) SELECT w.id, h.id, :error `+onHost+`
		ON CONFLICT DO UPDATE SET last_error = excluded.last_error`,
		append(onHostArgs(i, host), sql.Named("error", downloadFailed+reason.Error()))...); err != nil {
		return fmt.Errorf("record the failed download of item %s: %w", i.SteamID, err)
	}
	return nil
}

// NotDownloaded records, before files are removed from a host's cache, that it has to download their items again.
func (s *Store) NotDownloaded(ctx context.Context, host string, steamIDs []steam.ID) error {
	ids, err := jsonArg("steam_ids", steamIDs)
	if err == nil {
		of := `host_id = :host AND workshop_item_id IN (SELECT id FROM workshop_items WHERE steam_id IN (SELECT value FROM json_each(:steam_ids)))`
		err = s.db.InTx(ctx, func(ctx context.Context, q db.Querier) error {
			// Its other versions are not the newest file, and stay.
			if err := db.Later(ctx, q, `DELETE FROM item_versions WHERE `+of+` AND time_updated = (SELECT downloaded_time_updated FROM item_hosts h
				WHERE h.workshop_item_id = item_versions.workshop_item_id AND h.host_id = item_versions.host_id)`, sql.Named("host", host), ids); err != nil {
				return err
			}
			return db.Later(ctx, q, `DELETE FROM item_hosts WHERE `+of, sql.Named("host", host), ids)
		})
	}
	if err != nil {
		return fmt.Errorf("record %d removed files: %w", len(steamIDs), err)
	}
	return nil
}
