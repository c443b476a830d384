package control_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"left4me/shared/account"
	"left4me/shared/blueprint"
	"left4me/shared/db"
	"left4me/shared/db/dbtest"
	"left4me/shared/game"
	"left4me/shared/game/control"
	"left4me/shared/game/launch"
	"left4me/shared/game/supervisor"
	"left4me/shared/jobstore"
	"left4me/shared/overlay"
	"left4me/shared/server"
	"left4me/shared/settings"
)

// games is a supervisor whose games are sockets in this process.
type games struct {
	supervisor.Supervisor // its other methods are not called
	mu                    sync.Mutex
	root                  string
	running               map[int64]net.PacketConn
	since                 map[int64]time.Time
	calls                 []string
	// begin is what happens when a game is started: nil makes it answer. end is called when one is stopped.
	begin func(server int64) error
	end   func()
	// humans is how many people play.
	humans atomic.Int32
}

func (g *games) Start(_ context.Context, id int64) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	current, err := os.ReadFile(filepath.Join(g.root, "servers", fmt.Sprint(id), "current"))
	if err != nil {
		return err
	}
	g.calls = append(g.calls, "start run "+strings.TrimSpace(string(current)))
	if g.begin != nil {
		return g.begin(id)
	}
	return g.answer(id, strings.TrimSpace(string(current)))
}

// answer makes a game answer on the port of its plan.
func (g *games) answer(id int64, run string) error {
	var plan launch.Plan
	text, err := os.ReadFile(filepath.Join(g.root, "servers", fmt.Sprint(id), "runs", run, "plan.json"))
	if err == nil {
		err = json.Unmarshal(text, &plan)
	}
	if err != nil {
		return err
	}
	socket, err := net.ListenPacket("udp4", fmt.Sprintf("127.0.0.1:%d", plan.Port))
	if err != nil {
		return err
	}
	go func() {
		b := make([]byte, 1400)
		for {
			_, from, err := socket.ReadFrom(b)
			if err != nil {
				return
			}
			humans := string([]byte{byte(g.humans.Load())})
			_, _ = socket.WriteTo([]byte("\xff\xff\xff\xffI\x11a game\x00c1m1_hotel\x00left4dead2\x00Left 4 Dead 2\x00\x26\x02"+humans+"\x08\x00dl\x00\x012.2.3.7\x00"), from)
		}
	}()
	g.running[id], g.since[id] = socket, time.Now()
	return nil
}

func (g *games) Stop(_ context.Context, id int64) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.calls = append(g.calls, "stop")
	if g.end != nil {
		g.end()
	}
	if socket := g.running[id]; socket != nil {
		socket.Close()
		delete(g.running, id)
	}
	return nil
}

func (g *games) Status(_ context.Context, id int64) (supervisor.Status, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.running[id] != nil {
		return supervisor.Status{Running: true, Since: g.since[id]}, nil
	}
	return supervisor.Status{Since: g.since[id], Exit: "exit code 1"}, nil
}

func (g *games) Console(context.Context, int64, int) ([]string, bool, error) {
	return []string{"loading", "Segmentation fault"}, false, nil
}

// report is a job's.
type report struct {
	lines   []string
	success func(context.Context, db.Querier) error
}

func (r *report) Infof(format string, args ...any) {
	r.lines = append(r.lines, fmt.Sprintf(format, args...))
}
func (r *report) Warnf(format string, args ...any)                        { r.Infof("warning: "+format, args...) }
func (*report) Progress(jobstore.Progress)                                {}
func (r *report) OnSuccess(write func(context.Context, db.Querier) error) { r.success = write }

func (r *report) says(text string) bool {
	return slices.ContainsFunc(r.lines, func(line string) bool { return strings.Contains(line, text) })
}

type fixture struct {
	control.Host
	games  *games
	root   string
	server int64
	jobs   int64
}

// setUp returns a host with a server whose blueprint has the workshop overlay 1, with the items 10 and 11, on the external overlay 2.
func setUp(t *testing.T) *fixture {
	t.Helper()
	d, root := dbtest.New(t), t.TempDir()
	dbtest.AddHost(t, d, "here", time.Now())
	jobs := jobstore.NewStore(d, time.Now)
	w := &fixture{root: root, games: &games{root: root, running: map[int64]net.PacketConn{}, since: map[int64]time.Time{}}}
	w.Host = control.Host{
		Settings: settings.Settings{Root: root}, DB: d, Supervisor: w.games, Now: time.Now,
		Servers: server.NewStore(d, time.Now, jobs), Blueprints: blueprint.NewStore(d, time.Now, jobs), Overlays: overlay.NewStore(d, time.Now, jobs),
		Releases: game.NewStore(d, time.Now, jobs),
	}
	t.Cleanup(func() {
		for _, id := range slices.Collect(maps.Keys(w.games.running)) {
			_ = w.games.Stop(context.Background(), id)
		}
	})
	anna, err := account.NewStore(d, time.Now).Create(t.Context(), "anna", "a password", true)
	if err != nil {
		t.Fatal(err)
	}
	w.UserID = anna.ID
	w.exec(t, `INSERT INTO overlays (id, name, type, user_id, uid, created_at) VALUES (1, 'maps', 'workshop', ?, 'a', 1), (2, 'guns', 'external', NULL, 'b', 1)`, anna.ID)
	w.exec(t, `UPDATE overlay_hosts SET directory_at = 1, revision = 1, last_build_status = 'ok'`)
	w.exec(t, `INSERT INTO workshop_items (steam_id, title, created_at) VALUES ('10', 'Urban Flight', 1), ('11', '', 1), ('12', 'Blood Tracks', 1)`)
	w.exec(t, `INSERT INTO releases (host_id, build_id, bytes, installed_at) VALUES ('here', 100, 5, 1)`)
	b, err := w.Blueprints.Create(t.Context(), anna, "hers", false)
	if err != nil {
		t.Fatal(err)
	}
	w.exec(t, `INSERT INTO blueprint_overlays (blueprint_id, overlay_id, position) VALUES (?, 1, 1), (?, 2, 2)`, b, b)
	if err := os.MkdirAll(filepath.Join(root, "overlays", "2"), 0o755); err != nil {
		t.Fatal(err)
	}
	w.item(t, "10", "ten")
	w.item(t, "11", "eleven")
	if w.server, _, err = w.Servers.Create(t.Context(), anna, "here", server.Form{Name: "friday", Port: freePort(t), BlueprintID: b, OwnerID: anna.ID}); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *fixture) exec(t *testing.T, query string, args ...any) {
	t.Helper()
	if _, err := w.DB.ExecContext(t.Context(), query, args...); err != nil {
		t.Fatal(err)
	}
}

// item puts a file into the cache, in place of one that is there, and a link to it into overlay 1.
func (w *fixture) item(t *testing.T, id, content string) {
	t.Helper()
	addons := filepath.Join(w.root, "overlays", "1", "left4dead2", "addons")
	cached, next := w.cached(id), w.cached(id)+".new"
	if err := errors.Join(os.MkdirAll(addons, 0o755), os.MkdirAll(filepath.Dir(cached), 0o755), os.WriteFile(next, []byte(content), 0o644),
		os.Chtimes(next, time.Time{}, time.Unix(int64(len(content)), 0)), os.Rename(next, cached)); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(cached, filepath.Join(addons, id+".vpk")); err != nil && !errors.Is(err, os.ErrExist) {
		t.Fatal(err)
	}
}

func (w *fixture) cached(id string) string { return filepath.Join(w.root, "workshop_cache", id+".vpk") }

// freePort returns a port that nobody uses, for UDP and TCP, and that the system gives to no client.
func freePort(t *testing.T) int {
	t.Helper()
	for range 1000 {
		address := fmt.Sprintf("0.0.0.0:%d", 20_000+rand.N(10_000))
		udp, err := net.ListenPacket("udp4", address)
		if err != nil {
			continue
		}
		defer udp.Close()
		tcp, err := net.Listen("tcp4", address)
		if err != nil {
			continue
		}
		defer tcp.Close()
		return udp.LocalAddr().(*net.UDPAddr).Port
	}
	t.Fatal("no port is free")
	return 0
}

// do does what a job does, and records its success.
func (w *fixture) do(ctx context.Context, t *testing.T, what func(*control.Host, context.Context, server.Server) error) (*report, error) {
	t.Helper()
	w.jobs++
	r, h := &report{}, w.Host
	h.JobID, h.Report = w.jobs, r
	err := what(&h, ctx, w.get(t))
	if err == nil && r.success != nil {
		err = w.DB.InTx(t.Context(), r.success)
	}
	return r, err
}

func (w *fixture) start(t *testing.T, restart bool) (*report, error) {
	t.Helper()
	return w.do(t.Context(), t, func(h *control.Host, ctx context.Context, s server.Server) error {
		return h.Start(ctx, s, server.StartArgument{Restart: restart})
	})
}

func (w *fixture) started(t *testing.T, restart bool) *report {
	t.Helper()
	r, err := w.start(t, restart)
	if err != nil {
		t.Fatalf("%v: %q", err, r.lines)
	}
	return r
}

func (w *fixture) get(t *testing.T) server.Server {
	t.Helper()
	s, err := w.Servers.Get(t.Context(), w.server)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// lastEvent returns what happened last to the server.
func (w *fixture) lastEvent(t *testing.T) server.Event {
	t.Helper()
	events, err := w.Servers.Events(t.Context(), w.server, 1)
	if err != nil || len(events) == 0 {
		t.Fatal(events, err)
	}
	events[0].At = time.Time{}
	return events[0]
}

// run is the path of something in the directory of the last run.
func (w *fixture) run(t *testing.T, elements ...string) string {
	t.Helper()
	r, err := w.Servers.LastRun(t.Context(), w.server)
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(append([]string{w.root, "servers", strconv.FormatInt(w.server, 10), "runs", strconv.FormatInt(r.ID, 10)}, elements...)...)
}

func content(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Error(err)
	}
	return string(text)
}

// After a restoration, rows may know another run than the process has, or none. What the process uses stays until it has ended.
func TestARunThatTheRowsDoNotKnow(t *testing.T) {
	for what, lose := range map[string]string{
		"no run":      `DELETE FROM runs`,
		"another run": `UPDATE runs SET id = 90`,
	} {
		w := setUp(t)
		w.started(t, false)
		frozen := w.run(t, "layers", "1", "left4dead2", "addons", "10.vpk")
		w.exec(t, `UPDATE sqlite_sequence SET seq = 100 WHERE name = 'runs'`)
		w.exec(t, `DELETE FROM run_items`)
		w.exec(t, `DELETE FROM run_overlays`)
		w.exec(t, lose)
		w.games.calls = nil
		w.games.end = func() {
			if content(t, frozen) != "ten" {
				t.Errorf("%s: the directory of the process has changed", what)
			}
		}
		w.started(t, true)
		w.games.end = nil
		if want := []string{"stop", "start run 101"}; !slices.Equal(w.games.calls, want) {
			t.Errorf("%s: %q, want %q", what, w.games.calls, want)
		}
	}
}

// shows: P56 P57
func TestAStartFreezesWhatTheBlueprintHas(t *testing.T) {
	w := setUp(t)
	r := w.started(t, false)
	if s := w.get(t); s.State != server.Running || s.DirectoryAt.IsZero() {
		t.Errorf("%+v", s)
	}
	if e := w.lastEvent(t); e != (server.Event{Kind: "started", UserID: w.UserID, UserName: "anna", JobID: 1}) {
		t.Errorf("%+v", e)
	}
	var plan launch.Plan
	if err := json.Unmarshal([]byte(content(t, w.run(t, "plan.json"))), &plan); err != nil {
		t.Fatal(err)
	}
	if want := []string{"servers/1/runs/1/config", "servers/1/runs/1/layers/1", "overlays/2"}; !slices.Equal(plan.Layers, want) || plan.Release != 100 || plan.ServerID != 1 || plan.RunID != 1 || plan.Port != w.get(t).Port {
		t.Errorf("%+v", plan)
	}
	if !slices.Contains(plan.Args, "-strictportbind") || !slices.Contains(plan.Args, strconv.Itoa(plan.Port)) {
		t.Errorf("arguments %q", plan.Args)
	}
	if config := content(t, w.run(t, "config", "left4dead2", "cfg", "server.cfg")); !strings.Contains(config, `hostname "friday"`) {
		t.Error(config)
	}
	frozen := w.run(t, "layers", "1", "left4dead2", "addons", "10.vpk")
	if a, err := os.Stat(frozen); err != nil {
		t.Error(err)
	} else if b, err := os.Stat(w.cached("10")); err != nil || !os.SameFile(a, b) {
		t.Error("the file of the run is no link to the cached file")
	}
	stack, err := w.Servers.LastStack(t.Context(), w.server)
	if err != nil || len(stack) != 2 || stack[0].Mounted || !slices.Equal(stack[0].Items, []server.RunItem{{OverlayID: 1, SteamID: "11", Updated: 6, Size: 6}, {OverlayID: 1, SteamID: "10", Title: "Urban Flight", Updated: 3, Size: 3}}) || !stack[1].Mounted || stack[1].Name != "guns" {
		t.Errorf("%+v, %v", stack, err)
	}
	// Whatever happens to cache and overlay, the run keeps what it has.
	w.item(t, "10", "a new version")
	if err := errors.Join(os.Remove(w.cached("11")), os.RemoveAll(filepath.Join(w.root, "overlays", "1"))); err != nil {
		t.Fatal(err)
	}
	if content(t, frozen) != "ten" || content(t, filepath.Join(filepath.Dir(frozen), "11.vpk")) != "eleven" {
		t.Error("the files of the run have changed")
	}
	// It is not started twice.
	if r = w.started(t, false); !r.says("is running already") || len(w.games.calls) != 2 {
		t.Errorf("%q, %q", r.lines, w.games.calls)
	}
}

// shows: P53
func TestAStartAfterAFailedBuildUsesTheLastGoodLinks(t *testing.T) {
	w := setUp(t)
	w.exec(t, `UPDATE overlay_hosts SET last_build_status = 'failed' WHERE overlay_id = 1`)
	if err := os.WriteFile(filepath.Join(w.root, "overlays", "1", "left4dead2", "addons", "mine.vpk"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	r := w.started(t, false)
	if !r.says("warning: the last build of overlay 'maps' failed; the server gets what its last successful build has linked") || !r.says("1 files that left4me did not put there are left out") {
		t.Errorf("%q", r.lines)
	}
	if entries, err := os.ReadDir(w.run(t, "layers", "1", "left4dead2", "addons")); err != nil || len(entries) != 2 {
		t.Errorf("%v, %v", entries, err)
	}
}

// shows: P57
func TestFilesAreCopiedWhereLinksAreImpossible(t *testing.T) {
	w := setUp(t)
	memory, err := os.MkdirTemp("/dev/shm", "left4me-test-") // another file system
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(memory) })
	servers := filepath.Join(memory, "servers")
	if err := errors.Join(os.Mkdir(servers, 0o755), os.Symlink(servers, filepath.Join(w.root, "servers"))); err != nil {
		t.Fatal(err)
	}
	if r := w.started(t, false); !r.says("2 files had to be copied") {
		t.Errorf("%q", r.lines)
	}
	frozen := w.run(t, "layers", "1", "left4dead2", "addons", "10.vpk")
	if info, err := os.Stat(frozen); err != nil || info.ModTime().Unix() != 3 || content(t, frozen) != "ten" {
		t.Errorf("%v, %v", info, err)
	}
}

// shows: P56
func TestAStartThatFailsBeforeThereIsAProcess(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*testing.T, *fixture)
		says   string
	}{
		"no release": {func(t *testing.T, w *fixture) { w.exec(t, `DELETE FROM releases`) }, "the game is not installed on this host yet"},
		"an overlay that was never built": {func(t *testing.T, w *fixture) {
			w.exec(t, `UPDATE overlay_hosts SET revision = 0, last_build_status = 'failed' WHERE overlay_id = 1`)
		}, "overlay 'maps' has not been built on this host yet"},
		"an item without its file": {func(t *testing.T, w *fixture) {
			if err := os.Remove(w.cached("10")); err != nil {
				t.Fatal(err)
			}
		}, "item 10 of overlays/1 is not in the cache any more; build the overlay"},
		"a foreign directory": {func(t *testing.T, w *fixture) {
			if err := os.MkdirAll(filepath.Join(w.root, "servers", "1"), 0o755); err != nil {
				t.Fatal(err)
			}
		}, "servers/1 is there already, and this server did not make it: disk and database disagree"},
		"a used port": {func(t *testing.T, w *fixture) {
			l, err := net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", w.get(t).Port))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { l.Close() })
		}, "is used by another program on this host"},
	} {
		t.Run(name, func(t *testing.T) {
			w := setUp(t)
			c.change(t, w)
			r, err := w.start(t, false)
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v: %q", err, r.lines)
			}
			if e := w.lastEvent(t); w.get(t).State != server.Stopped || e.Kind != "not started" || !strings.Contains(e.Text, c.says) || len(w.games.running) != 0 {
				t.Errorf("%s, %+v", w.get(t).State, e)
			}
		})
	}
}

// shows: P56 P61
func TestAGameThatDoesNotAnswer(t *testing.T) {
	for name, c := range map[string]struct {
		begin func(*fixture) func(int64) error
		says  string
	}{
		"ends": {func(*fixture) func(int64) error { return func(int64) error { return nil } }, "ended before it answered: exit code 1"},
		"is silent": {func(w *fixture) func(int64) error {
			return func(id int64) (err error) {
				w.games.running[id], err = net.ListenPacket("udp4", "127.0.0.1:0")
				return err
			}
		}, "did not answer on port"},
		"cannot be started": {func(*fixture) func(int64) error { return func(int64) error { return errors.New("no unit") } }, "start server 'friday': no unit"},
	} {
		t.Run(name, func(t *testing.T) {
			w := setUp(t)
			control.SetAnswerTime(t, time.Millisecond)
			w.games.begin = c.begin(w)
			r, err := w.start(t, false)
			if err == nil || !strings.Contains(err.Error(), c.says) || !r.says("warning: console: Segmentation fault") {
				t.Errorf("%v: %q", err, r.lines)
			}
			last, err := w.Servers.LastRun(t.Context(), w.server)
			if err != nil || w.get(t).State != server.Crashed || last.LastLines != "loading\nSegmentation fault" || !strings.Contains(last.EndedHow, c.says) {
				t.Errorf("%s, %+v, %v", w.get(t).State, last, err)
			}
			if w.games.calls[len(w.games.calls)-1] != "stop" || len(w.games.running) != 0 {
				t.Errorf("%q", w.games.calls)
			}
			// The next start works.
			w.games.begin = nil
			control.SetAnswerTime(t, time.Minute)
			w.started(t, false)
		})
	}
}

// shows: P61
func TestARestartSaysWhatIsNew(t *testing.T) {
	w := setUp(t)
	w.started(t, false)
	before := w.run(t)
	w.item(t, "10", "a new version")
	w.item(t, "12", "twelve")
	w.started(t, true)
	if e := w.lastEvent(t); e.Kind != "restarted" || e.Text != "1 item is newer (Urban Flight), 1 item was added (Blood Tracks)" {
		t.Errorf("%+v", e)
	}
	if got := strings.Join(w.games.calls, ", "); got != "stop, start run 1, stop, start run 2" {
		t.Error(got)
	}
	if _, err := os.Stat(before); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the directory of the run before is still there: %v", err)
	}
	if content(t, w.run(t, "layers", "1", "left4dead2", "addons", "10.vpk")) != "a new version" {
		t.Error("the run has the old version")
	}
}

// shows: P63
func TestARestartForAnUpdateDisturbsNobody(t *testing.T) {
	w := setUp(t)
	w.started(t, false)
	update := func(announced time.Time) *report {
		t.Helper()
		w.exec(t, `INSERT OR REPLACE INTO server_updates (server_id, compared, content, waits, news, since, tried) VALUES (1, '', 'x', 'x', '', 1, 'x')`)
		argument := server.StartArgument{Restart: true, Update: true, Overlays: []int64{1, 2}}
		if !announced.IsZero() {
			argument.Announced = announced.UnixMilli()
		}
		r, err := w.do(t.Context(), t, func(h *control.Host, ctx context.Context, s server.Server) error { return h.StartAs(ctx, s, argument) })
		if err != nil {
			t.Fatalf("%v: %q", err, r.lines)
		}
		return r
	}
	check := func(r *report, says string, starts, again int) {
		t.Helper()
		n, err := db.Row(t.Context(), w.DB, db.Value[int], `SELECT COUNT(*) FROM server_updates WHERE tried = ''`)
		calls := strings.Count(strings.Join(w.games.calls, " "), "start")
		if err != nil || !r.says(says) || calls != starts || n != again {
			t.Errorf("%d starts, want %d; it can be tried again: %d, want %d; %q, %v", calls, starts, n, again, r.lines, err)
		}
	}
	w.games.humans.Store(2)
	check(update(time.Time{}), "is not empty any more (players: 2); it is restarted later", 1, 1)
	check(update(time.Now().Add(-time.Hour)), "is not empty any more", 1, 1)
	check(update(time.Now().Add(-time.Minute)), "answers after", 2, 0)
	w.games.humans.Store(0)
	check(update(time.Time{}), "answers after", 3, 0)
	w.exec(t, `INSERT INTO overlays (id, name, type, uid, created_at) VALUES (3, 'more', 'external', 'c', 1)`)
	w.exec(t, `INSERT INTO blueprint_overlays (blueprint_id, overlay_id, position) SELECT blueprint_id, 3, 3 FROM servers`)
	check(update(time.Time{}), "its blueprint has other overlays now; it is restarted later", 3, 1)
	w.exec(t, `DELETE FROM blueprint_overlays WHERE overlay_id = 3`)
	w.games.mu.Lock()
	w.games.running[1].Close()
	w.games.mu.Unlock()
	check(update(time.Time{}), "does not answer, so that nobody knows who plays; it is restarted later", 3, 1)
	if _, err := w.do(t.Context(), t, (*control.Host).Stop); err != nil {
		t.Fatal(err)
	}
	check(update(time.Time{}), "is not running any more; nothing to do", 3, 0)
}

// An update's restart that was interrupted after the stop is completed, and still a restart.
func TestAnInterruptedRestartGoesOn(t *testing.T) {
	w := setUp(t)
	w.started(t, false)
	w.item(t, "12", "twelve")
	for name, interrupt := range map[string]func(ctx context.Context, stop func()) context.Context{
		"after the stop": func(ctx context.Context, stop func()) context.Context { w.games.end = stop; return ctx },
		"after the start": func(ctx context.Context, stop func()) context.Context {
			w.games.begin = func(id int64) error {
				stop()
				return w.games.answer(id, fmt.Sprint(w.jobs))
			}
			return ctx
		},
	} {
		ctx, stop := context.WithCancel(t.Context())
		restart := func(h *control.Host, ctx context.Context, s server.Server) error {
			return h.Start(ctx, s, server.StartArgument{Restart: true, Update: true})
		}
		if _, err := w.do(interrupt(ctx, stop), t, restart); err == nil {
			t.Fatalf("%s: it was not interrupted", name)
		}
		w.games.begin, w.games.end = nil, nil
		w.jobs-- // the same job
		if r, err := w.do(t.Context(), t, restart); err != nil || w.get(t).State != server.Running {
			t.Errorf("%s: %v, %q", name, err, r.lines)
		}
		if e := w.lastEvent(t); e.Kind != "restarted" {
			t.Errorf("%s: %+v", name, e)
		}
	}
}

func TestARestartThatCannotBeMadeReadyLeavesTheServerRunning(t *testing.T) {
	w := setUp(t)
	w.started(t, false)
	before := w.run(t)
	if err := os.Remove(w.cached("10")); err != nil {
		t.Fatal(err)
	}
	r, err := w.start(t, true)
	if err == nil || !r.says("warning: server 'friday' is not restarted, and runs on as it was") || w.get(t).State != server.Running || len(w.games.running) != 1 {
		t.Errorf("%v, %q", err, r.lines)
	}
	if w.run(t) != before || content(t, filepath.Join(before, "layers", "1", "left4dead2", "addons", "10.vpk")) != "ten" {
		t.Error("its run has changed")
	}
}

// A start that was handed back, because the agent ends, waits for the process that it has started before.
func TestAStartGoesOnInAnotherProcess(t *testing.T) {
	w := setUp(t)
	ctx, stop := context.WithCancel(t.Context())
	w.games.begin = func(id int64) error {
		stop()
		return w.games.answer(id, "1")
	}
	if _, err := w.do(ctx, t, func(h *control.Host, ctx context.Context, s server.Server) error {
		return h.Start(ctx, s, server.StartArgument{})
	}); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if s := w.get(t); s.State != server.Starting || len(w.games.running) != 1 {
		t.Errorf("%s", s.State)
	}
	w.jobs-- // the same job
	if r := w.started(t, false); !r.says("has been started already") || len(w.games.calls) != 2 || w.get(t).State != server.Running {
		t.Errorf("%q, %q", r.lines, w.games.calls)
	}
}

// shows: P27
func TestACancelledStartIsStopped(t *testing.T) {
	w := setUp(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	w.games.begin = func(id int64) error {
		cancel(jobstore.ErrCancelled)
		return w.games.answer(id, "1")
	}
	_, err := w.do(ctx, t, func(h *control.Host, ctx context.Context, s server.Server) error {
		return h.Start(ctx, s, server.StartArgument{})
	})
	stops, serr := db.Row(t.Context(), w.DB, db.Value[int], `SELECT COUNT(*) FROM jobs WHERE operation = 'server_stop' AND state = 'queued'`)
	if !errors.Is(err, context.Canceled) || serr != nil || stops != 1 {
		t.Errorf("%v, %d stops, %v", err, stops, serr)
	}
	// One that has not come to a process is stopped.
	if _, err := w.do(t.Context(), t, (*control.Host).Stop); err != nil {
		t.Fatal(err)
	}
	ctx, cancel = context.WithCancelCause(t.Context())
	w.games.end = func() { cancel(jobstore.ErrCancelled) }
	if _, err := w.do(ctx, t, func(h *control.Host, ctx context.Context, s server.Server) error {
		return h.Start(ctx, s, server.StartArgument{})
	}); err == nil {
		t.Error("it was started")
	}
	if s := w.get(t); s.State != server.Stopped || w.lastEvent(t).Text != "cancelled" {
		t.Errorf("%s, %+v", s.State, w.lastEvent(t))
	}
}

// shows: P60
func TestStop(t *testing.T) {
	w := setUp(t)
	w.started(t, false)
	run := w.run(t)
	for _, says := range []string{"has stopped", "was not running"} {
		r, err := w.do(t.Context(), t, (*control.Host).Stop)
		if err != nil || !r.says(says) || w.get(t).State != server.Stopped || len(w.games.running) != 0 {
			t.Errorf("%v, %q", err, r.lines)
		}
	}
	last, err := w.Servers.LastRun(t.Context(), w.server)
	if e := w.lastEvent(t); err != nil || last.EndedHow != "It was stopped." || last.LastLines != "" || e.Kind != "stopped" || e.JobID != 2 {
		t.Errorf("%+v, %v, %+v", last, err, e)
	}
	if _, err := os.Stat(run); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the run's directory is still there: %v", err)
	}
}

// wrote checks what is recorded of what the game wrote.
func (w *fixture) wrote(t *testing.T, want server.Written) {
	t.Helper()
	if run, err := w.Servers.LastRun(t.Context(), w.server); err != nil || run.Written == nil || *run.Written != want {
		t.Errorf("%+v is recorded, %v, want %+v", run.Written, err, want)
	}
}

// Pages say before a reset what would be lost.
func TestReset(t *testing.T) {
	w := setUp(t)
	w.started(t, false)
	files := filepath.Join(w.root, "servers", "1", "files")
	if err := errors.Join(os.MkdirAll(filepath.Join(files, "left4dead2"), 0o755), os.WriteFile(filepath.Join(files, "left4dead2", "banned_user.cfg"), []byte("ban"), 0o644)); err != nil {
		t.Fatal(err)
	}
	if r, err := w.do(t.Context(), t, (*control.Host).Reset); err == nil || !strings.Contains(err.Error(), "is running; stop it first") {
		t.Errorf("%v, %q", err, r.lines)
	}
	if _, err := w.do(t.Context(), t, (*control.Host).Stop); err != nil {
		t.Fatal(err)
	}
	w.wrote(t, server.Written{Files: 1, Bytes: 3})
	if r, err := w.do(t.Context(), t, (*control.Host).Reset); err != nil || !r.says("1 files with 3 bytes that the game wrote are removed") || w.lastEvent(t).Kind != "reset" {
		t.Errorf("%v, %q", err, r.lines)
	}
	if entries, err := os.ReadDir(files); err != nil || len(entries) != 0 {
		t.Errorf("%v, %v", entries, err)
	}
	w.wrote(t, server.Written{})
	w.started(t, false)
}

// shows: P55
func TestRemove(t *testing.T) {
	w := setUp(t)
	w.started(t, false)
	s := w.get(t)
	if _, err := w.Servers.Delete(t.Context(), account.User{}, s); err != nil {
		t.Fatal(err)
	}
	r, h := &report{}, w.Host
	h.Report = r
	if err := h.Remove(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	if err := w.DB.InTx(t.Context(), r.success); err != nil {
		t.Fatal(err)
	}
	if entries, err := os.ReadDir(filepath.Join(w.root, "servers")); err != nil || len(entries) != 0 || len(w.games.running) != 0 {
		t.Errorf("%v, %v", entries, err)
	}
	if n, err := db.Row(t.Context(), w.DB, db.Value[int], `SELECT (SELECT COUNT(*) FROM servers) + (SELECT COUNT(*) FROM runs) + (SELECT COUNT(*) FROM server_events)`); err != nil || n != 0 {
		t.Errorf("%d rows are left, %v", n, err)
	}
	if content(t, w.cached("10")) != "ten" {
		t.Error("the cache has changed")
	}
}
