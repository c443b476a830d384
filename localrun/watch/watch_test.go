package watch_test

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"left4me/localrun/watch"
	"left4me/shared/account"
	"left4me/shared/db"
	"left4me/shared/db/dbtest"
	"left4me/shared/game/launch"
	"left4me/shared/game/supervisor"
	"left4me/shared/job"
	"left4me/shared/jobstore"
	"left4me/shared/server"
	"left4me/shared/wake"
)

// games is a supervisor of one server, which the test starts and ends.
type games struct {
	supervisor.Supervisor // its other methods are not called
	status                supervisor.Status
	shortened             int
	end                   string // the last line of the game that has ended; empty: of a crash
}

func (g *games) Status(context.Context, int64) (supervisor.Status, error) { return g.status, nil }
func (g *games) Console(context.Context, int64, int) ([]string, bool, error) {
	return []string{"loading", "Segmentation fault", cmp.Or(g.end, launch.EndMark+"exited 139"), "loading again"}, false, nil
}
func (g *games) ShortenConsole(int64) error { g.shortened++; return nil }

// lastLines are those before the game ended.
const lastLines = "loading\nSegmentation fault\n" + launch.EndMark + "exited 139"

type fixture struct {
	watch.Watcher
	db    *db.DB
	jobs  *jobstore.Store
	games *games
	woken int
}

// setUp returns a watcher of a host with a server, 1, that is running.
func setUp(t *testing.T) *fixture {
	t.Helper()
	d := dbtest.New(t)
	dbtest.AddHost(t, d, "here", time.Now())
	w := &fixture{db: d, jobs: jobstore.NewStore(d, time.Now), games: &games{status: supervisor.Status{Running: true, Since: time.Unix(1, 0), Exit: "exit code 139"}}}
	w.Watcher = watch.Watcher{
		DB: d, Root: t.TempDir(), Servers: server.NewStore(d, time.Now, w.jobs), Supervisor: w.games, Host: "here", Every: time.Millisecond, CheckEvery: time.Hour, Woken: wake.NewSignal(),
		Enqueued: func(context.Context) { w.woken++ }, Log: slog.New(slog.DiscardHandler),
	}
	anna, err := account.NewStore(d, time.Now).Create(t.Context(), "anna", "a password", true)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.ExecContext(t.Context(), `INSERT INTO blueprints (id, name, user_id, created_at) VALUES (1, 'hers', 1, 1)`); err != nil {
		t.Fatal(err)
	}
	if _, _, err := w.Servers.Create(t.Context(), anna, "here", server.Form{Name: "friday", Port: 27015, BlueprintID: 1, OwnerID: anna.ID}); err != nil {
		t.Fatal(err)
	}
	if _, err := d.ExecContext(t.Context(), `UPDATE jobs SET state = 'cancelled', finished_at = 1`); err != nil {
		t.Fatal(err)
	}
	run, err := w.Servers.Prepare(t.Context(), 1, server.Run{Settings: "{}"}, 0)
	if err == nil {
		err = w.Servers.Begin(t.Context(), 1, run)
	}
	if err == nil {
		err = w.Servers.Answered(t.Context(), d, 1, server.Event{Kind: "started"})
	}
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *fixture) look(t *testing.T, first bool) {
	t.Helper()
	if err := w.Look(t.Context(), first); err != nil {
		t.Fatal(err)
	}
}

// want checks the server's state and what happened last to it.
func (w *fixture) want(t *testing.T, state server.State, event string) server.Event {
	t.Helper()
	s, err := w.Servers.Get(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	events, err := w.Servers.Events(t.Context(), 1, 1)
	if err != nil || s.State != state || events[0].Kind != event {
		t.Errorf("it is %s after %q, %v, want %s after %q", s.State, events[0].Kind, err, state, event)
	}
	return events[0]
}

// live returns the operations of the jobs about the server that have not ended.
func (w *fixture) live(t *testing.T) string {
	t.Helper()
	jobs, err := w.jobs.LiveOf(t.Context(), job.Server(1))
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, j := range jobs {
		all = append(all, j.Operation)
	}
	return strings.Join(all, " ")
}

// shows: P60
func TestServersThatARebootHasEndedAreStartedAgain(t *testing.T) {
	w := setUp(t)
	w.look(t, true)
	w.want(t, server.Running, "started")
	if got := w.live(t); got != "" || w.woken != 0 {
		t.Errorf("of one that runs: %s", got)
	}
	w.games.status.Running = false
	w.look(t, true)
	w.look(t, true)
	w.look(t, false) // while a job is about to start it, it has not crashed
	w.want(t, server.Running, "started")
	if got := w.live(t); got != "server_start" || w.woken != 1 {
		t.Errorf("jobs %q, and the agent was woken %d times", got, w.woken)
	}
}

// shows: P61
func TestAServerThatEndsByItselfHasCrashed(t *testing.T) {
	w := setUp(t)
	w.look(t, true)
	w.games.status.Running = false
	files := filepath.Join(w.Root, "servers/1/files")
	if err := errors.Join(os.MkdirAll(files, 0o755), os.WriteFile(filepath.Join(files, "core"), []byte("dump"), 0o600)); err != nil {
		t.Fatal(err)
	}
	w.look(t, false)
	if e := w.want(t, server.Crashed, "crashed"); e.Text != "It ended by itself: exit code 139." {
		t.Errorf("%+v", e)
	}
	if run, err := w.Servers.LastRun(t.Context(), 1); err != nil || run.LastLines != lastLines || run.EndedAt.IsZero() || run.Written == nil || *run.Written != (server.Written{Files: 1, Bytes: 4}) {
		t.Errorf("%+v, %v", run, err)
	}
	// Nobody starts it again: it would crash again.
	w.look(t, true)
	if got := w.live(t); got != "" {
		t.Error(got)
	}
}

func TestARestartBySupervisorIsRecorded(t *testing.T) {
	w := setUp(t)
	w.look(t, true)
	w.look(t, false)
	w.want(t, server.Running, "started")
	w.games.status.Since = time.Unix(2, 0)
	w.look(t, false)
	w.look(t, false)
	w.want(t, server.Running, "crashed")
	if run, err := w.Servers.LastRun(t.Context(), 1); err != nil || run.LastLines != lastLines || !run.EndedAt.IsZero() {
		t.Errorf("%+v, %v", run, err)
	}
	if w.games.shortened != 4 {
		t.Errorf("its console was shortened %d times, want each time that it was looked at", w.games.shortened)
	}
	// What it said then stays when it is stopped later.
	err := w.Servers.EndNow(t.Context(), 1, server.Stopped, "It was stopped.", "", server.Event{})
	if run, e := w.Servers.LastRun(t.Context(), 1); err != nil || e != nil || run.LastLines != lastLines || run.EndedHow != "It was stopped." {
		t.Errorf("%+v, %v, %v", run, err, e)
	}
	// Another run is no crash, also if its start was not seen.
	run, err := w.Servers.Prepare(t.Context(), 1, server.Run{Settings: "{}"}, 0)
	if err == nil {
		err = w.Servers.EndNow(t.Context(), 1, server.Starting, "", "", server.Event{})
	}
	if err == nil {
		err = w.Servers.Begin(t.Context(), 1, run)
	}
	if err == nil {
		err = w.Servers.Answered(t.Context(), w.db, 1, server.Event{})
	}
	if err != nil {
		t.Fatal(err)
	}
	w.games.status.Since = time.Unix(3, 0)
	w.look(t, false)
	events, err := w.Servers.Events(t.Context(), 1, 10)
	if err != nil || len(events) != 3 {
		t.Errorf("%+v, %v", events, err)
	}
}

// An operator may restart a unit.
func TestARestartThatSystemdWasAskedForIsNoCrash(t *testing.T) {
	w := setUp(t)
	w.look(t, true)
	w.games.status.Since, w.games.end = time.Unix(2, 0), launch.EndedWell
	w.look(t, false)
	w.want(t, server.Running, "restarted")
	if run, err := w.Servers.LastRun(t.Context(), 1); err != nil || run.LastLines != "" {
		t.Errorf("%+v, %v", run, err)
	}
}

// The job that was about to change the state was lost, and is not run again.
func TestAStateThatNoJobWillChangeIsCorrected(t *testing.T) {
	for _, c := range []struct {
		was     server.State
		running bool
		want    server.State
		event   string
	}{
		{server.Starting, true, server.Running, "started"},
		{server.Stopping, true, server.Running, "started"},
		{server.Starting, false, server.Crashed, "crashed"},
		{server.Stopping, false, server.Stopped, "stopped"},
	} {
		w := setUp(t)
		if err := w.Servers.SetState(t.Context(), 1, c.was); err != nil {
			t.Fatal(err)
		}
		w.games.status.Running = c.running
		w.look(t, false)
		w.want(t, c.want, c.event)
	}
}

// While a server has a process, what its game says is asked for after each look, and at once when the watcher is woken.
//
// shows: P62
func TestGamesAreCheckedWhileTheyRun(t *testing.T) {
	w := setUp(t)
	ctx, stop := context.WithCancel(t.Context())
	checks := 0
	w.Watcher.Check = func(context.Context) error {
		switch checks++; checks {
		case 1:
			w.Woken.Set()
		case 2:
			w.games.status.Running = false
			w.Woken.Set()
			time.AfterFunc(100*time.Millisecond, stop) // a third check would come at once
		}
		return nil
	}
	w.Run(ctx)
	if checks != 2 {
		t.Errorf("%d checks", checks)
	}
}

func TestRunLooksUntilItIsToEnd(t *testing.T) {
	w := setUp(t)
	ctx, stop := context.WithCancel(t.Context())
	w.games.status.Running = false
	w.Watcher.Enqueued = func(context.Context) { stop() }
	w.Run(ctx)
	if got := w.live(t); got != "server_start" {
		t.Error(got)
	}
}
