package webhook

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"left4me/shared/db"
	"left4me/shared/job"
)

// Kind is what has happened. Receivers rely on the values.
type Kind string

const (
	ContentChanged Kind = "content_changed"
	// BuildFailed is recorded by the database: tr_overlay_hosts_failed in 00025_webhooks.sql.
	BuildFailed   Kind = "build_failed"
	ItemGone      Kind = "item_gone"
	UpdateWaiting Kind = "update_waiting"
	ServerUp      Kind = "server_up"
	ServerDown    Kind = "server_down"
	ServerCrashed Kind = "server_crashed"
	ServerUpdated Kind = "server_updated"
	// Test is what every webhook gets when somebody presses the button.
	Test Kind = "test"
)

// titles say on pages and in messages what has happened.
var titles = map[Kind]string{
	ContentChanged: "content changed", BuildFailed: "build failed", ItemGone: "item gone from Steam",
	UpdateWaiting: "update waiting", ServerUp: "server up", ServerDown: "server down", ServerCrashed: "server crashed", ServerUpdated: "server updated", Test: "test",
}

// Title says what has happened.
func (k Kind) Title() string { return titles[k] }

// Kinds returns what can happen to overlays or servers, or to all of them for the whole panel.
func Kinds(of job.Kind) []Kind {
	overlays, servers := []Kind{ContentChanged, BuildFailed, ItemGone}, []Kind{UpdateWaiting, ServerUp, ServerDown, ServerCrashed, ServerUpdated}
	switch of {
	case job.Overlays:
		return overlays
	case job.Servers:
		return servers
	}
	return append(overlays, servers...)
}

// Event is what a webhook in the format JSON is sent.
type Event struct {
	// ID is that of the delivery: the same when it is sent again.
	ID   string `json:"id"`
	Kind Kind   `json:"event"`
	// At is when it happened.
	At time.Time `json:"at"`
	// Overlay or Server is what it happened to.
	Overlay *Named `json:"overlay,omitempty"`
	Server  *Named `json:"server,omitempty"`
	// Host is the name of the host, if there are several.
	Host string `json:"host,omitempty"`
	// Text says more for people; may be empty.
	Text string `json:"text,omitempty"`
	// Items are the workshop items that it is about, and Total counts them: at most maxItems are named.
	Items []Item `json:"items,omitempty"`
	Total int    `json:"items_total,omitempty"`
	// JobID is the job that did it; 0 for none.
	JobID int64 `json:"job_id,omitempty"`
	// URL is left4me's page about it; empty if the address of the pages is not known where it is sent from.
	URL string `json:"url,omitempty"`
}

// Named is an overlay or a server.
type Named struct {
	ID   int64  `json:"id"`
	Name string `json:"name"`
}

// Item is a workshop item.
type Item struct {
	SteamID string `json:"steam_id"`
	Title   string `json:"title"`
	// Change is `new`, `updated`, `removed` or `gone`.
	Change string `json:"change"`
}

func (i Item) name() string {
	if i.Title == "" {
		return i.SteamID
	}
	return i.Title
}

// maxItems is how many items an event names.
const maxItems = 100

// parse returns the event in a stored body, without ID and Kind.
func parse(body string) (e Event, err error) {
	stored := struct {
		*Event
		At int64 `json:"at"` // Unix ms
	}{Event: &e}
	err = json.Unmarshal([]byte(body), &stored)
	e.At = db.Time(stored.At).UTC()
	return e, err
}

// About is the name of what the event happened to; empty for the panel.
func (e Event) About() string {
	switch {
	case e.Overlay != nil:
		return e.Overlay.Name
	case e.Server != nil:
		return e.Server.Name
	}
	return ""
}

// Sentence says what has happened, for people: Text, or what changed, such as `1 item new (Urban Flight), 2 items updated (A, B)`.
func (e Event) Sentence() string {
	if e.Text != "" || len(e.Items) == 0 {
		return e.Text
	}
	var parts []string
	for _, change := range []string{"new", "updated", "removed", "gone"} {
		var names []string
		for _, i := range e.Items {
			if i.Change == change {
				names = append(names, i.name())
			}
		}
		if n := len(names); n == 1 {
			parts = append(parts, fmt.Sprintf("1 item %s (%s)", change, names[0]))
		} else if n > 1 {
			parts = append(parts, fmt.Sprintf("%d items %s (%s)", n, change, strings.Join(names, ", ")))
		}
	}
	if more := e.Total - len(e.Items); more > 0 {
		parts = append(parts, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(parts, ", ")
}

// wants is true for the webhooks w that want the event :event about what %s selects, or about everything.
const wants = `(w.overlay_id IS NULL AND w.server_id IS NULL OR %s) AND EXISTS (SELECT 1 FROM json_each(w.events) WHERE value = :event)`

// HappenedToServer records on q what has happened to a server. jobID may be 0.
func HappenedToServer(ctx context.Context, q db.Querier, now time.Time, k Kind, serverID int64, text string, jobID int64) error {
	err := db.Later(ctx, q, `INSERT INTO webhook_deliveries (webhook_id, event, body, created_at, next_at)
		SELECT w.id, :event, json_object('at', :now, 'server', json_object('id', s.id, 'name', s.name), 'text', :text, 'job_id', :job), :now, :now
		FROM servers s JOIN webhooks w ON `+fmt.Sprintf(wants, `w.server_id = s.id`)+` WHERE s.id = :server AND s.deleted_at IS NULL`,
		sql.Named("event", k), sql.Named("now", db.Millis(now)), sql.Named("text", text), sql.Named("job", jobID), sql.Named("server", serverID))
	if err != nil {
		return fmt.Errorf("record for webhooks what happened to server %d: %w", serverID, err)
	}
	return nil
}

// ItemsGone records on q that Steam does not have items any more, which workshop_items does not say yet: for each overlay that has some.
func ItemsGone(ctx context.Context, q db.Querier, now time.Time, steamIDs []string) error {
	if len(steamIDs) == 0 {
		return nil
	}
	ids, err := json.Marshal(steamIDs)
	if err != nil {
		return err
	}
	err = db.Later(ctx, q, `INSERT INTO webhook_deliveries (webhook_id, event, body, created_at, next_at)
		SELECT w.id, :event, json_object('at', :now, 'overlay', json_object('id', o.id, 'name', o.name), 'items_total', COUNT(*),
			'items', json_group_array(json_object('steam_id', i.steam_id, 'title', i.title, 'change', 'gone'))), :now, :now
		FROM json_each(:steam_ids) gone JOIN workshop_items i ON i.steam_id = gone.value AND i.file_url <> ''
		JOIN overlay_workshop_items a ON a.workshop_item_id = i.id AND a.disabled = 0 JOIN overlays o ON o.id = a.overlay_id AND o.deleted_at IS NULL
		JOIN webhooks w ON `+fmt.Sprintf(wants, `w.overlay_id = o.id`)+` GROUP BY w.id, o.id`,
		sql.Named("event", ItemGone), sql.Named("now", db.Millis(now)), sql.Named("steam_ids", string(ids)))
	if err != nil {
		return fmt.Errorf("record for webhooks which items are gone: %w", err)
	}
	return nil
}

// linked are the files that the overlay :overlay has on the host :host, and changed how they differ from those that overlay_contents has of
// it. Of several hosts, the first that has built a change tells of it.
const linked = `WITH linked AS (SELECT h.workshop_item_id, h.downloaded_time_updated AS time_updated, h.downloaded_file_size AS file_size
		FROM overlay_links l JOIN item_hosts h ON h.workshop_item_id = l.workshop_item_id AND h.host_id = l.host_id WHERE l.overlay_id = :overlay AND l.host_id = :host),
	changed AS (SELECT n.workshop_item_id, CASE WHEN c.overlay_id IS NULL THEN 'new' ELSE 'updated' END AS change
		FROM linked n LEFT JOIN overlay_contents c ON c.overlay_id = :overlay AND c.workshop_item_id = n.workshop_item_id
		WHERE (c.time_updated, c.file_size) IS NOT (n.time_updated, n.file_size)
		UNION ALL SELECT c.workshop_item_id, 'removed' FROM overlay_contents c
		WHERE c.overlay_id = :overlay AND c.workshop_item_id NOT IN (SELECT workshop_item_id FROM linked)) `

// Built records on q, in the transaction that ends a build, how the content of an overlay has changed since the last build on any host.
func Built(ctx context.Context, q db.Querier, now time.Time, overlayID int64, hostID string, jobID int64) error {
	overlay, host := sql.Named("overlay", overlayID), sql.Named("host", hostID)
	err := db.Later(ctx, q, linked+`INSERT INTO webhook_deliveries (webhook_id, event, body, created_at, next_at)
		SELECT w.id, :event, json_object('at', :now, 'overlay', json_object('id', o.id, 'name', o.name), 'job_id', :job,
			'items_total', (SELECT COUNT(*) FROM changed), 'items', (SELECT json_group_array(json_object('steam_id', steam_id, 'title', title, 'change', change)) FROM (
				SELECT i.steam_id, i.title, d.change FROM changed d JOIN workshop_items i ON i.id = d.workshop_item_id ORDER BY d.change, i.title COLLATE NOCASE, i.id LIMIT :most))), :now, :now
		FROM overlays o JOIN webhooks w ON `+fmt.Sprintf(wants, `w.overlay_id = o.id`)+` WHERE o.id = :overlay AND o.deleted_at IS NULL AND EXISTS (SELECT 1 FROM changed)`,
		sql.Named("event", ContentChanged), sql.Named("now", db.Millis(now)), sql.Named("job", jobID), sql.Named("most", maxItems), overlay, host)
	if err == nil {
		err = db.Later(ctx, q, linked+`DELETE FROM overlay_contents WHERE overlay_id = :overlay AND workshop_item_id IN (SELECT workshop_item_id FROM changed)`, overlay, host)
	}
	if err == nil {
		err = db.Later(ctx, q, linked+`INSERT INTO overlay_contents (overlay_id, workshop_item_id, time_updated, file_size)
			SELECT :overlay, workshop_item_id, time_updated, file_size FROM linked WHERE workshop_item_id IN (SELECT workshop_item_id FROM changed)`, overlay, host)
	}
	if err != nil {
		return fmt.Errorf("record for webhooks what changed in overlay %d: %w", overlayID, err)
	}
	return nil
}
