package server_test

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"left4me/shared/account"
	"left4me/shared/db"
	"left4me/shared/db/dbtest"
	"left4me/shared/list"
	"left4me/shared/server"
)

// checks returns the servers that are checked on the host here.
func (w fixture) checks(t *testing.T) []server.Check {
	t.Helper()
	all, err := w.Checks(t.Context(), "here")
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// says records that the game of a server says l.
func (w fixture) says(t *testing.T, c server.Check, l server.Live) {
	t.Helper()
	c.Now = l
	if err := w.Checked(t.Context(), []server.Check{c}); err != nil {
		t.Fatal(err)
	}
}

// shows: P62
func TestWhatAGameSaysIsKeptWhileItRuns(t *testing.T) {
	dbtest.Each(t, testWhatAGameSaysIsKeptWhileItRuns)
}

func testWhatAGameSaysIsKeptWhileItRuns(t *testing.T, open dbtest.Backend) {
	w := setUp(t, open)
	s := w.make(t, "friday", 27015)
	w.make(t, "sunday", 27016)
	if all := w.checks(t); len(all) != 0 {
		t.Errorf("of servers that do not run: %+v", all)
	}
	run := w.begin(t, s)
	if err := w.Answered(t.Context(), w.db, s.ID, server.Event{Kind: "started"}); err != nil {
		t.Fatal(err)
	}
	all := w.checks(t)
	if len(all) != 1 || !reflect.DeepEqual(all[0], server.Check{ServerID: s.ID, Name: "friday", RunID: run, Port: 27015}) {
		t.Fatalf("before it was asked: %+v", all)
	}
	if l := w.get(t, s.ID).Live; l.Known() {
		t.Errorf("%+v", l)
	}
	at := w.now.Add(-time.Minute)
	l := server.Live{
		RunID: run, Answering: true, AnsweringAt: at, Map: "c1m1_hotel", Mode: "coop", Slots: 8, Connected: 3, Bots: 1, Humans: 2, EmptyAt: at, Stale: true,
		Players: []server.Player{{Name: "Coach", Since: at, Number: 9, Bot: true}, {Name: `a"b`, Score: 3, Since: at, Number: 2}, {Name: "c", Score: 7, Since: at, Number: 4}},
	}
	w.says(t, all[0], l)
	l.ChangedAt = *w.now
	c := w.checks(t)[0]
	if !reflect.DeepEqual(c.Before, l) {
		t.Errorf("%+v, want %+v", c.Before, l)
	}
	dbtest.Filled(t, c.Before)
	page, err := w.List(t.Context(), account.User{Admin: true}, list.Query{Page: 1})
	if err != nil || !page.Rows[0].Live.Equal(w.get(t, s.ID).Live) || page.Rows[0].Live.Map != "c1m1_hotel" || page.Rows[1].Live.Known() {
		t.Errorf("%+v, %v", page.Rows, err)
	}
	players, err := w.Players(t.Context(), s.ID)
	if err != nil || !slices.EqualFunc(players, []string{"c", `a"b`, "Coach"}, func(p server.Player, name string) bool { return p.Name == name }) {
		t.Errorf("%+v, %v", players, err)
	}

	// Fewer players, and then the end of the run, of which nothing is recorded after it.
	*w.now = w.now.Add(time.Minute)
	l.Players, l.EmptyAt = l.Players[:1], time.Time{}
	w.says(t, c, l)
	if got := w.checks(t)[0].Before; len(got.Players) != 1 || !got.EmptyAt.IsZero() || !got.ChangedAt.Equal(*w.now) {
		t.Errorf("%+v", got)
	}
	w.end(t, s, server.Stopped)
	w.says(t, c, l)
	if n, err := db.Row(t.Context(), w.db, db.Value[int], `SELECT (SELECT COUNT(*) FROM server_status) + (SELECT COUNT(*) FROM server_players)`); err != nil || n != 0 {
		t.Errorf("%d rows of a run that has ended, %v", n, err)
	}
}

// shows: P62
func TestNothingIsWrittenWhenNothingHasChanged(t *testing.T) {
	w := setUp(t, dbtest.New)
	s := w.make(t, "friday", 27015)
	run := w.begin(t, s)
	if err := w.Answered(t.Context(), w.db, s.ID, server.Event{Kind: "started"}); err != nil {
		t.Fatal(err)
	}
	l := server.Live{RunID: run, Answering: true, AnsweringAt: *w.now, Map: "c1m1_hotel", Slots: 8, Humans: 1, Players: []server.Player{{Name: "a", Since: *w.now}}}
	w.says(t, w.checks(t)[0], l)
	for _, change := range []string{"INSERT ON server_status", "UPDATE ON server_status", "DELETE ON server_status", "INSERT ON server_players", "UPDATE ON server_players", "DELETE ON server_players"} {
		w.exec(t, `CREATE TRIGGER "`+change+`" BEFORE `+change+` BEGIN SELECT RAISE(ABORT, 'written'); END`)
	}
	for _, c := range w.checks(t) {
		w.says(t, c, l)
	}
}
