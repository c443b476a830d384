package server

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"left4me/shared/blueprint"
	"left4me/shared/db"
	"left4me/shared/problem"
)

// Public is what strangers may know of a server that its owner has made public (P66).
type Public struct {
	ID   int64
	Name string
	// Endpoint is the address:port that players connect to; empty if the address is not known.
	Endpoint string
	// State is the server's state, and Since when it is in it.
	State State
	Since time.Time
	// Live is what its game has last said, without the bots.
	Live Live
	// StartedAt is when the newest run was started; zero: there was none. What follows is of that run, which may have ended.
	StartedAt time.Time
	// Password is whether players need one. LobbyOnly is blueprint.Settings.LobbyOnly.
	Password, LobbyOnly bool
	// Items are the workshop items that players subscribe to, each once, campaigns first: at most MaxPublicItems.
	Items []PublicItem
	// Total counts all items, and Size is their size in bytes.
	Total int
	Size  int64
}

// PublicItem is a workshop item of a run.
type PublicItem struct {
	RunItem
	// Picture is the URL of its picture; empty for none.
	Picture string
	// Kind is the kind of its content (vpk.Kind); empty if it is not known.
	Kind string
	// Gone is whether Steam does not have the item any more.
	Gone bool
}

// MaxPublicItems is how many items the page of a public server names.
const MaxPublicItems = 500

// publicRun is the newest run of the server :id, if it is public.
const publicRun = `runs r JOIN servers s ON s.id = r.server_id WHERE s.id = :id AND s.is_public = 1 AND s.deleted_at IS NULL AND r.started_at IS NOT NULL ORDER BY r.id DESC LIMIT 1`

// Public returns what strangers may know of a server. The error is the same problem (404) for a server that is not public as for none.
func (s *Store) Public(ctx context.Context, id int64) (p Public, err error) {
	arg := sql.Named("id", id)
	var players []Player
	err = db.Together(ctx, s.db, func(ctx context.Context) (err error) {
		found, err := db.Row(ctx, s.db, scan, selectServer+`s.id = :id AND s.is_public = 1 AND s.deleted_at IS NULL`, arg)
		if errors.Is(err, sql.ErrNoRows) {
			return problem.NotFound("There is no server here that everybody may see. Please ask whoever gave you this link.")
		}
		p.ID, p.Name, p.Live = found.ID, found.Name, found.Live
		p.State, p.Since = found.Now(s.now())
		if found.Address != "" {
			p.Endpoint = found.Endpoint()
		}
		return err
	}, db.Into(&players, func(ctx context.Context) ([]Player, error) { return s.Players(ctx, id) }), func(ctx context.Context) error {
		_, err := db.Rows(ctx, s.db, func(row db.Scanner) (struct{}, error) {
			var settings string
			var b blueprint.Settings
			err := row.Scan(db.Moment(&p.StartedAt), &settings)
			if err == nil {
				err = json.Unmarshal([]byte(settings), &b)
			}
			p.Password, p.LobbyOnly = b.Password != "", b.LobbyOnly
			return struct{}{}, err
		}, `SELECT r.started_at, r.settings FROM `+publicRun, arg)
		return err
	}, func(ctx context.Context) (err error) {
		p.Items, err = db.Rows(ctx, s.db, func(row db.Scanner) (i PublicItem, err error) {
			err = row.Scan(&i.SteamID, &i.Title, &i.Updated, &i.Size, &i.Picture, &i.Kind, &i.Gone, &p.Total, &p.Size)
			return i, err
		}, `SELECT i.steam_id, i.title, i.time_updated, i.file_size, COALESCE(w.preview_url, ''), COALESCE(c.kind, ''), COALESCE(w.file_url, '') = '',
				COUNT(*) OVER (), SUM(i.file_size) OVER ()
			FROM (SELECT steam_id, title, MAX(time_updated) AS time_updated, file_size FROM run_items WHERE run_id = (SELECT r.id FROM `+publicRun+`) GROUP BY steam_id) i
			LEFT JOIN workshop_items w ON w.steam_id = i.steam_id
			LEFT JOIN item_contents c ON c.workshop_item_id = w.id AND c.time_updated = i.time_updated AND c.file_size = i.file_size
			ORDER BY COALESCE(c.kind, '') <> 'campaign', i.title COLLATE NOCASE, i.steam_id LIMIT :most`, arg, sql.Named("most", MaxPublicItems))
		return err
	})
	if err != nil {
		return Public{}, problem.Wrap(err, "read public server %d", id)
	}
	p.Live.Players = slices.DeleteFunc(players, func(p Player) bool { return p.Bot })
	return p, nil
}
