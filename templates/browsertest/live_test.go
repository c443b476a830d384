package browsertest_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/a-h/templ"
	"github.com/chromedp/cdproto/animation"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"left4me/shared/host"
	"left4me/shared/job"
	"left4me/shared/jobstore"
	"left4me/shared/list"
	"left4me/shared/route"
	"left4me/shared/workshop"
	accountview "left4me/templates/account"
	"left4me/templates/admin"
	blueprintview "left4me/templates/blueprint"
	"left4me/templates/browsertest"
	jobview "left4me/templates/job"
	overlayview "left4me/templates/overlay"
	"left4me/templates/page"
	"left4me/templates/pagetest"
)

// healthy fails the test for complaints of the browser, except about the error answers that the test caused.
func healthy(t *testing.T, tab *browsertest.Page, meant ...string) {
	t.Helper()
	for _, c := range tab.Complaints() {
		if !slices.ContainsFunc(meant, func(m string) bool { return strings.Contains(c, m) }) {
			t.Error(c)
		}
	}
}

const logTexts = `[...document.querySelectorAll("#job-log li span")].map(s => s.textContent).join("|")`

// The page shows every line once and the job's end, and then stops polling.
func TestJobPageFollowsItsJob(t *testing.T) {
	t.Parallel()
	browser := browsertest.Start(t)
	line := func(seq int64) jobstore.Line { return jobstore.Line{Seq: seq, At: now, Text: fmt.Sprint("line ", seq)} }
	view := func(state job.State) jobview.ShowView {
		return jobview.ShowView{Frame: frame(false), Job: someJob(7, state)}
	}
	// The expected requests of the page and their answers, in turn.
	steps := []struct {
		asked string
		with  func(*jobview.ShowView)
		state job.State
	}{
		{"after=1&state=queued", func(v *jobview.ShowView) { v.Log, v.After = []jobstore.Line{line(2), line(3)}, 3 }, "running"},
		{"after=3&state=running", func(v *jobview.ShowView) { v.After = 3 }, "running"},
		{"after=3&state=running", func(v *jobview.ShowView) { v.Log, v.After, v.More = []jobstore.Line{line(4)}, 4, true }, "succeeded"},
		{"after=4&state=succeeded", func(v *jobview.ShowView) { v.Log, v.After, v.Summary = []jobstore.Line{line(5)}, 5, "all is well" }, "succeeded"},
	}
	var mu sync.Mutex
	var asked []string
	allowed := 1 // how many steps the test lets happen
	url := serve(t, func(mux *http.ServeMux) {
		mux.HandleFunc("GET "+route.JobShow.Pattern, func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("HX-Request") == "" {
				v := view("queued")
				v.Log, v.After = []jobstore.Line{line(1)}, 1
				answer(w, r, jobview.Show(v))
				return
			}
			mu.Lock()
			defer mu.Unlock()
			if len(asked) == len(steps) {
				http.Error(w, "the page asks on", http.StatusTeapot)
				return
			}
			if len(asked) == allowed {
				w.WriteHeader(http.StatusNoContent)
				return
			}
			step := steps[len(asked)]
			asked = append(asked, r.URL.RawQuery)
			v := view(step.state)
			step.with(&v)
			v.Seen = job.State(r.URL.Query().Get(jobview.StateParam))
			answer(w, r, jobview.Fragment(v))
		})
	})

	allow := func(n int) {
		mu.Lock()
		defer mu.Unlock()
		allowed = n
	}

	tab := browser.Page(t)
	tab.Look(1280, 800, browsertest.Light)
	tab.Open(url + route.JobShow.URL(7))
	browsertest.Eval[chromedp.Void](tab, `window.same = document.querySelector("#job-state")`)
	tab.WaitFor(`document.querySelector("#job-state .state").textContent === "running"`)
	if shown := browsertest.Eval[string](tab, `document.getElementById("say").textContent`); shown != "Job 7: running" {
		t.Errorf("a screen reader heard %q", shown)
	}
	// While the state stays the same, the button must not be replaced: somebody may be about to press it.
	browsertest.Eval[chromedp.Void](tab, `window.button = document.querySelector("#job-state button")`)
	allow(2)
	tab.WaitFor(`performance.getEntriesByType("resource").filter(e => e.name.includes("after=3") && e.responseStatus === 200).length === 1`)
	if !browsertest.Eval[bool](tab, `window.button.isConnected`) {
		t.Error("the cancel button was replaced though nothing about it changed")
	}
	allow(len(steps))
	tab.WaitFor(`document.querySelectorAll("#job-log li").length === 5`)
	tab.WaitFor(`!document.querySelector(".htmx-request, .htmx-settling, .htmx-swapping")`)

	if got := browsertest.Eval[string](tab, logTexts); got != "line 1|line 2|line 3|line 4|line 5" {
		t.Errorf("the log is %s", got)
	}
	if browsertest.Eval[bool](tab, `!!document.querySelector("[hx-get], [hx-trigger], #job-state button")`) {
		t.Error("the page of an ended job still polls, or still offers to cancel")
	}
	mu.Lock()
	defer mu.Unlock()
	for i, step := range steps {
		if i >= len(asked) || asked[i] != step.asked {
			t.Errorf("the page asked %q, want %q at %d", asked, step.asked, i)
			break
		}
	}
	healthy(t, tab)
}

// When lines are added, the log stays at its end, and does not move if the reader has scrolled up.
func TestLogKeepsTheReadersPlace(t *testing.T) {
	t.Parallel()
	browser := browsertest.Start(t)
	var mu sync.Mutex
	last := 60
	url := serve(t, func(mux *http.ServeMux) {
		mux.HandleFunc("GET "+route.JobShow.Pattern, func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			defer mu.Unlock()
			v := jobview.ShowView{Frame: frame(false), Job: someJob(7, job.Running), After: int64(last)}
			if r.Header.Get("HX-Request") == "" {
				v.Log = someLog(1, last)
				answer(w, r, jobview.Show(v))
				return
			}
			v.Log, v.Seen = someLog(last+1, 10), "running"
			last += 10
			v.After = int64(last)
			answer(w, r, jobview.Fragment(v))
		})
	})
	tab := browser.Page(t)
	tab.Look(1280, 800, browsertest.Dark)
	tab.Open(url + route.JobShow.URL(7))

	gap := `(() => { const l = document.querySelector(".log").getBoundingClientRect(), o = document.querySelector("#job-log").getBoundingClientRect(); return Math.abs(o.bottom - l.bottom) })()`
	tab.WaitFor(`document.querySelectorAll("#job-log li").length >= 70`)
	if g := browsertest.Eval[float64](tab, gap); g > 2 {
		t.Errorf("a reader at the end is %v px away from it after new lines", g)
	}
	browsertest.Eval[chromedp.Void](tab, `document.querySelector(".log").scrollTop = -400; window.li = document.querySelectorAll("#job-log li")[30]`)
	place := `window.li.getBoundingClientRect().top`
	before, lines := browsertest.Eval[float64](tab, place), browsertest.Eval[int](tab, `document.querySelectorAll("#job-log li").length`)
	tab.WaitFor(fmt.Sprintf(`document.querySelectorAll("#job-log li").length > %d`, lines))
	tab.WaitFor(`new Promise(r => requestAnimationFrame(() => requestAnimationFrame(() => r(true))))`)
	if after := browsertest.Eval[float64](tab, place); after-before > 2 || before-after > 2 {
		t.Errorf("new lines moved a reader who had scrolled up from %v to %v", before, after)
	}
	healthy(t, tab)
}

// Times are those of the visitor's time zone, and relative ones stay right. At first a script changes no relative time.
func TestTimesAreTheVisitors(t *testing.T) {
	t.Parallel()
	browser := browsertest.Start(t)
	var when []templ.Component
	for _, d := range []time.Duration{30 * time.Second, 90 * time.Minute, 30 * time.Hour, 9 * 24 * time.Hour, 45 * 24 * time.Hour, 500 * 24 * time.Hour, -90 * time.Minute} {
		when = append(when, page.When(now.Add(-d), now))
	}
	url := serve(t, func(mux *http.ServeMux) {
		mux.HandleFunc("GET /times", func(w http.ResponseWriter, r *http.Request) {
			ctx := templ.WithChildren(r.Context(), templ.Join(page.At(now), page.Clock(now), page.When(now.Add(-55*time.Second), now), templ.Join(when...)))
			if err := page.Layout(frame(false)).Render(ctx, w); err != nil {
				t.Error(err)
			}
		})
	})
	tab := browser.Page(t)
	tab.Look(1280, 800, browsertest.Light)
	if _, err := chromedp.Call(tab.Ctx, emulation.SetTimezoneOverride, emulation.SetTimezoneOverrideParams{TimezoneID: "Asia/Kolkata"}); err != nil {
		t.Fatal(err)
	}
	tab.Open(url + "/times")
	texts := func(attribute string) []string {
		t.Helper()
		return browsertest.Eval[[]string](tab, `[...document.querySelectorAll("time")].map(e => e.`+attribute+`)`)
	}
	got := texts("textContent")
	if got[0] != "15 Mar 2026, 00:00 GMT+5:30" || got[1] != "00:00:00" {
		t.Errorf("in India it is %q", got[:2])
	}
	for i, exact := range texts("title") {
		if !strings.HasSuffix(exact, " GMT+5:30") {
			t.Errorf("the exact time of %q is %q", got[i], exact)
		}
	}
	for i, c := range when {
		if want := pagetest.Fragment(t, pagetest.Render(t, c)).Text(); i > 0 && got[i+3] != want {
			t.Errorf("a script makes %q of %q", got[i+3], want)
		}
	}
	tab.WaitFor(`document.querySelectorAll("time")[2].textContent === "1 minute ago"`)
	healthy(t, tab)
}

// Copying works with the browser's clipboard, and without one, as over plain http.
func TestCopyButtons(t *testing.T) {
	t.Parallel()
	browser := browsertest.Start(t)
	url := serve(t, func(mux *http.ServeMux) {
		mux.HandleFunc("GET "+route.OverlayShow.Pattern, func(w http.ResponseWriter, r *http.Request) {
			v := someOverlay(nil)
			v.Hosts = []host.Host{{Name: "attic", Root: "/var/lib/left4me"}}
			answer(w, r, overlayview.Show(v))
		})
	})
	tab := browser.Page(t)
	tab.Look(1280, 800, browsertest.Light)
	const path = "/var/lib/left4me/overlays/3"
	for clipboard, copied := range map[string]string{
		`{ writeText: async (text) => { window.copied = text } }`: `window.copied`,
		`undefined`: `getSelection().toString()`,
	} {
		tab.Open(url + route.OverlayShow.URL(3))
		browsertest.Eval[chromedp.Void](tab, `Object.defineProperty(navigator, "clipboard", { value: `+clipboard+` })`)
		tab.Do(chromedp.Click(chromedp.CSS("button[data-copy]")))
		tab.WaitFor(`document.querySelector("button[data-copy]").textContent === "Copied the path"`)
		if got := browsertest.Eval[string](tab, copied); got != path {
			t.Errorf("with the clipboard %s, %q is copied", clipboard, got)
		}
	}
	healthy(t, tab)
}

// An overlay is moved in its stack by dragging it to the place of another one, or with the buttons.
func TestAStackIsReordered(t *testing.T) {
	t.Parallel()
	browser := browsertest.Start(t)
	moves, begin := make(chan string, 1), make(chan bool)
	url := serve(t, func(mux *http.ServeMux) {
		mux.HandleFunc("GET "+route.BlueprintShow.Pattern, func(w http.ResponseWriter, r *http.Request) {
			answer(w, r, blueprintview.Show(someBlueprint(false, 4)))
		})
		mux.HandleFunc("POST "+route.BlueprintMove.Pattern, func(w http.ResponseWriter, r *http.Request) {
			moves <- r.PathValue("overlay_id") + " to " + r.PostFormValue("to")
			http.Redirect(w, r, route.BlueprintShow.URL(5), http.StatusSeeOther)
		})
		mux.HandleFunc("GET /begin", func(http.ResponseWriter, *http.Request) { <-begin })
		mux.HandleFunc("GET "+route.Account.Pattern, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	})
	for want, move := range map[string]string{
		"3 to 3": `drag(3, 5)`, "6 to 1": `drag(6, 3)`, "4 to 1": `document.querySelector("#layer-4 button").click()`, "4 to 3": `document.querySelectorAll("#layer-4 button")[1].click()`,
	} {
		tab := browser.Page(t)
		tab.Look(1280, 800, browsertest.Light)
		tab.Open(url + route.BlueprintShow.URL(5))
		tab.WaitFor(`document.querySelector("#layer-3").draggable`)
		// It begins when the browser has answered, because it leaves the page.
		browsertest.Eval[chromedp.Void](tab, `void fetch("/begin").then(() => {
			const at = (id, type) => document.querySelector("#layer-" + id).dispatchEvent(new DragEvent(type, { bubbles: true, cancelable: true }));
			const drag = (from, to) => { at(from, "dragstart"); if (at(to, "dragover")) throw "it cannot be dropped"; at(to, "drop"); at(from, "dragend"); };
			`+move+`
		})`)
		begin <- true
		if got := <-moves; got != want {
			t.Errorf("%s moves %s, want %s", move, got, want)
		}
	}
}

// In colours that the visitor's system forces, only the entry of this page looks selected.
func TestNavigationInForcedColours(t *testing.T) {
	t.Parallel()
	browser := browsertest.Start(t)
	url := serve(t, func(mux *http.ServeMux) {
		mux.HandleFunc("GET "+route.AdminUsers.Pattern, func(w http.ResponseWriter, r *http.Request) {
			answer(w, r, admin.People(admin.PeopleView{Frame: frame(true)}))
		})
	})
	tab := browser.Page(t)
	tab.Look(1280, 800, browsertest.Light)
	tab.Emulate("", map[string]string{"forced-colors": "active"})
	tab.Open(url + route.AdminUsers.URL())
	if !browsertest.Eval[bool](tab, `matchMedia("(forced-colors: active)").matches`) {
		t.Fatal("the browser forces no colours")
	}
	for _, bar := range []string{".top nav", ".tabs"} {
		marked := browsertest.Eval[[]string](tab, fmt.Sprintf(`[...document.querySelectorAll("%s a")].filter(a => {
			const s = getComputedStyle(a);
			return s.borderBottomColor !== getComputedStyle(document.body).backgroundColor && s.borderBottomStyle !== "none";
		}).map(a => a.getAttribute("aria-current") ?? a.textContent)`, bar))
		if !slices.Equal(marked, []string{"page"}) {
			t.Errorf("in %s these look selected: %q", bar, marked)
		}
	}
	healthy(t, tab)
}

// A printed overlay has its items, and nothing to press.
func TestAPrintedOverlay(t *testing.T) {
	t.Parallel()
	browser := browsertest.Start(t)
	url := serve(t, func(mux *http.ServeMux) {
		mux.HandleFunc("GET "+route.OverlayShow.Pattern, func(w http.ResponseWriter, r *http.Request) {
			answer(w, r, overlayview.Show(someOverlay(someItems(60, ""))))
		})
	})
	tab := browser.Page(t)
	tab.Look(1280, 800, browsertest.Light)
	tab.Open(url + route.OverlayShow.URL(3))
	tab.Emulate("print", nil)
	const printed = `[...document.querySelectorAll("%s")].filter(e => e.checkVisibility({ contentVisibilityAuto: true })).length`
	if n := browsertest.Eval[int](tab, fmt.Sprintf(printed, "#items tbody th small")); n != 60 {
		t.Errorf("%d of 60 items are printed", n)
	}
	if n := browsertest.Eval[int](tab, fmt.Sprintf(printed, "button, textarea, select, input")); n != 0 {
		t.Errorf("%d parts of forms are printed", n)
	}
}

// shelf is a fake of the functions for one overlay.
type shelf struct {
	mu     sync.Mutex
	items  []workshop.Item
	broken bool
	done   bool // a build ends as soon as the page has asked once while it runs
	job    jobstore.Job
	away   bool        // nothing is answered
	ended  bool        // there is no session
	token  string      // of the session's forms
	polls  int         // how often the page has asked for news
	denied int         // how often it has done so without a session
	asked  []time.Time // when a page has asked whether left4me answers and the session lasts
}

func (s *shelf) view() overlayview.ShowView {
	v := someOverlay(slices.Clone(s.items))
	v.Job = s.job
	return v
}

func (s *shelf) routes(mux *http.ServeMux) {
	show := func(w http.ResponseWriter, r *http.Request) {
		v := s.view()
		if r.Header.Get("HX-Request") == "" {
			answer(w, r, overlayview.Show(v))
			return
		}
		s.polls++
		if s.job.State != "running" {
			s.job = someJob(7, "running")
		} else if s.done {
			s.job = someJob(7, "succeeded")
			for i := range s.items {
				s.items[i].DownloadedAt = now
			}
		}
		v = s.view()
		_, _ = fmt.Sscan(r.URL.Query().Get(overlayview.JobParam), &v.SeenJob)
		v.SeenState = job.State(r.URL.Query().Get(overlayview.StateParam))
		answer(w, r, overlayview.News(v))
	}
	add := func(w http.ResponseWriter, r *http.Request) {
		if s.broken {
			w.WriteHeader(http.StatusInternalServerError)
			answer(w, r, page.Error(page.ErrorView{Frame: frame(false), Status: 500, Sentence: "Try again later.", RequestID: "r1"}))
			return
		}
		input := r.PostFormValue("input")
		if strings.Contains(input, "rubbish") {
			page.Retarget(w.Header(), overlayview.AddErrorID)
			w.WriteHeader(http.StatusBadRequest)
			answer(w, r, overlayview.AddError("rubbish is not an id"))
			return
		}
		added := readyItem(int64(200+len(s.items)), input, "Item "+input)
		added.DownloadedAt = time.Time{}
		outcome := overlayview.Outcome{Added: workshop.Added{New: 1}, JobID: 7}
		_, places := overlayview.ParseRestore(r.PostForm[overlayview.RestoreField])
		if at, ok := places[added.SteamID]; ok {
			s.items, outcome.Restored = slices.Insert(s.items, int(at.UnixMilli()), added), added.SteamID
		} else {
			s.items = append(s.items, added)
		}
		s.job = someJob(7, "queued")
		v := s.view()
		v.Outcome = outcome
		answer(w, r, overlayview.Changed(v))
	}
	remove := func(w http.ResponseWriter, r *http.Request) {
		at := slices.IndexFunc(s.items, func(i workshop.Item) bool { return fmt.Sprint(i.ID) == r.PathValue("item_id") })
		removed := s.items[at]
		removed.AddedAt = time.UnixMilli(int64(at))
		s.items = slices.Delete(s.items, at, at+1)
		v := s.view()
		v.Outcome = overlayview.Outcome{Removed: []workshop.Item{removed}}
		answer(w, r, overlayview.Changed(v))
	}
	account := func(w http.ResponseWriter, r *http.Request) {
		f := frame(false)
		f.CSRF = s.token
		answer(w, r, accountview.Show(accountview.ShowView{Frame: f}))
	}
	for r, h := range map[*route.Route]http.HandlerFunc{&route.OverlayShow: show, &route.ItemAdd: add, &route.ItemRemove: remove, &route.Account: account} {
		mux.HandleFunc(r.Method+" "+r.Pattern, func(w http.ResponseWriter, req *http.Request) {
			s.mu.Lock()
			defer s.mu.Unlock()
			if *r == route.Account {
				s.asked = append(s.asked, time.Now())
			}
			switch {
			case s.away:
				panic(http.ErrAbortHandler)
			case s.ended:
				if *r == route.OverlayShow {
					s.denied++
				}
				w.WriteHeader(http.StatusUnauthorized)
				answer(w, req, page.ErrorFragment(page.ErrorView{Status: http.StatusUnauthorized, Sentence: "Your session has ended."}))
			case req.Method == http.MethodPost && req.PostFormValue("csrf_token") != s.token:
				http.Error(w, "no token", http.StatusForbidden)
			default:
				h(w, req)
			}
		})
	}
}

// with lets the test change the shelf, or look at it.
func (s *shelf) with(do func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	do()
}

// While left4me does not answer, and after the session has ended, the page says so, keeps what was typed, and goes on by itself.
func TestPageWithoutAnswersAndWithoutASession(t *testing.T) {
	t.Parallel()
	browser := browsertest.Start(t)
	s := &shelf{token: "token", job: someJob(7, "running"), items: someItems(40, "")}
	url := serve(t, s.routes)
	tab := browser.Page(t)
	tab.Look(1280, 800, browsertest.Light)
	tab.Open(url + route.OverlayShow.URL(3))
	box := chromedp.ID(overlayview.InputID)
	says := func(what string) {
		t.Helper()
		tab.WaitFor(fmt.Sprintf(`document.getElementById("connection").textContent.includes(%q)`, what))
	}
	typed := func() {
		t.Helper()
		if got := browsertest.Get(tab, chromedp.Value(box)); got != "11" {
			t.Errorf("the box holds %q", got)
		}
	}
	press := func() { tab.Do(chromedp.Click(chromedp.CSS("form:has(textarea) button"))) }
	tab.Do(chromedp.SetValue(box, "11"))
	tab.WaitFor(`performance.getEntriesByType("resource").some(e => e.name.includes("job=7"))`)

	// Nothing answers. Whoever has scrolled down sees it, too.
	browsertest.Eval[chromedp.Void](tab, `window.scrollTo(0, document.body.scrollHeight)`)
	var polls int
	s.with(func() { s.away, polls = true, s.polls })
	says("left4me does not answer")
	if !browsertest.Eval[bool](tab, `(r => r.top >= 0 && r.bottom <= innerHeight)(document.querySelector("#connection .notice").getBoundingClientRect())`) {
		t.Error("the notice is not in the window")
	}
	for _, finding := range tab.Audit() {
		t.Error(finding)
	}
	press()
	tab.WaitFor(`performance.getEntriesByType("resource").filter(e => e.name.endsWith("/account")).length >= 3`)
	typed()
	s.with(func() {
		for i := 1; i < len(s.asked); i++ {
			if pause := s.asked[i].Sub(s.asked[i-1]); pause < time.Second<<i-100*time.Millisecond {
				t.Errorf("left4me was asked again after %s, want growing pauses", pause)
			}
		}
		if s.polls != polls {
			t.Errorf("the page has asked for news %d times", s.polls-polls)
		}
		s.away = false
	})
	tab.Do(chromedp.Click(chromedp.CSS("#connection button")))
	says("left4me answers again")
	tab.WaitFor(`document.querySelectorAll("#items tbody tr").length === 40`)

	// When the session ends, the page stops polling. Then the person signs in again in another tab.
	browsertest.Eval[chromedp.Void](tab, `window.held = 0; addEventListener("htmx:beforeRequest", e => { if (e.defaultPrevented) window.held++ })`)
	s.with(func() { s.ended = true })
	says("Your session has ended")
	tab.WaitFor(`window.held >= 2`)
	s.with(func() {
		if s.denied != 1 {
			t.Errorf("without a session the page has asked for news %d times", s.denied)
		}
	})
	if to := browsertest.Eval[string](tab, `(a => a.pathname + a.search + " " + a.target)(document.querySelector("#connection a"))`); to != "/login?beside _blank" {
		t.Errorf("the page leads to %q", to)
	}
	for _, finding := range tab.Audit() {
		t.Error(finding)
	}
	press()
	tab.WaitFor(`!document.querySelector(".htmx-request")`)
	typed()
	s.with(func() { s.ended, s.token, polls = false, "another token", s.polls })
	browsertest.Eval[chromedp.Void](tab, `window.dispatchEvent(new Event("focus"))`)
	says("You are signed in again")
	press()
	tab.WaitFor(`document.getElementById("items").textContent.includes("Item 11")`)
	s.with(func() { s.done = true })
	tab.WaitFor(`document.querySelector("#overlay-job .state")?.textContent === "succeeded"`)
	if got := browsertest.Get(tab, chromedp.Value(box)); got != "" {
		t.Errorf("what was added is still in the box: %q", got)
	}
	healthy(t, tab, "Failed to load resource", "Response Status Error Code 401", "htmx:sendError", "console.error")
}

// Adding, a refused input, a failure, building and removing update the page without loading it again.
func TestOverlayPageChangesInPlace(t *testing.T) {
	t.Parallel()
	browser := browsertest.Start(t)
	s := &shelf{token: "token"}
	url := serve(t, s.routes)
	tab := browser.Page(t)
	tab.Look(1280, 800, browsertest.Light)
	tab.Open(url + route.OverlayShow.URL(3))
	browsertest.Eval[chromedp.Void](tab, `window.stayed = true`)
	text := func(selector string) string {
		return browsertest.Eval[string](tab, fmt.Sprintf(`document.querySelector(%q)?.textContent.trim().replace(/\s+/g, " ") ?? ""`, selector))
	}
	paste := func(what string) {
		t.Helper()
		tab.Do(chromedp.SetValue(chromedp.ID(overlayview.InputID), what), chromedp.Click(chromedp.CSS("form:has(textarea) button")))
	}

	paste("rubbish")
	tab.WaitFor(`document.getElementById("add-error").textContent !== ""`)
	if v := browsertest.Get(tab, chromedp.Value(chromedp.ID(overlayview.InputID))); v != "rubbish" {
		t.Errorf("after a refusal the box holds %q", v)
	}

	s.mu.Lock()
	s.broken = true
	s.mu.Unlock()
	paste("11")
	tab.WaitFor(`document.querySelector("#trouble #error") !== null`)
	if got := text("#trouble"); !strings.Contains(got, "Try again later.") || !strings.Contains(got, "r1") || strings.Contains(got, "Overlays") {
		t.Errorf("the error reads %q", got)
	}

	s.mu.Lock()
	s.broken = false
	s.mu.Unlock()
	const height = `document.getElementById("input").offsetHeight`
	browsertest.Eval[chromedp.Void](tab, `document.getElementById("input").style.height = "300px"`) // as by its corner
	paste("11")
	tab.WaitFor(`document.querySelectorAll("#items tbody tr").length === 1`)
	tab.WaitFor(`!document.querySelector(".htmx-request")`)
	if h := browsertest.Eval[int](tab, height); h != 300 {
		t.Errorf("after Add the box is %d px high, not as high as somebody has made it", h)
	}
	if got := text("#trouble") + text("#add-error") + browsertest.Get(tab, chromedp.Value(chromedp.ID(overlayview.InputID))); got != "" {
		t.Errorf("a success leaves %q of the failures before it", got)
	}
	if got := text("#items .notice"); got != "1 added. Job 7 fetches what is missing." {
		t.Errorf("the notice reads %q", got)
	}
	if got := text("#say"); got != "1 added" {
		t.Errorf("a screen reader heard %q", got)
	}

	// The job is shown without a reload, updated, and at its end the items' states are updated.
	tab.WaitFor(`document.querySelector("#overlay-job .state")?.textContent === "running"`)
	s.mu.Lock()
	s.done = true
	s.mu.Unlock()
	tab.WaitFor(`document.querySelector("#overlay-job .state")?.textContent === "succeeded"`)
	tab.WaitFor(`document.querySelector("#items tbody .state").textContent === "ready"`)
	if got := text("#items .notice"); got != "1 added. Job 7 fetches what is missing." {
		t.Errorf("after the job's end the notice reads %q", got)
	}
	if browsertest.Eval[bool](tab, `!!document.querySelector("[hx-get]")`) {
		t.Error("the page polls although its job has ended")
	}
	if n := browsertest.Eval[int](tab, `document.querySelectorAll("#items, #overlay-job, #overlay-build").length`); n != 3 {
		t.Errorf("%d elements where three should be", n)
	}

	for _, id := range []string{"12", "13", "14"} {
		paste(id)
		tab.WaitFor(fmt.Sprintf(`document.getElementById("items").textContent.includes("Item %s")`, id))
	}
	// Half a link is in the box while the second item is removed by a double click, whose second press comes after the
	// answer. Animations are paused, so that a slow machine sees the same as a fast one.
	tab.Do(chromedp.SetValue(chromedp.ID(overlayview.InputID), "half a li"))
	tab.WaitFor(`document.getAnimations().every(a => a.animationName !== "settle")`)
	speed := func(rate float64) {
		t.Helper()
		if _, err := chromedp.Call(tab.Ctx, animation.SetPlaybackRate, animation.SetPlaybackRateParams{PlaybackRate: rate}); err != nil {
			t.Fatal(err)
		}
	}
	speed(0)
	tab.Do(chromedp.ScrollIntoView(chromedp.ID("remove-1")), chromedp.Click(chromedp.ID("remove-1")))
	tab.WaitFor(`!document.getElementById("items").querySelector("table").textContent.includes("Item 12")`)
	tab.Do(chromedp.Click(chromedp.ID("remove-1")))
	speed(1)
	tab.WaitFor(`document.getAnimations().every(a => a.animationName !== "settle") && !document.querySelector(".htmx-request")`)
	if got := browsertest.Eval[string](tab, `[...document.querySelectorAll("#items tbody th small")].map(e => e.textContent).join()`); got != "11,13,14" {
		t.Errorf("after a double click on the second of four, %s are left", got)
	}
	if v := browsertest.Get(tab, chromedp.Value(chromedp.ID(overlayview.InputID))); v != "half a li" {
		t.Errorf("removing an item left %q in the box", v)
	}
	// It comes back to its place, and who has put it back stays there.
	tab.Do(chromedp.Click(chromedp.CSS("#items .notice button")))
	tab.WaitFor(`document.querySelectorAll("#items tbody tr").length === 4`)
	tab.WaitFor(`document.activeElement.textContent.includes("Item 12")`)
	if got := browsertest.Eval[string](tab, `document.activeElement.id + " " + (r => r.top >= 0 && r.bottom <= innerHeight)(document.activeElement.getBoundingClientRect())`); got != "remove-1 true" {
		t.Errorf("after an item was put back, the focus and whether it is in the window are %q", got)
	}
	// The same with the keyboard.
	tab.Do(chromedp.Focus(chromedp.ID("remove-0")), chromedp.KeyEvent(kb.Enter))
	tab.WaitFor(`document.querySelectorAll("#items tbody tr").length === 3`)
	if got := browsertest.Eval[string](tab, `document.activeElement.id`); got != "remove-0" {
		t.Errorf("the focus is at %q, want the button that moved up", got)
	}

	if !browsertest.Eval[bool](tab, `window.stayed === true`) {
		t.Error("the page was loaded again")
	}
	healthy(t, tab, "400 (Bad Request)", "500 (Internal Server Error)", "Response Status Error Code")
}

// Links and forms of a list replace the list alone. They keep the focus, are read out, and get into the browser's history.
func TestAListTurnsInPlace(t *testing.T) {
	t.Parallel()
	browser := browsertest.Start(t)
	var mu sync.Mutex
	var removed url.Values
	address := serve(t, func(mux *http.ServeMux) {
		view := func(w http.ResponseWriter, values url.Values) (v overlayview.ShowView, ok bool) {
			q, err := workshop.Listing.Parse(values)
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return v, false
			}
			v = someOverlay(someItems(12, ""))
			v.Items.Place = list.Place{Query: q.Turn(max(q.Page, 1)), Total: 36, Last: 3, More: q.Page < 3}
			return v, true
		}
		mux.HandleFunc("GET "+route.OverlayShow.Pattern, func(w http.ResponseWriter, r *http.Request) {
			if v, ok := view(w, r.URL.Query()); ok {
				v.Say = fmt.Sprintf("page %d", v.Items.Page)
				answer(w, r, overlayview.Show(v))
			}
		})
		mux.HandleFunc("POST "+route.ItemsRemove.Pattern, func(w http.ResponseWriter, r *http.Request) {
			_ = r.ParseForm()
			mu.Lock()
			removed = r.PostForm
			mu.Unlock()
			if v, ok := view(w, r.PostForm); ok {
				v.Outcome.Removed = v.Items.Rows
				answer(w, r, overlayview.Changed(v))
			}
		})
	})
	tab := browser.Page(t)
	tab.Look(1280, 800, browsertest.Light)
	tab.Open(address + route.OverlayShow.URL(3))
	browsertest.Eval[chromedp.Void](tab, `window.stayed = true`)
	at := func(query, focus, says string) {
		t.Helper()
		tab.WaitFor(fmt.Sprintf(`location.search === %q && document.querySelector("#items .pages p").textContent.includes(%q) && !document.querySelector(".htmx-request")`, query, says))
		if got := browsertest.Eval[string](tab, `document.activeElement.id`); focus != "" && got != focus {
			t.Errorf("at %s the focus is at %q, want %q", query, got, focus)
		}
	}
	press := func(id string) {
		t.Helper()
		tab.Do(chromedp.Focus(chromedp.ID(id)), chromedp.KeyEvent(kb.Enter))
	}
	press("next")
	at("?page=2", "next", "page 2 of 3")
	if got := browsertest.Eval[string](tab, `document.getElementById("say").textContent`); got != "page 2" {
		t.Errorf("a screen reader heard %q", got)
	}
	press("next")
	at("?page=3", "next", "page 3 of 3") // though it leads nowhere now
	press("sort-size")
	at("?sort=size", "sort-size", "page 1 of 3")
	press("sort-size")
	at("?sort=-size", "sort-size", "page 1 of 3")
	press("state1")
	at("?show=ready&sort=-size", "state1", "page 1 of 3")
	tab.Do(chromedp.SetValue(chromedp.ID("search"), "dead"))
	press("search")
	at("?q=dead&show=ready&sort=-size", "search", "page 1 of 3")
	press("next")
	at("?page=2&q=dead&show=ready&sort=-size", "next", "page 2 of 3")

	// Enter in a box presses no button.
	tab.Do(chromedp.Click(chromedp.ID("pick-1")), chromedp.KeyEvent(kb.Enter))
	tab.Do(chromedp.Click(chromedp.ID("all-items")))
	if n := browsertest.Eval[int](tab, `document.querySelectorAll("#items tbody :checked").length`); n != 12 {
		t.Errorf("%d of 12 items are ticked", n)
	}
	tab.Do(chromedp.Click(chromedp.ID("pick-0")))
	press("remove-selected")
	tab.WaitFor(`document.querySelector("#items .notice")?.textContent.includes("12 items removed")`)
	at("?page=2&q=dead&show=ready&sort=-size", "remove-selected", "page 2 of 3")
	mu.Lock()
	if got := removed[overlayview.ItemField]; len(got) != 11 || got[0] != "101" || removed.Get("page") != "2" || removed.Get("q") != "dead" || removed.Get("sort") != "-size" {
		t.Errorf("removing sends %v", removed)
	}
	mu.Unlock()
	if !browsertest.Eval[bool](tab, `window.stayed === true`) {
		t.Error("the page was loaded again")
	}

	tab.Loads(`history.back()`)
	at("?q=dead&show=ready&sort=-size", "", "page 1 of 3")
	tab.Loads(`history.back()`)
	at("?show=ready&sort=-size", "", "page 1 of 3")
	tab.Loads(`history.forward()`)
	at("?q=dead&show=ready&sort=-size", "", "page 1 of 3")
	healthy(t, tab)
}

// A page of a large overlay loads only the visible pictures and lays out only the visible rows.
func TestAFullPageOfItems(t *testing.T) {
	t.Parallel()
	browser := browsertest.Start(t)
	var mu sync.Mutex
	pictures := 0
	url := serve(t, func(mux *http.ServeMux) {
		mux.HandleFunc("GET /picture/{name}", func(w http.ResponseWriter, _ *http.Request) {
			mu.Lock()
			pictures++
			mu.Unlock()
			w.Header().Set("Content-Type", "image/svg+xml")
			fmt.Fprint(w, `<svg xmlns="http://www.w3.org/2000/svg" width="64" height="64"/>`)
		})
		mux.HandleFunc("GET "+route.OverlayShow.Pattern, func(w http.ResponseWriter, r *http.Request) {
			items := someItems(workshop.Listing.Size, "")
			for i := range items {
				items[i].PreviewURL = fmt.Sprintf("http://%s/picture/%d", r.Host, i)
			}
			answer(w, r, overlayview.Show(someOverlay(items)))
		})
	})
	tab := browser.Page(t)
	tab.Look(360, 800, browsertest.Light)
	tab.Open(url + route.OverlayShow.URL(3))
	if tab.ScrollsSideways() {
		t.Error("the page is wider than the window")
	}
	tab.WaitFor(`document.querySelector("#items img").complete`)
	mu.Lock()
	defer mu.Unlock()
	if pictures == 0 || pictures > 100 {
		t.Errorf("%d of 200 pictures were loaded for the first screen", pictures)
	}
	healthy(t, tab)
}
