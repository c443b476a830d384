package main_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/cookiejar"
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

	"github.com/PuerkitoBio/goquery"
	"github.com/rogpeppe/go-internal/testscript"
)

// bin is where the programs are built that the scripts run: the real ones.
var bin string

func TestMain(m *testing.M) {
	flag.Parse()
	code, err := buildAndRun(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func buildAndRun(m *testing.M) (int, error) {
	dir, err := os.MkdirTemp("", "left4me-bin-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	bin = dir
	for target, packages := range map[string][]string{
		dir:                             {"left4me/localrun", "left4me/shared/steam/steamtest/steamd", "left4me/shared/db/dbtest/libsqld"},
		filepath.Join(dir, "functions"): {"left4me/functions/..."},
	} {
		if err := os.MkdirAll(target, 0o755); err != nil {
			return 0, err
		}
		build := exec.Command("go", append([]string{"build", "-trimpath", "-tags", "lambda.norpc", "-ldflags", "-s -w", "-o", target + "/"}, packages...)...)
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			return 0, fmt.Errorf("build the programs: %w\n%s", err, out)
		}
	}
	return m.Run(), nil
}

// TestScripts runs testdata/script/*.txtar: whole programs, a real database file, real directories, and the stand-in for
// Steam. The commands beyond testscript's own are those of world.
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
			env.Setenv("LEFT4ME_BIN", bin)
			env.Setenv("LEFT4ME_ROOT", filepath.Join(env.WorkDir, "root"))
			env.Setenv("LEFT4ME_LISTEN", "127.0.0.1:0")
			env.Setenv("CACHE", filepath.Join(env.WorkDir, "root", "workshop_cache"))
			env.Setenv("ADDONS", filepath.Join(env.WorkDir, "root", "overlays", "1", "left4dead2", "addons"))
			for i := 0; i+1 < len(extra); i += 2 {
				env.Setenv(extra[i], extra[i+1])
			}
			jar, err := cookiejar.New(nil)
			if err != nil {
				return err
			}
			env.Values[worldKey{}] = &world{
				processes: map[string]*process{},
				browsers:  map[string]browser{},
				header:    http.Header{},
				client:    &http.Client{Jar: jar, Timeout: time.Minute, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
			}
			return nil
		},
		Condition: func(condition string) (bool, error) {
			if condition == "mount" { // may make file systems of its own
				return os.Getuid() == 0 && exec.Command("unshare", "--mount", "true").Run() == nil, nil
			}
			return false, fmt.Errorf("unknown condition %s", condition)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"start":   with((*world).start),
			"end":     with((*world).end),
			"header":  with((*world).setHeader),
			"sign-in": with((*world).signIn),
			"as":      with((*world).as),
			"get":     with((*world).get),
			"post":    with((*world).post),
			"status":  with((*world).wantStatus),
			"leads":   with((*world).wantLocation),
			"says":    with((*world).says),
			"job":     with((*world).job),
			"links":   with((*world).links),
			"log":     with((*world).log),
			"sql":     with((*world).sql),
			"rows":    with((*world).rows),
			"has":     with((*world).has),
			"comes":   with((*world).comes),
			"appears": with((*world).appears),
			"metric":  with((*world).metric),
			"metrics": with((*world).metrics),
			"signal":  with((*world).signal),
			"cleanup": cleanup,
		},
	}
}

type worldKey struct{}

// world is what one script has started and asked.
type world struct {
	processes map[string]*process
	client    *http.Client
	// browsers are those that the script has left; name is that of the one that client is.
	browsers map[string]browser
	name     string
	url      string
	status   int
	location string
	page     *goquery.Document
	body     string
	csrf     string
	// header is sent with every request.
	header http.Header
}

type browser struct {
	jar  http.CookieJar
	csrf string
}

type process struct {
	name   string
	cmd    *exec.Cmd
	output string // a file
	ended  chan struct{}
}

func with(do func(*world, *testscript.TestScript, bool, []string)) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		do(ts.Value(worldKey{}).(*world), ts, neg, args)
	}
}

// patience is how long a test waits for what other processes do. Only one that hangs takes so long.
const patience = 3 * time.Minute

// until asks again and again, for what other processes do, and fails the script when it never becomes true.
func until(ts *testscript.TestScript, what string, done func() bool) {
	for deadline := time.Now().Add(patience); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			ts.Fatalf("waited in vain: %s", what)
		}
	}
}

// start NAME PROGRAM ARGS… starts a program in the background and waits until it is ready: for steamd, which sets the
// environment of what comes after it, until it serves; for localrun, until it serves or looks for jobs.
func (w *world) start(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: start NAME PROGRAM ARGS…")
	}
	name := args[0]
	p := &process{name: name, output: ts.MkAbs(name + ".log"), ended: make(chan struct{})}
	out, err := os.OpenFile(p.output, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o644)
	ts.Check(err)
	defer out.Close()
	p.cmd = exec.Command(filepath.Join(bin, args[1]), args[2:]...)
	p.cmd.Dir = ts.MkAbs(".")
	p.cmd.Stdout, p.cmd.Stderr = out, out
	for _, key := range []string{"PATH", "HOME", "LEFT4ME_ROOT", "LEFT4ME_LISTEN", "DATABASE_URL", "PUBLIC_URL", "STEAM_API_URL", "STEAM_CDN_HOSTS", "DOWNLOAD_PARALLEL", "TRUSTED_PROXIES", "LEFT4ME_METRICS_LISTEN", "LEFT4ME_AGENT_METRICS_LISTEN",
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
	w.processes[name] = p
	ts.Defer(func() { w.kill(p, syscall.SIGKILL) })
	until(ts, name+" is ready", func() bool {
		if p.hasEnded() {
			ts.Fatalf("%s ended: %s", name, p.said(ts))
		}
		return w.ready(ts, p.said(ts))
	})
}

var (
	steamSays = regexp.MustCompile(`(?m)^(STEAM_API_URL|STEAM_CDN_HOSTS)=(.+)$`)
	servesAt  = regexp.MustCompile(`"msg":"serving","address":"([^"]+)"`)
	password  = regexp.MustCompile(`Sign in as admin with the password (\S+)`)
)

func (w *world) ready(ts *testscript.TestScript, said string) bool {
	found := steamSays.FindAllStringSubmatch(said, -1)
	for _, m := range found {
		ts.Setenv(m[1], m[2])
	}
	if m := password.FindStringSubmatch(said); m != nil {
		ts.Setenv("PASSWORD", m[1])
	}
	if m := servesAt.FindStringSubmatch(said); m != nil {
		w.url = "http://" + m[1]
		ts.Setenv("ADDRESS", m[1])
		return true
	}
	return len(found) == 2 || strings.Contains(said, `"msg":"looking for jobs"`) && !strings.Contains(said, "left4me is ready")
}

// kill ends a program and waits until it is gone. Its children, in groups of their own, are not meant.
func (w *world) kill(p *process, s syscall.Signal) bool {
	_ = p.cmd.Process.Signal(s)
	select {
	case <-p.ended:
		return true
	case <-time.After(patience):
		return false
	}
}

// end NAME [KILL] ends a program, with SIGTERM or with SIGKILL. Ended by SIGTERM it must end well.
func (w *world) end(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 || w.processes[args[0]] == nil {
		ts.Fatalf("usage: end NAME [KILL]")
	}
	p, signal := w.processes[args[0]], syscall.SIGTERM
	if len(args) > 1 && args[1] == "KILL" {
		signal = syscall.SIGKILL
	}
	if !w.kill(p, signal) {
		ts.Fatalf("%s does not end", args[0])
	}
	if signal == syscall.SIGTERM && !p.cmd.ProcessState.Success() {
		ts.Fatalf("%s ended with %v:\n%s", args[0], p.cmd.ProcessState, p.said(ts))
	}
}

// sign-in NAME PASSWORD signs in through the form.
func (w *world) signIn(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: [!] sign-in NAME PASSWORD")
	}
	jar, err := cookiejar.New(nil)
	ts.Check(err)
	w.client.Jar = jar
	w.ask(ts, "GET", "/login", nil, false)
	w.ask(ts, "POST", "/login", url.Values{"name": {args[0]}, "password": {args[1]}}, false)
	if (w.status != http.StatusSeeOther) != neg {
		ts.Fatalf("signing in as %s: %d %s", args[0], w.status, w.body)
	}
	if !neg {
		w.ask(ts, "GET", w.location, nil, false)
	}
}

// as NAME goes on with the browser of that name: a new one, or the one that was left, still signed in.
func (w *world) as(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: as NAME")
	}
	w.browsers[w.name] = browser{w.client.Jar, w.csrf}
	w.name = args[0]
	b := w.browsers[w.name]
	if b.jar == nil {
		jar, err := cookiejar.New(nil)
		ts.Check(err)
		b.jar = jar
	}
	w.client.Jar, w.csrf = b.jar, b.csrf
}

// cleanup COMMAND ARGS… is run when the script has ended, however it did.
func cleanup(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: cleanup COMMAND ARGS…")
	}
	ts.Defer(func() { _ = exec.Command(args[0], args[1:]...).Run() })
}

// header NAME VALUE… sends lines of a header with every request from now on, or none any more.
func (w *world) setHeader(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: header NAME VALUE…")
	}
	w.header[http.CanonicalHeaderKey(args[0])] = args[1:]
}

// get [-htmx] PATH asks for a page.
func (w *world) get(ts *testscript.TestScript, neg bool, args []string) {
	htmx, args := isHtmx(args)
	if neg || len(args) != 1 {
		ts.Fatalf("usage: get [-htmx] PATH")
	}
	w.ask(ts, "GET", args[0], nil, htmx)
}

// post [-htmx] PATH NAME=VALUE… sends a form with the token of the last page; @FILE as a value is the file's content.
func (w *world) post(ts *testscript.TestScript, neg bool, args []string) {
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
	w.ask(ts, "POST", args[0], form, htmx)
}

func isHtmx(args []string) (bool, []string) {
	if len(args) > 0 && args[0] == "-htmx" {
		return true, args[1:]
	}
	return false, args
}

func (w *world) ask(ts *testscript.TestScript, method, path string, form url.Values, htmx bool) {
	ts.Check(w.request(method, path, form, htmx))
}

func (w *world) request(method, path string, form url.Values, htmx bool) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var body io.Reader
	if form != nil {
		if !form.Has("csrf_token") {
			form.Set("csrf_token", w.csrf)
		}
		body = strings.NewReader(form.Encode())
	}
	r, err := http.NewRequestWithContext(ctx, method, w.url, body)
	if err != nil {
		return err
	}
	r.URL.Opaque = path // as it is, even when it is not well-formed
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	maps.Copy(r.Header, w.header)
	if htmx {
		r.Header.Set("HX-Request", "true")
	}
	resp, err := w.client.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	content, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	w.status, w.location, w.body = resp.StatusCode, resp.Header.Get("Location"), string(content)
	if w.page, err = goquery.NewDocumentFromReader(bytes.NewReader(content)); err != nil {
		return err
	}
	if token := w.page.Find("input[name=csrf_token]").AttrOr("value", ""); token != "" {
		w.csrf = token
	}
	return nil
}

// status CODE checks the last answer.
func (w *world) wantStatus(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: status CODE")
	}
	if strconv.Itoa(w.status) != args[0] {
		ts.Fatalf("status %d, want %s: %s", w.status, args[0], w.text("body"))
	}
}

// leads PATH checks where the last answer redirects to, and goes there.
func (w *world) wantLocation(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: leads PATH")
	}
	if w.location != args[0] {
		ts.Fatalf("status %d leads to %q, want %q: %s", w.status, w.location, args[0], w.text("body"))
	}
	w.ask(ts, "GET", w.location, nil, false)
}

// text is what a person reads of a part of the page.
func (w *world) text(selector string) string {
	return strings.Join(strings.Fields(w.page.Find(selector).Text()), " ")
}

// says [-in SELECTOR] PATTERN checks what a person reads of the last answer. A group (?P<NAME>…) of the pattern sets $NAME.
func (w *world) says(ts *testscript.TestScript, neg bool, args []string) {
	selector := "body"
	if len(args) == 3 && args[0] == "-in" {
		selector, args = args[1], args[2:]
	}
	if len(args) != 1 {
		ts.Fatalf("usage: [!] says [-in SELECTOR] PATTERN")
	}
	pattern, err := regexp.Compile(args[0])
	ts.Check(err)
	said := w.text(selector)
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
func (w *world) job(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: job ID STATE")
	}
	want := regexp.MustCompile("^(" + args[1] + ")$")
	state := ""
	until(ts, "job "+args[0]+" is "+args[1], func() bool {
		// A gateway that is being restarted does not answer.
		if err := w.request("GET", "/jobs/"+args[0], nil, false); err != nil {
			if errors.Is(err, syscall.ECONNREFUSED) {
				return false
			}
			ts.Check(err)
		}
		if w.status != http.StatusOK {
			ts.Fatalf("job %s: status %d: %s", args[0], w.status, w.text("body"))
		}
		state = w.text("#job-state .state")
		if ended := state == "succeeded" || state == "failed" || state == "cancelled"; ended && !want.MatchString(state) {
			ts.Fatalf("job %s is %s, want %s: %s", args[0], state, args[1], w.text("main"))
		}
		return want.MatchString(state)
	})
}

// links ID… checks that the add-ons folder of overlay 1 holds links for exactly these items, each absolute into the cache
// and to a whole file, and nothing else.
func (w *world) links(ts *testscript.TestScript, neg bool, args []string) {
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
func (w *world) log(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 || w.processes[args[0]] == nil {
		ts.Fatalf("usage: [!] log NAME PATTERN")
	}
	p := w.processes[args[0]]
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
