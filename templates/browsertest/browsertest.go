// Package browsertest drives a headless Chromium for tests: it opens pages in both colour schemes and at any width, runs
// axe-core over them, collects what the browser complains about, and takes screenshots.
//
// It knows no page of left4me. Where no Chromium is there, tests that start it are skipped, and fail if the
// environment says CI=true.
package browsertest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// stuck is how long a browser may take to start, and how long a tab may be in use. It only ends a test whose browser hangs.
const stuck = 5 * time.Minute

// Browser is one running Chromium with a profile of its own.
type Browser struct {
	ctx context.Context
	axe string
}

// Scheme is what the visitor's system prefers.
type Scheme string

// The schemes.
const (
	Light Scheme = "light"
	Dark  Scheme = "dark"
)

// Start starts a Chromium that can reach nothing but loopback; it ends with the test. Without Chromium, or without
// axe-core in templates/assets/node_modules, the test is skipped, or fails if CI=true.
func Start(t testing.TB) *Browser {
	t.Helper()
	program, err := findChromium()
	if err != nil {
		missing(t, err.Error())
	}
	axe, err := readAxe()
	if errors.Is(err, fs.ErrNotExist) {
		missing(t, "axe-core is not installed: run `npm ci` in templates/assets")
	} else if err != nil {
		t.Fatalf("browsertest: %v", err)
	}

	options := []chromedp.ExecAllocatorOption{
		chromedp.ExecPath(program),
		chromedp.UserDataDir(t.TempDir()),
		chromedp.Headless,
		chromedp.NoSandbox,
		chromedp.NoFirstRun,
		chromedp.NoDefaultBrowserCheck,
		chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-sync", true),
		chromedp.Flag("hide-scrollbars", true),
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost"),
		chromedp.WSURLReadTimeout(stuck),
	}
	alloc, stop := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(stop)
	ctx, quit := chromedp.NewContext(alloc)
	t.Cleanup(quit)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("browsertest: start %s: %v", program, err)
	}
	return &Browser{ctx: ctx, axe: axe}
}

func missing(t testing.TB, why string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("BROWSER TESTS CANNOT RUN: %s", why)
	}
	t.Skip(why)
}

func findChromium() (string, error) {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "/usr/bin/chromium"} {
		if program, err := exec.LookPath(name); err == nil {
			return program, nil
		}
	}
	return "", errors.New("no Chromium is installed")
}

// readAxe finds axe-core from wherever in the module the test runs.
func readAxe() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			content, err := os.ReadFile(filepath.Join(dir, "templates", "assets", "node_modules", "axe-core", "axe.min.js"))
			return string(content), err
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", errors.New("no go.mod above the test")
		}
		dir = up
	}
}

// Page is one tab.
type Page struct {
	// Ctx is for chromedp's own actions.
	Ctx context.Context

	t   testing.TB
	axe string

	width, height int64

	mu         sync.Mutex
	complaints []string
}

// Page opens an empty tab that is closed with the test.
func (b *Browser) Page(t testing.TB) *Page {
	t.Helper()
	tab, closeTab := chromedp.NewContext(b.ctx)
	t.Cleanup(closeTab)
	// The tab is opened before its time limit is set: else the limit would be the tab's life.
	if err := chromedp.Do(tab); err != nil {
		t.Fatalf("browser: new tab: %v", err)
	}
	ctx, cancel := context.WithTimeout(tab, stuck)
	t.Cleanup(cancel)
	p := &Page{Ctx: ctx, t: t, axe: b.axe}
	if err := chromedp.Listen(ctx, p.hear); err != nil {
		t.Fatalf("browser: listen: %v", err)
	}
	if _, err := chromedp.Call(ctx, cdplog.Enable, cdp.Empty{}); err != nil {
		t.Fatalf("browser: log: %v", err)
	}
	return p
}

func (p *Page) hear(event any) {
	switch e := event.(type) {
	case *cdplog.EventEntryAdded:
		p.complain(fmt.Sprintf("%s %s: %s %s", e.Entry.Source, e.Entry.Level, e.Entry.Text, e.Entry.URL))
	case *runtime.EventConsoleAPICalled:
		var args []string
		for _, a := range e.Args {
			args = append(args, string(a.Value))
		}
		p.complain(fmt.Sprintf("console.%s: %s", e.Type, strings.Join(args, " ")))
	case *runtime.EventExceptionThrown:
		p.complain("exception: " + e.ExceptionDetails.Text)
	}
}

func (p *Page) complain(what string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.complaints = append(p.complaints, what)
}

// Complaints returns what the browser has written to its console since the last call: errors of scripts, broken loads,
// violations of the security policy. A page that is well has none.
func (p *Page) Complaints() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.complaints
	p.complaints = nil
	return c
}

// Do runs chromedp actions and ends the test if one fails.
func (p *Page) Do(actions ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	if err := chromedp.Do(p.Ctx, actions...); err != nil {
		p.t.Fatalf("browser: %v", err)
	}
}

// Get runs a chromedp action, returns its value, and ends the test if it fails.
func Get[T any](p *Page, action chromedp.Action[T]) T {
	p.t.Helper()
	value, err := chromedp.Run(p.Ctx, action)
	if err != nil {
		p.t.Fatalf("browser: %v", err)
	}
	return value
}

// Eval returns the value of a JavaScript expression, waiting for it if it is a promise. The page's security policy does
// not bind it.
func Eval[T any](p *Page, expression string) T {
	p.t.Helper()
	return Get(p, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
}

// Look sets the window's size in CSS pixels and the colour scheme.
func (p *Page) Look(width, height int64, scheme Scheme) {
	p.t.Helper()
	p.width, p.height = width, height
	p.resize(width, height)
	p.Emulate("", map[string]string{"prefers-color-scheme": string(scheme)})
}

// Emulate makes media queries see that medium, such as print (empty: the window), and those features.
func (p *Page) Emulate(medium string, features map[string]string) {
	p.t.Helper()
	params := emulation.SetEmulatedMediaParams{Media: medium}
	for name, value := range features {
		params.Features = append(params.Features, &emulation.MediaFeature{Name: name, Value: value})
	}
	if _, err := chromedp.Call(p.Ctx, emulation.SetEmulatedMedia, params); err != nil {
		p.t.Fatalf("browser: media: %v", err)
	}
}

func (p *Page) resize(width, height int64) {
	p.t.Helper()
	_, err := chromedp.Call(p.Ctx, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{
		Width: width, Height: height, DeviceScaleFactor: 1,
	})
	if err != nil {
		p.t.Fatalf("browser: window size: %v", err)
	}
}

// Open goes to a URL and waits until it has loaded.
func (p *Page) Open(url string) {
	p.t.Helper()
	p.Do(chromedp.Navigate(url))
}

// Loads evaluates a JavaScript expression that makes the browser load a page, and waits until that has loaded.
func (p *Page) Loads(expression string) {
	p.t.Helper()
	loaded := make(chan struct{}, 1)
	ctx, stop := context.WithCancel(p.Ctx)
	defer stop()
	if err := chromedp.Listen(ctx, func(event any) {
		if _, ok := event.(*page.EventLoadEventFired); ok {
			select {
			case loaded <- struct{}{}:
			default:
			}
		}
	}); err != nil {
		p.t.Fatalf("browser: listen: %v", err)
	}
	Eval[chromedp.Void](p, expression)
	select {
	case <-loaded:
	case <-ctx.Done():
		p.t.Fatalf("browser: %s loads no page: %v", expression, ctx.Err())
	}
}

// WaitFor waits until a JavaScript expression is true, looking once a frame. The page must not navigate meanwhile.
func (p *Page) WaitFor(expression string) {
	p.t.Helper()
	Get(p, chromedp.Poll[chromedp.Void](expression, chromedp.WithPollingTimeout(stuck)))
}

// ScrollsSideways reports whether the page is wider than the window.
func (p *Page) ScrollsSideways() bool {
	p.t.Helper()
	return Eval[bool](p, `document.documentElement.scrollWidth > document.documentElement.clientWidth`)
}

// Audit runs axe-core and returns a line for each finding; an accessible page has none. It runs the rules of those names,
// or all of them.
func (p *Page) Audit(rules ...string) []string {
	p.t.Helper()
	options := map[string]any{"resultTypes": []string{"violations"}}
	if len(rules) > 0 {
		options["runOnly"] = rules
	}
	given, err := json.Marshal(options)
	if err != nil {
		p.t.Fatalf("browser: axe-core's options: %v", err)
	}
	if !Eval[bool](p, `"axe" in window`) {
		Eval[chromedp.Void](p, p.axe)
	}
	raw := Eval[string](p, fmt.Sprintf(`axe.run(document, %s).then(r => JSON.stringify(r.violations))`, given))
	var violations []struct {
		ID, Help string
		Nodes    []struct{ HTML, FailureSummary string }
	}
	if err := json.Unmarshal([]byte(raw), &violations); err != nil {
		p.t.Fatalf("browser: axe-core's answer: %v", err)
	}
	var found []string
	for _, v := range violations {
		for _, n := range v.Nodes {
			found = append(found, fmt.Sprintf("%s (%s): %s: %s", v.ID, v.Help, n.HTML, n.FailureSummary))
		}
	}
	return found
}

// Screenshot writes the whole page as a PNG file. The window grows to the page's height for it, since a browser does not
// draw what it believes to be out of sight.
func (p *Page) Screenshot(file string) {
	p.t.Helper()
	p.resize(p.width, max(p.height, Eval[int64](p, `document.documentElement.scrollHeight`)))
	defer p.resize(p.width, p.height)
	if err := os.WriteFile(file, Get(p, chromedp.FullScreenshot(100)), 0o644); err != nil {
		p.t.Fatalf("browser: %v", err)
	}
}
