package server_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"left4me/shared/db/dbtest"
	"left4me/shared/server"
)

// shows: P66
func TestPublic(t *testing.T) { dbtest.Each(t, testPublic) }

func testPublic(t *testing.T, open dbtest.Backend) {
	w := setUp(t, open)
	s := w.make(t, "friday", 27015)
	w.exec(t, `UPDATE hosts SET address = 'games.example.org'`)
	w.exec(t, `INSERT INTO workshop_items (id, steam_id, title, preview_url, file_url, created_at) VALUES
		(1, '10', 'Renamed since', 'https://images.example/10', 'https://files.example/10', 1), (2, '11', 'Blood Tracks', '', '', 1), (3, '12', 'Guns', '', 'x', 1)`)
	w.exec(t, `INSERT INTO item_contents (workshop_item_id, time_updated, file_size, kind) VALUES (1, 99, 5, 'weapon'), (1, 100, 5, 'campaign'), (3, 1, 1, 'weapon')`)
	read := func() server.Public {
		t.Helper()
		p, err := w.Public(t.Context(), s.ID)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	if p := read(); p.Endpoint != "games.example.org:27015" || p.State != server.Stopped || !p.StartedAt.IsZero() || len(p.Items) != 0 {
		t.Errorf("never started: %+v", p)
	}
	w.exec(t, `INSERT INTO workshop_items (steam_id, title, created_at) VALUES ('13', 'Of the run before', 1)`)
	w.begin(t, s, server.RunOverlay{ID: 1, Items: []server.RunItem{{OverlayID: 1, SteamID: "13"}}})
	w.end(t, s, server.Stopped)
	again := server.RunItem{OverlayID: 2, SteamID: "10", Updated: 99, Size: 5}
	w.begin(t, s, maps, server.RunOverlay{ID: 2, Items: []server.RunItem{again, {OverlayID: 2, SteamID: "12", Updated: 1, Size: 1}}})
	w.exec(t, `UPDATE runs SET settings = '{"password":"secret","lobby_only":true}' WHERE ended_at IS NULL`)
	w.exec(t, `UPDATE workshop_items SET title = 'Renamed since'`)
	w.exec(t, `INSERT INTO server_status (server_id, run_id, answering, answering_at, map, mode, slots, connected, bots, humans, stale, changed_at)
		SELECT server_id, id, 1, 1, 'c1m1_hotel', 'coop', 8, 2, 0, 2, 0, 1 FROM runs WHERE ended_at IS NULL`)
	w.exec(t, `INSERT INTO server_players (server_id, position, name, score, since, number, bot) VALUES (?, 1, 'Nick', 7, 1, 0, 0)`, s.ID)
	p := read()
	if !p.Live.Answering || p.Live.Map != "c1m1_hotel" || len(p.Live.Players) != 1 || p.Live.Players[0].Name != "Nick" {
		t.Errorf("live: %+v", p.Live)
	}
	if !p.Password || !p.LobbyOnly || p.State != server.Starting || !p.StartedAt.Equal(*w.now) || p.Total != 3 || p.Size != 12 {
		t.Errorf("%+v", p)
	}
	want := []server.PublicItem{
		{RunItem: server.RunItem{SteamID: "10", Title: "Renamed since", Updated: 100, Size: 5}, Picture: "https://images.example/10", Kind: "campaign"},
		{RunItem: server.RunItem{SteamID: "11", Title: "Blood Tracks", Updated: 101, Size: 6}, Gone: true},
		{RunItem: server.RunItem{SteamID: "12", Title: "Guns", Updated: 1, Size: 1}, Kind: "weapon"},
	}
	if fmt.Sprint(p.Items) != fmt.Sprint(want) {
		t.Errorf("items\n%+v, want\n%+v", p.Items, want)
	}
	*w.now = w.now.Add(time.Hour)
	if p := read(); p.State != server.Unknown {
		t.Errorf("while its host is silent it is %s", p.State)
	}
	for what, change := range map[string]string{"not public": `is_public = 0`, "deleted": `is_public = 1, deleted_at = 1`} {
		w.exec(t, `UPDATE servers SET `+change)
		if p, err := w.Public(t.Context(), s.ID); status(err) != http.StatusNotFound || len(p.Items) != 0 || p.Password || p.ID != 0 || len(p.Live.Players) != 0 {
			t.Errorf("%s: %+v, %v", what, p, err)
		}
	}
}

func TestThePageOfAServerIsBounded(t *testing.T) {
	w := setUp(t, dbtest.New)
	s := w.make(t, "friday", 27015)
	many := server.RunOverlay{ID: 1}
	for n := range server.MaxPublicItems + 7 {
		many.Items = append(many.Items, server.RunItem{OverlayID: 1, SteamID: fmt.Sprint(1 + n), Size: 2})
	}
	w.begin(t, s, many)
	p, err := w.Public(t.Context(), s.ID)
	if err != nil || len(p.Items) != server.MaxPublicItems || p.Total != len(many.Items) || p.Size != 2*int64(p.Total) {
		t.Errorf("%d items of %d, %d bytes, %v", len(p.Items), p.Total, p.Size, err)
	}
}
