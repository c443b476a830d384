package host_test

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"left4me/shared/db"
	"left4me/shared/db/dbtest"
	"left4me/shared/host"
	"left4me/shared/jobstore"
	"left4me/shared/problem"
)

// fixture is a store on a clock that the test moves.
type fixture struct {
	*host.Store
	db   *db.DB
	jobs *jobstore.Store
	now  time.Time
}

func setUp(t *testing.T, open dbtest.Backend) *fixture {
	t.Helper()
	w := &fixture{db: open(t), now: time.Unix(1_790_000_000, 0)}
	now := func() time.Time { return w.now }
	w.jobs = jobstore.NewStore(w.db, now)
	w.Store = host.NewStore(w.db, now, w.jobs)
	return w
}

func (w *fixture) register(t *testing.T, h host.Host) (added bool) {
	t.Helper()
	added, err := w.Register(t.Context(), h)
	if err != nil {
		t.Fatal(err)
	}
	return added
}

func (w *fixture) report(t *testing.T, h host.Host) {
	t.Helper()
	if err := w.Report(t.Context(), h); err != nil {
		t.Fatal(err)
	}
}

func (w *fixture) list(t *testing.T) []host.Host {
	t.Helper()
	all, err := w.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return all
}

var (
	attic  = host.Host{ID: "a", Name: "attic", Address: "192.0.2.1", Command: "agent", Version: "1", Agent: host.Agent{Boot: "b1", Disk: "1:2"}}
	cellar = host.Host{ID: "c", Name: "cellar", Command: "up", Version: "1", Root: "/srv/left4me", Agent: host.Agent{Boot: "b2", Disk: "1:2"}}
)

func TestReportReplacesTheLastReport(t *testing.T) { dbtest.Each(t, testReportReplacesTheLastReport) }

func testReportReplacesTheLastReport(t *testing.T, open dbtest.Backend) {
	w := setUp(t, open)
	if all := w.list(t); len(all) != 0 {
		t.Errorf("before any report: %v", all)
	}
	attic, cellar := attic, cellar
	w.register(t, attic)
	attic.DiskTotal, attic.DiskFree = 100, 40
	w.report(t, attic)
	attic.SeenAt = w.now
	w.now = w.now.Add(host.Every)
	w.register(t, cellar)
	cellar.DiskTotal, cellar.DiskFree, cellar.MeasuredAt = 1<<42, 1<<41, w.now
	cellar.ServersProblem = "no mounts: allow them"
	cellar.Usage = host.Usage{CacheFiles: 3, CacheBytes: 1 << 40, Overlays: 2, OverlayBytes: 7, GarbageKnown: true, GarbageFiles: 1, GarbageBytes: 1 << 33}
	w.report(t, cellar)
	cellar.SeenAt = w.now
	if all := w.list(t); len(all) != 2 || all[0] != attic || all[1] != cellar {
		t.Errorf("two hosts: %+v", all)
	}

	w.now = w.now.Add(host.Every)
	cellar.DiskFree, cellar.Version = 5, "2"
	w.report(t, cellar)
	cellar.SeenAt = w.now
	if all := w.list(t); len(all) != 2 || all[1] != cellar {
		t.Errorf("after a second report: %+v", all)
	}
	if !host.Silent(time.Time{}, w.now) {
		t.Error("an agent that has never reported is not silent")
	}
	for after, want := range map[time.Duration]string{2 * host.Every: "here", 4 * host.Every: "silent"} {
		if got := cellar.State(w.now.Add(after)); got != want {
			t.Errorf("an agent is %s %s after its last report, want %s", got, after, want)
		}
	}

	// A host that has been silent for long may come back.
	w.now = w.now.Add(31 * 24 * time.Hour)
	w.report(t, cellar)
	if all := w.list(t); len(all) != 2 || all[1].State(w.now) != host.AgentHere {
		t.Errorf("a month later: %+v", all)
	}
	if err := w.Stopped(t.Context(), cellar); err != nil {
		t.Fatal(err)
	}
	if got := w.list(t)[1].State(w.now); got != "stopped" {
		t.Errorf("after its end the agent is %s", got)
	}
}

// shows: P44
func TestHostsWithEqualNamesAreTwo(t *testing.T) { dbtest.Each(t, testHostsWithEqualNamesAreTwo) }

func testHostsWithEqualNamesAreTwo(t *testing.T, open dbtest.Backend) {
	w := setUp(t, open)
	twin := cellar
	twin.Name = attic.Name
	if !w.register(t, attic) || !w.register(t, twin) || w.register(t, attic) || len(w.list(t)) != 2 {
		t.Errorf("%+v", w.list(t))
	}
}

// shows: P44
func TestTheAgentOfACopiedDiskIsRefused(t *testing.T) {
	dbtest.Each(t, testTheAgentOfACopiedDiskIsRefused)
}

func testTheAgentOfACopiedDiskIsRefused(t *testing.T, open dbtest.Backend) {
	for name, c := range map[string]struct {
		then    func(*testing.T, *fixture)
		second  host.Agent
		refused bool // with a server; and if embedded
	}{
		"a second agent of the disk":            {nil, attic.Agent, false},
		"a copy on the same machine":            {nil, host.Agent{Boot: "b1", Disk: "1:3"}, true},
		"a copy on another machine":             {nil, host.Agent{Boot: "b2", Disk: "1:2"}, true},
		"a copy of a host that was stopped":     {func(t *testing.T, w *fixture) { w.stopped(t, attic) }, host.Agent{Boot: "b2", Disk: "1:3"}, false},
		"a copy of a host that has been silent": {func(_ *testing.T, w *fixture) { w.now = w.now.Add(4 * host.Every) }, host.Agent{Boot: "b2", Disk: "1:3"}, false},
		"a copy of a host that reports again": {func(t *testing.T, w *fixture) {
			w.stopped(t, attic)
			w.report(t, attic)
		}, host.Agent{Boot: "b1", Disk: "1:3"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			w := setUp(t, open)
			w.register(t, attic)
			if c.then != nil {
				c.then(t, w)
			}
			second := attic
			second.Agent = c.second
			_, err := w.Register(t.Context(), second)
			inUse, refused := errors.AsType[*host.InUseError](err)
			// Only this machine uses an embedded database: after a boot, no earlier agent is left.
			if want := c.refused && !(w.db.Embedded() && second.Agent.Boot != attic.Agent.Boot); refused != want || err != nil && !refused {
				t.Fatalf("%v, refused %v", err, refused)
			}
			if refused {
				if inUse.Host.Name != "attic" {
					t.Errorf("%+v", inUse.Host)
				}
				w.report(t, attic)
				return
			}
			// An agent that was only silent finds that its id was taken.
			if err := w.Report(t.Context(), attic); (second.Agent != attic.Agent) != errors.Is(err, host.ErrReplaced) {
				t.Errorf("the first agent: %v", err)
			}
		})
	}
}

func (w *fixture) stopped(t *testing.T, h host.Host) {
	t.Helper()
	if err := w.Stopped(t.Context(), h); err != nil {
		t.Fatal(err)
	}
}

// After a migration from one host, and after a restoration, the next agent is the host that was there.
func TestAHostThatNoAgentHasTakenIsTaken(t *testing.T) {
	dbtest.Each(t, testAHostThatNoAgentHasTakenIsTaken)
}

func testAHostThatNoAgentHasTakenIsTaken(t *testing.T, open dbtest.Backend) {
	w := setUp(t, open)
	w.register(t, attic)
	if err := host.Release(t.Context(), w.db); err != nil {
		t.Fatal(err)
	}
	// Another name: the machine was replaced, or, with a server, this is another machine.
	if added := w.register(t, cellar); added == w.db.Embedded() {
		t.Errorf("the only host was taken: %v", !added)
	}
	moved := attic
	moved.ID = "a2"
	if added := w.register(t, moved); added != w.db.Embedded() {
		t.Errorf("the host of the same name was taken: %v", !added)
	}
	var ids []string
	for _, h := range w.list(t) {
		ids = append(ids, h.ID)
	}
	if slices.Sort(ids); !slices.Equal(ids, []string{"a2", "c"}) {
		t.Errorf("hosts %q", ids)
	}

	// Of several, each takes the one with its name, or is new.
	if err := host.Release(t.Context(), w.db); err != nil {
		t.Fatal(err)
	}
	other := host.Host{ID: "o", Name: "attic", Agent: host.Agent{Disk: "9"}}
	loft := host.Host{ID: "l", Name: "loft", Agent: host.Agent{Disk: "8"}}
	if w.register(t, other) || !w.register(t, loft) {
		t.Errorf("%+v", w.list(t))
	}
	if added := w.register(t, cellar); added || len(w.list(t)) != 3 {
		t.Errorf("%v, %+v", added, w.list(t))
	}
}

// shows: P47
func TestWhatIsToBeDoneOnEachHost(t *testing.T) { dbtest.Each(t, testWhatIsToBeDoneOnEachHost) }

func testWhatIsToBeDoneOnEachHost(t *testing.T, open dbtest.Backend) {
	w := setUp(t, open)
	w.register(t, cellar)
	w.register(t, attic)
	for _, statement := range []string{
		`INSERT INTO overlays (id, name, type, uid, created_at, deleted_at) VALUES (1, 'maps', 'workshop', 'u1', 1, NULL), (2, 'more', 'workshop', 'u2', 1, NULL), (3, 'old', 'workshop', 'u3', 1, 2)`,
		`UPDATE overlay_hosts SET last_build_status = 'failed' WHERE host_id = 'c' AND overlay_id <> 2`,
		`INSERT INTO jobs (operation, state, subject_kind, subject_id, host_id, attempt, locks, created_at, started_at, lease_until, finished_at) VALUES
			('build_overlay', 'queued', 'overlay', 1, 'c', 0, '[{"resource":"game","write":false}]', 1, NULL, NULL, NULL),
			('build_overlay', 'queued', 'overlay', 2, 'c', 0, '[{"resource":"game","write":false}]', 1, NULL, NULL, NULL),
			('delete_overlay', 'running', 'overlay', 3, 'c', 1, '[{"resource":"game","write":false}]', 1, 1, 9, NULL),
			('build_overlay', 'succeeded', 'overlay', 1, 'c', 1, '[{"resource":"game","write":false}]', 1, 1, NULL, 2),
			('refresh_workshop_items', 'queued', '', NULL, NULL, 0, '[{"resource":"game","write":false}]', 1, NULL, NULL, NULL)`,
		`INSERT INTO users (id, name, password_hash, created_at) VALUES (1, 'anna', 'x', 1)`,
		`INSERT INTO blueprints (id, name, user_id, created_at) VALUES (1, 'b', 1, 1)`,
		`INSERT INTO servers (name, host_id, port, blueprint_id, user_id, uid, state_at, created_at, deleted_at) VALUES
			('one', 'c', 27015, 1, 1, 's1', 1, 1, NULL), ('old', 'c', 27016, 1, 1, 's2', 1, 1, 2)`,
	} {
		if _, err := w.db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	all, err := w.ListAll(t.Context())
	if err != nil || len(all) != 2 || all[0].Name != "attic" || all[0].Running+all[0].Waiting+all[0].Failed+all[0].Servers != 0 {
		t.Errorf("%+v, %v", all, err)
	}
	one, err := w.Get(t.Context(), "c")
	if err != nil || one != all[1] || one.Name != "cellar" || one.Waiting != 2 || one.Running != 1 || one.Failed != 1 || one.Servers != 1 {
		t.Errorf("%+v, %v", one, err)
	}
	_, err = w.Get(t.Context(), "cellar")
	if p, ok := problem.As(err); !ok || p.Status != http.StatusNotFound {
		t.Errorf("a name is no id: %v", err)
	}
}

func TestRemove(t *testing.T) { dbtest.Each(t, testRemove) }

func testRemove(t *testing.T, open dbtest.Backend) {
	w := setUp(t, open)
	twin := cellar
	twin.Name = attic.Name
	w.register(t, attic)
	w.register(t, twin)
	refused := func(what string, status int) {
		t.Helper()
		_, err := w.Remove(t.Context(), what)
		if p, ok := problem.As(err); !ok || p.Status != status {
			t.Errorf("Remove(%s): %v, want %d", what, err, status)
		}
	}
	refused("nobody", http.StatusNotFound)
	refused("a", http.StatusConflict) // its agent runs
	w.stopped(t, attic)
	refused("attic", http.StatusConflict) // two have this name
	if h, err := w.Remove(t.Context(), "a"); err != nil || h.Name != "attic" {
		t.Errorf("%+v, %v", h, err)
	}
	w.now = w.now.Add(4 * host.Every)
	if err := w.Report(t.Context(), attic); !errors.Is(err, host.ErrReplaced) {
		t.Errorf("a report of a removed host: %v", err)
	}
	if _, err := w.Remove(t.Context(), "attic"); err != nil { // the other one, which is silent now
		t.Error(err)
	}
	if all := w.list(t); len(all) != 0 {
		t.Errorf("%+v", all)
	}
}

// shows: P44
func TestTheIdIsWrittenOnce(t *testing.T) {
	root := t.TempDir()
	if _, err := host.ReadID(root); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("before the first agent: %v", err)
	}
	ids := make([]string, 8)
	var all sync.WaitGroup
	for i := range ids {
		all.Go(func() {
			var err error
			if ids[i], err = host.EnsureID(root); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	again, err := host.ReadID(root)
	for _, id := range ids {
		if id != again || len(id) != 12 || err != nil {
			t.Errorf("ids %q, then %q, %v", ids, again, err)
		}
	}
	other, err := host.EnsureID(t.TempDir())
	if err != nil || other == again {
		t.Errorf("another root has the id %s, %v", other, err)
	}
	for _, bad := range []string{"", "{}", `{"id":"../x"}`, `{"id":""}`} {
		if err := os.WriteFile(filepath.Join(root, "host.json"), []byte(bad), 0o644); err != nil {
			t.Fatal(err)
		}
		if id, err := host.EnsureID(root); err == nil {
			t.Errorf("%q is the id %s", bad, id)
		}
	}
}

func TestAgentsAreTheSameOnlyOnOneDisk(t *testing.T) {
	root, copied := t.TempDir(), t.TempDir()
	first, err := host.ThisAgent(root)
	if err != nil {
		t.Fatal(err)
	}
	again, err := host.ThisAgent(root)
	if err != nil || again != first || first.Boot == "" {
		t.Errorf("%+v, then %+v, %v", first, again, err)
	}
	if other, err := host.ThisAgent(copied); err != nil || other == first || other.Boot != first.Boot {
		t.Errorf("%+v, of a copy %+v, %v", first, other, err)
	}
}
