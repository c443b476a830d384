package supervisor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"left4me/shared/game/launch"
	"left4me/shared/settings"
)

// programs are the built localrun and the stand-in for the game.
var programs string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "left4me-supervisor-")
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err == nil {
		var out []byte
		if out, err = exec.Command("go", "build", "-o", dir+"/", "left4me/localrun", "left4me/shared/game/gametest/srcds").CombinedOutput(); err != nil {
			err = fmt.Errorf("%w: %s", err, out)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	programs = dir
	status := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(status)
}

const stranger = 12345 // a user without privileges

// fixture is LEFT4ME_ROOT with a release of the game and a server.
type fixture struct {
	kept
	port int
}

// each runs a test as this user and, if that is root, as one without privileges.
func each(t *testing.T, test func(t *testing.T, w *fixture)) {
	users := []int{os.Getuid()}
	if users[0] == 0 {
		users = append(users, stranger)
	}
	for n, user := range users {
		t.Run([]string{"this user", "without privileges"}[n], func(t *testing.T) {
			t.Parallel()
			test(t, setUp(t, user))
		})
	}
}

func setUp(t *testing.T, user int) *fixture {
	t.Helper()
	root, err := os.MkdirTemp("", "left4me-game-")
	if err != nil {
		t.Fatal(err)
	}
	w := &fixture{kept: kept{consoles{root}, filepath.Join(programs, "localrun")}, port: freePort(t)}
	t.Cleanup(func() {
		if err := w.Stop(t.Context(), 1); err != nil && t.Context().Err() == nil {
			t.Error(err)
		}
		_ = os.RemoveAll(root)
	})
	program, err := os.ReadFile(filepath.Join(programs, "srcds"))
	if err != nil {
		t.Fatal(err)
	}
	script, err := os.ReadFile("../gametest/srcds/srcds_run")
	if err != nil {
		t.Fatal(err)
	}
	w.write(t, "game/releases/7/srcds_linux", string(program), 0o755)
	w.write(t, "game/releases/7/srcds_run", string(script), 0o755)
	w.write(t, "game/releases/7/left4dead2/addons/release.vpk", "release", 0o644)
	w.write(t, "servers/1/runs/3/config/left4dead2/cfg/server.cfg", `hostname "Friday"`, 0o600)
	w.write(t, "servers/1/runs/3/layers/9/left4dead2/addons/101.vpk", "frozen", 0o644)
	w.write(t, "servers/1/files/left4dead2/kept.txt", "kept", 0o644)
	w.write(t, "servers/1/work/.keep", "", 0o644)
	w.write(t, "servers/1/console.log", "of an earlier run\n", 0o600)
	w.write(t, "left4me.db", "secret", 0o600)
	w.write(t, "servers/2/files/theirs.txt", "theirs", 0o600)
	w.plan(t, "servers/1/runs/3/config", "servers/1/runs/3/layers/9")
	if user != os.Getuid() {
		w.program = filepath.Join(root, "as-stranger")
		w.write(t, "as-stranger", fmt.Sprintf("#!/bin/sh\nexport LEFT4ME_ROOT=%s\nexec setpriv --reuid %d --regid %[2]d --clear-groups %s/localrun \"$@\"\n", root, user, programs), 0o755)
	} else {
		w.program = filepath.Join(root, "as-this")
		w.write(t, "as-this", fmt.Sprintf("#!/bin/sh\nexport LEFT4ME_ROOT=%s\nexec %s/localrun \"$@\"\n", root, programs), 0o755)
	}
	w.give(t, user)
	return w
}

// give makes everything belong to a user.
func (w *fixture) give(t *testing.T, user int) {
	t.Helper()
	if err := filepath.WalkDir(w.root, func(path string, _ fs.DirEntry, err error) error {
		if err == nil {
			err = os.Lchown(path, user, user)
		}
		return err
	}); err != nil && os.Getuid() == 0 {
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

func (w *fixture) plan(t *testing.T, layers ...string) {
	t.Helper()
	text, err := json.Marshal(launch.Plan{ServerID: 1, RunID: 3, Release: 7, Layers: layers, Port: w.port, Args: []string{
		"-game", "left4dead2", "-ip", "127.0.0.1", "-port", strconv.Itoa(w.port), "-maxplayers", "8", "+map", "c1m1_hotel"}})
	if err != nil {
		t.Fatal(err)
	}
	w.write(t, "servers/1/runs/3/plan.json", string(text), 0o644)
	w.write(t, "servers/1/current", "3\n", 0o644)
}

func freePort(t *testing.T) int {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	address, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	return address.(*unix.SockaddrInet4).Port
}

func (w *fixture) start(t *testing.T) {
	t.Helper()
	if err := w.Start(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
}

// until waits until is returns true of the server's status and console.
func (w *fixture) until(t *testing.T, what string, is func(s Status, console string) bool) (Status, string) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		s, err := w.Status(t.Context(), 1)
		if err != nil {
			t.Fatal(err)
		}
		lines, _, err := w.Console(t.Context(), 1, 1000)
		if err != nil {
			t.Fatal(err)
		}
		console := strings.Join(lines, "\n")
		if is(s, console) {
			return s, console
		}
		if time.Now().After(deadline) {
			t.Fatalf("not %s: %+v\n%s", what, s, console)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func (w *fixture) untilUp(t *testing.T) string {
	t.Helper()
	_, console := w.until(t, "up", func(_ Status, console string) bool { return strings.Contains(console, `hostname is "Friday"`) })
	return console
}

func (w *fixture) read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(w.root, path))
	if err != nil {
		t.Error(err)
	}
	return string(text)
}

// A game sees its own tree and the host's programs, can write in all of its tree, and changes no layer.
//
// shows: P58
func TestTheGameHasItsTreeAndNothingElse(t *testing.T) { each(t, testIsolation) }

func testIsolation(t *testing.T, w *fixture) {
	const addon = "left4dead2/addons/101.vpk"
	home, err := os.UserHomeDir()
	if err != nil {
		t.Fatal(err)
	}
	looks := []string{addon, "left4dead2/addons/release.vpk", "left4dead2/kept.txt", "left4dead2", // in its tree
		filepath.Join(w.root, "left4me.db"), w.root, filepath.Join(w.root, "servers/2/files/theirs.txt"), "/etc/hosts", "/etc/shadow", "/usr", "/", "/home", home, "/var", "/run"}
	w.write(t, "servers/1/runs/3/config/left4dead2/cfg/look.cfg", strings.Join(looks, "\n")+"\n", 0o644)
	w.start(t)
	console := w.untilUp(t)
	for n, path := range looks {
		want := fmt.Sprintf("look %s: read false, write false, connect false", path)
		switch {
		case n < 4:
			want = fmt.Sprintf("look %s: read true, write true, connect false", path)
		case path == "/usr" || path == "/" || path == "/etc/hosts":
			want = fmt.Sprintf("look %s: read true, write false, connect false", path)
		}
		if !strings.Contains(console, want) {
			t.Errorf("not %q", want)
		}
	}
	if strings.Contains(console, "of an earlier run") {
		t.Error("the console has what was said before the start")
	}
	if !strings.Contains(console, "processes 1") {
		t.Error("it sees other processes")
	}
	if t.Failed() {
		t.Log(console)
	}
	if err := w.Stop(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if s, err := w.Status(t.Context(), 1); err != nil || s.Running || s.Exit != "" {
		t.Errorf("after a stop: %+v, %v", s, err)
	}
	for path, want := range map[string]string{"servers/1/runs/3/layers/9/" + addon: "frozen", "game/releases/7/left4dead2/addons/release.vpk": "release",
		"servers/1/files/left4dead2/kept.txt": "kept", "servers/1/files/left4dead2/logs/L0001.log": "log started\n"} {
		if got := w.read(t, path); got != want {
			t.Errorf("%s has %q, want %q", path, got, want)
		}
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil || strings.Contains(string(mounts), w.root) {
		t.Errorf("mounts are left: %v\n%s", err, mounts)
	}
	if err := os.RemoveAll(filepath.Join(w.root, "servers/1/work")); err != nil {
		t.Error(err)
	}
}

// The game ends with its keeper, however that ends, and the next start works.
func TestAKilledKeeperLeavesNothing(t *testing.T) { each(t, testKilledKeeper) }

func testKilledKeeper(t *testing.T, w *fixture) {
	w.start(t)
	w.untilUp(t)
	w.start(t) // does nothing
	_, process, err := w.look(1)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Kill(process.PID, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	w.until(t, "ended", func(s Status, _ string) bool { return !s.Running })
	w.until(t, "without a zombie", func(Status, string) bool { return errors.Is(unix.Kill(process.PID, 0), unix.ESRCH) })
	w.until(t, "without a process", func(Status, string) bool {
		out, _ := exec.Command("pgrep", "-f", fmt.Sprintf("srcds_linux.*-port %d ", w.port)).Output()
		return len(out) == 0
	})
	w.start(t)
	w.untilUp(t)
}

// A game that ends by itself is started again, but not for ever. Its exit and its last lines are known.
//
// shows: P59
func TestAGameThatCrashes(t *testing.T) { each(t, testCrashes) }

func testCrashes(t *testing.T, w *fixture) {
	w.write(t, "servers/1/runs/3/config/left4dead2/cfg/misbehave.cfg", "exit\n", 0o644)
	w.start(t)
	first, err := w.Status(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	w.until(t, "started again", func(s Status, _ string) bool { return s.Running && s.Since.After(first.Since) })
	s, console := w.until(t, "given up", func(s Status, _ string) bool { return !s.Running })
	if s.Exit != "exit code 1" || strings.Count(console, "FATAL ERROR: told to exit\n"+launch.EndMark+"exit code 1") != 6 {
		t.Errorf("%+v\n%s", s, console)
	}
}

func TestAGameThatDoesNotWantToEnd(t *testing.T) { each(t, testStubborn) }

func testStubborn(t *testing.T, w *fixture) {
	w.write(t, "servers/1/runs/3/config/left4dead2/cfg/misbehave.cfg", "stubborn\n", 0o644)
	w.start(t)
	w.untilUp(t)
	if err := End(t.Context(), settings.Settings{Root: w.root, ServerSupervisor: settings.NoSupervisor}); err != nil {
		t.Fatal(err)
	}
	if s, err := w.Status(t.Context(), 1); err != nil || s.Running || s.Exit != "ended by signal killed" {
		t.Errorf("%+v, %v", s, err)
	}
}

// Whether a host can run servers is tried. A user who has got namespaces and no rights in them cannot.
func TestWhetherThisHostCanRunServersIsTried(t *testing.T) {
	if p := setUp(t, os.Getuid()).check(t.Context()); p != (Problem{}) {
		t.Errorf("this user: %s", p)
	}
	if os.Getuid() != 0 {
		return
	}
	if p := setUp(t, stranger).check(t.Context()); !strings.Contains(p.Why, "operation not permitted") || p.Do == "" {
		t.Errorf("a stranger: %s", p)
	}
}

// Names have any characters, and there may be 200 layers.
func TestManyLayersWithOddNames(t *testing.T) { each(t, testManyLayers) }

func testManyLayers(t *testing.T, w *fixture) {
	layers := []string{"servers/1/runs/3/config"}
	for n := range 200 {
		layers = append(layers, fmt.Sprintf("servers/1/runs/3/layers/%d, a:b=c;\\ \"ü\" %s", n, strings.Repeat("x", 200)))
		w.write(t, filepath.Join(layers[n+1], "left4dead2/addons", fmt.Sprintf("%d \n;,:+%%i'\".vpk", n)), strconv.Itoa(n), 0o644)
	}
	w.plan(t, layers...)
	w.give(t, w.owner(t))
	w.start(t)
	if console := w.untilUp(t); !strings.Contains(console, `add-on "199 `) {
		t.Error(console)
	}
}

func (w *fixture) owner(t *testing.T) int {
	t.Helper()
	var stat unix.Stat_t
	if err := unix.Stat(filepath.Join(w.root, "left4me.db"), &stat); err != nil {
		t.Fatal(err)
	}
	return int(stat.Uid)
}

// A plan leads nowhere but below LEFT4ME_ROOT.
func TestAPlanThatLeadsElsewhereIsRefused(t *testing.T) { each(t, testHostilePlans) }

func testHostilePlans(t *testing.T, w *fixture) {
	if err := os.Symlink("/etc", filepath.Join(w.root, "link")); err != nil {
		t.Fatal(err)
	}
	for layer, says := range map[string]string{"../": "cross-device", "/etc": "cross-device", "link": "too many levels", "nowhere": "no such file", "left4me.db": "not a directory"} {
		w.plan(t, layer)
		w.start(t)
		if _, console := w.until(t, "refused", func(_ Status, console string) bool { return console != "" }); !strings.Contains(console, says) {
			t.Errorf("%s: %s", layer, console)
		}
		if err := w.Stop(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
	}
}

// A stop waits until the process that keeps the game has said its number.
func TestAStopDuringAStart(t *testing.T) {
	w := setUp(t, os.Getuid())
	lock, err := os.Create(w.path(1, launch.LockFile))
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if err := w.Stop(ended, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("before there is a number: %v", err)
	}
	keeper := exec.Command("sleep", "600")
	if err := keeper.Start(); err != nil {
		t.Fatal(err)
	}
	w.write(t, "servers/1/"+launch.KeptFile, fmt.Sprintf(`{"pid": %d}`, keeper.Process.Pid), 0o644)
	stopped := make(chan error)
	go func() { stopped <- w.Stop(t.Context(), 1) }()
	if err := keeper.Wait(); err == nil || err.Error() != "signal: terminated" {
		t.Error(err)
	}
	if err := errors.Join(lock.Close(), <-stopped); err != nil {
		t.Error(err)
	}
}

// Links in place of the directories that the game writes to do not lead there.
func TestLinksInTheServersDirectoryAreRefused(t *testing.T) { each(t, testHostileLinks) }

func testHostileLinks(t *testing.T, w *fixture) {
	elsewhere := t.TempDir()
	for _, name := range []string{"files", "work"} {
		target, own := filepath.Join(elsewhere, name), filepath.Join(w.root, "servers/1", name)
		if err := errors.Join(os.Mkdir(target, 0o755), os.RemoveAll(own), os.Symlink(target, own)); err != nil {
			t.Fatal(err)
		}
	}
	w.start(t)
	if _, console := w.until(t, "refused", func(_ Status, console string) bool { return console != "" }); !strings.Contains(console, "open files: too many levels") {
		t.Error(console)
	}
	if entries, err := os.ReadDir(filepath.Join(elsewhere, "files")); err != nil || len(entries) > 0 {
		t.Errorf("the game wrote elsewhere: %v, %v", entries, err)
	}
}
