// Package gametest is a stand-in for what Steam has of the game's dedicated server, for tests and demonstrations: Valve's archive with
// SteamCMD, which is the program gametest/steamcmd, and a small game that it downloads, whose program is gametest/srcds. It misbehaves
// on demand.
package gametest

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dustin/go-humanize"
)

// Paths of the stand-in.
const (
	// Archive is STEAMCMD_URL's path.
	Archive     = "/game/steamcmd_linux.tar.gz"
	RunPath     = "/game/run"     // POST: a stand-in for SteamCMD tells its arguments, and gets a Run
	FilesPath   = "/game/files/"  // GET: the files of the game
	ControlPath = "/game/control" // POST: commands for Do
	RunsPath    = "/game/runs"    // GET: the arguments of all runs, one run a line
)

// Run says how a run of SteamCMD goes.
type Run struct {
	// Build is the newest release.
	Build int64
	// Allow is the least that it takes to install the game: `anonymous`, a prepared `manifest`, downloading it for `windows` first,
	// or an `account`.
	Allow string
	// Fault is one of Faults, or empty.
	Fault string
	Files []File
}

// File is a file of the game.
type File struct {
	Name string
	Size int64
	Mode os.FileMode
	// OS is `linux` or `windows`; empty for both.
	OS string
}

// Faults are the ways in which a run of SteamCMD misbehaves. `state-0x…` ends an update in that state.
var Faults = []string{
	"invalid-platform", "missing-configuration", "login", "no-connection", "rate-limit", "restart", "lie", "bytes-missing", "no-success", "status-1",
	"comma", "hang", "killed", "no-info", "no-library",
}

// Server is the stand-in, an http.Handler.
type Server struct {
	// Programs is the directory of the programs steamcmd and srcds.
	Programs string
	// URL is its address when Start has made it.
	URL string

	mu      sync.Mutex
	build   int64
	size    int64
	allow   string
	faults  []fault
	hold    int64         // of the large file, so many percent are sent
	rate    int64         // of the large file, so many bytes are sent in a second; 0: at once
	changed chan struct{} // closed and replaced when hold changes
	runs    []string
}

type fault struct {
	name  string
	times int // runs that it hits; 0: all
}

// New returns a stand-in with the programs of a directory.
func New(programs string) *Server {
	return &Server{Programs: programs, build: 15_000_001, size: 64 << 10, allow: "manifest", hold: 100, changed: make(chan struct{})}
}

// Start serves a stand-in until the test ends.
func Start(t testing.TB, programs string) *Server {
	s := New(programs)
	server := httptest.NewServer(s)
	s.URL = server.URL
	t.Cleanup(func() {
		server.CloseClientConnections() // some are held
		server.Close()
	})
	return s
}

// Tell is Do for tests.
func (s *Server) Tell(t testing.TB, commands string) {
	t.Helper()
	if err := s.Do(commands); err != nil {
		t.Fatal(err)
	}
}

// Do runs commands, one a line:
//
//	build N             the newest release
//	size 8MiB           the size of its large file
//	allow manifest      see Run.Allow
//	fault NAME times=1  see Faults; of the faults that are not over, the newest counts
//	hold 60             of the large file only 60 percent are sent until a later hold or reset
//	rate 10MiB          of the large file so many bytes are sent in a second
//	reset               no faults, and nothing is held
func (s *Server) Do(commands string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	lines := bufio.NewScanner(strings.NewReader(commands))
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		if len(words) == 0 {
			continue
		}
		if err := s.do(words[0], append(words[1:], "", "")); err != nil {
			return fmt.Errorf("%s: %w", lines.Text(), err)
		}
	}
	return lines.Err()
}

func (s *Server) do(verb string, args []string) (err error) {
	switch verb {
	case "build":
		s.build, err = strconv.ParseInt(args[0], 10, 64)
	case "size":
		s.size, err = bytes(args[0])
	case "rate":
		s.rate, err = bytes(args[0])
	case "allow":
		if !slices.Contains([]string{"anonymous", "manifest", "windows", "account"}, args[0]) {
			return fmt.Errorf("unknown")
		}
		s.allow = args[0]
	case "fault":
		f := fault{name: args[0]}
		if !slices.Contains(Faults, f.name) && !strings.HasPrefix(f.name, "state-0x") {
			return fmt.Errorf("unknown fault")
		}
		if times, ok := strings.CutPrefix(args[1], "times="); ok {
			f.times, err = strconv.Atoi(times)
		}
		s.faults = append(s.faults, f)
	case "hold":
		s.hold, err = strconv.ParseInt(args[0], 10, 64)
		s.change()
	case "reset":
		s.faults, s.hold = nil, 100
		s.change()
	default:
		return fmt.Errorf("unknown command")
	}
	return err
}

func bytes(text string) (int64, error) {
	n, err := humanize.ParseBytes(text)
	return int64(n), err
}

func (s *Server) change() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// Runs returns the arguments of all runs of SteamCMD.
func (s *Server) Runs() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.runs)
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var err error
	switch {
	case r.URL.Path == Archive:
		err = s.archive(w, "http://"+r.Host)
	case r.URL.Path == RunPath:
		var args []string
		var run Run
		if err = json.NewDecoder(r.Body).Decode(&args); err == nil {
			run, err = s.run(args)
		}
		if err == nil {
			err = json.NewEncoder(w).Encode(run)
		}
	case strings.HasPrefix(r.URL.Path, FilesPath):
		s.file(w, r)
	case r.URL.Path == ControlPath:
		var commands []byte
		if commands, err = io.ReadAll(r.Body); err == nil {
			err = s.Do(string(commands))
		}
	case r.URL.Path == RunsPath:
		for _, line := range s.Runs() {
			fmt.Fprintln(w, line)
		}
	default:
		http.NotFound(w, r)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
	}
}

// start is steamcmd.sh. Valve's has more, but also starts the program again when it ends with status 42.
const start = `#!/bin/sh
export STEAM_STAND_IN=%s
"$(dirname "$0")/linux32/steamcmd" "$@"
status=$?
if [ $status -eq 42 ]; then exec "$0" "$@"; fi
exit $status
`

func (s *Server) archive(w io.Writer, url string) error {
	program, err := os.ReadFile(filepath.Join(s.Programs, "steamcmd"))
	if err != nil {
		return err
	}
	packed := gzip.NewWriter(w)
	files := tar.NewWriter(packed)
	for _, f := range []struct {
		name    string
		mode    int64
		content string
	}{
		{"steamcmd.sh", 0o755, fmt.Sprintf(start, url)},
		{"linux32/steamcmd", 0o755, string(program)},
		{"linux32/steamclient.so", 0o644, "a stand-in\n"},
	} {
		if err := files.WriteHeader(&tar.Header{Name: f.name, Mode: f.mode, Size: int64(len(f.content))}); err != nil {
			return err
		}
		if _, err := io.WriteString(files, f.content); err != nil {
			return err
		}
	}
	if err := files.Close(); err != nil {
		return err
	}
	return packed.Close()
}

// run answers a run of SteamCMD.
func (s *Server) run(args []string) (r Run, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.runs = append(s.runs, strings.Join(args, " "))
	r = Run{Build: s.build, Allow: s.allow}
	if r.Files, err = s.files(); err != nil {
		return r, err
	}
	for i := len(s.faults) - 1; i >= 0; i-- {
		f := &s.faults[i]
		if f.times < 0 || f.name != "no-info" && !slices.Contains(args, "+app_update") {
			continue
		}
		r.Fault = f.name
		if f.times > 0 {
			if f.times--; f.times == 0 {
				f.times = -1 // it is over
			}
		}
		break
	}
	return r, nil
}

// large is the game's only file that is not small.
const large = "left4dead2/pak01_dir.vpk"

// gameProgram is the game's program, which is srcds of the programs. srcds_run starts it.
const gameProgram = "srcds_linux"

//go:embed srcds/srcds_run
var srcdsRun string

// small are the small files of a release.
func (s *Server) small() map[string]string {
	return map[string]string{
		"srcds_run":                srcdsRun,
		"srcds.exe":                "a stand-in\n",
		"left4dead2/gameinfo.txt":  "\"GameInfo\"\n{\n\tgame \"Left 4 Dead 2\"\n}\n",
		"left4dead2/steam.inf":     fmt.Sprintf("PatchVersion=2.2.%d\n", s.build%1000),
		"left4dead2/addons/.stand": "",
	}
}

func (s *Server) files() ([]File, error) {
	info, err := os.Stat(filepath.Join(s.Programs, "srcds"))
	if err != nil {
		return nil, err
	}
	all := []File{{Name: large, Size: s.size, Mode: 0o644}, {Name: gameProgram, Size: info.Size(), Mode: 0o755, OS: "linux"}}
	for name, content := range s.small() {
		f := File{Name: name, Size: int64(len(content)), Mode: 0o644}
		if strings.HasPrefix(name, "srcds") {
			f.Mode, f.OS = 0o755, "linux"
		}
		if strings.HasSuffix(name, ".exe") {
			f.OS = "windows"
		}
		all = append(all, f)
	}
	slices.SortFunc(all, func(a, b File) int { return strings.Compare(a.Name, b.Name) })
	return all, nil
}

// file serves a file of the newest release, from the offset in the query on.
func (s *Server) file(w http.ResponseWriter, r *http.Request) {
	name := strings.TrimPrefix(r.URL.Path, FilesPath)
	offset, _ := strconv.ParseInt(r.URL.Query().Get("offset"), 10, 64)
	s.mu.Lock()
	content, found := s.small()[name]
	size, line := s.size, fmt.Sprintf("release %d\n", s.build)
	s.mu.Unlock()
	switch {
	case found:
		_, _ = io.WriteString(w, content[min(offset, int64(len(content))):])
	case name == large:
		s.sendLarge(r.Context(), w, line, offset, size)
	case name == gameProgram:
		http.ServeFile(w, r, filepath.Join(s.Programs, "srcds"))
	default:
		http.NotFound(w, r)
	}
}

// sendLarge sends the large file, which consists of the line. It waits where the file is held.
func (s *Server) sendLarge(ctx context.Context, w http.ResponseWriter, line string, offset, size int64) {
	block := strings.Repeat(line, 4096)
	for offset < size {
		s.mu.Lock()
		upTo, rate, changed := size*s.hold/100, s.rate, s.changed
		s.mu.Unlock()
		if offset >= upTo {
			_ = http.NewResponseController(w).Flush()
			select {
			case <-changed:
				continue
			case <-ctx.Done():
				return
			}
		}
		start := offset % int64(len(line))
		n := min(upTo-offset, int64(len(block))-start)
		if _, err := io.WriteString(w, block[start:start+n]); err != nil {
			return
		}
		offset += n
		if rate > 0 {
			time.Sleep(time.Duration(n) * time.Second / time.Duration(rate))
		}
	}
}
