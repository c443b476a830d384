package autorestart_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"left4me/shared/account"
	"left4me/shared/db"
	"left4me/shared/db/dbtest"
	"left4me/shared/game/autorestart"
	"left4me/shared/job"
	"left4me/shared/jobstore"
	"left4me/shared/server"
)

type fixture struct {
	autorestart.Host
	db    *db.DB
	jobs  *jobstore.Store
	admin account.User
	now   time.Time
	said  []string
	deaf  error // of Say
}

var (
	empty   = server.Live{Answering: true}
	playing = server.Live{Answering: true, Humans: 2}
	silent  = server.Live{}
)

// setUp returns the host of a running server, 1, with the policy. Its only overlay has a new item, Urban Flight.
func setUp(t *testing.T, policy string) *fixture {
	t.Helper()
	w := &fixture{db: dbtest.New(t), now: time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)}
	clock := func() time.Time { return w.now }
	w.jobs = jobstore.NewStore(w.db, clock)
	w.Host = autorestart.Host{
		Servers: server.NewStore(w.db, clock, w.jobs), ID: "here", Now: clock,
		Say: func(_ context.Context, on server.Check, line string) error {
			if on.ServerID != 1 || on.Port != 27015 {
				t.Errorf("said to %+v", on)
			}
			if w.deaf == nil {
				w.said = append(w.said, line)
			}
			return w.deaf
		},
	}
	dbtest.AddHost(t, w.db, "here", w.now)
	var err error
	if w.admin, err = account.NewStore(w.db, clock).Create(t.Context(), "root", "a password", true); err != nil {
		t.Fatal(err)
	}
	w.exec(t, `INSERT INTO overlays (id, name, type, user_id, uid, created_at) VALUES (1, 'maps', 'workshop', 1, 'a', 1)`)
	w.exec(t, `UPDATE overlay_hosts SET last_build_status = 'ok', last_build_at = 1, revision = 1`)
	w.exec(t, `INSERT INTO workshop_items (id, steam_id, title, created_at) VALUES (10, '10', 'Urban Flight', 1)`)
	w.exec(t, `INSERT INTO item_hosts (workshop_item_id, host_id, downloaded_time_updated) VALUES (10, 'here', 100)`)
	w.exec(t, `INSERT INTO overlay_links (overlay_id, workshop_item_id, host_id) VALUES (1, 10, 'here')`)
	w.exec(t, `INSERT INTO blueprints (id, name, created_at) VALUES (1, 'hers', 1)`)
	w.exec(t, `INSERT INTO blueprint_overlays (blueprint_id, overlay_id, position) VALUES (1, 1, 1)`)
	if _, _, err := w.Servers.Create(t.Context(), w.admin, "here", server.Form{Name: "friday", Port: 27015, BlueprintID: 1, OwnerID: w.admin.ID}); err != nil {
		t.Fatal(err)
	}
	w.exec(t, `UPDATE servers SET restart_policy = ?`, policy)
	w.end(t, job.Cancelled, "")
	w.started(t)
	return w
}

func (w *fixture) exec(t *testing.T, query string, args ...any) {
	t.Helper()
	if _, err := w.db.ExecContext(t.Context(), query, args...); err != nil {
		t.Fatal(err)
	}
}

// started records a new run, which has the overlay but not the item.
func (w *fixture) started(t *testing.T) {
	t.Helper()
	run, err := w.Servers.Prepare(t.Context(), 1, server.Run{Port: 27015, Settings: `{}`}, 0)
	if err == nil {
		err = w.Servers.Freeze(t.Context(), run, []server.RunOverlay{{ID: 1, Name: "maps"}})
	}
	if err == nil {
		err = w.Servers.EndNow(t.Context(), 1, server.Starting, "", "", server.Event{})
	}
	if err == nil {
		err = w.Servers.Begin(t.Context(), 1, run)
	}
	if err == nil {
		err = w.Servers.Answered(t.Context(), w.db, 1, server.Event{Kind: "started"})
	}
	if err != nil {
		t.Fatal(err)
	}
}

// end ends all jobs.
func (w *fixture) end(t *testing.T, state job.State, reason string) {
	t.Helper()
	w.exec(t, `UPDATE jobs SET state = ?, error = ?, finished_at = 1, lease_until = NULL, attempt = 1, started_at = 1 WHERE finished_at IS NULL`, state, reason)
}

// look makes checks, 10 s apart, and returns how many jobs they have enqueued.
func (w *fixture) look(t *testing.T, now server.Live, checks int) (enqueued int) {
	t.Helper()
	before := w.restarts(t)
	for range checks {
		w.now = w.now.Add(10 * time.Second)
		all, err := w.Servers.Checks(t.Context(), "here")
		if err != nil {
			t.Fatal(err)
		}
		all[0].Now = now
		if err := w.Check(t.Context(), all); err != nil {
			t.Fatal(err)
		}
	}
	return w.restarts(t) - before
}

// restarts is how many jobs there are that nobody has asked for.
func (w *fixture) restarts(t *testing.T) int {
	t.Helper()
	n, err := db.Row(t.Context(), w.db, db.Value[int], `SELECT COUNT(*) FROM jobs WHERE user_id IS NULL`)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func (w *fixture) update(t *testing.T) server.Update {
	t.Helper()
	s, err := w.Servers.Get(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	return s.Update
}

// happened returns the kinds and texts of the events, the oldest first.
func (w *fixture) happened(t *testing.T) string {
	t.Helper()
	events, err := w.Servers.Events(t.Context(), 1, 100)
	if err != nil {
		t.Fatal(err)
	}
	all := ""
	for _, e := range events {
		all = fmt.Sprintf("%s %s\n", e.Kind, e.Text) + all
	}
	_, all, _ = strings.Cut(all, "started \n")
	return all
}

// shows: P63
func TestAnEmptyServerIsRestartedOnce(t *testing.T) {
	w := setUp(t, "when empty")
	if n := w.look(t, silent, 10) + w.look(t, playing, 10) + w.look(t, empty, 2) + w.look(t, silent, 1) + w.look(t, empty, 2); n != 0 {
		t.Errorf("%d restarts although nobody knows that it is empty", n)
	}
	if n := w.look(t, empty, 20); n != 1 {
		t.Errorf("%d restarts", n)
	}
	live, err := w.jobs.LiveOf(t.Context(), job.Server(1))
	if err != nil || len(live) != 1 || live[0].Operation != job.ServerStart.Name || live[0].Argument != `{"restart":true,"overlays":[1],"update":true}` {
		t.Errorf("%+v, %v", live, err)
	}
	// The new run has what a start would give: the item is not linked any more.
	w.exec(t, `DELETE FROM overlay_links`)
	w.exec(t, `UPDATE overlay_hosts SET last_build_at = 2`)
	w.started(t)
	w.end(t, job.Succeeded, "")
	if n := w.look(t, empty, 20); n != 0 || w.update(t) != (server.Update{}) {
		t.Errorf("%d more restarts, %+v", n, w.update(t))
	}
}

// shows: P63
func TestPlayersAreToldWhatIsNew(t *testing.T) {
	w := setUp(t, "when empty, after 2 hours at the latest")
	since := w.now.Add(10 * time.Second)
	if n := w.look(t, playing, 2*60*6+6); n != 1 {
		t.Errorf("%d restarts", n)
	}
	want := "This server restarts in 15 minutes. New: Urban Flight; This server restarts in 5 minutes. New: Urban Flight; This server restarts in 1 minute. New: Urban Flight"
	if got := strings.Join(w.said, "; "); got != want {
		t.Errorf("players read %q", got)
	}
	if n := w.update(t).Plan.RestartAt; !n.Equal(since.Add(2 * time.Hour)) {
		t.Errorf("it is restarted at %v", n)
	}
	if got := w.happened(t); got != "update waiting 1 item was added (Urban Flight)\nannounced Players were told 15 minutes ahead that the server will be restarted for: Urban Flight.\n" {
		t.Error(got)
	}
}

// shows: P63
func TestNobodyIsDisconnectedUnwarned(t *testing.T) {
	w := setUp(t, "when empty, after 1 hours at the latest")
	w.deaf = errors.New("the game does not accept the password for RCON")
	if n := w.look(t, playing, 24*60*6); n != 0 {
		t.Errorf("%d restarts", n)
	}
	const held = "Players could not be warned: the game does not accept the password for RCON. This is tried again at every check."
	if got := w.update(t).Held; got != held {
		t.Errorf("held: %q", got)
	}
	if got := w.happened(t); strings.Count(got, "not restarted "+held) != 1 {
		t.Errorf("it is said again and again: %s", got)
	}
	w.deaf = nil
	if n := w.look(t, playing, 16*6); n != 1 || len(w.said) != 3 {
		t.Errorf("%d restarts, %q", n, w.said)
	}
}

// shows: P63
func TestWhatFailedIsNotTriedAgainAndAgain(t *testing.T) {
	w := setUp(t, "when empty")
	w.exec(t, `UPDATE overlay_hosts SET last_build_status = 'failed'`)
	if n := w.look(t, empty, 100); n != 0 || w.update(t).Held != "The last build of overlay “maps” failed." {
		t.Errorf("after a failed build: %d restarts, %+v", n, w.update(t))
	}
	w.exec(t, `UPDATE overlay_hosts SET last_build_status = 'ok'`)
	for reason, end := range map[string]func(){
		"The restart for this update failed: item 10 is not in the cache any more": func() { w.end(t, job.Failed, "item 10 is not in the cache any more") },
		"The restart for this update was cancelled.":                               func() { w.end(t, job.Cancelled, "") },
		"The server was restarted for this update, but what it started with still differs.": func() {
			w.started(t)
			w.end(t, job.Succeeded, "")
		},
	} {
		if n := w.look(t, empty, 10); n != 1 {
			t.Errorf("%d restarts", n)
		}
		end()
		if n := w.look(t, empty, 100); n != 0 || w.update(t).Held != reason {
			t.Errorf("%d restarts, %+v, want %q", n, w.update(t), reason)
		}
		if got := w.happened(t); strings.Count(got, "not restarted "+reason) != 1 {
			t.Errorf("not said once: %s", got)
		}
		// A person acts.
		s, err := w.Servers.Get(t.Context(), 1)
		if err == nil {
			_, err = w.Servers.Restart(t.Context(), w.admin, s)
		}
		if err != nil {
			t.Fatal(err)
		}
		w.end(t, job.Failed, "")
	}
	w.exec(t, `UPDATE servers SET restart_policy = 'never'`)
	if n := w.look(t, empty, 100); n != 0 || w.update(t).Waits != "1 item was added" {
		t.Errorf("with the policy never: %d restarts, %+v", n, w.update(t))
	}
}

// A check that finds what the one before has found writes nothing.
func TestNothingIsWrittenWhenNothingChanges(t *testing.T) {
	for name, seen := range map[string]server.Live{"silent": silent, "playing": playing, "empty": empty} {
		for _, policy := range []string{"when empty", "never", "at 05:00", "when empty, after 100 hours at the latest"} {
			w := setUp(t, policy)
			if policy == "when empty" {
				w.exec(t, `UPDATE overlay_hosts SET last_build_status = 'failed'`)
			}
			w.look(t, seen, 5)
			w.end(t, job.Failed, "it failed")
			w.look(t, seen, 1)
			for _, table := range []string{"server_updates", "server_population", "server_events", "jobs"} {
				for _, change := range []string{"INSERT", "UPDATE"} {
					w.exec(t, fmt.Sprintf(`CREATE TRIGGER no_%s_%s BEFORE %[2]s ON %[1]s BEGIN SELECT RAISE(ABORT, 'nothing has changed'); END`, table, change))
				}
			}
			if n := w.look(t, seen, 20); n != 0 {
				t.Errorf("%s, %s: %d restarts", name, policy, n)
			}
		}
	}
}
