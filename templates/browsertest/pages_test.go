package browsertest_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/a-h/templ"

	"left4me/shared/route"
	"left4me/templates/account"
	"left4me/templates/admin"
	"left4me/templates/assets"
	"left4me/templates/browsertest"
	"left4me/templates/job"
	"left4me/templates/overlay"
	"left4me/templates/page"
)

// policy is as strict as the one that templates/web sends.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; " +
	"frame-ancestors 'none'; img-src 'self' https://*.steamusercontent.com"

var now = time.Date(2026, 3, 14, 18, 30, 0, 0, time.UTC)

const hostile = `<script>alert(1)</script>"'><img src=x onerror=alert(1)>`

// turned begins with a mark that would turn the rest of its line around.
const turned = "\u202Egpj.exe \u05E9\u05DC\u05D5\u05DD"

func frame(admin bool) page.Frame {
	return page.Frame{Person: page.Person{Name: "nick", Administrator: admin}, CSRF: "token", Version: "1.2.3", Now: now}
}

func someItems(n int, picture string) []overlay.Item {
	titles := []string{
		"Urban Flight", hostile, turned, strings.Repeat("Dawnbreaker", 30), "Dead Before Dawn: the extended campaign with all optional rescue finales", "",
	}
	states := []string{"ready", "waiting for download", "update waiting", "not on Steam any more", "download failed: unexpected status 503 from cdn.steamusercontent.com", "ready"}
	items := make([]overlay.Item, n)
	for i := range items {
		items[i] = overlay.Item{
			ID: int64(100 + i), SteamID: fmt.Sprint(3434972877 + i), Title: titles[i%len(titles)], State: states[i%len(states)],
			Size: int64(i+1) * 9_434_972, Updated: now.Add(-time.Duration(i*31+7) * time.Hour), Downloaded: now.Add(-time.Duration(i*7+1) * time.Minute),
		}
		if i%3 == 0 {
			items[i].PreviewURL = picture
		}
		if items[i].State == "waiting for download" {
			items[i].Downloaded = time.Time{}
		}
		if items[i].State == "not on Steam any more" {
			items[i].Size = 0
		}
	}
	return items
}

func summary(id int64, state string) job.Summary {
	s := job.Summary{
		ID: id, Operation: "build_overlay", State: state, OverlayID: 3, OverlayName: "Friday night campaigns", AskedBy: "nick",
		Created: now.Add(-95 * time.Second),
	}
	if state != "queued" {
		s.Started = now.Add(-93 * time.Second)
	}
	if s.Ended() {
		s.Finished = now.Add(-20 * time.Second)
	}
	return s
}

var downloading = job.Progress{ItemsDone: 3, ItemsTotal: 12, BytesDone: 412 << 20, BytesTotal: 1310 << 20, Current: "3434972877 Urban Flight"}

func someLog(from, n int) []job.Line {
	lines := make([]job.Line, n)
	for i := range lines {
		seq := from + i
		lines[i] = job.Line{Seq: int64(seq), At: now.Add(time.Duration(seq) * time.Second), Text: fmt.Sprintf("workshop %d: downloaded 34 MiB in 2.1 s", 3434972877+seq)}
		if seq%5 == 4 {
			lines[i].Stderr, lines[i].Text = true, fmt.Sprintf("workshop %d attempt 1/3 failed: unexpected status 503 %s", 3434972877+seq, hostile)
		}
	}
	return lines
}

func show(id int64, state string) job.ShowView {
	log := someLog(1, 24)
	v := job.ShowView{
		Frame: frame(false), Job: summary(id, state), Progress: downloading, CanCancel: true, Log: log, After: 24, Earlier: true,
	}
	switch state {
	case "failed":
		v.Result = "2 of 12 items could not be downloaded"
		v.Failures = []job.Line{log[3], {Stderr: true, Text: strings.Repeat("long", 90)}}
	case "succeeded":
		v.Result = "downloaded=3 cached=9 skipped=0 created=12 removed=0 unchanged=0 errors=0"
	}
	return v
}

// collection is a collect_garbage, whose log is another one.
func collection(state string) job.ShowView {
	v := job.ShowView{Frame: frame(true), Job: summary(8, state), CanCancel: true, Progress: job.Progress{ItemsDone: 17, ItemsTotal: 38, BytesDone: 2 << 30, BytesTotal: 6 << 30, Current: "3434972877.vpk"}}
	v.Job.Operation, v.Job.OverlayID, v.Job.OverlayName = "collect_garbage", 0, ""
	if state == "queued" {
		v.Waiting = "It starts when the jobs before it have ended."
		return v
	}
	v.Log = []job.Line{
		{Seq: 1, At: now, Text: "kept 3434972870.vpk: 1048576 bytes, no overlay holds it, but overlays/2/left4dead2/maps/mine leads to it"},
		{Seq: 2, At: now, Text: "removed 3434972877.vpk.partial: 5 bytes, left of a broken download"},
	}
	v.After = 2
	switch state {
	case "succeeded":
		v.Result = "garbage: removed=38 bytes=6442450944 linked=1 busy=0 errors=0"
	case "failed":
		v.Result = "1 of 38 files could not be removed: remove 3434972878.vpk: device or resource busy"
		v.Failures = []job.Line{{Seq: 3, At: now, Stderr: true, Text: "remove 3434972878.vpk: device or resource busy"}}
	}
	return v
}

func workshop(items []overlay.Item) overlay.ShowView {
	return overlay.ShowView{
		Frame: frame(false), ID: 3, Name: "Friday night campaigns", Type: overlay.Workshop, Owner: "nick", Path: "overlays/3",
		Build: overlay.Build{Status: "ok", At: now.Add(-3 * time.Hour), JobID: 6}, CanEdit: true, CanBuild: true, Items: items,
	}
}

// samples are all pages, in the states that look different.
func samples(picture string) map[string]templ.Component {
	empty := workshop(nil)
	empty.Build = overlay.Build{}
	empty.Examples = []string{
		"https://steamcommunity.com/sharedfiles/filedetails/?id=3434972877",
		"3434972877, 3434972878",
	}

	busy := workshop(someItems(12, picture))
	busy.Build.Active = "running"
	busy.Live = overlay.Live{Job: summary(7, "running"), Progress: downloading}
	busy.Outcome = overlay.Outcome{Added: 2, Already: 1, JobID: 7}

	removed := workshop(someItems(3, picture))
	removed.Outcome = overlay.Outcome{Removed: &removed.Items[1], JobID: 8}

	refused := workshop(someItems(1, picture))
	refused.Input, refused.InputError = "3434972877 rubbish", `"rubbish" is neither a workshop link nor an id. Nothing was added.`

	managed := workshop(someItems(1, picture))
	managed.NewName, managed.RenameError = "Versus", "You already have an overlay named “Versus”. Please choose another name."
	managed.DeleteError = "Please tick the box to confirm. Nothing was deleted."

	reader := workshop(someItems(6, picture))
	reader.CanEdit, reader.CanBuild, reader.Name = false, false, strings.Repeat("W", 64)

	external := overlay.ShowView{
		Frame: frame(true), ID: 4, Name: "Server configs", Type: overlay.External, Path: "overlays/4", CanBuild: true,
		Build: overlay.Build{Status: "failed", At: now.Add(-26 * time.Hour), JobID: 2},
	}

	list := overlay.ListView{Frame: frame(true), Create: overlay.CreateForm{Types: []string{overlay.Workshop, overlay.External}}}
	for i, b := range []overlay.Build{
		{Status: "ok", At: now.Add(-3 * time.Hour)}, {Status: "failed", At: now.Add(-50 * time.Hour)}, {}, {Active: "queued"}, {Status: "ok", Active: "running"},
	} {
		list.Overlays = append(list.Overlays, overlay.Row{
			ID: int64(i + 1), Name: []string{"Friday night campaigns", hostile, turned, strings.Repeat("m", 64), "Versus"}[i], Type: overlay.Workshop, Owner: "nick", Build: b,
		})
	}
	list.Overlays = append(list.Overlays, overlay.Row{ID: 9, Name: "Server configs", Type: overlay.External, Build: overlay.Build{Status: "ok", At: now}})

	clash := overlay.ListView{Frame: frame(false), Create: overlay.CreateForm{
		Types: []string{overlay.Workshop}, Name: "Versus", Error: "You already have an overlay named “Versus”. Choose another name.",
	}}

	jobs := job.ListView{Frame: frame(true), Older: 2, Later: true}
	for i, state := range []string{"queued", "running", "cancelling", "succeeded", "failed", "cancelled"} {
		jobs.Jobs = append(jobs.Jobs, summary(int64(20-i), state))
	}
	jobs.Jobs = append(jobs.Jobs, job.Summary{ID: 3, Operation: "refresh_workshop_items", State: "succeeded", Created: now.Add(-14 * time.Hour), Started: now.Add(-14 * time.Hour), Finished: now.Add(-14*time.Hour + 75*time.Second)})
	jobs.Jobs = append(jobs.Jobs, job.Summary{ID: 2, Operation: "build_overlay", OverlayID: 1, State: "succeeded", AskedBy: hostile, Created: now.Add(-20 * time.Hour)})

	sessions := account.ShowView{Frame: frame(false), MinPassword: 8, MaxPassword: 1024, Sessions: []account.Session{
		{ID: 3, Current: true, Signed: now.Add(-time.Hour), Expires: now.Add(29 * 24 * time.Hour), Address: "2001:db8:85a3::8a2e:370:7334", UserAgent: "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"},
		{ID: 2, Signed: now.Add(-50 * time.Hour), Expires: now.Add(27 * 24 * time.Hour), Address: "192.0.2.7", UserAgent: hostile},
		{ID: 1, Signed: now.Add(-90 * time.Hour), Expires: now.Add(26 * 24 * time.Hour)},
	}}
	wrongPassword := sessions
	wrongPassword.Error, wrongPassword.Sessions = "That is not your current password. Nothing was changed.", sessions.Sessions[:1]

	quiet := admin.HomeView{Frame: frame(true), People: 1, Administrators: 1}
	busyHome := admin.HomeView{
		Frame: frame(true), People: 12, Administrators: 2, Disabled: 1, Ready: 1204, Waiting: 31, Failing: 4, Unused: 7,
		Garbage:  admin.Garbage{Hosts: 1, Files: 38, Bytes: 6 << 30},
		Overlays: []admin.Type{{Name: overlay.External, Overlays: 2}, {Name: overlay.Workshop, Overlays: 40}},
		Refresh:  admin.Refresh{Job: summary(6, "failed"), LastLine: "3 of 1204 items could not be downloaded " + hostile},
		Queue:    []admin.Queue{{Operation: "build_overlay", State: "queued", Jobs: 240, Oldest: now.Add(-20 * time.Minute)}, {Operation: "refresh_workshop_items", State: "running", Jobs: 1, Oldest: now}},
		Hosts: []admin.Host{
			{Name: "game-host.example", Command: "up", Version: "1.2.3", Seen: now, DiskTotal: 931 << 30, DiskFree: 412 << 30, Measured: now.Add(-time.Minute), CacheFiles: 1204, CacheBytes: 212 << 30, Overlays: 42, OverlayBytes: 7 << 20},
			{Name: strings.Repeat("h", 63), Command: "agent", Version: "1.2.2-14-g1a2b3c4-dirty", Seen: now.Add(-30 * time.Hour), Silent: true, DiskTotal: 100 << 30, DiskFree: 1 << 30, Scarce: true},
		},
	}
	allJobs := admin.JobsView{Frame: frame(true), Live: jobs.Jobs[:3], LiveTotal: 240, Ended: jobs.Jobs[3:], Older: 2}
	failedJobs := admin.JobsView{Frame: frame(true), State: "failed", Later: true}

	clean, collecting, elsewhere := busyHome, busyHome, busyHome
	clean.Garbage, clean.Queue, clean.Hosts = admin.Garbage{Hosts: 1}, nil, busyHome.Hosts[:1]
	collecting.Queue = []admin.Queue{{Operation: "collect_garbage", State: "running", Jobs: 1, Oldest: now}}
	elsewhere.Garbage = admin.Garbage{Hosts: 2, Files: 1, Bytes: 12}

	people := admin.PeopleView{Frame: frame(true), Fresh: admin.Fresh{Name: "ellis", Password: "ABCDEFGHIJKLMNOP"}, People: []admin.Person{
		{ID: 1, Name: "nick", Administrator: true, Last: true, You: true, Created: now.Add(-900 * time.Hour), SignedIn: now},
		{ID: 2, Name: strings.Repeat("W", 64), Created: now.Add(-90 * time.Hour)},
		{ID: 3, Name: "coach", Administrator: true, Disabled: true, Created: now.Add(-90 * time.Hour), SignedIn: now.Add(-80 * time.Hour)},
	}}
	refusedPeople := people
	refusedPeople.Fresh, refusedPeople.Trouble = admin.Fresh{}, "nick is the last administrator. Please make somebody else an administrator first."
	refusedPeople.Create = admin.CreateForm{Name: "nick", Administrator: true, Error: "There is already a user named nick."}

	noticed := frame(false)
	noticed.Notice = "You are signed in."

	return map[string]templ.Component{
		"login":             account.Login(account.LoginView{Frame: page.Frame{CSRF: "token", Version: "1.2.3", Now: now}}),
		"login-refused":     account.Login(account.LoginView{Frame: page.Frame{CSRF: "token", Now: now}, Name: "nick", Next: "/overlays/3", Error: "This name and password do not belong together. Try again."}),
		"overlays":          overlay.List(list),
		"overlays-empty":    overlay.List(overlay.ListView{Frame: noticed, Create: overlay.CreateForm{Types: []string{overlay.Workshop}}}),
		"overlays-clash":    overlay.List(clash),
		"overlay":           overlay.Show(workshop(someItems(12, picture))),
		"overlay-empty":     overlay.Show(empty),
		"overlay-busy":      overlay.Show(busy),
		"overlay-removed":   overlay.Show(removed),
		"overlay-refused":   overlay.Show(refused),
		"overlay-managed":   overlay.Show(managed),
		"overlay-reader":    overlay.Show(reader),
		"overlay-external":  overlay.Show(external),
		"jobs":              job.List(jobs),
		"jobs-empty":        job.List(job.ListView{Frame: frame(false)}),
		"job-queued":        job.Show(show(7, "queued")),
		"job-running":       job.Show(show(7, "running")),
		"job-failed":        job.Show(show(7, "failed")),
		"job-succeeded":     job.Show(show(7, "succeeded")),
		"garbage-queued":    job.Show(collection("queued")),
		"garbage-running":   job.Show(collection("running")),
		"garbage-succeeded": job.Show(collection("succeeded")),
		"garbage-failed":    job.Show(collection("failed")),
		"account":           account.Show(sessions),
		"account-refused":   account.Show(wrongPassword),
		"admin":             admin.Home(busyHome),
		"admin-quiet":       admin.Home(quiet),
		"admin-clean":       admin.Home(clean),
		"admin-collecting":  admin.Home(collecting),
		"admin-two-hosts":   admin.Home(elsewhere),
		"admin-jobs":        admin.Jobs(allJobs),
		"admin-jobs-none":   admin.Jobs(failedJobs),
		"admin-people":      admin.People(people),
		"admin-people-409":  admin.People(refusedPeople),
		"error-404":         page.Error(page.ErrorView{Frame: frame(false), Status: 404, Sentence: "There is no such overlay. It may have been deleted."}),
		"error-500":         page.Error(page.ErrorView{Frame: page.Frame{Now: now}, Status: 500, Sentence: "left4me could not do that, and it is not your fault. Try again in a minute.", RequestID: "01J9Z3K8"}),
	}
}

// serve serves handler at its patterns, with the assets and the security policy.
func serve(t *testing.T, add func(mux *http.ServeMux)) string {
	t.Helper()
	mux := http.NewServeMux()
	mux.Handle(route.Asset.Method+" "+route.Asset.Pattern, assets.Handler(http.NotFoundHandler()))
	add(mux)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", policy)
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func answer(w http.ResponseWriter, r *http.Request, c templ.Component) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	if err := c.Render(r.Context(), w); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

// TestEveryPageIsWellInABrowser keeps contrast, labels, widths and the security policy right on every page, in both
// colour schemes, on a desk and on a phone. With SCREENSHOTS set to a directory, it leaves a picture of each there.
func TestEveryPageIsWellInABrowser(t *testing.T) {
	t.Parallel()
	browser := browsertest.Start(t)
	pictures := os.Getenv("SCREENSHOTS")
	var pages map[string]templ.Component
	url := serve(t, func(mux *http.ServeMux) {
		// What a page asks for while it is looked at: nothing is new.
		nothing := func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }
		mux.HandleFunc("GET "+route.JobShow.Pattern, nothing)
		mux.HandleFunc("GET "+route.OverlayShow.Pattern, nothing)
		mux.HandleFunc("GET /sample/{name}", func(w http.ResponseWriter, r *http.Request) { answer(w, r, pages[r.PathValue("name")]) })
	})
	pages = samples(url + assets.URL(assets.Mark))

	for name := range pages {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tab := browser.Page(t)
			tab.Look(1280, 800, browsertest.Light)
			tab.Open(url + "/sample/" + name)
			for _, width := range []int64{1280, 360} {
				for _, scheme := range []browsertest.Scheme{browsertest.Light, browsertest.Dark} {
					at := fmt.Sprintf("%s, %d px", scheme, width)
					tab.Look(width, 800, scheme)
					var rules []string
					if scheme == browsertest.Dark {
						// Nothing but colours depends on the scheme.
						rules = []string{"color-contrast", "link-in-text-block"}
					}
					for _, finding := range tab.Audit(rules...) {
						t.Errorf("%s: %s", at, finding)
					}
					if tab.ScrollsSideways() {
						t.Errorf("%s: the page is wider than the window", at)
					}
					// Rows that need no layout while they are out of sight cut off what is too wide for them.
					if cut := browsertest.Eval[string](tab, `[...document.querySelectorAll("tbody tr")].filter(e => e.scrollWidth > e.clientWidth).map(e => e.textContent).join()`); cut != "" {
						t.Errorf("%s: these rows are wider than the window: %s", at, cut)
					}
					if pictures != "" {
						tab.Screenshot(filepath.Join(pictures, fmt.Sprintf("%s-%d-%s.png", name, width, scheme)))
					}
				}
			}
			for _, c := range tab.Complaints() {
				t.Error(c)
			}
		})
	}
}
