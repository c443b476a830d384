package workshop

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"

	"left4me/shared/db"
	"left4me/shared/steam"
)

// Rank orders conflicts by how much they matter.
type Rank int

// The ranks, the most important one first.
const (
	Maps    Rank = iota // and missions
	Scripts             // and modes
	Others
)

// Origin is where files come from.
type Origin struct {
	OverlayID int64 `json:"overlay_id"`
	// SteamID is the item; empty if they are of none.
	SteamID steam.ID `json:"steam_id,omitempty"`
	// File is the name of a VPK that is no item's; empty if they lie in the overlay's directory itself.
	File string `json:"file,omitempty"`
	// Title is the item's. Only Conflicts sets it.
	Title string `json:"-"`
}

// Conflict says that the same paths have different content in several origins.
type Conflict struct {
	Rank Rank `json:"rank"`
	// Between are the first of the origins, and Origins is how many there are.
	Between []Origin `json:"between"`
	Origins int      `json:"origins"`
	// Paths are the first of the paths, by rank, and Count is how many there are.
	Paths []string `json:"paths"`
	Count int      `json:"count"`
}

// Comparison is what was found when the files of an overlay were compared with each other, or with those of another overlay.
type Comparison struct {
	// OverlayID is at most OtherID. Equal: it is about files of one overlay.
	OverlayID int64 `json:"overlay_id"`
	OtherID   int64 `json:"other_id"`
	// Files names what was compared; see the table overlay_conflicts.
	Files string `json:"files"`
	// Paths is how many paths conflict.
	Paths int `json:"paths"`
	// Conflicts are the most important ones, in the order of their ranks.
	Conflicts []Conflict `json:"conflicts"`
}

// Neighbour is an overlay that is in a blueprint together with another one.
type Neighbour struct {
	ID int64
	// Files names its files as they were when it was last built, and Compared is the Files of the last Comparison of both; empty: none yet.
	Files, Compared string
}

// Neighbours returns the overlay with that id and then those with which it shares a blueprint. Of itself, Compared is the same as Files.
func (s *Store) Neighbours(ctx context.Context, overlayID int64) ([]Neighbour, error) {
	all, err := db.Rows(ctx, s.db, func(row db.Scanner) (n Neighbour, err error) {
		err = row.Scan(&n.ID, &n.Files, &n.Compared)
		return n, err
	}, `SELECT o.id, COALESCE(f.compared, ''), COALESCE(c.compared, '') FROM overlays o
		LEFT JOIN overlay_conflicts f ON f.overlay_id = o.id AND f.other_id = o.id
		LEFT JOIN overlay_conflicts c ON c.overlay_id = MIN(o.id, :overlay) AND c.other_id = MAX(o.id, :overlay)
		WHERE o.deleted_at IS NULL AND (o.id = :overlay OR o.id IN (SELECT n.overlay_id FROM blueprint_overlays b
			JOIN blueprint_overlays n ON n.blueprint_id = b.blueprint_id WHERE b.overlay_id = :overlay))
		ORDER BY o.id <> :overlay, o.id`, sql.Named("overlay", overlayID))
	if err != nil {
		return nil, fmt.Errorf("read the overlays that share a blueprint with overlay %d: %w", overlayID, err)
	}
	return all, nil
}

// SaveConflicts stores comparisons in place of those before, unless an overlay was deleted meanwhile.
func SaveConflicts(ctx context.Context, q db.Querier, all []Comparison) error {
	list, err := jsonArg("all", all)
	if err == nil {
		err = db.Later(ctx, q, `INSERT OR REPLACE INTO overlay_conflicts (overlay_id, other_id, compared, paths, conflicts)
			SELECT a.id, b.id, value ->> 'files', value ->> 'paths', value -> 'conflicts' FROM json_each(:all)
			JOIN overlays a ON a.id = value ->> 'overlay_id' JOIN overlays b ON b.id = value ->> 'other_id'`, list)
	}
	if err != nil {
		return fmt.Errorf("save %d comparisons of overlays: %w", len(all), err)
	}
	return nil
}

const selectConflicts = `SELECT c.overlay_id, c.other_id, c.compared, c.paths, c.conflicts, (SELECT json_group_object(w.steam_id, w.title)
	FROM json_tree(c.conflicts) t JOIN workshop_items w ON w.steam_id = t.value WHERE t.key = 'steam_id') FROM overlay_conflicts c `

func scanComparison(row db.Scanner) (c Comparison, err error) {
	var conflicts, titles string
	if err := row.Scan(&c.OverlayID, &c.OtherID, &c.Files, &c.Paths, &conflicts, &titles); err != nil {
		return c, err
	}
	byID := map[steam.ID]string{}
	if err := json.Unmarshal([]byte(titles), &byID); err != nil {
		return c, err
	}
	err = json.Unmarshal([]byte(conflicts), &c.Conflicts)
	for _, conflict := range c.Conflicts {
		for n, o := range conflict.Between {
			conflict.Between[n].Title = byID[o.SteamID]
		}
	}
	return c, err
}

// Conflicts returns what conflicts inside an overlay, as of its last successful build; the zero Comparison: nothing.
func (s *Store) Conflicts(ctx context.Context, overlayID int64) (Comparison, error) {
	all, err := db.Rows(ctx, s.db, scanComparison, selectConflicts+`WHERE c.overlay_id = :overlay AND c.other_id = :overlay AND c.paths > 0`, sql.Named("overlay", overlayID))
	if err != nil {
		return Comparison{}, fmt.Errorf("read the conflicts in overlay %d: %w", overlayID, err)
	}
	return append(all, Comparison{})[0], nil
}

// ConflictsBetween returns what conflicts between two each of these overlays, as of their last successful builds, in their order.
func ConflictsBetween(ctx context.Context, q db.Querier, overlayIDs []int64) ([]Comparison, error) {
	overlays, err := jsonArg("overlays", overlayIDs)
	var all []Comparison
	if err == nil {
		all, err = db.Rows(ctx, q, scanComparison, selectConflicts+`JOIN json_each(:overlays) a ON a.value = c.overlay_id
			JOIN json_each(:overlays) b ON b.value = c.other_id WHERE c.overlay_id < c.other_id AND c.paths > 0 ORDER BY MIN(a.key, b.key), MAX(a.key, b.key)`, overlays)
	}
	if err != nil {
		return nil, fmt.Errorf("read the conflicts between overlays: %w", err)
	}
	return all, nil
}
