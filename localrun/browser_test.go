package main_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"left4me/templates/browsertest"
)

// browserCatalog has an item whose bar moves as the test lets it, one that is there at once, and one that nobody waits for.
const browserCatalog = `
item 101 title="Dark Harbour" size=6MiB
item 102 title="Old Mill" size=300KiB version=2
item 103 title="Long Road" size=6MiB
content hold=1MiB
`

const (
	linkTo101 = "https://steamcommunity.com/sharedfiles/filedetails/?id=101"
	linkTo102 = "https://steamcommunity.com/sharedfiles/filedetails/?id=102"
)

// system is all of left4me and the stand-in for Steam, as processes of their own.
type system struct {
	t                   *testing.T
	root, url, password string
	env                 []string // of localrun
	output              string   // of localrun, a file
	steam               string   // the address of the stand-in
}

// startSteam starts the stand-in alone, with that catalog.
func startSteam(t *testing.T, catalog string) *system {
	t.Helper()
	dir := t.TempDir()
	s := &system{t: t, root: filepath.Join(dir, "root"), output: filepath.Join(dir, "localrun.log")}
	file := filepath.Join(dir, "catalog")
	if err := os.WriteFile(file, []byte(catalog), 0o644); err != nil {
		t.Fatal(err)
	}
	s.env = []string{"PATH=" + os.Getenv("PATH"), "LEFT4ME_ROOT=" + s.root, "LEFT4ME_LISTEN=127.0.0.1:0", "DOWNLOAD_MIN_RATE=0", "LEFT4ME_EXAMPLES=" + linkTo101 + "\n" + linkTo102}
	for _, m := range s.start(filepath.Join(dir, "steamd.log"), s.env, steamSays, 3, "steamd", "--catalog", file) {
		s.env = append(s.env, m[1]+"="+m[2])
		if m[1] == "STEAM_API_URL" {
			s.steam = m[2]
		}
	}
	return s
}

// serve starts localrun with a command that serves pages.
func (s *system) serve(command string) {
	s.t.Helper()
	s.url = "http://" + s.start(s.output, s.env, servesAt, 1, "localrun", command)[0][1]
}

// startSystem starts both, localrun with the pairs of extra in its environment.
func startSystem(t *testing.T, extra ...string) *system {
	t.Helper()
	s := startSteam(t, browserCatalog)
	s.env = append(s.env, extra...)
	s.serve("up")
	m := password.FindStringSubmatch(s.said())
	if m == nil {
		t.Fatalf("localrun did not say a password: %s", s.said())
	}
	s.password = m[1]
	return s
}

// said is what localrun has printed.
func (s *system) said() string {
	s.t.Helper()
	text, err := os.ReadFile(s.output)
	if err != nil {
		s.t.Fatal(err)
	}
	return string(text)
}

// start starts a program, of ours unless its path is absolute, that ends with the test, and returns what a pattern finds in its output once it has been found
// often enough.
func (s *system) start(output string, env []string, ready *regexp.Regexp, times int, program string, args ...string) [][]string {
	s.t.Helper()
	out, err := os.Create(output)
	if err != nil {
		s.t.Fatal(err)
	}
	defer out.Close()
	path := program
	if !filepath.IsAbs(path) {
		path = filepath.Join(bin, program)
	}
	cmd := exec.Command(path, args...)
	cmd.Env, cmd.Stdout, cmd.Stderr = env, out, out
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	var result error
	ended := make(chan struct{})
	go func() {
		result = cmd.Wait()
		close(ended)
	}()
	s.t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
			if result != nil {
				s.t.Errorf("%s: %v", program, result)
			}
		case <-time.After(patience):
			_ = cmd.Process.Kill()
			s.t.Errorf("%s does not end", program)
		}
		if said, err := os.ReadFile(output); err == nil && s.t.Failed() {
			s.t.Logf("%s said:\n%s", program, said)
		}
	})
	var found [][]string
	s.eventually(program+" is ready", func() bool {
		select {
		case <-ended:
			s.t.Fatalf("%s ended", program)
		default:
		}
		said, err := os.ReadFile(output)
		if err != nil {
			s.t.Fatal(err)
		}
		found = ready.FindAllStringSubmatch(string(said), -1)
		return len(found) == times
	})
	return found
}

// eventually asks again and again, for what other processes do.
func (s *system) eventually(what string, done func() bool) {
	s.t.Helper()
	for deadline := time.Now().Add(patience); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.t.Fatalf("it never happened: %s", what)
		}
	}
}

// tell changes what the stand-in for Steam does.
func (s *system) tell(command string) {
	s.t.Helper()
	resp, err := http.Post(s.steam+"/control", "text/plain", strings.NewReader(command))
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		s.t.Fatalf("%s: %s", command, resp.Status)
	}
}

// asked returns how often a page was asked for, according to the access log.
func (s *system) asked(path string) (n int) {
	s.t.Helper()
	for line := range strings.Lines(s.said()) {
		var l struct{ Msg, Method, Path string }
		// The welcome is no JSON.
		if json.Unmarshal([]byte(line), &l) == nil && l.Msg == "request" && l.Method == "GET" && l.Path == path {
			n++
		}
	}
	return n
}

// links checks that overlay 1 holds links to whole files for exactly these items.
func (s *system) links(ids ...string) bool {
	s.t.Helper()
	var found []string
	addons := filepath.Join(s.root, "overlays", "1", "left4dead2", "addons")
	entries, err := os.ReadDir(addons)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, e := range entries {
		content, err := os.ReadFile(filepath.Join(addons, e.Name()))
		if err != nil {
			s.t.Fatal(err)
		}
		if e.Type() != os.ModeSymlink || !bytes.HasPrefix(content, []byte{0x34, 0x12, 0xaa, 0x55}) {
			s.t.Errorf("%s is no link to a VPK file", e.Name())
		}
		found = append(found, strings.TrimSuffix(e.Name(), ".vpk"))
	}
	return slices.Equal(found, ids)
}

// leftovers are the files in the cache that are not whole.
func (s *system) leftovers() []string {
	s.t.Helper()
	found, err := filepath.Glob(filepath.Join(s.root, "workshop_cache", "*.partial*"))
	if err != nil {
		s.t.Fatal(err)
	}
	return found
}

// tab is a person before a page of a system.
type tab struct {
	*browsertest.Page
	t *testing.T
	s *system
	// scriptless is whether the person's browser runs no scripts.
	scriptless bool
}

func (s *system) tab(browser *browsertest.Browser) *tab {
	s.t.Helper()
	p := &tab{Page: browser.Page(s.t), t: s.t, s: s}
	p.Look(1280, 800, browsertest.Light)
	return p
}

// until waits until an expression is true, on this page or on one that takes its place.
func (p *tab) until(expression string) {
	p.t.Helper()
	for deadline := time.Now().Add(patience / 2); ; time.Sleep(20 * time.Millisecond) {
		// A page that is just being replaced cannot be asked.
		if yes, err := chromedp.Run(p.Ctx, chromedp.Evaluate[bool](expression)); err == nil && yes {
			return
		}
		if p.Ctx.Err() != nil || time.Now().After(deadline) {
			p.t.Fatalf("%s never came true, the page says: %s", expression, p.text("body"))
		}
	}
}

// at waits until the page of a path is there.
func (p *tab) at(path string) {
	p.t.Helper()
	p.until(fmt.Sprintf(`location.pathname + location.search === %q && document.readyState === "complete"`, path))
}

// text is what a person reads of the first element that fits, or "".
func (p *tab) text(selector string) string {
	p.t.Helper()
	return browsertest.Eval[string](p.Page, read(selector))
}

func read(selector string) string {
	return fmt.Sprintf(`(document.querySelector(%q)?.textContent ?? "").trim().replace(/\s+/g, " ")`, selector)
}

// reads waits until a person reads exactly this in the first element that fits.
func (p *tab) reads(selector, want string) {
	p.t.Helper()
	p.until(fmt.Sprintf(`%s === %q`, read(selector), want))
}

func (p *tab) count(selector string) int {
	p.t.Helper()
	return browsertest.Eval[int](p.Page, fmt.Sprintf(`document.querySelectorAll(%q).length`, selector))
}

func (p *tab) click(selector string) {
	p.t.Helper()
	p.Do(chromedp.Click(chromedp.CSS(selector)))
}

func (p *tab) typeInto(selector, text string) {
	p.t.Helper()
	p.Do(chromedp.SetValue(chromedp.CSS(selector), text))
}

// bar waits until the bar shows more than so many bytes, and returns how many.
func (p *tab) bar(more float64) float64 {
	p.t.Helper()
	p.until(fmt.Sprintf(`document.querySelector("progress[value]")?.value > %f`, more))
	return browsertest.Eval[float64](p.Page, `document.querySelector("progress[value]")?.value ?? 0`)
}

// moves lets the held download go on by another MiB again and again, and returns once the bar shows more each time.
func (p *tab) moves(hold ...string) {
	p.t.Helper()
	shown := p.bar(0)
	for _, h := range hold {
		p.s.tell("content hold=" + h)
		shown = p.bar(shown)
	}
}

// polls checks that the page has asked for a path by itself, from a second to the next at the soonest.
func (p *tab) polls(path string) {
	p.t.Helper()
	at := browsertest.Eval[[]float64](p.Page, fmt.Sprintf(`performance.getEntriesByType("resource").
		filter(e => e.initiatorType === "xmlhttprequest" && new URL(e.name).pathname === %q).map(e => e.startTime)`, path))
	if len(at) < 3 {
		p.t.Errorf("%s was asked for %d times", path, len(at))
	}
	for i := 1; i < len(at); i++ {
		if gap := at[i] - at[i-1]; gap < 900 {
			p.t.Errorf("%s was asked for again after %.0f ms", path, gap)
		}
	}
}

// again loads a page that does not refresh itself with its link, until an expression is true.
func (p *tab) again(expression string) {
	p.t.Helper()
	for deadline := time.Now().Add(patience / 2); !browsertest.Eval[bool](p.Page, expression); {
		if time.Now().After(deadline) {
			p.t.Fatalf("%s never came true, the page says: %s", expression, p.text("body"))
		}
		p.follow("#overlay-job .hint a")
	}
}

// follow clicks on what leads to another page, also on a page that may reload itself meanwhile, and waits for that page.
func (p *tab) follow(selector string) {
	p.t.Helper()
	p.until(fmt.Sprintf(`(e => { window.stayed = true; e?.click(); return e !== null })(document.querySelector(%q))`, selector))
	p.until(`!window.stayed && document.readyState === "complete"`)
}

// stay marks the page, so that stayed can tell whether it was loaded again.
func (p *tab) stay() {
	p.t.Helper()
	browsertest.Eval[chromedp.Void](p.Page, `window.stayed = true`)
}

func (p *tab) stayed() {
	p.t.Helper()
	if !browsertest.Eval[bool](p.Page, `window.stayed === true`) {
		p.t.Errorf("%s was loaded again", p.text("title"))
	}
}

// well checks that the page can be used by everybody, fits on a phone, and that the browser complains about nothing but
// what was meant.
func (p *tab) well(meant ...string) {
	p.t.Helper()
	if p.scriptless {
		// axe-core is a script, too. The page's own stay away: they were left out when it was loaded.
		p.scripts(true)
		defer p.scripts(false)
	}
	title := p.text("title")
	findings := p.Audit()
	p.Look(360, 800, browsertest.Dark)
	findings = append(findings, p.Audit("color-contrast", "link-in-text-block")...)
	for _, finding := range findings {
		p.t.Errorf("%s: %s", title, finding)
	}
	if p.ScrollsSideways() {
		p.t.Errorf("%s is wider than a phone", title)
	}
	p.Look(1280, 800, browsertest.Light)
	for _, c := range p.Complaints() {
		if !slices.ContainsFunc(meant, func(m string) bool { return strings.Contains(c, m) }) {
			p.t.Errorf("%s: %s", title, c)
		}
	}
}

func (p *tab) scripts(run bool) {
	p.t.Helper()
	_, err := chromedp.Call(p.Ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: !run})
	if err != nil {
		p.t.Fatal(err)
	}
}

func (p *tab) signIn() {
	p.t.Helper()
	p.typeInto("#name", "admin")
	p.typeInto("#password", p.s.password)
	p.click("main form button")
}

const add = `form[action$="/items"] button.main`

// TestMainJobInTheBrowser is what a newcomer does, from the sign-in form to the files, with everything that moves on the
// pages meanwhile.
func TestMainJobInTheBrowser(t *testing.T) {
	t.Parallel()
	browser := browsertest.Start(t)
	s := startSystem(t)
	page := s.tab(browser)

	page.Open(s.url)
	page.at("/login?next=%2Foverlays")
	page.well()
	page.signIn()
	page.at("/overlays")
	page.until(`document.querySelector(".empty").textContent.includes("There is no overlay yet")`)
	page.well()

	page.typeInto("#name", "maps")
	page.click("main form button.main")
	page.at("/overlays/1")
	page.stay()
	page.reads("#overlay-build .state", "built")
	page.well()

	// Rubbish is refused beside the box, and stays in it.
	page.typeInto("#input", "101 and this")
	page.click(add)
	page.reads("#add-error", "“and” is neither a workshop link nor an id. Nothing was added.")
	if kept := browsertest.Get(page.Page, chromedp.Value(chromedp.ID("input"))); kept != "101 and this" {
		t.Errorf("after a refusal the box holds %q", kept)
	}
	page.well("400 (Bad Request)", "Response Status Error Code 400")

	// What the empty page says, pasted into its box.
	examples := browsertest.Eval[string](page.Page, `[...document.querySelectorAll(".examples code")].map(e => e.textContent).join("\n")`)
	if examples != linkTo101+"\n"+linkTo102 {
		t.Fatalf("the examples are %q", examples)
	}
	page.typeInto("#input", examples)
	page.click(add)
	page.reads("#items .notice p", "2 added. Job 2 fetches what is missing.")
	if n, complaint := page.count("#items tbody tr"), page.text("#add-error"); n != 2 || complaint != "" {
		t.Errorf("%d rows after two links, and the sentence %q", n, complaint)
	}
	page.until(`[...document.querySelectorAll("#items img")].filter(i => i.complete && i.naturalWidth > 0).length === 2`)

	// The bar moves here and on the page of the job.
	page.moves("2MiB", "3MiB")
	ofJob := s.tab(browser)
	ofJob.Open(s.url + "/jobs/2")
	ofJob.stay()
	lines := ofJob.count("#job-log li")
	ofJob.moves("4MiB", "5MiB")
	ofJob.reads(".progress .current", "Now: Dark Harbour")
	page.well()
	ofJob.well()
	s.tell("reset")

	// Both tell the end by themselves.
	ofJob.reads("#job-state .state", "succeeded")
	ofJob.until(`document.querySelector("#job-log li:last-child").textContent.includes("workshop overlay 'maps': downloaded=2 cached=0 skipped=0 created=2 removed=0 unchanged=0 errors=0")`)
	if n := ofJob.count("#job-log li"); n <= lines {
		t.Errorf("%d log lines, and no more than %d at first", n, lines)
	}
	page.reads("#overlay-build .state", "built")
	page.until(`[...document.querySelectorAll("#items tbody .state")].map(e => e.textContent).join() === "ready,ready"`)
	ofJob.stayed()
	page.stayed()
	ofJob.polls("/jobs/2")
	page.polls("/overlays/1")
	if !s.links("101", "102") {
		t.Error("the links are not those of the two items")
	}
	page.well()
	ofJob.well()

	// Another download, in another overlay, is cancelled from its page.
	other := s.tab(browser)
	other.Open(s.url + "/overlays")
	other.well()
	ended := map[string]int{}
	for _, path := range []string{"/overlays/1", "/jobs/2"} {
		ended[path] = s.asked(path)
	}
	s.tell("content hold=1MiB")
	other.typeInto("#name", "second")
	other.click("main form button.main")
	other.at("/overlays/2")
	other.reads("#overlay-build .state", "built")
	other.typeInto("#input", "103")
	other.click(add)
	other.until(`document.querySelector("#items .notice a") !== null`)
	job := browsertest.Eval[string](other.Page, `document.querySelector("#items .notice a").pathname`)
	other.bar(0)
	other.click("#overlay-job a")
	other.at(job)
	other.moves("2MiB", "3MiB")
	if len(s.leftovers()) == 0 {
		t.Error("nothing is being written")
	}
	other.click("#job-state button")
	other.reads("#job-state .state", "cancelled")
	if left := s.leftovers(); len(left) != 0 {
		t.Errorf("a cancelled download leaves %v", left)
	}
	other.well()

	// Meanwhile nobody has asked about the job that had ended.
	for path, n := range ended {
		if now := s.asked(path); now != n {
			t.Errorf("%s was asked for %d times after the end", path, now-n)
		}
	}

	// An item is taken out and put back.
	page.click("#remove-1")
	page.reads("#items .notice p", "Old Mill removed. Job 5 updates the game host.")
	s.eventually("the link goes", func() bool { return s.links("101") })
	page.reads("#overlay-build .state", "built")
	page.well()
	page.click("#items .notice button")
	page.until(`document.querySelectorAll("#items tbody tr").length === 2`)
	s.eventually("the link is back", func() bool { return s.links("101", "102") })
	page.reads("#overlay-build .state", "built")
	page.stayed()

	// The session ends while somebody is typing.
	if _, err := chromedp.Call(page.Ctx, network.ClearBrowserCookies, cdp.Empty{}); err != nil {
		t.Fatal(err)
	}
	page.typeInto("#input", "103")
	page.click(add)
	page.reads("#connection p", "Your session has ended. Nothing was changed, and what you have typed stays here.")
	page.click("details.card summary")
	page.typeInto("#new-name", "new maps")
	page.click(`form[action="/overlays/1"] button`)
	page.well("401 (Unauthorized)", "Response Status Error Code 401")
	page.stayed()
	if n := page.count("#items tbody tr"); n != 2 {
		t.Errorf("%d items after a form that came too late", n)
	}
	beside := s.tab(browser)
	beside.Open(s.url + "/login?beside")
	beside.signIn()
	beside.at("/account")
	beside.reads(".notice", "You are signed in. Please go back to the other tab and go on there; this one can be closed.")
	browsertest.Eval[chromedp.Void](page.Page, `dispatchEvent(new Event("focus"))`)
	page.reads("#connection", "You are signed in again. What you have typed can be sent now.")
	s.tell("reset")
	browsertest.Eval[chromedp.Void](page.Page, `scrollTo(0, 0)`) // from below the notice
	page.click(add)
	page.until(`document.querySelectorAll("#items tbody tr").length === 3`)
	page.stayed()
	page.click(`form[action="/overlays/1"] button`)
	page.at("/overlays/1")
	page.reads("h1", "new maps")
	page.well("401 (Unauthorized)", "Response Status Error Code 401")
	page.Open(s.url + "/jobs")
	page.until(`document.querySelectorAll("tbody tr").length === 7`)
	page.well()
	page.Open(s.url + "/overlays/9")
	page.reads("#error", "There is no overlay 9. It may have been deleted.")
	page.well("404 (Not Found)")
	page.Open(s.url + "/nowhere")
	page.reads("h1", "Nothing is here")
	page.well("404 (Not Found)")
	page.Open(s.url + "/overlays")
	page.click(".leave button")
	page.at("/login")
	page.reads(".notice", "You have signed out.")
	page.well()
}

// TestMainJobWithoutScripts is the same in a browser that runs no scripts: forms do everything, and pages with something
// to wait for ask for themselves.
func TestMainJobWithoutScripts(t *testing.T) {
	t.Parallel()
	browser := browsertest.Start(t)
	s := startSystem(t)
	page := s.tab(browser)
	built := read("#overlay-build .state") + ` === "built"`
	page.scriptless = true
	page.scripts(false)

	page.Open(s.url)
	page.at("/login?next=%2Foverlays")
	page.signIn()
	page.at("/overlays")
	page.typeInto("#name", "maps")
	page.click("main form button.main")
	page.at("/overlays/1")
	page.again(built)

	page.typeInto("#input", "101 and this")
	page.click(add)
	page.reads("#add-error", "“and” is neither a workshop link nor an id. Nothing was added.")
	if kept := page.text("#input"); kept != "101 and this" {
		t.Errorf("after a refusal the box holds %q", kept)
	}
	page.well("400 (Bad Request)")

	page.typeInto("#input", strings.ReplaceAll(page.text(".examples"), "id=101", "id=101 "))
	page.click(add)
	page.until(`document.querySelector(".notice")?.textContent.includes("2 added")`)
	page.until(`[...document.querySelectorAll("#items img")].filter(i => i.complete && i.naturalWidth > 0).length === 2`)
	// Half a link is in the box: the page stays, and its link shows how the job goes.
	if page.count(`meta[http-equiv="refresh"]`) != 0 {
		t.Error("a page with a box to type into reloads itself")
	}
	page.again(`document.querySelector("progress[value]")?.value > 0`)
	page.well()
	page.click("#overlay-job a")
	page.at("/jobs/2")
	page.moves("2MiB", "3MiB")
	s.tell("reset")
	page.reads("#job-state .state", "succeeded")
	page.until(`document.querySelector("#job-log li:last-child").textContent.includes("downloaded=2")`)
	page.until(`document.readyState === "complete"`)
	page.well()
	page.click(`.facts a[href="/overlays/1"]`)
	page.at("/overlays/1")
	page.until(`[...document.querySelectorAll("#items tbody .state")].map(e => e.textContent).join() === "ready,ready"`)
	if !s.links("101", "102") {
		t.Error("the links are not those of the two items")
	}
	page.well()

	page.click("#remove-1")
	page.until(`document.querySelector(".notice")?.textContent.includes("Old Mill removed")`)
	s.eventually("the link goes", func() bool { return s.links("101") })
	page.again(built)
	page.typeInto("#input", "102")
	page.click(add)
	page.until(`document.querySelector(".notice")?.textContent.includes("1 added")`)
	s.eventually("the link is back", func() bool { return s.links("101", "102") })
	page.again(built)

	s.tell("content hold=1MiB")
	page.typeInto("#input", "103")
	page.follow(add)
	page.click("#overlay-job a")
	page.at("/jobs/5")
	page.bar(0)
	page.follow("#job-state button")
	page.reads("#job-state .state", "cancelled")
	if left := s.leftovers(); len(left) != 0 {
		t.Errorf("a cancelled download leaves %v", left)
	}
	page.until(`document.readyState === "complete"`)
	page.well()

	if _, err := chromedp.Call(page.Ctx, network.ClearBrowserCookies, cdp.Empty{}); err != nil {
		t.Fatal(err)
	}
	page.Open(s.url + "/jobs/5")
	page.at("/login?next=%2Fjobs%2F5")
	page.signIn()
	page.at("/jobs/5")
	page.click(".leave button")
	page.at("/login")
	page.well()
}
