package overlay_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/PuerkitoBio/goquery"

	"left4me/shared/account"
	"left4me/shared/host"
	"left4me/shared/job"
	"left4me/shared/jobstore"
	"left4me/shared/overlay"
	"left4me/shared/steam"
	"left4me/shared/vpk"
	"left4me/shared/workshop"
	view "left4me/templates/overlay"
	"left4me/templates/page"
	"left4me/templates/pagetest"
)

const hostile = `<script>alert(1)</script>"' onload=x`

var now = time.Date(2026, 3, 14, 18, 30, 0, 0, time.UTC)

func frame(admin bool) page.Frame {
	return page.Frame{User: account.User{ID: 1, Name: "nick", Admin: admin}, CSRF: "token", Now: now}
}

func shown(items ...workshop.Item) view.ShowView {
	v := view.ShowView{
		Frame: frame(false), Overlay: overlay.Overlay{ID: 3, Name: hostile, Type: overlay.Workshop, OwnerID: 1, OwnerName: "nick"},
		Items: pagetest.Listed(items...), Sum: workshop.Sum{Items: len(items)},
	}
	for _, i := range items {
		v.Sum.Size += i.FileSize
	}
	return v
}

// item returns a ready item.
func item(id int64, title string) workshop.Item {
	i := workshop.Item{ID: id, SteamID: steam.ID(fmt.Sprint(1000 + id)), Title: title, FileURL: "https://example.com/1", FileSize: 34 << 20, Updated: now.Add(-time.Hour).Unix(), DownloadedAt: now.Add(-time.Minute), Linked: true}
	i.DownloadedSize, i.DownloadedUpdated = i.FileSize, i.Updated
	return i
}

func cells(row *goquery.Selection) (texts []string) {
	row.Find("th, td").Each(func(_ int, s *goquery.Selection) { texts = append(texts, strings.Join(strings.Fields(s.Text()), " ")) })
	return texts
}

// The table has all columns of P17, and escapes texts from Steam.
func TestItemTableShowsP17(t *testing.T) {
	bare := workshop.Item{ID: 2, SteamID: "1002", FileURL: "https://example.com/2"}
	first := item(1, hostile)
	first.PreviewURL = "https://images.steamusercontent.com/ugc/1/2/"
	doc := pagetest.Page(t, pagetest.Render(t, view.Show(shown(first, bare))))
	rows := doc.Find("#items tbody tr")
	for i, want := range []string{
		"Select " + hostile + "||" + hostile + " 1001|ready|34 MiB|1 hour ago|1 minute ago||Disable " + hostile + "Remove " + hostile,
		"Select Item 1002||Item 1002 1002|waiting for download|unknown|never|never||Disable Item 1002Remove Item 1002",
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
	if got := rows.Eq(0).Find("#remove-0").AttrOr("formaction", ""); got != "/overlays/3/items/1/delete" {
		t.Errorf("removing posts to %q", got)
	}
	if got := pagetest.Text(doc, "#items .hint"); got != "2 items, 34 MiB" {
		t.Errorf("the sum reads %q", got)
	}
}

func campaign(steamID steam.ID, title string, maps int, modes ...string) workshop.Campaign {
	c := workshop.Campaign{SteamID: steamID, Campaign: vpk.Campaign{Title: title}}
	for _, mode := range modes {
		m := vpk.Mode{Name: mode}
		for n := range maps {
			m.Maps = append(m.Maps, vpk.Map{Name: fmt.Sprintf("c1m%d", n+1), Title: fmt.Sprintf("Chapter %d %s", n+1, hostile)})
		}
		c.Modes = append(c.Modes, m)
	}
	return c
}

// A row says what is in the file. Its maps are folded if they are many, and each can be copied as a command.
//
// shows: P71
func TestContentsOfItems(t *testing.T) {
	with := func(id int64, c workshop.Content) workshop.Item {
		i := item(id, "x")
		i.Content = &c
		return i
	}
	v := shown(
		with(1, workshop.Content{Content: vpk.Content{Kind: vpk.CampaignKind, Title: "Addon", Author: hostile, Version: "2"}}),
		with(2, workshop.Content{Content: vpk.Content{Kind: vpk.CampaignKind}}),
		with(3, workshop.Content{Unknown: "its index is broken"}),
		with(4, workshop.Content{Content: vpk.Content{Kind: vpk.Mutation, Title: "x", Mutations: []string{"holdout"}}}),
		with(5, workshop.Content{Content: vpk.Content{Kind: vpk.CampaignKind}}),
		item(6, "x"),
	)
	v.Campaigns = []workshop.Campaign{
		campaign("1001", "Harbour", 4, "coop", "versus"), campaign("1005", "Mill", 1, "survival"), campaign("1005", hostile, 2, "coop"), campaign("9", "Elsewhere", 1, "coop"),
	}
	doc := pagetest.Page(t, pagetest.Render(t, view.Show(v)))
	for row, want := range []string{
		"Harbour: 4 maps",
		"part of a campaign; this file does not list its maps",
		"Its content is unknown: its index is broken.",
		"mutation or script Mutation holdout: reported to work on Linux servers only in a file named holdout.vpk. This overlay has it as 1004.vpk.Link x as holdout.vpk",
		"2 campaigns: 3 maps",
		"",
	} {
		got := strings.Join(strings.Fields(doc.Find("#items tbody tr").Eq(row).Find("td.content").Text()), " ")
		if !strings.HasPrefix(got, want) || want == "" && got != "" {
			t.Errorf("row %d says %q, want %q", row, got, want)
		}
	}
	first := doc.Find("#items tbody tr").Eq(0)
	if about := pagetest.Text(doc, "#items tbody tr:first-child td.content details > small"); about != "campaign, “Addon”, version 2, by "+hostile {
		t.Errorf("about the file: %q", about)
	}
	if _, open := first.Find("details").Attr("open"); open {
		t.Error("four maps in two modes are not folded")
	}
	if _, open := doc.Find("#items tbody tr").Eq(4).Find("details").Attr("open"); !open {
		t.Error("three maps are folded")
	}
	copies := doc.Find("#items button[data-copy]")
	if copies.Length() != 4*2+1+2 {
		t.Errorf("%d copy buttons", copies.Length())
	}
	if got := doc.Find(copies.Eq(5).AttrOr("data-copy", "")).Text(); got != "map c1m2 versus" {
		t.Errorf("copied is %q", got)
	}
	all := doc.Find("#item-list > details")
	var names []string
	all.Find("summary, li").Each(func(_ int, s *goquery.Selection) { names = append(names, strings.Join(strings.Fields(s.Text()), " ")) })
	if got := strings.Join(names, "; "); got != "4 campaigns; Harbour 4 maps (coop, versus); Mill 1 map (survival); "+hostile+" 2 maps (coop); Elsewhere 1 map (coop)" {
		t.Errorf("all campaigns: %q", got)
	}
	if got := all.Find("a").Last().AttrOr("href", ""); got != "/overlays/3?q=9" {
		t.Errorf("a campaign leads to %q", got)
	}
}

// However many maps there are, the page stays small: rows after the first ones only lead to theirs.
func TestManyMapsKeepThePageSmall(t *testing.T) {
	v := shown()
	for n := range 200 {
		i := item(int64(n), "x")
		i.Content = &workshop.Content{Content: vpk.Content{Kind: vpk.CampaignKind}}
		v.Items.Rows = append(v.Items.Rows, i)
		v.Campaigns = append(v.Campaigns, campaign(i.SteamID, strings.Repeat("<", 120), 200, "coop"), campaign(i.SteamID, "x", 1, "coop"))
	}
	page := pagetest.Render(t, view.Show(v))
	if len(page) > 2<<20 {
		t.Errorf("%d bytes", len(page))
	}
	doc := pagetest.Page(t, page)
	last := doc.Find("#items tbody tr").Last().Find("td.content")
	if got := strings.Join(strings.Fields(last.Text()), " "); got != "2 campaigns: 201 maps" || last.Find("a").AttrOr("href", "") != "/overlays/3?q=1199" {
		t.Errorf("the last row says %q", got)
	}
	if got := doc.Find("#item-list > details li").Last().Text(); got != "and 200 more" {
		t.Errorf("the list of campaigns ends with %q", got)
	}
}

// A preview URL from Steam is used only if it is a web link.
func TestInvalidURLsAreNotUsed(t *testing.T) {
	for _, bad := range []string{"javascript:alert(1)", "data:text/html,x", "//", "/logout", "https://", "ftp://a/b", "ht\ntp://x", "https://example.com/" + strings.Repeat("a", 2000)} {
		i := item(1, "x")
		i.PreviewURL = bad
		if pagetest.Page(t, pagetest.Render(t, view.Show(shown(i)))).Find("#items img").Length() != 0 {
			t.Errorf("%q is shown as a picture", bad)
		}
	}
	i := item(1, "x")
	i.SteamID = `1&x=2"><b>`
	doc := pagetest.Page(t, pagetest.Render(t, view.Show(shown(i))))
	if got := doc.Find("#items tbody th a").AttrOr("href", ""); got != "https://steamcommunity.com/sharedfiles/filedetails/?id=1%26x%3D2%22%3E%3Cb%3E" {
		t.Errorf("a strange id leads to %q", got)
	}
}

// Each state has a shape, not only a colour. An unknown state looks bad.
func TestStatesHaveShapes(t *testing.T) {
	const url = "https://example.com/1"
	for state, c := range map[string]struct {
		item workshop.Item
		want string
	}{
		"ready":                                         {item(1, "x"), "good"},
		"not on Steam any more, last copy kept":         {workshop.Item{LastError: "steam result 9", Linked: true}, "good"},
		"downloaded, not linked yet":                    {workshop.Item{FileURL: url, DownloadedAt: now}, "waits"},
		"waiting for download":                          {workshop.Item{FileURL: url}, "waits"},
		"update waiting":                                {workshop.Item{FileURL: url, DownloadedAt: now, Updated: 1}, "waits"},
		"not on Steam any more":                         {workshop.Item{LastError: "steam result 9"}, "bad"},
		"download failed: x":                            {workshop.Item{FileURL: url, LastError: "download failed: x"}, "bad"},
		"steam offers no direct download for this item": {workshop.Item{LastError: "steam offers no direct download for this item"}, "bad"},
	} {
		want := c.want
		doc := pagetest.Page(t, pagetest.Render(t, view.Show(shown(c.item))))
		if s := doc.Find("#items tbody .state"); s.Text() != state || !s.HasClass(want) {
			t.Errorf("%q is shown as %q", state, s.AttrOr("class", ""))
		}
	}
}

// People who may not change an overlay see no forms and buttons.
func TestReadersSeeNoButtons(t *testing.T) {
	v := shown(item(1, "x"))
	v.Overlay.OwnerID = 2
	v.Outcome, v.Waiting = view.Outcome{Removed: v.Items.Rows}, workshop.Waiting{Changes: 1, Failed: v.Items.Rows}
	doc := pagetest.Page(t, pagetest.Render(t, view.Show(v)))
	if n := doc.Find("main form, main button, main textarea").Length(); n != 0 {
		t.Errorf("a reader gets %d forms and buttons", n)
	}
	if doc.Find("#items tbody tr").Length() != 1 {
		t.Error("a reader does not see the items")
	}
	v.Sum, v.Outcome = workshop.Sum{}, view.Outcome{}
	if got := pagetest.Text(pagetest.Page(t, pagetest.Render(t, view.Show(v))), ".empty"); !strings.Contains(got, "Nothing has been added") {
		t.Errorf("a reader of an empty overlay reads %q", got)
	}
}

// An empty overlay has instructions instead of an empty table.
func TestEmptyOverlaySaysWhatToPaste(t *testing.T) {
	v := shown()
	v.Examples = []string{"https://steamcommunity.com/sharedfiles/filedetails/?id=1"}
	doc := pagetest.Page(t, pagetest.Render(t, view.Show(v)))
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

// The page of an external overlay says how to fill it, and has no box to paste into.
func TestExternalOverlayExplainsItself(t *testing.T) {
	v := view.ShowView{Frame: frame(true), Overlay: overlay.Overlay{ID: 4, Name: "configs", Type: overlay.External}}
	doc := pagetest.Page(t, pagetest.Render(t, view.Show(v)))
	if doc.Find("textarea, #items").Length() != 0 {
		t.Error("an external overlay takes workshop items")
	}
	if got := pagetest.Text(doc, "main"); !strings.Contains(got, "overlays/4/left4dead2/addons") {
		t.Errorf("it says %q", got)
	}
	if doc.Find(`form[action="/overlays/4/build"] button:not([formaction])`).Length() != 1 {
		t.Error("an administrator cannot build it")
	}
}

// The notice has the words of P15 and links to the job.
func TestOutcomeSaysWhatHappened(t *testing.T) {
	gone := item(9, hostile)
	for _, c := range []struct {
		with view.Outcome
		want string
	}{
		{view.Outcome{}, ""},
		{view.Outcome{Added: workshop.Added{New: 2}, JobID: 7}, "2 added. Job 7 fetches what is missing."},
		{view.Outcome{Added: workshop.Added{Already: 1}}, "already in overlay."},
		{view.Outcome{Added: workshop.Added{Already: 3}}, "3 already in overlay."},
		{view.Outcome{Added: workshop.Added{Already: 301, Lost: 1}}, "301 already in overlay, 1 not on Steam any more."},
		{view.Outcome{Added: workshop.Added{Already: 1, Lost: 2}}, "1 already in overlay, 2 not on Steam any more."},
		{view.Outcome{Added: workshop.Added{New: 1, Already: 1}, JobID: 7}, "1 added, 1 already in overlay. Job 7 fetches what is missing."},
		{view.Outcome{Removed: []workshop.Item{gone}, JobID: 8}, hostile + " removed. Job 8 updates the game host."},
		{view.Outcome{Removed: []workshop.Item{gone, item(8, "y")}, JobID: 8}, "2 items removed. Job 8 updates the game host."},
		{view.Outcome{Added: workshop.Added{New: 1}, CopiedTo: hostile, JobID: 9}, "1 item copied to " + hostile + ". Job 9 fetches what is missing."},
		{view.Outcome{Added: workshop.Added{New: 2, Already: 1}, CopiedTo: "x", JobID: 9}, "2 items copied to x, 1 already there. Job 9 fetches what is missing."},
		{view.Outcome{Added: workshop.Added{Already: 2}, CopiedTo: "x"}, "0 items copied to x, 2 already there."},
		{view.Outcome{Removed: make([]workshop.Item, 1001), JobID: 8}, "1,001 items removed. Job 8 updates the game host."},
	} {
		v := shown(item(1, "x"))
		v.Outcome = c.with
		doc := pagetest.Page(t, pagetest.Render(t, view.Show(v)))
		if got := pagetest.Text(doc, "#items .notice p"); got != c.want {
			t.Errorf("%+v reads %q, want %q", c.with, got, c.want)
		}
		if c.with.JobID != 0 && doc.Find(fmt.Sprintf(`#items .notice a[href="/jobs/%d"]`, c.with.JobID)).Length() != 1 {
			t.Errorf("%+v does not lead to its job", c.with)
		}
		again := map[int]string{0: "none", 1: "1009", 2: "1009 1008", 1001: "none"}[len(c.with.Removed)]
		if got := doc.Find(`#items .notice input[name="input"]`).AttrOr("value", "none"); got != again {
			t.Errorf("what was removed is put back with %q, want %q", got, again)
		}
	}
}

// The answer to htmx has only the parts that changed.
func TestChangedIsAFragment(t *testing.T) {
	v := shown(item(1, "x"))
	v.Outcome = view.Outcome{Added: workshop.Added{New: 1}, JobID: 7}
	v.Job = jobstore.Job{ID: 7, Operation: "build_overlay", State: job.Queued, CreatedAt: now}
	doc := pagetest.Fragment(t, pagetest.Render(t, view.Changed(v)))
	if doc.Find("#items:not([hx-swap-oob]) tbody tr").Length() != 1 {
		t.Error("the table is not the answer's main part")
	}
	for _, id := range []string{"trouble", "say", "add-error", "overlay-job", "overlay-build", "overlay-waiting"} {
		if doc.Find("#"+id+"[hx-swap-oob]").Length() != 1 {
			t.Errorf("%s is not updated", id)
		}
	}
	if got := doc.Find("#overlay-progress").AttrOr("hx-get", ""); got != "/overlays/3?job=7&state=queued" {
		t.Errorf("the page polls %q", got)
	}
	// It keeps its size, and what somebody types who removes an item meanwhile.
	if doc.Find("#input").Length() != 0 {
		t.Error("the box is replaced")
	}
}

// Without script, a page with a form does not reload itself, because that would discard a half-typed link.
func TestAPageWithAFormDoesNotReload(t *testing.T) {
	const again = `<a href="/overlays/3">Load it again</a>`
	v := shown(item(1, "x"))
	v.Job = jobstore.Job{ID: 7, Operation: "build_overlay", State: job.Running, CreatedAt: now, StartedAt: now}
	html := pagetest.Render(t, view.Show(v))
	if strings.Contains(html, `http-equiv="refresh"`) {
		t.Error("the page reloads itself while somebody may be typing")
	}
	if !strings.Contains(html, again) {
		t.Error("nothing links to the page itself")
	}
	v.Job.State = job.Succeeded
	if strings.Contains(pagetest.Render(t, view.Show(v)), again) {
		t.Error("a page without a running job offers to reload")
	}
}

// While a job runs, the table, which may have a thousand items, is not sent every second.
func TestNewsHasTheItemsOnlyAtTheEnd(t *testing.T) {
	for _, c := range []struct {
		name               string
		job                int64
		state              job.State
		seenJob            int64
		seenState          job.State
		strip, items, asks bool
	}{
		{"nothing new", 7, "running", 7, "running", false, false, true},
		{"it started", 7, "running", 7, "queued", true, false, true},
		{"it ended", 7, "succeeded", 7, "running", true, true, false},
		{"it ended and another waits", 8, "queued", 7, "running", true, true, true},
		{"it is gone", 0, "", 7, "running", true, true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := shown(item(1, "x"))
			v.SeenJob, v.SeenState, v.Job = c.seenJob, c.seenState, jobstore.Job{ID: c.job, Operation: "build_overlay", State: c.state, StartedAt: now}
			doc := pagetest.Fragment(t, pagetest.Render(t, view.News(v)))
			if got := doc.Find("#overlay-job[hx-swap-oob]").Length() == 1; got != c.strip {
				t.Errorf("the strip is replaced: %v", got)
			}
			if got := doc.Find(`#item-list[hx-swap-oob="true"] tbody tr`).Length() == 1; got != c.items {
				t.Errorf("the items are sent: %v", got)
			}
			if got := doc.Find(`#overlay-waiting[hx-swap-oob="true"]`).Length() == 1; got != c.items {
				t.Errorf("what waits is sent: %v", got)
			}
			if doc.Find("#items").Length() != 0 {
				t.Error("the notice about the last change is removed")
			}
			if got := doc.Find("#overlay-progress[hx-get]").Length() == 1; got != c.asks {
				t.Errorf("the page polls: %v", got)
			}
		})
	}
}

// The page says how many changes wait, because of what, and offers what helps.
func TestWaitingChanges(t *testing.T) {
	failed := func(ids ...int64) (items []workshop.Item) {
		for _, id := range ids {
			i := item(id, hostile)
			i.LastError = "download failed: status 404"
			items = append(items, i)
		}
		return items
	}
	queued := jobstore.Job{ID: 7, Operation: "build_overlay", State: job.Queued, CreatedAt: now}
	many := failed(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12)
	const one = hostile + " (1001): status 404"
	for name, c := range map[string]struct {
		waiting workshop.Waiting
		status  string
		job     jobstore.Job
		says    string
		buttons string
	}{
		"nothing": {},
		"a failed download": {workshop.Waiting{Changes: 3, Failed: failed(1)}, "failed", jobstore.Job{},
			"3 changes are waiting because 1 item could not be downloaded: " + one, "Take this item out|Try again"},
		"two, and removed ones": {workshop.Waiting{Changes: 4, Failed: failed(1, 2), Removed: []workshop.Item{item(8, "y"), item(9, "z")}}, "", jobstore.Job{},
			"4 changes are waiting because 2 items could not be downloaded: " + one + " " + hostile + " (1002): status 404 Removed or disabled, but still linked: y (1008) z (1009)", "Take these 2 items out|Try again"},
		"another build": {workshop.Waiting{Changes: 2, Failed: failed(1)}, "failed", queued, "2 changes are waiting for job 7. Before, 1 item could not be downloaded: " + one, "Take this item out"},
		"a build":       {workshop.Waiting{Changes: 2}, "", queued, "2 changes are waiting for job 7.", ""},
		"other reasons": {workshop.Waiting{Changes: 1}, "failed", jobstore.Job{}, "1 change is waiting because the last build failed. Job 6 says why.", "Try again"},
		"cancelled":     {workshop.Waiting{Changes: 1}, "", jobstore.Job{}, "1 change is waiting for a build.", "Try again"},
		"very many":     {workshop.Waiting{Changes: 12, Failed: many}, "failed", jobstore.Job{}, "and 2 more", "Take these 12 items out|Try again"},
	} {
		t.Run(name, func(t *testing.T) {
			v := shown(item(1, "x"))
			v.Waiting, v.Job, v.Overlay.LastBuildStatus, v.Overlay.LastBuildJobID = c.waiting, c.job, c.status, 6
			doc := pagetest.Page(t, pagetest.Render(t, view.Show(v)))
			bare := func(text string) string { return strings.ReplaceAll(text, " ", "") }
			if got := pagetest.Text(doc, "#overlay-waiting"); !strings.Contains(bare(got), bare(c.says)) || c.says == "" && got != "" {
				t.Errorf("it says %q, want %q", got, c.says)
			}
			buttons := doc.Find("#overlay-waiting button").Map(func(_ int, b *goquery.Selection) string { return strings.Join(strings.Fields(b.Text()), " ") })
			if got := strings.Join(buttons, "|"); got != c.buttons {
				t.Errorf("buttons %q, want %q", got, c.buttons)
			}
			out := doc.Find(`form[action="/overlays/3/items/delete"] input[name=item]`).Map(func(_ int, i *goquery.Selection) string { return i.AttrOr("value", "") })
			if len(out) != len(c.waiting.Failed) || len(out) > 0 && out[0] != "1" {
				t.Errorf("the items %q are taken out", out)
			}
			if again := doc.Find(`#overlay-waiting form[action="/overlays/3/build"]`).Length(); (again == 1) != strings.Contains(c.buttons, "Try again") {
				t.Errorf("%d forms to try again", again)
			}
		})
	}
}

// A refresh that failed is explained where it was asked for.
func TestAFailedRefreshIsExplained(t *testing.T) {
	v := shown(item(1, "x"))
	v.RefreshError = "steam api error: it is down"
	doc := pagetest.Page(t, pagetest.Render(t, view.Show(v)))
	if pagetest.Text(doc, "#refresh-error") != v.RefreshError || doc.Find(`button[autofocus][aria-describedby="refresh-error"]`).Length() != 1 {
		t.Error("the page does not say why")
	}
}

// Only administrators are offered the type external, and see the column of owners.
func TestListForAdministratorsAndOthers(t *testing.T) {
	rows := []overlay.Listed{
		{Overlay: overlay.Overlay{ID: 1, Name: hostile, Type: overlay.Workshop, OwnerName: "nick", LastBuildStatus: "failed", LastBuildAt: now.Add(-time.Hour)}, Items: 1234, Size: 34 << 20},
		{Overlay: overlay.Overlay{ID: 2, Name: "configs", Type: overlay.External}},
		{Overlay: overlay.Overlay{ID: 4, Name: "third", Type: &overlay.Type{Name: "mirror", Title: "mirror"}, LastBuildStatus: "ok", LastBuildAt: now}, Building: job.Running},
		{Overlay: overlay.Overlay{ID: 5, Name: "changed", Type: overlay.Workshop, OwnerName: "nick", LastBuildAt: now.Add(-time.Hour)}},
	}
	admin := pagetest.Page(t, pagetest.Render(t, view.List(view.ListView{Frame: frame(true), Overlays: pagetest.Listed(rows...)})))
	for i, want := range []string{hostile + "|Workshop|nick|1,234|34 MiB|failed1 hour ago", "configs|External|the system|||not built yet", "third|mirror|the system|||being built",
		"changed|Workshop|nick|0|0 B|not up to date last build 1 hour ago"} {
		if got := strings.Join(cells(admin.Find("tbody tr").Eq(i)), "|"); strings.ReplaceAll(got, " ", "") != strings.ReplaceAll(want, " ", "") {
			t.Errorf("row %d reads %q, want %q", i, got, want)
		}
	}
	if admin.Find(`select option[value="external"]`).Length() != 1 {
		t.Error("an administrator cannot make an external overlay")
	}
	other := pagetest.Page(t, pagetest.Render(t, view.List(view.ListView{
		Frame: frame(false), Overlays: pagetest.Listed(rows[:1]...), Create: view.CreateForm{Name: hostile, Error: "It is taken."},
	})))
	if other.Find(`option[value="external"]`).Length() != 0 || strings.Contains(pagetest.Text(other, "thead"), "Owner") {
		t.Error("somebody else sees what is for administrators")
	}
	if got := other.Find("#name"); got.AttrOr("value", "") != hostile || got.AttrOr("aria-invalid", "") != "true" || pagetest.Text(other, "#create-error") != "It is taken." {
		t.Error("a refused name is not shown with its reason")
	}
	empty := pagetest.Page(t, pagetest.Render(t, view.List(view.ListView{Frame: frame(false), Overlays: pagetest.Listed[overlay.Listed]()})))
	if empty.Find("table").Length() != 0 || !strings.Contains(pagetest.Text(empty, ".empty"), "Give one a name above") {
		t.Error("an empty list does not say what to do")
	}
}

// onHosts is an overlay on three hosts: built on the first, failed on the second, and on its way to the third, which is silent.
func onHosts() view.ShowView {
	v := shown(item(1, "One"))
	v.OnHosts = []view.OnHost{
		{Host: host.Host{ID: "a", Name: "attic", Root: "/srv/a", SeenAt: now}, Build: overlay.HostBuild{Status: "ok", At: now.Add(-time.Hour), JobID: 5}},
		{Host: host.Host{ID: "c", Name: "cellar", Root: "/srv/c", SeenAt: now}, Build: overlay.HostBuild{Status: "failed", At: now.Add(-2 * time.Hour), JobID: 6}},
		{Host: host.Host{ID: "l", Name: "loft", SeenAt: now.Add(-3 * time.Hour)}, Job: jobstore.Job{ID: 7, Operation: "build_overlay", State: job.Queued, SeveralHosts: true, HostID: "l", HostName: "loft"}},
	}
	for _, o := range v.OnHosts {
		v.Hosts = append(v.Hosts, o.Host)
	}
	return v
}

// Of several hosts there is one line each, and a failure is said above them; of a single one nothing is said.
//
// shows: P46
func TestOneLineForEachOfSeveralHosts(t *testing.T) {
	v := onHosts()
	doc := pagetest.Page(t, pagetest.Render(t, view.Show(v)))
	for i, want := range []string{
		"attic|built 1 hour ago job 5|/srv/a/overlays/3 Copy the path on attic",
		"cellar|failed 2 hours ago job 6|/srv/c/overlays/3 Copy the path on cellar",
		"loft silent since 14 Mar 2026, 15:30 UTC|waiting to be built job 7|not reported yet",
	} {
		row := doc.Find("#overlay-hosts tbody tr").Eq(i)
		row.Find("*").BeforeHtml(" ")
		if got := strings.Join(cells(row), "|"); got != want {
			t.Errorf("line %d: %q, want %q", i, got, want)
		}
	}
	for _, want := range []string{"failed on cellar", "silent: loft", "built on 1 of 3"} {
		if got := pagetest.Text(doc, "#overlay-hosts-summary"); !strings.Contains(got, want) {
			t.Errorf("the summary %q does not say %q", got, want)
		}
	}
	if doc.Find("#overlay-hosts a[href='/jobs/6']").Length() != 1 {
		t.Error("nothing leads to the job that failed")
	}

	v.Hosts, v.OnHosts = v.Hosts[:1], nil
	if got := pagetest.Text(pagetest.Page(t, pagetest.Render(t, view.Show(v))), "main"); strings.Contains(got, "attic") || strings.Contains(got, "Hosts") {
		t.Errorf("the only host is mentioned: %s", got)
	}
}

// A page that polls gets the lines of all hosts when they were read, because something has changed there.
func TestNewsOfSeveralHosts(t *testing.T) {
	v := onHosts()
	v.Job = v.OnHosts[2].Job
	v.SeenJob, v.SeenState, v.Job.State = 7, job.Queued, job.Running
	begun := view.ShowView{Frame: v.Frame, Overlay: overlay.Overlay{ID: 3}, Job: v.Job, SeenJob: 7, SeenState: job.Queued}
	news := pagetest.Fragment(t, pagetest.Render(t, view.News(begun)))
	if got := pagetest.Text(news, "#overlay-job"); !strings.Contains(got, "Build overlay on loft: job 7") {
		t.Errorf("the job is called %q", got)
	}
	v.Job.State = job.Succeeded
	news = pagetest.Fragment(t, pagetest.Render(t, view.News(v)))
	if news.Find("#overlay-hosts[hx-swap-oob] tbody tr").Length() != 3 || news.Find("#overlay-hosts-summary[hx-swap-oob]").Length() != 1 {
		t.Error("when a job has ended, not all hosts are shown")
	}
	begun.SeenState = job.Running
	if news = pagetest.Fragment(t, pagetest.Render(t, view.News(begun))); news.Find("[id^=overlay-hosts]").Length() != 0 {
		t.Error("without a change, hosts are shown")
	}
}

// Hosts that keep their files in the same place share the instructions.
func TestHostsWithTheSamePathsShareInstructions(t *testing.T) {
	v := view.UseView{Frame: frame(false), Overlay: overlay.Overlay{ID: 3, Name: "maps"}}
	for n := range 20 {
		v.Hosts = append(v.Hosts, host.Host{Name: fmt.Sprint("node-", n), Root: "/var/lib/left4me"})
	}
	v.Hosts = append(v.Hosts, host.Host{Name: "new"}, host.Host{Name: "attic", Root: "/srv"})
	doc := pagetest.Page(t, pagetest.Render(t, view.Use(v)))
	var titles []string
	doc.Find("main h2").Each(func(_ int, h *goquery.Selection) { titles = append(titles, h.Text()) })
	if want := "Plain srcds on node-0, node-1 and 18 others|LinuxGSM on node-0, node-1 and 18 others"; !strings.HasPrefix(strings.Join(titles, "|"), want) || len(titles) != 9 {
		t.Errorf("%q", titles)
	}
}
