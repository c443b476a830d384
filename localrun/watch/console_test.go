package watch

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"left4me/shared/db"
	"left4me/shared/db/dbtest"
	"left4me/shared/game/supervisor"
	"left4me/shared/jobstore"
	"left4me/shared/server"
	"left4me/shared/wake"
)

// writing is a supervisor of one server, whose console the test writes.
type writing struct {
	supervisor.Supervisor // its other methods are not called
	mu                    sync.Mutex
	lines                 []string
	unfinished            bool
}

func (w *writing) Console(_ context.Context, _ int64, n int) ([]string, bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.lines[max(0, len(w.lines)-n):]), w.unfinished, nil
}

// consoles returns Consoles of a server, 1, and its console.
func consoles(t *testing.T) (*Consoles, *writing, *db.DB) {
	t.Helper()
	d, game := dbtest.New(t), &writing{}
	dbtest.AddHost(t, d, "here", time.Now())
	for _, s := range []string{
		`INSERT INTO users (id, name, password_hash, created_at) VALUES (1, 'anna', 'x', 1)`,
		`INSERT INTO blueprints (id, name, user_id, created_at) VALUES (1, 'hers', 1, 1)`,
		`INSERT INTO servers (id, name, host_id, port, blueprint_id, user_id, uid, state, state_at, created_at) VALUES (1, 'friday', 'here', 27015, 1, 1, 'u', 'running', 1, 1)`,
	} {
		if _, err := d.ExecContext(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	c := &Consoles{Servers: server.NewStore(d, time.Now, jobstore.NewStore(d, time.Now)), Supervisor: game, Host: "here", Every: time.Millisecond, Woken: wake.NewSignal(), Log: slog.New(slog.DiscardHandler)}
	return c, game, d
}

func (c *Consoles) watchIt(t *testing.T) {
	t.Helper()
	if err := c.Servers.WatchConsole(t.Context(), server.Server{ID: 1}); err != nil {
		t.Fatal(err)
	}
}

func stored(t *testing.T, c *Consoles) (all []string) {
	t.Helper()
	lines, err := c.Servers.Console(t.Context(), 1, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range lines {
		all = append(all, l.Text)
	}
	return all
}

// shows: P64
func TestOnlyAWatchedConsoleIsCopied(t *testing.T) {
	c, game, _ := consoles(t)
	game.lines = []string{"one", "two", "thr"}
	if watched, err := c.copy(t.Context()); watched || err != nil || len(stored(t, c)) != 0 {
		t.Errorf("nobody watches: %v, %v, %q", watched, err, stored(t, c))
	}
	game.unfinished = true
	c.watchIt(t)
	want := func(about string, lines ...string) {
		t.Helper()
		watched, err := c.copy(t.Context())
		if got := stored(t, c); !watched || err != nil || !slices.Equal(got, lines) {
			t.Errorf("%s: %v, %v, %q, want %q", about, watched, err, got, lines)
		}
	}
	want("a line is unfinished", "one", "two")
	game.lines, game.unfinished = []string{"one", "two", "three"}, false
	want("it is finished", "one", "two", "three")
	c.said = nil
	want("the agent was restarted", "one", "two", "three")
	game.lines = []string{"one", "\x1b[31mred"}
	want("the game was started again", "one", "two", "three", "one", "\ufffd[31mred")
	game.lines = nil
	for n := range 1000 {
		game.lines = append(game.lines, fmt.Sprint(n))
	}
	want("many lines at once", game.lines[800:]...)
	game.lines = append(game.lines, "last")
	want("one more", game.lines[801:]...)
}

// shows: P64
func TestNewLinesComeWhileSomebodyWatches(t *testing.T) {
	c, game, d := consoles(t)
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { c.Run(ctx) })
	defer running.Wait()
	defer stop()
	c.watchIt(t)
	c.Woken.Set()
	for n := range 5 {
		game.mu.Lock()
		game.lines = append(game.lines, fmt.Sprint(n))
		game.mu.Unlock()
		for begun := time.Now(); len(stored(t, c)) != n+1; time.Sleep(time.Millisecond) {
			if time.Since(begun) > time.Minute {
				t.Fatalf("line %d never came: %q", n, stored(t, c))
			}
		}
	}
	// When nobody watches any more, nothing is written.
	if _, err := d.ExecContext(t.Context(), `UPDATE servers SET watched_until = 1`); err != nil {
		t.Fatal(err)
	}
	if watched, err := c.Servers.WatchedConsoles(t.Context(), "here"); err != nil || len(watched) != 0 {
		t.Errorf("%v, %v", watched, err)
	}
}
