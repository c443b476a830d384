package game_test

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"left4me/shared/game"
	"left4me/shared/game/gametest"
	"left4me/shared/jobstore"
)

// programs is the directory of the stand-ins.
var programs string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "left4me-game-")
	if err == nil {
		var out []byte
		if out, err = exec.Command("go", "build", "-o", dir+"/", "left4me/shared/game/gametest/steamcmd", "left4me/shared/game/gametest/srcds").CombinedOutput(); err != nil {
			err = fmt.Errorf("%w: %s", err, out)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	programs = dir
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// report records what a job says.
type report struct {
	mu       sync.Mutex
	lines    []string
	progress []jobstore.Progress
	moved    func(jobstore.Progress) // called with each progress; may be nil
}

func (r *report) Infof(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(r.lines, fmt.Sprintf(format, args...))
}
func (r *report) Warnf(format string, args ...any) { r.Infof(format, args...) }
func (r *report) Progress(p jobstore.Progress) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.progress = append(r.progress, p)
	if r.moved != nil {
		r.moved(p)
	}
}

func (r *report) text() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(r.lines, "\n")
}

// fixture is a host with the stand-in for Steam.
type fixture struct {
	*testing.T
	game.Installer
	steam  *gametest.Server
	report *report
}

func setUp(t *testing.T) *fixture {
	t.Helper()
	t.Parallel()
	root := t.TempDir()
	f := &fixture{T: t, steam: gametest.Start(t, programs), report: &report{}}
	f.Installer = game.Installer{
		Disk:   game.Disk{Dir: filepath.Join(root, "game")},
		Steam:  game.SteamCMD{Dir: filepath.Join(root, "steam"), URL: f.steam.URL + gametest.Archive, Silence: time.Hour},
		Record: func(context.Context, int64, []game.Release) error { return nil },
		InUse:  func(context.Context) ([]int64, error) { return nil, nil },
		Pause:  time.Millisecond,
		Report: f.report,
		Free:   func(string) (int64, error) { return 1 << 40, nil },
	}
	return f
}

// installs installs the newest release, which must be build, and returns the builds on the disk.
func (f *fixture) installs(build int64) []int64 {
	f.Helper()
	newest, all, err := f.Install(f.Context())
	if err != nil || newest != build {
		f.Fatalf("installed %d: %v\n%s", newest, err, f.report.text())
	}
	var builds []int64
	for _, r := range all {
		builds = append(builds, r.BuildID)
	}
	f.is(build, true)
	return builds
}

// fails runs an install that must fail with an error that contains text. No release may have changed.
func (f *fixture) fails(text string) {
	f.Helper()
	before := f.tree(filepath.Join(f.Dir, "releases"))
	_, _, err := f.Install(f.Context())
	if err == nil || !strings.Contains(err.Error(), text) {
		f.Errorf("%v, want %q\n%s", err, text, f.report.text())
	}
	if after := f.tree(filepath.Join(f.Dir, "releases")); !slices.Equal(before, after) {
		f.Errorf("the releases were %q and are %q", before, after)
	}
}

// is checks that a release is whole, or that it is not there.
func (f *fixture) is(build int64, want bool) {
	f.Helper()
	content, err := os.ReadFile(filepath.Join(f.Release(build), "left4dead2", "pak01_dir.vpk"))
	line := fmt.Sprintf("release %d\n", build)
	rest := strings.ReplaceAll(string(content), line, "")
	switch {
	case !want && !errors.Is(err, os.ErrNotExist):
		f.Errorf("release %d is there", build)
	case want && (err != nil || len(content) < 64<<10 || !strings.HasPrefix(line, rest)):
		f.Errorf("release %d is not whole: %v", build, err)
	}
}

// tree lists the files below dir with their sizes and times.
func (f *fixture) tree(dir string) (all []string) {
	f.Helper()
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if err == nil && !e.IsDir() {
			info, err := e.Info()
			all = append(all, fmt.Sprint(path, " ", info.Size(), " ", info.ModTime(), info.Mode()))
			return err
		}
		return err
	})
	if err != nil {
		f.Fatal(err)
	}
	return all
}

// updates returns the runs of SteamCMD that install the game.
func (f *fixture) updates() (all []string) {
	for _, r := range f.steam.Runs() {
		if strings.Contains(r, "+app_update") {
			all = append(all, r)
		}
	}
	return all
}

func TestInstall(t *testing.T) {
	f := setUp(t)
	if got := f.installs(15000001); !slices.Equal(got, []int64{15000001}) {
		t.Error(got)
	}
	for name, want := range map[string]os.FileMode{
		"game/releases/15000001/srcds_run":                        0o755,
		"game/releases/15000001/steamapps/appmanifest_222860.acf": 0o644,
		"game/releases/15000001/.steam/sdk32/steamclient.so":      0o755,
		"steam":                  os.ModeDir | 0o700, // SteamCMD keeps sign-ins there
		"steam/linux32/steamcmd": 0o700,
	} {
		if info, err := os.Stat(filepath.Join(filepath.Dir(f.Dir), name)); err != nil || info.Mode() != want {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	if got := f.tree(filepath.Join(f.Dir, "installing")); got != nil {
		t.Errorf("left behind: %q", got)
	}
	// In this order: what must come first for SteamCMD does.
	want := fmt.Sprintf("+@ShutdownOnFailedCommand 1 +@NoPromptForPassword 1 +force_install_dir %s +login anonymous +app_update 222860 validate +quit", filepath.Join(f.Dir, "installing"))
	if got := f.updates(); len(got) != 1 || got[0] != want {
		t.Errorf("%q", got)
	}
	// Progress comes in bytes, and grows to the end.
	last := f.report.progress[len(f.report.progress)-1]
	if len(f.report.progress) < 10 || last.BytesTotal < 64<<10 || last.BytesDone != last.BytesTotal || last.Current == "" {
		t.Errorf("%d reports, the last is %+v", len(f.report.progress), last)
	}

	// Another time there is nothing to do, and nothing is done.
	before := f.tree(f.Dir)
	f.installs(15000001)
	if after := f.tree(f.Dir); !slices.Equal(before, after) || len(f.updates()) != 1 {
		t.Errorf("was %q\n is %q, %q", before, after, f.updates())
	}
}

// shows: P49
func TestAnUpdateIsAnotherRelease(t *testing.T) {
	f := setUp(t)
	f.installs(15000001)
	first := f.tree(f.Release(15000001))
	f.steam.Tell(t, "build 15000002\nsize 96KiB")
	f.InUse = func(context.Context) ([]int64, error) { return []int64{15000001}, nil }
	// A run has ended before it downloaded anything.
	if err := os.MkdirAll(filepath.Join(f.Dir, "installing", "steamapps"), 0o755); err != nil {
		t.Fatal(err)
	}
	if got := f.installs(15000002); !slices.Equal(got, []int64{15000001, 15000002}) {
		t.Error(got)
	}
	if got := f.tree(f.Release(15000001)); !slices.Equal(got, first) {
		t.Errorf("the release in use was %q, is %q", first, got)
	}
	if text := f.report.text(); !strings.Contains(text, "starting with a copy of release 15000001") {
		t.Error(text)
	}
	// What no server uses goes, whether there is something to install or not. So does what a crash has left.
	f.InUse = func(context.Context) ([]int64, error) { return nil, nil }
	for _, dir := range []string{"removed-15000000", "installing.copy"} {
		if err := os.MkdirAll(filepath.Join(f.Dir, dir, "left4dead2"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if got := f.installs(15000002); !slices.Equal(got, []int64{15000002}) {
		t.Error(got)
	}
	if entries, err := os.ReadDir(f.Dir); err != nil || len(entries) != 1 {
		t.Error(entries, err)
	}
	// Steam takes a release back.
	f.steam.Tell(t, "build 15000001")
	if got := f.installs(15000001); !slices.Equal(got, []int64{15000001}) {
		t.Error(got)
	}
	// Which releases are in use is not known: none is removed.
	f.steam.Tell(t, "build 15000003")
	f.InUse = func(context.Context) ([]int64, error) { return nil, errors.New("the database is away") }
	if _, _, err := f.Install(t.Context()); err == nil {
		t.Error("no error")
	}
	f.is(15000001, true)
	f.is(15000003, true)
}

// Servers start with the release that is recorded, so the one before it is there until the new one is recorded, wherever a kill ends the
// install.
func TestANewReleaseIsRecordedBeforeTheOldOneGoes(t *testing.T) {
	f := setUp(t)
	f.installs(15000001)
	f.steam.Tell(t, "build 15000002")
	const killed = "killed"
	install := func() {
		defer func() {
			if p := recover(); p != killed {
				t.Error("it was not killed:", p)
			}
		}()
		_, _, err := f.Install(t.Context())
		t.Error(err)
	}
	f.Record = func(context.Context, int64, []game.Release) error { panic(killed) }
	install()
	f.is(15000001, true)

	var recorded int64
	var all []int64
	f.Record = func(_ context.Context, newest int64, onDisk []game.Release) error {
		recorded = newest
		for _, r := range onDisk {
			all = append(all, r.BuildID)
		}
		return nil
	}
	f.InUse = func(context.Context) ([]int64, error) { panic(killed) } // it is asked before any is removed
	install()
	if recorded != 15000002 || !slices.Equal(all, []int64{15000001, 15000002}) {
		t.Errorf("recorded: %d of %d", recorded, all)
	}
	f.is(15000002, true)
}

// Each known way to fail has its own message, and is answered by another attempt, another way, or by a person.
func TestFailures(t *testing.T) {
	for name, c := range map[string]struct {
		commands string
		runs     int    // of SteamCMD that try to install
		error    string // of the install; empty: it succeeds
		says     string // in the log
	}{
		"invalid platform, once":   {"fault invalid-platform times=1", 2, "", "attempt 1/3 failed: Steam does not let this account install the game (Invalid platform)"},
		"invalid platform, always": {"fault invalid-platform", 6, "set STEAM_USER to an account that owns Left 4 Dead 2", "by way of Windows, attempt 3/3 failed"},
		"missing configuration":    {"fault missing-configuration times=3", 4, "", "(Missing configuration)"},
		"only by way of Windows":   {"allow windows", 4, "", "without an account, by way of Windows, attempt 1/3"},
		"only with an account":     {"allow account", 6, "All ways without an account have failed", "(Missing configuration)"},
		"login":                    {"fault login", 6, "Steam refuses the anonymous sign-in (Invalid Password)", ""},
		"no network":               {"fault no-connection", 3, "Steam's servers cannot be reached", ""},
		"too many sign-ins":        {"fault rate-limit", 1, "try again in some hours", ""},
		"0x202":                    {"fault state-0x202", 1, "the disk of LEFT4ME_ROOT is full", ""},
		"0x212":                    {"fault state-0x212", 1, "the disk of LEFT4ME_ROOT is full", ""},
		"0x402":                    {"fault state-0x402", 3, "Steam's servers cannot be reached", ""},
		"0x602":                    {"fault state-0x602", 1, "cannot write", ""},
		"0x606":                    {"fault state-0x606", 1, "cannot write", ""},
		"0x6A6, once":              {"fault state-0x6A6 times=1", 2, "", "the downloaded files are damaged; they are removed"},
		"an unknown state":         {"fault state-0x777 times=1", 2, "", "the unknown state 0x777"},
		"a restart":                {"fault restart", 2, "", "installed"}, // steamcmd.sh starts it again
		"a lie":                    {"fault lie times=1", 2, "", `SteamCMD says that the game is installed, but its manifest has the state "1026" instead of 4`},
		"bytes are missing":        {"fault bytes-missing times=1", 2, "", "bytes are downloaded"},
		"no line of success":       {"fault no-success times=1", 2, "", "SteamCMD ended without saying that the game is installed: Unloading Steam API...OK"},
		"another status":           {"fault status-1 times=1", 2, "", "SteamCMD ended with status 1"},
		"a decimal comma":          {"fault comma", 1, "", ""},
		"killed":                   {"fault killed times=1", 2, "", "SteamCMD was killed, perhaps because memory is short"},
		"no libraries":             {"fault no-library", 1, "sudo apt install lib32gcc-s1 lib32stdc++6", ""},
		"no information":           {"fault no-info", 1, "", "Steam does not say which release is the newest"},
	} {
		t.Run(name, func(t *testing.T) {
			f := setUp(t)
			f.steam.Tell(t, c.commands)
			if c.error == "" {
				f.installs(15000001)
				if len(f.report.progress) == 0 {
					t.Error("there was no progress")
				}
			} else {
				f.fails(c.error)
			}
			if runs := f.updates(); len(runs) != c.runs {
				t.Errorf("%d runs, want %d: %q", len(runs), c.runs, runs)
			}
			if text := f.report.text(); !strings.Contains(text, c.says) {
				t.Errorf("the log lacks %q:\n%s", c.says, text)
			}
			for _, p := range f.report.progress {
				if p.BytesDone > p.BytesTotal || p.BytesTotal == 0 {
					t.Errorf("%+v", p)
				}
			}
		})
	}
}

// The account is the last resort. SteamCMD remembers its sign-in.
func TestAnAccount(t *testing.T) {
	f := setUp(t)
	f.User = "nick"
	f.steam.Tell(t, "allow account")
	f.fails("Steam refuses the sign-in as nick (Invalid Password): run `localrun steam-login` on this host")
	if err := os.WriteFile(filepath.Join(f.Steam.Dir, "login-nick"), nil, 0o600); err != nil { // by localrun steam-login
		t.Fatal(err)
	}
	f.installs(15000001)
	if runs := f.updates(); len(runs) != 7+7 || !strings.Contains(runs[13], "+login nick ") {
		t.Errorf("%d runs: %q", len(runs), runs)
	}
}

// A cancelled install keeps what it has downloaded, and the next one goes on there. SteamCMD and all its processes end.
//
// shows: P50
func TestACancelledInstallGoesOn(t *testing.T) {
	f := setUp(t)
	f.steam.Tell(t, "size 1MiB\nhold 50")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancelled := errors.New("cancelled")
	f.report.moved = func(p jobstore.Progress) {
		if p.BytesDone >= 512<<10 {
			cancel(cancelled)
		}
	}
	if _, _, err := f.Install(ctx); !errors.Is(err, cancelled) {
		t.Fatal(err, f.report.text())
	}
	f.is(15000001, false)
	f.report.moved = nil
	f.steam.Tell(t, "reset")
	f.report.progress = nil
	f.installs(15000001)
	if text := f.report.text(); !strings.Contains(text, "going on with an install that was interrupted: 512 KiB are there") {
		t.Error(text)
	}
	if i := slices.IndexFunc(f.report.progress, func(p jobstore.Progress) bool { return p.BytesDone > 0 }); f.report.progress[i].BytesDone < 512<<10 && f.report.progress[i+1].BytesDone < 512<<10 {
		t.Errorf("it began again: %+v", f.report.progress[:i+2])
	}
}

// Without output for long, SteamCMD is ended and started again.
func TestAStuckRunIsEnded(t *testing.T) {
	f := setUp(t)
	f.steam.Tell(t, "fault hang times=1")
	f.Steam.Silence = 2 * time.Second
	f.installs(15000001)
	if text := f.report.text(); !strings.Contains(text, "attempt 1/3 failed: SteamCMD was stuck") {
		t.Error(text)
	}
}

// shows: P49
func TestThereMustBeRoom(t *testing.T) {
	f := setUp(t)
	f.steam.Tell(t, "size 2GiB")
	f.Free = func(string) (int64, error) { return 1 << 30, nil }
	f.fails("the game needs 2.0 GiB on the disk of LEFT4ME_ROOT, where only 1.0 GiB are free")
	if runs := f.updates(); len(runs) != 0 {
		t.Errorf("the download began: %q", runs)
	}
	f.steam.Tell(t, "fault no-info") // then it counts with what a release usually needs
	f.fails("the game needs 9.3 GiB")

	// An update needs room for the copy, on this file system, and for what is new.
	f = &fixture{T: t, Installer: f.Installer, steam: f.steam, report: f.report}
	f.Free = func(string) (int64, error) { return 1 << 40, nil }
	f.steam.Tell(t, "reset\nsize 64KiB")
	f.installs(15000001)
	f.steam.Tell(t, "build 15000002")
	f.Free = func(string) (int64, error) { return 10 << 10, nil }
	f.fails("the game needs ")
	f.is(15000001, true)
}

func TestOneSteamCMDAtATime(t *testing.T) {
	f := setUp(t)
	f.steam.Tell(t, "hold 50")
	ctx, cancel := context.WithCancel(t.Context())
	downloading, ended := make(chan struct{}), make(chan struct{})
	var once sync.Once
	f.report.moved = func(jobstore.Progress) { once.Do(func() { close(downloading) }) }
	go func() {
		defer close(ended)
		_, _, _ = f.Install(ctx)
	}()
	<-downloading
	if _, err := f.Newest(t.Context()); err == nil || !strings.Contains(err.Error(), "SteamCMD is at work already") {
		t.Error(err)
	}
	cancel()
	<-ended

	// A lock that cannot be opened is another error.
	lock := filepath.Join(f.Steam.Dir, "left4me.lock")
	if err := errors.Join(os.Remove(lock), os.Mkdir(lock, 0o755)); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Newest(t.Context()); err == nil || strings.Contains(err.Error(), "at work") {
		t.Error(err)
	}
}

func TestSteamCMDCannotBeDownloaded(t *testing.T) {
	f := setUp(t)
	f.Steam.URL = f.steam.URL + "/nothing"
	f.fails("download SteamCMD: " + f.Steam.URL + " answers with status 404")
	f.Steam.URL = f.steam.URL + gametest.RunsPath
	f.fails("download SteamCMD: unpack ")
}

// STEAMCMD is used as it is.
func TestAnotherSteamCMD(t *testing.T) {
	f := setUp(t)
	f.Steam.Program = filepath.Join(t.TempDir(), "steamcmd")
	text := fmt.Sprintf("#!/bin/sh\nexport STEAM_STAND_IN=%s\nexec %s/steamcmd \"$@\"\n", f.steam.URL, programs)
	if err := os.WriteFile(f.Steam.Program, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	f.Steam.URL = f.steam.URL + "/nothing"
	f.installs(15000001)
	if text := f.report.text(); !strings.Contains(text, "without which Steam does not list servers") {
		t.Error(text)
	}
}

// An archive cannot write outside of SteamCMD's directory. Without its script it is not complete, and downloaded again.
func TestAHostileArchive(t *testing.T) {
	f := setUp(t)
	name := "../outside"
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		packed := gzip.NewWriter(w)
		files := tar.NewWriter(packed)
		err := files.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: 5})
		_, werr := files.Write([]byte("file\n"))
		if err := errors.Join(err, werr, files.Close(), packed.Close()); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(server.Close)
	f.Steam.URL = server.URL
	f.fails("download SteamCMD: unpack " + server.URL)
	if _, err := os.Stat(filepath.Join(f.Steam.Dir, name)); !errors.Is(err, os.ErrNotExist) {
		t.Error("a file is outside", err)
	}
	name = "README"
	f.fails("it has no steamcmd.sh")
	f.Steam.URL = f.steam.URL + gametest.Archive
	f.installs(15000001)
}
