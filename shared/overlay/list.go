package overlay

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"

	"left4me/shared/account"
	"left4me/shared/db"
	"left4me/shared/job"
	"left4me/shared/list"
)

// Listed is a row of the list of overlays.
type Listed struct {
	Overlay
	// Building is the state of the overlay's build that has not ended; empty for none.
	Building job.State
	// Hosts are the names of the hosts with such a build, or else of those whose last build failed; none if there is only one host.
	Hosts []string
	// Items counts the workshop items in the overlay, and Size is the sum of their known sizes in bytes.
	Items int
	Size  int64
}

// States of overlays by which the list can be limited.
const (
	Built      = "built"
	Failed     = "failed"
	BeingBuilt = "being built"
	Outdated   = "not up to date"
)

const (
	buildingSQL = `COALESCE((SELECT j.state FROM jobs j WHERE j.finished_at IS NULL AND j.subject_kind = 'overlay' AND j.subject_id = o.id
		AND j.operation = 'build_overlay' ORDER BY j.lease_until IS NULL, j.id LIMIT 1), '')`
	// The names, as a JSON array, of the hosts on which the overlay is in its state.
	hostsSQL = `CASE WHEN (SELECT COUNT(*) FROM overlay_hosts b WHERE b.overlay_id = o.id) < 2 THEN '[]' WHEN ` + buildingSQL + ` <> '' THEN
		(SELECT json_group_array(DISTINCT h.name) FROM jobs j JOIN hosts h ON h.id = j.host_id WHERE j.finished_at IS NULL
			AND j.subject_kind = 'overlay' AND j.subject_id = o.id AND j.operation = 'build_overlay' AND j.state = ` + buildingSQL + `)
		ELSE (SELECT json_group_array(h.name) FROM overlay_hosts b JOIN hosts h ON h.id = b.host_id
			WHERE b.overlay_id = o.id AND b.last_build_status = 'failed') END`
	itemsSQL = `(SELECT COUNT(*) FROM overlay_workshop_items i WHERE i.overlay_id = o.id)`
	sizeSQL  = `COALESCE((SELECT SUM(w.file_size) FROM overlay_workshop_items i JOIN workshop_items w ON w.id = i.workshop_item_id WHERE i.overlay_id = o.id), 0)`
	stateSQL = `CASE WHEN ` + buildingSQL + ` <> '' THEN '` + BeingBuilt + `' WHEN o.last_build_status = 'ok' THEN '` + Built + `'
		WHEN o.last_build_status = 'failed' THEN '` + Failed + `' ELSE '` + Outdated + `' END`
)

// Visible is whether a user may see the overlay o (P7), and VisibleArgs are its parameters.
const Visible = `(:admin OR o.type IN (SELECT value FROM json_each(:system)) OR o.user_id = :user)`

func VisibleArgs(u account.User) []any {
	return []any{sql.Named("admin", u.Admin), sql.Named("user", u.ID), sql.Named("system", typesWhere(func(t *Type) bool { return t.System }))}
}

// Listing is the list of overlays.
var Listing = list.Source[Listed]{
	Columns: columns + `, ` + buildingSQL + `, ` + hostsSQL + `, ` + itemsSQL + `, ` + sizeSQL,
	From:    from,
	Where: `o.deleted_at IS NULL AND ` + Visible + `
		AND o.name LIKE :text ESCAPE '\' AND (:state = '' OR :state = ` + stateSQL + `)`,
	Key: `o.id`,
	Order: map[string]string{
		"": `o.name COLLATE NOCASE, o.id`, "name": `o.name COLLATE NOCASE`, "type": `o.type`, "owner": `u.name`, "items": itemsSQL, "size": sizeSQL,
		"state": stateSQL,
	},
	States:  []string{Built, BeingBuilt, Outdated, Failed},
	Size:    200,
	Counted: true,
	Scan: func(row db.Scanner) (l Listed, err error) {
		var hosts []byte
		err = scanInto(row, &l.Overlay, &l.Building, &hosts, &l.Items, &l.Size)
		if err == nil {
			err = json.Unmarshal(hosts, &l.Hosts)
			slices.Sort(l.Hosts)
		}
		return l, err
	},
}

// List returns a page of the overlays that u may see (P7), in their own order by name.
func (s *Store) List(ctx context.Context, u account.User, q list.Query) (list.Page[Listed], error) {
	page, err := Listing.Read(ctx, s.db, q, append(VisibleArgs(u), q.TextArg(), q.StateArg())...)
	if err != nil {
		return page, fmt.Errorf("list overlays: %w", err)
	}
	return page, nil
}

// Choice is an overlay that can be chosen in a form.
type Choice struct {
	ID   int64
	Name string
}

// maxChoices is how many overlays a form offers.
const maxChoices = 200

// Beside returns the overlays that items of the overlay with that id can be copied to, by name: the others that hold items, and belong
// to u or to the same owner. It returns at most maxChoices of them.
func (s *Store) Beside(ctx context.Context, u account.User, id int64) ([]Choice, error) {
	all, err := db.Rows(ctx, s.db, func(row db.Scanner) (c Choice, err error) {
		err = row.Scan(&c.ID, &c.Name)
		return c, err
	}, `SELECT id, name FROM overlays WHERE user_id IN (:user, (SELECT user_id FROM overlays WHERE id = :id)) AND type IN (SELECT value FROM json_each(:types))
		AND id <> :id AND deleted_at IS NULL ORDER BY name COLLATE NOCASE, id LIMIT :limit`,
		sql.Named("user", u.ID), sql.Named("id", id), sql.Named("types", typesWhere(func(t *Type) bool { return t.HoldsItems })), sql.Named("limit", maxChoices))
	if err != nil {
		return nil, fmt.Errorf("list the overlays beside %d: %w", id, err)
	}
	return all, nil
}
