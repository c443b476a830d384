package doctor_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"left4me/localrun/doctor"
	"left4me/shared/account"
	"left4me/shared/db"
	"left4me/shared/db/dbtest"
	"left4me/shared/db/migrations"
	"left4me/shared/game/supervisor"
	"left4me/shared/host"
	"left4me/shared/job"
	"left4me/shared/jobstore"
	"left4me/shared/route"
	"left4me/shared/settings"

	"golang.org/x/sys/unix"
)

// fixture is a host on which all is well, until a test breaks something.
type fixture struct {
	doctor.Host
	root string
	env  map[string]string
	// steam answers in Steam's place, pages in that of left4me's pages.
	steam, pages http.HandlerFunc
}

func setUp(t *testing.T) *fixture {
	t.Helper()
	w := &fixture{root: filepath.Join(t.TempDir(), "root"), steam: http.NotFound}
	fake := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodHead {
			t.Errorf("the doctor sent %s", r.Method)
		}
		w.steam(rw, r)
	}))
	t.Cleanup(fake.Close)
	w.pages = func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path != route.Health.URL() {
			t.Errorf("the doctor asked for %s", r.URL)
		}
		fmt.Fprintln(rw, "ok")
	}
	pages := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { w.pages(rw, r) }))
	t.Cleanup(pages.Close)
	w.env = map[string]string{settings.Root: w.root, settings.SteamAPIURL: fake.URL, settings.Listen: pages.Listener.Addr().String()}
	w.Host = doctor.Host{
		Getenv:       func(name string) string { return w.env[name] },
		FunctionsDir: filepath.Join(w.root, "functions"),
		Functions:    []string{"home", "healthz"},
		Timer:        func(context.Context) doctor.Timer { return doctor.Timer{Active: true, Enabled: true, Next: "tomorrow"} },
		Libraries:    func() []string { return nil },
		Servers: func(context.Context, settings.Settings) (string, supervisor.Problem) {
			return "systemd", supervisor.Problem{}
		},
		DiskSpace: func(string) (int64, int64, error) { return 100 << 30, 90 << 30, nil },
		Now:       time.Now,
	}
	for _, name := range w.Functions {
		w.write(t, "functions/"+name, "", 0o755)
	}
	d := w.open(t)
	if _, err := migrations.Up(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	if _, err := account.NewStore(d, time.Now).Create(t.Context(), "root", "a password", true); err != nil {
		t.Fatal(err)
	}
	w.report(t, d, "agent", time.Now())
	return w
}

func (w *fixture) open(t *testing.T) *db.DB {
	return dbtest.Open(t, db.FileURL(filepath.Join(w.root, "left4me.db")))
}

func (w *fixture) report(t *testing.T, d *db.DB, command string, at time.Time) {
	t.Helper()
	if _, err := host.NewStore(d, func() time.Time { return at }, jobstore.NewStore(d, time.Now)).Register(t.Context(), host.Host{ID: "cellar", Name: "cellar", Command: command, Version: "1"}); err != nil {
		t.Fatal(err)
	}
}

func (w *fixture) timer(t doctor.Timer) {
	w.Timer = func(context.Context) doctor.Timer { return t }
}

func (w *fixture) exec(t *testing.T, query string) {
	t.Helper()
	if _, err := w.open(t).ExecContext(t.Context(), query); err != nil {
		t.Fatal(err)
	}
}

func (w *fixture) write(t *testing.T, path, text string, mode fs.FileMode) {
	t.Helper()
	path = filepath.Join(w.root, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

// bad are the lines about what is not well.
func bad(found []doctor.Finding) (lines []string) {
	for _, f := range found {
		if f.Level != doctor.OK || f.Do != "" {
			lines = append(lines, f.String())
		}
	}
	return lines
}

// mountReadOnly makes the directory with that name in LEFT4ME_ROOT read-only for the test.
func (w *fixture) mountReadOnly(t *testing.T, name string) {
	if os.Getuid() != 0 {
		t.Skip("only root can mount")
	}
	dir := filepath.Join(w.root, name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, flags := range []uintptr{unix.MS_BIND, unix.MS_BIND | unix.MS_REMOUNT | unix.MS_RDONLY} {
		if err := unix.Mount(dir, dir, "", flags, ""); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
}

func TestAHealthyHost(t *testing.T) {
	w := setUp(t)
	w.Libraries = func() []string { return []string{"ld-linux.so.2"} } // needed only for the game, which is not installed
	found := w.Examine(t.Context())
	if lines := bad(found); len(lines) != 0 {
		t.Errorf("complaints:\n%s", strings.Join(lines, "\n"))
	}
	var checks []string
	for _, f := range found {
		checks = append(checks, f.Check)
		if want := "it is not installed; `localrun install` does that, after `sudo apt install lib32gcc-s1 lib32stdc++6`, and two releases need about 19 GiB"; f.Check == "game" && f.Saw != want {
			t.Errorf("it says %q, want %q", f.Saw, want)
		}
	}
	want := []string{"settings", "functions", "root", "workshop_cache", "overlays", "disk", "game", "servers", "pages", "steam", "clock", "database", "people", "agent", "refresh"}
	if !slices.Equal(checks, want) {
		t.Errorf("checks %v, want %v", checks, want)
	}
}

func TestWhatIsWrongIsSaidWithWhatToDo(t *testing.T) {
	for name, c := range map[string]struct {
		sabotage func(*testing.T, *fixture)
		level    doctor.Level
		check    string
		says     []string
	}{
		"wrong setting": {func(_ *testing.T, w *fixture) { w.env[settings.Listen] = "8080" },
			doctor.Failed, "settings", []string{`LEFT4ME_LISTEN: "8080" is not host:port`, "environment"}},
		"proxy not named": {func(_ *testing.T, w *fixture) { w.env[settings.PublicURL] = "https://left4me.example.org" },
			doctor.Warning, "proxy", []string{"https", "TRUSTED_PROXIES"}},
		"proxy without https not named": {func(_ *testing.T, w *fixture) { w.env[settings.PublicURL] = "http://left4me.example.org" },
			doctor.Warning, "proxy", []string{"http://left4me.example.org", "TRUSTED_PROXIES"}},
		"functions not built": {func(_ *testing.T, w *fixture) { w.Functions = append(w.Functions, "a", "b", "c", "d") },
			doctor.Failed, "functions", []string{"4 of 6", "(a, b, c, …)", "make build"}},
		"function not executable": {func(t *testing.T, w *fixture) {
			if err := os.Chmod(filepath.Join(w.FunctionsDir, "home"), 0o644); err != nil {
				t.Fatal(err)
			}
		}, doctor.Failed, "functions", []string{"1 of 2", "(home)"}},
		"cache is a file": {func(t *testing.T, w *fixture) { w.write(t, "workshop_cache", "", 0o644) },
			doctor.Failed, "workshop_cache", []string{"is no directory", "chown"}},
		"overlays of another user": {func(t *testing.T, w *fixture) {
			if os.Getuid() == 0 {
				t.Skip("root may write everywhere")
			}
			if err := os.Mkdir(filepath.Join(w.root, "overlays"), 0o555); err != nil {
				t.Fatal(err)
			}
		}, doctor.Failed, "overlays", []string{"cannot be written to", "chown"}},
		"overlays read-only": {func(t *testing.T, w *fixture) { w.mountReadOnly(t, "overlays") },
			doctor.Failed, "overlays", []string{"read-only file system", "dmesg"}},
		"database read-only": {func(t *testing.T, w *fixture) {
			w.write(t, "data/left4me.db", "", 0o644)
			w.mountReadOnly(t, "data")
			w.env[settings.DatabaseURL] = "file:" + filepath.Join(w.root, "data/left4me.db")
		},
			doctor.Failed, "database", []string{"read-only file system", "dmesg"}},
		"no 32-bit libraries": {func(t *testing.T, w *fixture) {
			w.write(t, "game/releases/15000001/srcds_run", "", 0o755)
			w.Libraries = func() []string { return []string{"ld-linux.so.2", "libgcc_s.so.1"} }
		}, doctor.Warning, "game", []string{"release 15000001 is installed", "(ld-linux.so.2, libgcc_s.so.1)", "sudo apt install lib32gcc-s1 lib32stdc++6"}},
		"no room for an update of the game": {func(t *testing.T, w *fixture) {
			w.write(t, "game/releases/15000001/pak01_000.vpk", "", 0o644)
			if err := os.Truncate(filepath.Join(w.root, "game/releases/15000001/pak01_000.vpk"), 1<<43); err != nil { // a sparse file
				t.Fatal(err)
			}
		}, doctor.Warning, "game", []string{"release 15000001 is installed", "no room for another one of 8.0 TiB", "make room"}},
		"no room to install the game": {func(t *testing.T, w *fixture) {
			w.DiskSpace = func(string) (int64, int64, error) { return 100 << 30, 15 << 30, nil }
		}, doctor.Warning, "game", []string{"two releases need about 19 GiB, but only 15 GiB are free", "make room"}},
		"no servers": {func(t *testing.T, w *fixture) {
			w.Servers = func(context.Context, settings.Settings) (string, supervisor.Problem) {
				return "localrun", supervisor.Problem{Why: "no namespaces", Do: "allow them"}
			}
		}, doctor.Warning, "servers", []string{"none can be started here: no namespaces: allow them"}},
		"another program has the port of a server": {func(t *testing.T, w *fixture) {
			id, err := host.EnsureID(w.root)
			other, listenErr := net.Listen("tcp4", "127.0.0.1:0")
			if err := errors.Join(err, listenErr); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { other.Close() })
			dbtest.AddHost(t, w.open(t), id, time.Now())
			w.exec(t, `INSERT INTO blueprints (id, name, user_id, created_at) VALUES (1, 'campaigns', 1, 1)`)
			for n, state := range []string{"stopped", "running"} {
				w.exec(t, fmt.Sprintf(`INSERT INTO servers (name, host_id, port, blueprint_id, user_id, uid, state, state_at, created_at) VALUES ('%s', '%s', %d, 1, 1, '%[1]s', '%[1]s', 1, 1)`,
					state, id, other.Addr().(*net.TCPAddr).Port+n))
			}
		}, doctor.Warning, "ports", []string{"server 'stopped' cannot be started: port", "is used by another program", "sudo ss -lntup"}},
		"nobody serves pages": {func(_ *testing.T, w *fixture) { w.env[settings.Listen] = "127.0.0.1:1" },
			doctor.Warning, "pages", []string{"none are served at 127.0.0.1:1", "refused", "localrun serve"}},
		"somebody else has the address": {func(_ *testing.T, w *fixture) {
			w.pages = func(rw http.ResponseWriter, _ *http.Request) { fmt.Fprintln(rw, "It works!") }
		},
			doctor.Failed, "pages", []string{"status 200, not as left4me", "LEFT4ME_LISTEN"}},
		"pages have no database": {func(_ *testing.T, w *fixture) {
			w.pages = func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusServiceUnavailable) }
		}, doctor.Failed, "pages", []string{"status 503", "the log"}},
		"steam unreachable": {func(_ *testing.T, w *fixture) { w.env[settings.SteamAPIURL] = "http://127.0.0.1:1" },
			doctor.Failed, "steam", []string{"http://127.0.0.1:1: ", "refused", "HTTPS_PROXY"}},
		"steam is down": {func(_ *testing.T, w *fixture) {
			w.steam = func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusServiceUnavailable) }
		}, doctor.Failed, "steam", []string{"unexpected status 503"}},
		"clock is wrong": {func(_ *testing.T, w *fixture) {
			w.steam = func(rw http.ResponseWriter, _ *http.Request) {
				rw.Header().Set("Date", time.Now().Add(time.Hour).UTC().Format(http.TimeFormat))
			}
		}, doctor.Warning, "clock", []string{"behind Steam's", "NTP"}},
		"no database": {func(t *testing.T, w *fixture) {
			w.env[settings.DatabaseURL] = "file:" + filepath.Join(w.root, "other.db")
		},
			doctor.Failed, "database", []string{"other.db is not there yet", "localrun migrate up"}},
		"empty database": {func(t *testing.T, w *fixture) {
			w.write(t, "other.db", "", 0o644)
			w.env[settings.DatabaseURL] = "file:" + filepath.Join(w.root, "other.db")
		}, doctor.Failed, "database", []string{"lacks 00001_first.sql", "localrun migrate up"}},
		"newer database": {func(t *testing.T, w *fixture) {
			w.exec(t, `INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, 1)`)
		}, doctor.Failed, "database", []string{"is of a newer left4me"}},
		"no database at all": {func(t *testing.T, w *fixture) {
			w.write(t, "other.db", strings.Repeat("this is no database", 500), 0o644)
			w.env[settings.DatabaseURL] = "file:" + filepath.Join(w.root, "other.db")
		}, doctor.Failed, "database", []string{"file is not a database"}},
		"no administrator": {func(t *testing.T, w *fixture) { w.exec(t, `UPDATE users SET is_disabled = 1`) },
			doctor.Failed, "people", []string{"no administrator can sign in", "promote-admin"}},
		"nobody": {func(t *testing.T, w *fixture) { w.exec(t, `DELETE FROM users`) },
			doctor.Warning, "people", []string{"nobody can sign in", "localrun up"}},
		"agent never there": {func(t *testing.T, w *fixture) { w.exec(t, `DELETE FROM hosts`) },
			doctor.Warning, "agent", []string{"none has been heard of", "localrun agent"}},
		"agent silent": {func(t *testing.T, w *fixture) { w.report(t, w.open(t), "agent", time.Now().Add(-time.Hour)) },
			doctor.Warning, "agent", []string{"on cellar was heard of 1 hour ago", "localrun agent"}},
		"agent of this host silent": {func(t *testing.T, w *fixture) {
			id, err := host.EnsureID(w.root)
			if err != nil {
				t.Fatal(err)
			}
			dbtest.AddHost(t, w.open(t), id, time.Now().Add(-time.Hour))
		}, doctor.Warning, "agent", []string{"was heard of 1 hour ago", "start left4me-agent"}},
		"another agent silent": {func(t *testing.T, w *fixture) { dbtest.AddHost(t, w.open(t), "attic", time.Now().Add(-time.Hour)) },
			doctor.Warning, "agent", []string{"on attic was heard of 1 hour ago: its jobs wait", "localrun hosts remove attic"}},
		"directories of no overlay": {func(t *testing.T, w *fixture) {
			w.exec(t, `INSERT INTO overlays (id, name, type, uid, created_at) VALUES (8, 'maps', 'workshop', 'u', 1)`)
			for _, file := range []string{"7/.left4me-overlay", "8/.left4me-overlay", "9/.left4me-overlay", "notes/mine"} {
				w.write(t, "overlays/"+file, "", 0o644)
			}
		}, doctor.Warning, "overlays", []string{"2 are of no overlay (7, 9)", "remove them by hand"}},
		"no timer": {func(_ *testing.T, w *fixture) { w.timer(doctor.Timer{}) },
			doctor.Warning, "refresh", []string{"nothing starts the daily refresh", "systemctl enable --now left4me-workshop-refresh.timer"}},
		"timer stopped": {func(_ *testing.T, w *fixture) { w.timer(doctor.Timer{Enabled: true}) },
			doctor.Warning, "refresh", []string{"left4me-workshop-refresh.timer is enabled, but stopped", "systemctl start left4me-workshop-refresh.timer"}},
		"timer not enabled": {func(_ *testing.T, w *fixture) { w.timer(doctor.Timer{Active: true, Next: "tomorrow"}) },
			doctor.Warning, "refresh", []string{"next tomorrow, but not after this host has started again", "systemctl enable left4me-workshop-refresh.timer"}},
		"misspelled setting": {func(_ *testing.T, w *fixture) { w.Environ = []string{"PATH=/bin", "LEFT4ME_LISTN=127.0.0.1:9"} },
			doctor.Warning, "settings", []string{"LEFT4ME_LISTN is not a setting of left4me; is LEFT4ME_LISTEN meant?", "correct it"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := setUp(t)
			c.sabotage(t, w)
			lines := bad(w.Examine(t.Context()))
			if len(lines) != 1 || !strings.HasPrefix(lines[0], fmt.Sprintf("%-8s %-14s ", c.level, c.check)) {
				t.Fatalf("complaints %q, want one %s about %s", lines, c.level, c.check)
			}
			for _, part := range c.says {
				if !strings.Contains(lines[0], part) {
					t.Errorf("%q does not say %q", lines[0], part)
				}
			}
		})
	}
}

// Each silent host gets a line of its own; a host without an agent is no reason to leave out the others.
func TestEverySilentHostIsNamedOnce(t *testing.T) {
	w := setUp(t)
	for _, id := range []string{"attic", "loft"} {
		dbtest.AddHost(t, w.open(t), id, time.Now().Add(-time.Hour))
	}
	id, err := host.EnsureID(w.root)
	if err != nil {
		t.Fatal(err)
	}
	dbtest.AddHost(t, w.open(t), id, time.Now().Add(-time.Hour))
	lines := strings.Join(bad(w.Examine(t.Context())), "\n")
	for _, say := range []string{"on attic was heard of", "on loft was heard of", "on " + id + " was heard of"} {
		if strings.Count(lines, say) != 1 {
			t.Errorf("%q is not said once: %s", say, lines)
		}
	}
}

func TestWhatElseStartsTheDailyRefresh(t *testing.T) {
	for name, start := range map[string]func(*testing.T, *fixture){
		"localrun up": func(t *testing.T, w *fixture) { w.report(t, w.open(t), "up", time.Now()) },
		"something else": func(t *testing.T, w *fixture) {
			d := w.open(t)
			if _, err := jobstore.NewStore(d, time.Now).Enqueue(t.Context(), d, jobstore.Request{Operation: job.RefreshWorkshopItems}); err != nil {
				t.Fatal(err)
			}
		},
	} {
		w := setUp(t)
		w.timer(doctor.Timer{})
		start(t, w)
		if lines := bad(w.Examine(t.Context())); len(lines) != 0 {
			t.Errorf("%s: %q", name, lines)
		}
	}
	// A person who asks is no schedule.
	w := setUp(t)
	w.timer(doctor.Timer{})
	d := w.open(t)
	if _, err := jobstore.NewStore(d, time.Now).Enqueue(t.Context(), d, jobstore.Request{Operation: job.RefreshWorkshopItems, UserID: 1}); err != nil {
		t.Fatal(err)
	}
	if lines := bad(w.Examine(t.Context())); len(lines) != 1 {
		t.Errorf("after a person's refresh: %q", lines)
	}
}

func TestNothingIsChanged(t *testing.T) {
	w := setUp(t)
	list := func() (all []string) {
		t.Helper()
		err := filepath.WalkDir(filepath.Dir(w.root), func(path string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() {
				return err
			}
			content, err := os.ReadFile(path)
			all = append(all, fmt.Sprintf("%s %x", path, content))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	d := w.open(t) // keeps the files of the write-ahead log there
	if err := d.PingContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.write(t, "empty.db", "", 0o644)
	w.write(t, "old.db", "", 0o644)
	old := dbtest.Open(t, db.FileURL(filepath.Join(w.root, "old.db")))
	for _, query := range []string{`CREATE TABLE t (a)`, `PRAGMA journal_mode=DELETE`} {
		if _, err := old.ExecContext(t.Context(), query); err != nil {
			t.Fatal(err)
		}
	}
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
	before := list()
	w.Examine(t.Context())
	for _, name := range []string{"empty.db", "old.db"} {
		w.env[settings.DatabaseURL] = "file:" + filepath.Join(w.root, name)
		w.Examine(t.Context())
	}
	w.env[settings.DatabaseURL] = "file:" + filepath.Join(w.root, "new", "other.db")
	w.Examine(t.Context())
	w.env[settings.Root] = filepath.Join(w.root, "nowhere")
	w.Examine(t.Context())
	for _, line := range list() {
		if !slices.Contains(before, line) && !strings.Contains(line, "-shm ") { // where SQLite's readers leave their marks
			t.Errorf("changed: %.200s", line)
		}
	}
}
