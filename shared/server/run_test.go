package server_test

import (
	"database/sql"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"left4me/shared/blueprint"
	"left4me/shared/db"
	"left4me/shared/db/dbtest"
	"left4me/shared/job"
	"left4me/shared/jobstore"
	"left4me/shared/overlay"
	"left4me/shared/server"
)

// begin prepares a run, with that stack, and begins it.
func (w fixture) begin(t *testing.T, s server.Server, stack ...server.RunOverlay) int64 {
	t.Helper()
	id, err := w.Prepare(t.Context(), s.ID, server.Run{JobID: 7, Port: s.Port, Build: 100, Blueprint: "hers", Settings: `{"slots":8}`}, w.anna.ID)
	if err == nil {
		err = w.Freeze(t.Context(), id, stack)
	}
	if err == nil {
		err = w.Begin(t.Context(), s.ID, id)
	}
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func (w fixture) end(t *testing.T, s server.Server, state server.State) {
	t.Helper()
	err := w.End(t.Context(), w.db, s.ID, state, "It ended.", "the last line", server.Event{Kind: string(state)})
	if err != nil {
		t.Fatal(err)
	}
}

var maps = server.RunOverlay{ID: 1, Name: "maps", Items: []server.RunItem{
	{OverlayID: 1, SteamID: "10", Title: "Urban Flight", Updated: 100, Size: 5},
	{OverlayID: 1, SteamID: "11", Title: "blood tracks", Updated: 101, Size: 6},
}}
var guns = server.RunOverlay{ID: 2, Name: "guns", Mounted: true}

// shows: P57 P61
func TestARunFromItsStartToItsEnd(t *testing.T) { dbtest.Each(t, testARunFromItsStartToItsEnd) }

func testARunFromItsStartToItsEnd(t *testing.T, open dbtest.Backend) {
	w := setUp(t, open)
	s := w.make(t, "friday", 27015)
	w.exec(t, `INSERT INTO workshop_items (steam_id, title, created_at) VALUES ('10', 'Urban Flight', 1), ('11', 'blood tracks', 1)`)
	if r, err := w.LastRun(t.Context(), s.ID); err != nil || r.ID != 0 {
		t.Errorf("before the first start: %+v, %v", r, err)
	}
	// A start that never came to begin leaves nothing.
	if _, err := w.Prepare(t.Context(), s.ID, server.Run{Settings: "{}"}, 0); err != nil {
		t.Fatal(err)
	}
	id := w.begin(t, s, guns, maps)
	if now := w.get(t, s.ID); now.State != server.Starting || !now.StateAt.Equal(*w.now) {
		t.Errorf("begun: %+v", now)
	}
	if err := w.Answered(t.Context(), w.db, s.ID, server.Event{Kind: "started", UserID: w.anna.ID, JobID: 7}); err != nil {
		t.Fatal(err)
	}
	r, err := w.LastRun(t.Context(), s.ID)
	if err != nil || r.ID != id || w.get(t, s.ID).State != server.Running {
		t.Errorf("%+v, %v", r, err)
	}
	dbtest.Filled(t, r, "EndedAt", "EndedHow", "LastLines", "Written")
	stack, err := w.LastStack(t.Context(), s.ID)
	if want := []server.RunOverlay{guns, {ID: 1, Name: "maps", Items: []server.RunItem{maps.Items[1], maps.Items[0]}}}; err != nil || !reflect.DeepEqual(stack, want) {
		t.Errorf("stack %+v, %v", stack, err)
	}
	if builds, err := server.Builds(t.Context(), w.db, "here"); err != nil || !slices.Equal(builds, []int64{100}) {
		t.Errorf("builds in use: %v, %v", builds, err)
	}
	*w.now = w.now.Add(time.Minute)
	w.end(t, s, server.Crashed)
	if err := w.Counted(t.Context(), w.db, s.ID, server.Written{Files: 2, Bytes: 9}); err != nil {
		t.Fatal(err)
	}
	r, err = w.LastRun(t.Context(), s.ID)
	if err != nil || !r.EndedAt.Equal(*w.now) {
		t.Errorf("%+v, %v", r, err)
	}
	dbtest.Filled(t, r)
	if now := w.get(t, s.ID); now.State != server.Crashed || !now.StateAt.Equal(*w.now) {
		t.Errorf("ended: %+v", now)
	}
	if builds, err := server.Builds(t.Context(), w.db, "here"); err != nil || len(builds) != 0 {
		t.Errorf("builds in use: %v, %v", builds, err)
	}
	events, err := w.Events(t.Context(), s.ID, 2)
	if err != nil || len(events) != 2 || events[0].Kind != "crashed" || events[1] != (server.Event{At: w.now.Add(-time.Minute), Kind: "started", UserID: w.anna.ID, UserName: "anna", JobID: 7}) {
		t.Errorf("%+v, %v", events, err)
	}
	if n, err := db.Row(t.Context(), w.db, db.Value[int], `SELECT COUNT(*) FROM runs`); err != nil || n != 1 {
		t.Errorf("%d runs, %v", n, err)
	}
}

func TestAServerIsOneProcess(t *testing.T) {
	w := setUp(t, dbtest.New)
	s := w.make(t, "friday", 27015)
	w.begin(t, s)
	id, err := w.Prepare(t.Context(), s.ID, server.Run{Settings: "{}"}, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Begin(t.Context(), s.ID, id); !db.IsUnique(err) {
		t.Errorf("a second run began: %v", err)
	}
}

// An overlay whose own directory a run has mounted must not be removed, so none is mounted that is being removed.
func TestADeletedOverlayIsNotFrozen(t *testing.T) { dbtest.Each(t, testADeletedOverlayIsNotFrozen) }

func testADeletedOverlayIsNotFrozen(t *testing.T, open dbtest.Backend) {
	w := setUp(t, open)
	s := w.make(t, "friday", 27015)
	id, err := w.Prepare(t.Context(), s.ID, server.Run{Settings: "{}"}, 0)
	if err != nil {
		t.Fatal(err)
	}
	w.exec(t, `UPDATE overlays SET deleted_at = 1 WHERE id = 2`)
	if err := w.Freeze(t.Context(), id, []server.RunOverlay{maps, guns}); status(err) != http.StatusConflict {
		t.Error(err)
	}
}

func TestOldRunsAndEventsAreRemoved(t *testing.T) {
	w := setUp(t, dbtest.New)
	s := w.make(t, "friday", 27015)
	last := int64(0)
	for range 25 {
		last = w.begin(t, s, maps)
		for range 10 {
			w.end(t, s, server.Stopped)
		}
	}
	for query, want := range map[string]int{`SELECT COUNT(*) FROM runs`: 21, `SELECT COUNT(DISTINCT run_id) FROM run_items`: 21, `SELECT COUNT(*) FROM server_events`: 200} {
		if n, err := db.Row(t.Context(), w.db, db.Value[int], query); err != nil || n != want {
			t.Errorf("%s: %d, %v, want %d", query, n, err, want)
		}
	}
	if r, err := w.LastRun(t.Context(), s.ID); err != nil || r.ID != last {
		t.Errorf("the last run is %d, %v, want %d", r.ID, err, last)
	}
}

// shows: P60 P61
func TestWhatTheAgentNotices(t *testing.T) { dbtest.Each(t, testWhatTheAgentNotices) }

func testWhatTheAgentNotices(t *testing.T, open dbtest.Backend) {
	w := setUp(t, open)
	s, off := w.make(t, "friday", 27015), w.make(t, "off", 27016)
	w.finish(t)
	w.begin(t, s)
	if err := w.Answered(t.Context(), w.db, s.ID, server.Event{Kind: "started"}); err != nil {
		t.Fatal(err)
	}
	watched, err := w.Watch(t.Context(), "here")
	if err != nil || len(watched) != 1 || watched[0] != (server.Watched{ID: s.ID, Name: "friday", State: server.Running, StateAt: watched[0].StateAt, RunID: 1}) || off.ID == s.ID {
		t.Fatalf("%+v, %v", watched, err)
	}
	if others, err := w.Watch(t.Context(), "there"); err != nil || len(others) != 0 {
		t.Errorf("another host watches %+v, %v", others, err)
	}
	crashed := func() bool {
		t.Helper()
		changed, err := w.Noticed(t.Context(), watched[0], server.Crashed, "It ended by itself.", "Segmentation fault", server.Event{Kind: "crashed"})
		if err != nil {
			t.Fatal(err)
		}
		return changed
	}
	stop, err := w.Stop(t.Context(), w.anna, s)
	if err != nil {
		t.Fatal(err)
	}
	if watched, err := w.Watch(t.Context(), "here"); err != nil || !watched[0].Busy || crashed() {
		t.Errorf("while job %d is about to stop it: %+v, %v", stop.ID, watched, err)
	}
	w.finish(t)
	if !crashed() || crashed() {
		t.Error("a crash is not noticed once")
	}
	if r, err := w.LastRun(t.Context(), s.ID); err != nil || r.EndedHow != "It ended by itself." || r.LastLines != "Segmentation fault" || w.get(t, s.ID).State != server.Crashed {
		t.Errorf("%+v, %v", r, err)
	}
	// A start whose job was lost.
	w.begin(t, s)
	if watched, err = w.Watch(t.Context(), "here"); err != nil || watched[0].State != server.Starting {
		t.Fatal(watched, err)
	}
	if changed, err := w.Noticed(t.Context(), watched[0], server.Running, "", "", server.Event{Kind: "started"}); err != nil || !changed || w.get(t, s.ID).State != server.Running {
		t.Errorf("%v, %v", changed, err)
	}
	if r, err := w.LastRun(t.Context(), s.ID); err != nil || !r.EndedAt.IsZero() {
		t.Errorf("%+v, %v", r, err)
	}
}

// The agent asks often.
func TestWatchingReadsOnlyTheHostsServers(t *testing.T) {
	w := setUp(t, dbtest.New)
	for _, step := range dbtest.Plan(t, w.db, server.WatchSQL, sql.Named("host", "here"), sql.Named("kind", job.Servers)) {
		if strings.HasPrefix(step, "SCAN") {
			t.Error(step)
		}
	}
}

// shows: P57
func TestAnOverlayThatARunHasMountedIsNotDeleted(t *testing.T) {
	dbtest.Each(t, testAnOverlayThatARunHasMountedIsNotDeleted)
}

func testAnOverlayThatARunHasMountedIsNotDeleted(t *testing.T, open dbtest.Backend) {
	w := setUp(t, open)
	s := w.make(t, "friday", 27015)
	w.begin(t, s, guns, maps)
	w.exec(t, `DELETE FROM blueprint_overlays`)
	overlays := overlay.NewStore(w.db, time.Now, w.jobs)
	if _, err := overlays.Delete(t.Context(), w.admin, guns.ID); status(err) != http.StatusConflict || !strings.Contains(err.Error(), "Running servers use the directory of this overlay: “friday”. Stop them") {
		t.Errorf("the one that is mounted: %v", err)
	}
	// Of the other, the run has links to the items.
	if _, err := overlays.Delete(t.Context(), w.admin, maps.ID); err != nil {
		t.Error(err)
	}
	w.end(t, s, server.Stopped)
	if _, err := overlays.Delete(t.Context(), w.admin, guns.ID); err != nil {
		t.Error(err)
	}
}

// shows: P52
func TestABlueprintThatAServerUsesIsNotDeleted(t *testing.T) {
	dbtest.Each(t, testABlueprintThatAServerUsesIsNotDeleted)
}

func testABlueprintThatAServerUsesIsNotDeleted(t *testing.T, open dbtest.Backend) {
	w := setUp(t, open)
	s := w.make(t, "friday", 27015)
	w.make(t, "sunday", 27016)
	blueprints := blueprint.NewStore(w.db, time.Now, jobstore.NewStore(w.db, time.Now))
	if err := blueprints.Delete(t.Context(), w.hers); status(err) != http.StatusConflict || !strings.Contains(err.Error(), "Servers are started from this blueprint: friday, sunday.") {
		t.Error(err)
	}
	if err := blueprints.Delete(t.Context(), w.open); err != nil {
		t.Error(err)
	}
	if err := blueprints.Delete(t.Context(), w.open); status(err) != http.StatusNotFound {
		t.Error(err)
	}
	if w.get(t, s.ID).BlueprintID != w.hers {
		t.Error("the server has lost its blueprint")
	}
}
