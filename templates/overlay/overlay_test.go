package overlay_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/PuerkitoBio/goquery"

	"left4me/templates/job"
	"left4me/templates/overlay"
	"left4me/templates/page"
	"left4me/templates/pagetest"
)

const hostile = `<script>alert(1)</script>"' onload=x`

var now = time.Date(2026, 3, 14, 18, 30, 0, 0, time.UTC)

func frame(admin bool) page.Frame {
	return page.Frame{Person: page.Person{Name: "nick", Administrator: admin}, CSRF: "token", Now: now}
}

func workshop(items ...overlay.Item) overlay.ShowView {
	return overlay.ShowView{
		Frame: frame(false), ID: 3, Name: hostile, Type: overlay.Workshop, Owner: "nick", Path: "overlays/3",
		CanEdit: true, CanBuild: true, Items: items,
	}
}

func item(id int64, title, state string) overlay.Item {
	return overlay.Item{ID: id, SteamID: fmt.Sprint(1000 + id), Title: title, State: state, Size: 34 << 20, Updated: now.Add(-time.Hour), Downloaded: now.Add(-time.Minute)}
}

func cells(row *goquery.Selection) (texts []string) {
	row.Find("th, td").Each(func(_ int, s *goquery.Selection) { texts = append(texts, strings.Join(strings.Fields(s.Text()), " ")) })
	return texts
}

// TestItemTableShowsP17 keeps each column of the contract, with strangers' text as text.
func TestItemTableShowsP17(t *testing.T) {
	bare := overlay.Item{ID: 2, SteamID: "1002", State: "waiting for download"}
	first := item(1, hostile, "ready")
	first.PreviewURL = "https://images.steamusercontent.com/ugc/1/2/"
	doc := pagetest.Page(t, pagetest.Render(t, overlay.Show(workshop(first, bare))))
	rows := doc.Find("#items tbody tr")
	for i, want := range []string{
		"|" + hostile + " 1001|ready|34 MiB|1 hour ago|1 minute ago|Remove " + hostile,
		"|Item 1002 1002|waiting for download|unknown|never|never|Remove Item 1002",
	} {
		got := strings.Join(cells(rows.Eq(i)), "|")
		if strings.ReplaceAll(got, " ", "") != strings.ReplaceAll(want, " ", "") {
			t.Errorf("row %d reads %q, want %q", i, got, want)
		}
	}
	if got := rows.Eq(0).Find("img[loading=lazy]").AttrOr("src", ""); got != first.PreviewURL {
		t.Errorf("the picture is %q", got)
	}
	if rows.Eq(1).Find("img").Length() != 0 {
		t.Error("an item without picture shows one")
	}
	if got := rows.Eq(0).Find("th a").AttrOr("href", ""); got != "https://steamcommunity.com/sharedfiles/filedetails/?id=1001" {
		t.Errorf("the title leads to %q", got)
	}
	if got := rows.Eq(0).Find("button").AttrOr("formaction", ""); got != "/overlays/3/items/1/delete" {
		t.Errorf("removing posts to %q", got)
	}
	if got := pagetest.Text(doc, "#items .hint"); got != "2 items, 34 MiB" {
		t.Errorf("the sum reads %q", got)
	}
}

// TestStrangersURLsAreNotFollowed keeps a preview URL from being anything but a picture on a web server.
func TestStrangersURLsAreNotFollowed(t *testing.T) {
	for _, bad := range []string{"javascript:alert(1)", "data:text/html,x", "//", "/logout", "https://", "ftp://a/b", "ht\ntp://x"} {
		i := item(1, "x", "ready")
		i.PreviewURL = bad
		if pagetest.Page(t, pagetest.Render(t, overlay.Show(workshop(i)))).Find("#items img").Length() != 0 {
			t.Errorf("%q is shown as a picture", bad)
		}
	}
	i := item(1, "x", "ready")
	i.SteamID = `1&x=2"><b>`
	doc := pagetest.Page(t, pagetest.Render(t, overlay.Show(workshop(i))))
	if got := doc.Find("#items th a").AttrOr("href", ""); got != "https://steamcommunity.com/sharedfiles/filedetails/?id=1%26x%3D2%22%3E%3Cb%3E" {
		t.Errorf("a strange id leads to %q", got)
	}
}

// TestStatesHaveShapes keeps a state from being told by colour alone, and a new one from looking good.
func TestStatesHaveShapes(t *testing.T) {
	for state, want := range map[string]string{
		"ready": "good", "waiting for download": "waits", "update waiting": "waits", "not on Steam any more": "bad",
		"download failed: x": "bad", "steam offers no direct download for this item": "bad",
	} {
		doc := pagetest.Page(t, pagetest.Render(t, overlay.Show(workshop(item(1, "x", state)))))
		if s := doc.Find("#items tbody .state"); s.Text() != state || !s.HasClass(want) {
			t.Errorf("%q is shown as %q", state, s.AttrOr("class", ""))
		}
	}
}

// TestReadersGetNoButtons keeps what somebody may not do off their page.
func TestReadersGetNoButtons(t *testing.T) {
	v := workshop(item(1, "x", "ready"))
	v.CanEdit, v.CanBuild = false, false
	v.Outcome = overlay.Outcome{Removed: &v.Items[0]}
	doc := pagetest.Page(t, pagetest.Render(t, overlay.Show(v)))
	if n := doc.Find("main form, main button, main textarea").Length(); n != 0 {
		t.Errorf("a reader gets %d forms and buttons", n)
	}
	if doc.Find("#items tbody tr").Length() != 1 {
		t.Error("a reader does not see the items")
	}
	v.Items, v.Outcome = nil, overlay.Outcome{}
	if got := pagetest.Text(pagetest.Page(t, pagetest.Render(t, overlay.Show(v))), ".empty"); !strings.Contains(got, "has not added anything") {
		t.Errorf("a reader of an empty overlay is told %q", got)
	}
}

// TestEmptyOverlaySaysWhatToPaste keeps a newcomer from standing before an empty table.
func TestEmptyOverlaySaysWhatToPaste(t *testing.T) {
	v := workshop()
	v.Examples = []string{"https://steamcommunity.com/sharedfiles/filedetails/?id=1"}
	doc := pagetest.Page(t, pagetest.Render(t, overlay.Show(v)))
	if got := pagetest.Text(doc, ".empty"); !strings.Contains(got, "paste it above") || !strings.Contains(got, v.Examples[0]) {
		t.Errorf("it says %q", got)
	}
	if doc.Find("#items table").Length() != 0 {
		t.Error("there is an empty table")
	}
	if got := doc.Find(`form[action="/overlays/3/items"] textarea[name="input"]`).Length(); got != 1 {
		t.Errorf("%d boxes to paste into", got)
	}
}

// TestExternalOverlayExplainsItself keeps people from looking for a box to paste into.
func TestExternalOverlayExplainsItself(t *testing.T) {
	v := overlay.ShowView{Frame: frame(true), ID: 4, Name: "configs", Type: overlay.External, Path: "overlays/4", CanBuild: true, CanEdit: true}
	doc := pagetest.Page(t, pagetest.Render(t, overlay.Show(v)))
	if doc.Find("textarea, #items").Length() != 0 {
		t.Error("an external overlay takes workshop items")
	}
	if got := pagetest.Text(doc, "main"); !strings.Contains(got, "overlays/4/left4dead2/addons") {
		t.Errorf("it says %q", got)
	}
	if doc.Find(`form[action="/overlays/4/build"] button`).Length() != 1 {
		t.Error("an administrator cannot build it")
	}
}

// TestOutcomeSaysWhatHappened keeps P15's words and the way to the job.
func TestOutcomeSaysWhatHappened(t *testing.T) {
	gone := item(9, hostile, "ready")
	for _, c := range []struct {
		with overlay.Outcome
		want string
	}{
		{overlay.Outcome{}, ""},
		{overlay.Outcome{Added: 2, JobID: 7}, "2 added. Job 7 fetches what is missing."},
		{overlay.Outcome{Already: 1}, "already in overlay."},
		{overlay.Outcome{Already: 3}, "3 already in overlay."},
		{overlay.Outcome{Added: 1, Already: 1, JobID: 7}, "1 added, 1 already in overlay. Job 7 fetches what is missing."},
		{overlay.Outcome{Removed: &gone, JobID: 8}, hostile + " removed. Job 8 makes it so on the game host."},
	} {
		v := workshop(item(1, "x", "ready"))
		v.Outcome = c.with
		doc := pagetest.Page(t, pagetest.Render(t, overlay.Show(v)))
		if got := pagetest.Text(doc, "#items .notice p"); got != c.want {
			t.Errorf("%+v reads %q, want %q", c.with, got, c.want)
		}
		if c.with.JobID != 0 && doc.Find(fmt.Sprintf(`#items .notice a[href="/jobs/%d"]`, c.with.JobID)).Length() != 1 {
			t.Errorf("%+v does not lead to its job", c.with)
		}
		if c.with.Removed != nil && doc.Find(`#items .notice input[name="input"]`).AttrOr("value", "") != "1009" {
			t.Errorf("%+v cannot be taken back", c.with)
		}
	}
}

// TestChangedIsAFragment keeps the answer to htmx to the parts that changed.
func TestChangedIsAFragment(t *testing.T) {
	v := workshop(item(1, "x", "waiting for download"))
	v.Outcome = overlay.Outcome{Added: 1, JobID: 7}
	v.Live.Job = job.Summary{ID: 7, Operation: "build_overlay", State: "queued", Created: now}
	v.Build.Active = "queued"
	doc := pagetest.Fragment(t, pagetest.Render(t, overlay.Changed(v)))
	if doc.Find("#items:not([hx-swap-oob]) tbody tr").Length() != 1 {
		t.Error("the table is not the answer's main part")
	}
	for _, id := range []string{"trouble", "say", "add-error", "overlay-job", "overlay-build"} {
		if doc.Find("#"+id+"[hx-swap-oob]").Length() != 1 {
			t.Errorf("%s is not brought up to date", id)
		}
	}
	if got := doc.Find("#overlay-progress").AttrOr("hx-get", ""); got != "/overlays/3?job=7&state=queued" {
		t.Errorf("the page goes on to ask %q", got)
	}
	// The box is there for the add form alone, which asks for it.
	if box := doc.Find("#input"); box.Text() != "" || box.AttrOr("hx-swap-oob", "none") != "none" {
		t.Error("the box is emptied for everybody, or not empty")
	}
}

// TestAPageWithAFormStandsStill keeps half a link from being lost: without script, the page is loaded again by its reader.
func TestAPageWithAFormStandsStill(t *testing.T) {
	const again = `<a href="/overlays/3">Load it again</a>`
	v := workshop(item(1, "x", "waiting for download"))
	v.Live.Job = job.Summary{ID: 7, Operation: "build_overlay", State: "running", Created: now, Started: now}
	html := pagetest.Render(t, overlay.Show(v))
	if strings.Contains(html, `http-equiv="refresh"`) {
		t.Error("the page reloads itself under somebody who types")
	}
	if !strings.Contains(html, again) {
		t.Error("nothing loads the page again")
	}
	v.Live.Job.State = "succeeded"
	if strings.Contains(pagetest.Render(t, overlay.Show(v)), again) {
		t.Error("a page with nothing to wait for is to be loaded again")
	}
}

// TestNewsBringsTheItemsOnlyAtTheEnd keeps a table of a thousand items from being sent every second.
func TestNewsBringsTheItemsOnlyAtTheEnd(t *testing.T) {
	for _, c := range []struct {
		name               string
		job                int64
		state              string
		seenJob            int64
		seenState          string
		strip, items, asks bool
	}{
		{"nothing new", 7, "running", 7, "running", false, false, true},
		{"it started", 7, "running", 7, "queued", true, false, true},
		{"it ended", 7, "succeeded", 7, "running", true, true, false},
		{"it ended and another waits", 8, "queued", 7, "running", true, true, true},
		{"it is gone", 0, "", 7, "running", true, true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := workshop(item(1, "x", "ready"))
			v.Live = overlay.Live{SeenJob: c.seenJob, SeenState: c.seenState, Job: job.Summary{ID: c.job, Operation: "build_overlay", State: c.state, Started: now}}
			doc := pagetest.Fragment(t, pagetest.Render(t, overlay.News(v)))
			if got := doc.Find("#overlay-job[hx-swap-oob]").Length() == 1; got != c.strip {
				t.Errorf("the strip is replaced: %v", got)
			}
			if got := doc.Find(`#item-list[hx-swap-oob="true"] tbody tr`).Length() == 1; got != c.items {
				t.Errorf("the items are brought: %v", got)
			}
			if doc.Find("#items").Length() != 0 {
				t.Error("the notice about the last change is taken away")
			}
			if got := doc.Find("#overlay-progress[hx-get]").Length() == 1; got != c.asks {
				t.Errorf("the page asks on: %v", got)
			}
		})
	}
}

// TestListFollowsWhoLooks keeps `external` to administrators and the owner's column to those who see several owners.
func TestListFollowsWhoLooks(t *testing.T) {
	rows := []overlay.Row{
		{ID: 1, Name: hostile, Type: overlay.Workshop, Owner: "nick", Build: overlay.Build{Status: "failed", At: now.Add(-time.Hour)}},
		{ID: 2, Name: "configs", Type: overlay.External},
		{ID: 4, Name: "third", Type: "mirror", Build: overlay.Build{Status: "ok", At: now, Active: "running"}},
		{ID: 5, Name: "changed", Type: overlay.Workshop, Owner: "nick", Build: overlay.Build{At: now.Add(-time.Hour)}},
	}
	admin := pagetest.Page(t, pagetest.Render(t, overlay.List(overlay.ListView{
		Frame: frame(true), Overlays: rows, Create: overlay.CreateForm{Types: []string{overlay.Workshop, overlay.External}},
	})))
	for i, want := range []string{hostile + "|Workshop|nick|failed1 hour ago", "configs|External|the system|not built yet", "third|mirror|the system|being built",
		"changed|Workshop|nick|not up to date last build 1 hour ago"} {
		if got := strings.Join(cells(admin.Find("tbody tr").Eq(i)), "|"); strings.ReplaceAll(got, " ", "") != strings.ReplaceAll(want, " ", "") {
			t.Errorf("row %d reads %q, want %q", i, got, want)
		}
	}
	if admin.Find(`select option[value="external"]`).Length() != 1 {
		t.Error("an administrator cannot make an external overlay")
	}
	other := pagetest.Page(t, pagetest.Render(t, overlay.List(overlay.ListView{
		Frame: frame(false), Overlays: rows[:1], Create: overlay.CreateForm{Types: []string{overlay.Workshop}, Name: hostile, Error: "It is taken."},
	})))
	if other.Find(`option[value="external"]`).Length() != 0 || strings.Contains(pagetest.Text(other, "thead"), "Owner") {
		t.Error("somebody else sees what is for administrators")
	}
	if got := other.Find("#name"); got.AttrOr("value", "") != hostile || got.AttrOr("aria-invalid", "") != "true" || pagetest.Text(other, "#create-error") != "It is taken." {
		t.Error("a refused name is not shown with its reason")
	}
	empty := pagetest.Page(t, pagetest.Render(t, overlay.List(overlay.ListView{Frame: frame(false), Create: overlay.CreateForm{Types: []string{overlay.Workshop}}})))
	if empty.Find("table").Length() != 0 || !strings.Contains(pagetest.Text(empty, ".empty"), "Give one a name below") {
		t.Error("an empty list does not say what to do")
	}
}
