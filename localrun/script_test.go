package main_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	game "left4me/shared/game/launch"
	"left4me/templates/webtest"
)

// bin is where the programs are built that the scripts run: the real ones.
var bin string

func TestMain(m *testing.M) {
	if os.Getenv(stepsEnv) != "" {
		fmt.Fprintln(os.Stderr, runWithSteps(os.Args[1:]))
		os.Exit(1)
	}
	flag.Parse()
	code, err := buildAndRun(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func buildAndRun(m *testing.M) (int, error) {
	// They stay there, because Go only links those again that have changed.
	dir, err := filepath.Abs("../bin/test")
	if err != nil {
		return 0, err
	}
	bin = dir
	for target, packages := range map[string][]string{
		dir:                             {"left4me/localrun", "left4me/shared/steam/steamtest/steamd", "left4me/shared/game/gametest/steamcmd", "left4me/shared/game/gametest/srcds", "left4me/shared/db/dbtest/libsqld"},
		filepath.Join(dir, "functions"): {"left4me/functions/..."},
	} {
		if err := os.MkdirAll(target, 0o755); err != nil {
			return 0, err
		}
		build := exec.Command("go", append([]string{"build", "-trimpath", "-buildvcs=false", "-tags", "lambda.norpc", "-ldflags", "-s -w", "-o", target + "/"}, packages...)...)
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			return 0, fmt.Errorf("build the programs: %w\n%s", err, out)
		}
	}
	return m.Run(), nil
}

// TestScripts runs testdata/script/*.txtar: whole programs, a real database file, real directories, and the stand-in for
// Steam. The commands beyond testscript's own are those of script.
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, scripts("testdata/script"))
}

// scripts are the scripts of a directory, with the environment that they start with and the pairs of env in addition.
func scripts(dir string, extra ...string) testscript.Params {
	return testscript.Params{
		Dir:                 dir,
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("PATH", bin+string(os.PathListSeparator)+os.Getenv("PATH"))
			env.Setenv("PROGRAMS", bin)
			env.Setenv("LEFT4ME_ROOT", filepath.Join(env.WorkDir, "root"))
			env.Setenv("LEFT4ME_LISTEN", "127.0.0.1:0")
			env.Setenv("DOWNLOAD_MIN_RATE", "0") // a script may hold a download for long
			env.Setenv("CACHE", filepath.Join(env.WorkDir, "root", "workshop_cache"))
			env.Setenv("ADDONS", filepath.Join(env.WorkDir, "root", "overlays", "1", "left4dead2", "addons"))
			for i := 0; i+1 < len(extra); i += 2 {
				env.Setenv(extra[i], extra[i+1])
			}
			s := &script{processes: map[string]*process{}, visitors: map[string]*webtest.Visitor{}, transport: http.DefaultTransport, header: http.Header{}}
			s.become("")
			env.Values[scriptKey{}] = s
			env.Setenv("SERVER_SUPERVISOR", "none")
			return nil
		},
		Condition: func(condition string) (bool, error) {
			switch condition {
			case "mount": // may make file systems of its own
				return os.Getuid() == 0 && exec.Command("unshare", "--mount", "true").Run() == nil, nil
			case "loop": // and may mount those in files
				return exec.Command("losetup", "--find").Run() == nil && exec.Command("mkfs.ext4", "-V").Run() == nil, nil
			}
			return false, fmt.Errorf("unknown condition %s", condition)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"start":    with((*script).start),
			"end":      with((*script).end),
			"header":   with((*script).setHeader),
			"sign-in":  with((*script).signIn),
			"as":       with((*script).as),
			"at":       with((*script).at),
			"get":      with((*script).get),
			"post":     with((*script).post),
			"status":   with((*script).wantStatus),
			"leads":    with((*script).wantLocation),
			"says":     with((*script).says),
			"job":      with((*script).job),
			"links":    with((*script).links),
			"log":      with((*script).log),
			"sql":      with((*script).sql),
			"rows":     with((*script).rows),
			"has":      with((*script).has),
			"comes":    with((*script).comes),
			"appears":  with((*script).appears),
			"metric":   with((*script).metric),
			"metrics":  with((*script).metrics),
			"signal":   with((*script).signal),
			"receiver": with((*script).receive),
			"received": with((*script).received),
			"cleanup":  cleanup,
		},
	}
}

// endGames kills the processes that keep the games of servers below root, which outlive a localrun that was killed.
func endGames(root string) {
	kept, _ := filepath.Glob(filepath.Join(root, "servers", "*", game.KeptFile))
	for _, file := range kept {
		var process game.Kept
		text, err := os.ReadFile(file)
		if err != nil || json.Unmarshal(text, &process) != nil {
			continue
		}
		if line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", process.PID)); err == nil && strings.Contains(string(line), game.KeepCommand) {
			_ = syscall.Kill(process.PID, syscall.SIGKILL)
		}
	}
}

type scriptKey struct{}

// script is what one script has started and asked.
type script struct {
	processes map[string]*process
	transport http.RoundTripper
	url       string
	// visitors have a browser each; visitor is the one that asks now.
	visitors map[string]*webtest.Visitor
	visitor  *webtest.Visitor
	header   http.Header // sent with every request
	answer   webtest.Answer
	receiver *receiver // nil before the first
}

type process struct {
	name   string
	cmd    *exec.Cmd
	output string // a file
	ended  chan struct{}
}

func with(do func(*script, *testscript.TestScript, bool, []string)) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		do(ts.Value(scriptKey{}).(*script), ts, neg, args)
	}
}

// patience is how long a test waits for what other processes do. Only one that hangs takes so long.
const patience = 3 * time.Minute

// until asks again and again, for what other processes do, and fails the script when it never becomes true.
func until(ts *testscript.TestScript, what string, done func() bool) {
	for deadline := time.Now().Add(patience); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			ts.Fatalf("it never happened: %s", what)
		}
	}
}

// start [-only] NAME PROGRAM ARGS… starts a program in the background and, unless -only, waits until it is ready: for steamd, which
// sets the environment of what comes after it, until it serves; for localrun, until it serves or looks for jobs.
func (s *script) start(ts *testscript.TestScript, neg bool, args []string) {
	only := len(args) > 0 && args[0] == "-only"
	if only {
		args = args[1:]
	}
	if neg || len(args) < 2 {
		ts.Fatalf("usage: start [-only] NAME PROGRAM ARGS…")
	}
	name := args[0]
	p := &process{name: name, output: ts.MkAbs(name + ".log"), ended: make(chan struct{})}
	out, err := os.OpenFile(p.output, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o644)
	ts.Check(err)
	defer out.Close()
	p.cmd = exec.Command(filepath.Join(ts.Getenv("PROGRAMS"), args[1]), args[2:]...)
	p.cmd.Dir = ts.MkAbs(".")
	p.cmd.Stdout, p.cmd.Stderr = out, out
	for _, key := range []string{"PATH", "HOME", "LEFT4ME_ROOT", "LEFT4ME_LISTEN", "LEFT4ME_HOST", "LEFT4ME_ADDRESS", "SERVER_SUPERVISOR", "DATABASE_URL", "PUBLIC_URL", "STEAM_API_URL", "STEAM_CDN_HOSTS", "STEAMCMD_URL", "STEAM_USER", "GAME_UPDATE", "DOWNLOAD_PARALLEL", "DOWNLOAD_MIN_RATE", "MAX_OVERLAYS", "MAX_OVERLAY_ITEMS", "MAX_ITEMS", "ACTIONS_PER_MINUTE", "TRUSTED_PROXIES", "LEFT4ME_METRICS_LISTEN", "LEFT4ME_AGENT_METRICS_LISTEN",
		"JOB_QUEUE_URL", "AWS_ENDPOINT_URL_SQS", "AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"} {
		if value := ts.Getenv(key); value != "" {
			p.cmd.Env = append(p.cmd.Env, key+"="+value)
		}
	}
	ts.Check(p.cmd.Start())
	go func() {
		_ = p.cmd.Wait()
		close(p.ended)
	}()
	s.processes[name] = p
	root := ts.MkAbs(ts.Getenv("LEFT4ME_ROOT"))
	ts.Defer(func() { endGames(root) })
	ts.Defer(func() { p.kill(syscall.SIGKILL) })
	if only {
		return
	}
	until(ts, name+" is ready", func() bool {
		if p.hasEnded() {
			ts.Fatalf("%s ended: %s", name, p.said(ts))
		}
		return s.ready(ts, p.said(ts))
	})
}

var (
	steamSays = regexp.MustCompile(`(?m)^(STEAM_API_URL|STEAM_CDN_HOSTS|STEAMCMD_URL)=(.+)$`)
	servesAt  = regexp.MustCompile(`"msg":"serving","address":"([^"]+)"`)
	password  = regexp.MustCompile(`Sign in as admin with the password (\S+)`)
)

func (s *script) ready(ts *testscript.TestScript, said string) bool {
	found := steamSays.FindAllStringSubmatch(said, -1)
	for _, m := range found {
		ts.Setenv(m[1], m[2])
	}
	if m := password.FindStringSubmatch(said); m != nil {
		ts.Setenv("PASSWORD", m[1])
	}
	if m := servesAt.FindStringSubmatch(said); m != nil {
		s.url = "http://" + m[1]
		ts.Setenv("ADDRESS", m[1])
		ts.Setenv("PORT", m[1][strings.LastIndexByte(m[1], ':')+1:])
		return true
	}
	return len(found) == 3 || strings.Contains(said, `"msg":"looking for jobs"`) && !strings.Contains(said, "left4me is ready")
}

// kill ends a program and waits until it is gone. Its children, in groups of their own, are not meant.
func (p *process) kill(signal syscall.Signal) bool {
	_ = p.cmd.Process.Signal(signal)
	select {
	case <-p.ended:
		return true
	case <-time.After(patience):
		return false
	}
}

// end NAME [KILL] ends a program, with SIGTERM or with SIGKILL. Ended by SIGTERM it must end well.
func (s *script) end(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 || s.processes[args[0]] == nil {
		ts.Fatalf("usage: end NAME [KILL]")
	}
	p, signal := s.processes[args[0]], syscall.SIGTERM
	if len(args) > 1 && args[1] == "KILL" {
		signal = syscall.SIGKILL
	}
	if !p.kill(signal) {
		ts.Fatalf("%s does not end", args[0])
	}
	if signal == syscall.SIGTERM && !p.cmd.ProcessState.Success() {
		ts.Fatalf("%s ended with %v:\n%s", args[0], p.cmd.ProcessState, p.said(ts))
	}
}

// sign-in NAME PASSWORD signs in through the form.
func (s *script) signIn(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: [!] sign-in NAME PASSWORD")
	}
	var err error
	s.visitor.GoTo(s.url)
	s.answer, err = s.visitor.SignIn(args[0], args[1], "")
	ts.Check(err)
	if (s.answer.StatusCode != http.StatusSeeOther) != neg {
		ts.Fatalf("signing in as %s: %d %s", args[0], s.answer.StatusCode, s.answer.Body)
	}
	if !neg {
		s.ask(ts, "GET", s.answer.Location(), nil, false)
	}
}

// as NAME goes on with the browser of that name: a new one, or the one that was left, still signed in.
func (s *script) as(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: as NAME")
	}
	s.become(args[0])
}

// become lets the visitor of that name ask from now on.
func (s *script) become(name string) {
	if s.visitors[name] == nil {
		s.visitors[name] = webtest.New(nil, s.transport, s.url)
		s.visitors[name].Header = s.header
	}
	s.visitor = s.visitors[name]
}

// at URL lets the visitor open left4me there from now on.
func (s *script) at(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: at URL")
	}
	s.url = args[0]
}

// cleanup COMMAND ARGS… is run when the script has ended, however it did.
func cleanup(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: cleanup COMMAND ARGS…")
	}
	ts.Defer(func() { _ = exec.Command(args[0], args[1:]...).Run() })
}

// header NAME VALUE… sends lines of a header with every request from now on, or none any more.
func (s *script) setHeader(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: header NAME VALUE…")
	}
	s.header[http.CanonicalHeaderKey(args[0])] = args[1:]
}

// get [-htmx] PATH asks for a page.
func (s *script) get(ts *testscript.TestScript, neg bool, args []string) {
	htmx, args := isHtmx(args)
	if neg || len(args) != 1 {
		ts.Fatalf("usage: get [-htmx] PATH")
	}
	s.ask(ts, "GET", args[0], nil, htmx)
}

// post [-htmx] PATH NAME=VALUE… sends a form with the token of the last page; @FILE as a value is the file's content.
func (s *script) post(ts *testscript.TestScript, neg bool, args []string) {
	htmx, args := isHtmx(args)
	if neg || len(args) < 1 {
		ts.Fatalf("usage: post [-htmx] PATH NAME=VALUE…")
	}
	form := url.Values{}
	for _, arg := range args[1:] {
		name, value, _ := strings.Cut(arg, "=")
		if file, ok := strings.CutPrefix(value, "@"); ok {
			value = ts.ReadFile(file)
		}
		form.Add(name, value)
	}
	s.ask(ts, "POST", args[0], form, htmx)
}

func isHtmx(args []string) (bool, []string) {
	if len(args) > 0 && args[0] == "-htmx" {
		return true, args[1:]
	}
	return false, args
}

func (s *script) ask(ts *testscript.TestScript, method, path string, form url.Values, htmx bool) {
	ts.Check(s.request(method, path, form, htmx))
}

func (s *script) request(method, path string, form url.Values, htmx bool) (err error) {
	s.visitor.GoTo(s.url)
	if form != nil && !form.Has("csrf_token") {
		form.Set("csrf_token", s.visitor.Token())
	}
	header := http.Header{}
	if htmx {
		header.Set("HX-Request", "true")
	}
	s.answer, err = s.visitor.Ask(method, path, form, header)
	return err
}

// status CODE checks the last answer.
func (s *script) wantStatus(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: status CODE")
	}
	if strconv.Itoa(s.answer.StatusCode) != args[0] {
		ts.Fatalf("status %d, want %s: %s", s.answer.StatusCode, args[0], s.answer.Text("body"))
	}
}

// leads PATH checks where the last answer redirects to, and goes there.
func (s *script) wantLocation(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: leads PATH")
	}
	if s.answer.Location() != args[0] {
		ts.Fatalf("status %d leads to %q, want %q: %s", s.answer.StatusCode, s.answer.Location(), args[0], s.answer.Text("body"))
	}
	s.ask(ts, "GET", s.answer.Location(), nil, false)
}

// says [-in SELECTOR] PATTERN checks what a person reads of the last answer. A group (?P<NAME>…) of the pattern sets $NAME.
func (s *script) says(ts *testscript.TestScript, neg bool, args []string) {
	selector := "body"
	if len(args) == 3 && args[0] == "-in" {
		selector, args = args[1], args[2:]
	}
	if len(args) != 1 {
		ts.Fatalf("usage: [!] says [-in SELECTOR] PATTERN")
	}
	pattern, err := regexp.Compile(args[0])
	ts.Check(err)
	said := s.answer.Text(selector)
	found := pattern.FindStringSubmatch(said)
	if (found != nil) == neg {
		ts.Fatalf("the page says: %s", said)
	}
	for i, name := range pattern.SubexpNames() {
		if name != "" && !neg {
			ts.Setenv(name, found[i])
		}
	}
}

// job ID STATE waits until a job is in a state, by its page, which it leaves as the last answer. STATE is a pattern.
func (s *script) job(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: job ID STATE")
	}
	want := regexp.MustCompile("^(" + args[1] + ")$")
	state := ""
	until(ts, "job "+args[0]+" is "+args[1], func() bool {
		// A gateway that is being restarted does not answer.
		if err := s.request("GET", "/jobs/"+args[0], nil, false); err != nil {
			if errors.Is(err, syscall.ECONNREFUSED) {
				return false
			}
			ts.Check(err)
		}
		if s.answer.StatusCode != http.StatusOK {
			ts.Fatalf("job %s: status %d: %s", args[0], s.answer.StatusCode, s.answer.Text("body"))
		}
		state = s.answer.Text("#job-state .state")
		if ended := state == "succeeded" || state == "failed" || state == "cancelled"; ended && !want.MatchString(state) {
			ts.Fatalf("job %s is %s, want %s: %s", args[0], state, args[1], s.answer.Text("main"))
		}
		return want.MatchString(state)
	})
}

// links ID… checks that the add-ons folder of overlay 1 holds links for exactly these items, each absolute into the cache
// and to a whole file, and nothing else.
func (s *script) links(ts *testscript.TestScript, neg bool, args []string) {
	if neg {
		ts.Fatalf("usage: links ID…")
	}
	entries, err := os.ReadDir(ts.Getenv("ADDONS"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		ts.Fatalf("%v", err)
	}
	found := map[string]bool{}
	for _, e := range entries {
		found[e.Name()] = true
	}
	for _, id := range args {
		name := id + ".vpk"
		target, err := os.Readlink(filepath.Join(ts.Getenv("ADDONS"), name))
		ts.Check(err)
		if want := filepath.Join(ts.Getenv("CACHE"), name); target != want {
			ts.Fatalf("%s leads to %s, want %s", name, target, want)
		}
		content, err := os.ReadFile(ts.Getenv("MACHINE") + target)
		ts.Check(err)
		if !bytes.HasPrefix(content, []byte{0x34, 0x12, 0xaa, 0x55}) {
			ts.Fatalf("%s is no VPK file", name)
		}
		delete(found, name)
	}
	for name := range found {
		ts.Fatalf("%s is in the folder", name)
	}
}

// log NAME PATTERN waits until a program has logged that; with ! it must not have done so yet, which says something only
// after an event that it would have come before. Each line of localrun's must be a JSON object or part of its welcome.
func (s *script) log(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 || s.processes[args[0]] == nil {
		ts.Fatalf("usage: [!] log NAME PATTERN")
	}
	p := s.processes[args[0]]
	if pattern := regexp.MustCompile(args[1]); !neg {
		p.wait(ts, pattern)
	} else if said := p.said(ts); pattern.MatchString(said) {
		ts.Fatalf("%s has logged:\n%s", p.name, said)
	}
	for line := range strings.Lines(p.said(ts)) {
		if whole := strings.HasSuffix(line, "\n"); whole && strings.HasPrefix(line, "{") && !json.Valid([]byte(line)) {
			ts.Fatalf("not JSON: %s", line)
		}
	}
}

// said is what the program has printed so far.
func (p *process) said(ts *testscript.TestScript) string {
	text, err := os.ReadFile(p.output)
	ts.Check(err)
	return string(text)
}

// wait returns the first match of pattern in what the program prints, as soon as it is there.
func (p *process) wait(ts *testscript.TestScript, pattern *regexp.Regexp) (found []string) {
	until(ts, fmt.Sprintf("%s prints %s", p.name, pattern), func() bool {
		ended := p.hasEnded()
		found = pattern.FindStringSubmatch(p.said(ts))
		if ended && found == nil {
			ts.Fatalf("%s has ended and printed:\n%s", p.name, p.said(ts))
		}
		return found != nil
	})
	return found
}

func (p *process) hasEnded() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}
