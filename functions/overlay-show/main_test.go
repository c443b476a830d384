package main

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"left4me/shared/account"
	"left4me/shared/db/dbtest"
	"left4me/shared/job"
	"left4me/shared/jobstore"
	"left4me/shared/overlay"
	"left4me/shared/route"
	"left4me/shared/steam"
	"left4me/shared/workshop"
	"left4me/templates/fntest"
)

func TestOnlyPeopleWhoMayBuildSeeTheButton(t *testing.T) {
	s := fntest.New(t)
	anna, bert, root := s.Person("anna", false), s.Person("bert", false), s.Person("root", true)
	s.Overlay(anna, "annas", overlay.Workshop)  // 1
	s.Overlay(root, "shared", overlay.External) // 2
	for _, c := range []struct {
		user  account.User
		path  string
		edits bool
	}{
		{anna, "/overlays/1", true},
		{root, "/overlays/1", true},
		{bert, "/overlays/2", false},
		{root, "/overlays/2", true},
	} {
		got := s.Visitor(c.user, route.OverlayShow, build).Get(c.path)
		builds := got.Page().Find(`form[action$="/build"]`).Length() > 0
		if got.StatusCode != http.StatusOK || builds != c.edits {
			t.Errorf("%s asks for %s: %d, may build: %v", c.user.Name, c.path, got.StatusCode, builds)
		}
	}
}

func TestItemsAreShown(t *testing.T) {
	s := fntest.New(t, "LEFT4ME_EXAMPLES", "paste me")
	anna := s.Person("anna", false)
	o := s.Overlay(anna, "annas", overlay.Workshop)
	v := s.Visitor(anna, route.OverlayShow, build)
	if got := v.Get("/overlays/1"); !strings.Contains(got.Body, "paste me") {
		t.Error("an empty overlay shows no example")
	}
	items := workshop.NewStore(s.Env.DB, s.Env.Now, s.Env.Jobs)
	hostile := steam.Item{SteamID: "7", Result: 1, ConsumerAppID: 550, Title: "<script>alert(1)</script>", Filename: "a.vpk",
		FileURL: "https://cdn.steamusercontent.com/ugc/1/2/", FileSize: 2 << 20, TimeUpdated: 1740856166}
	if _, err := items.Save(t.Context(), s.Env.DB, []steam.Item{hostile, {SteamID: "8", Result: 9}}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Env.DB.ExecContext(t.Context(), `INSERT INTO overlay_workshop_items (overlay_id, workshop_item_id, added_at) SELECT ?, id, 0 FROM workshop_items`, o.ID); err != nil {
		t.Fatal(err)
	}
	page := v.Get("/overlays/1").Page()
	rows := page.Find("table.items tbody tr")
	for i, want := range []string{"waiting for download", "not on Steam any more"} {
		if got := rows.Eq(i).Find(".state").Text(); got != want {
			t.Errorf("item %d is %q, want %q", i, got, want)
		}
	}
	link := rows.Eq(0).Find("th a")
	if link.Text() != hostile.Title || link.AttrOr("href", "") != "https://steamcommunity.com/sharedfiles/filedetails/?id=7" || page.Find("script:not([src])").Length() != 0 {
		t.Errorf("the title is %q, linked to %q", link.Text(), link.AttrOr("href", ""))
	}
}

// The page polls about the job that it shows. The answer also says how that job ended.
func TestPollingDuringAJob(t *testing.T) {
	s := fntest.New(t)
	anna := s.Person("anna", false)
	o := s.Overlay(anna, "annas", overlay.Workshop)
	jobs := jobstore.NewStore(s.Env.DB, time.Now)
	queued, err := jobs.Enqueue(t.Context(), s.Env.DB, jobstore.Request{Operation: job.BuildOverlay, Subject: job.Overlay(o.ID), UserID: anna.ID})
	if err != nil {
		t.Fatal(err)
	}
	v := s.Visitor(anna, route.OverlayShow, build).Htmx()
	ask := func(state string) string {
		t.Helper()
		got := v.Get("/overlays/1?job=" + strconv.FormatInt(queued.ID, 10) + "&state=" + state)
		if got.StatusCode != http.StatusOK || strings.Contains(got.Body, "<html") {
			t.Fatalf("%d %s", got.StatusCode, got.Body)
		}
		return got.Body
	}
	if body := ask("queued"); !strings.Contains(body, "every 1s") {
		t.Errorf("a queued job: %s", body)
	}
	s.Env.Now = func() time.Time { return time.Now().Add(time.Hour) }
	v = s.Visitor(anna, route.OverlayShow, build).Htmx()
	if body := ask("queued"); !strings.Contains(body, "every 10s") {
		t.Errorf("a job that has been queued for an hour: %s", body)
	}
	if _, _, err := jobs.Cancel(t.Context(), queued.ID); err != nil {
		t.Fatal(err)
	}
	if body := ask("queued"); strings.Contains(body, "every ") || !strings.Contains(body, "cancelled") || !strings.Contains(body, `id="item-list"`) {
		t.Errorf("an ended job: %s", body)
	}
}

// A page with a thousand items polls once a second, and a libSQL server may be far away: until the job has ended, the answer is
// small and needs one request, for the session, the overlay and its job.
func TestPollingReadsNoItems(t *testing.T) {
	server := dbtest.Serve(t)
	s := fntest.New(t, "DATABASE_URL", server.URL)
	anna := s.Person("anna", false)
	o := s.Overlay(anna, "annas", overlay.Workshop)
	for _, statement := range []string{
		`INSERT INTO workshop_items (steam_id, title, created_at) 
			WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000) SELECT i, 'title', 0 FROM n`,
		`INSERT INTO overlay_workshop_items (overlay_id, workshop_item_id, added_at) SELECT 1, id, 0 FROM workshop_items`,
	} {
		if _, err := s.Env.DB.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	jobs := jobstore.NewStore(s.Env.DB, time.Now)
	dbtest.AddHost(t, s.Env.DB, "here", s.Env.Now())
	if _, err := jobs.Enqueue(t.Context(), s.Env.DB, jobstore.Request{Operation: job.BuildOverlay, Subject: job.Overlay(o.ID), UserID: anna.ID}); err != nil {
		t.Fatal(err)
	}
	c, found, err := jobs.Claim(t.Context(), jobstore.Worker{Name: "test", Host: "here"}, job.Runnable())
	if err != nil || !found {
		t.Fatal(found, err)
	}
	v := s.Visitor(anna, route.OverlayShow, build).Htmx()
	for _, seen := range []string{"queued", "running"} {
		server.Received()
		got := v.Get("/overlays/1?job=1&state=" + seen)
		asked := server.Received()
		if got.StatusCode != http.StatusOK || len(got.Body) > 2000 || !strings.Contains(got.Body, "every 1s") {
			t.Errorf("to a page that shows %s: %d, %d bytes: %.2000s", seen, got.StatusCode, len(got.Body), got.Body)
		}
		if len(asked) != 1 || !strings.Contains(asked[0], "FROM sessions") || !strings.Contains(asked[0], "FROM jobs") || strings.Contains(asked[0], "workshop_items") {
			t.Errorf("to a page that shows %s, the statements are %q", seen, asked)
		}
	}
	r := jobs.Record(t.Context(), c)
	defer r.Close()
	if err := r.Finish(job.Failed, "it broke", nil); err != nil {
		t.Fatal(err)
	}
	got := v.Get("/overlays/1?job=1&state=running&page=2")
	if rows := got.Page().Find("#item-list tbody tr"); strings.Contains(got.Body, "every ") || rows.Length() != 200 || rows.First().Find("small").Text() != "201" {
		t.Errorf("at the end of the job, the second page of items: %.2000s", got.Body)
	}
}

// The job that waits for a silent host does not hide those of the others.
//
// shows: P46
func TestASilentHostDoesNotHideTheOthers(t *testing.T) {
	s := fntest.New(t)
	anna := s.Person("anna", false)
	o := s.Overlay(anna, "annas", overlay.Workshop)
	now := s.Env.Now()
	for id, ago := range map[string]time.Duration{"a": time.Hour, "b": 0, "c": 0} {
		dbtest.AddHost(t, s.Env.DB, id, now.Add(-ago))
	}
	jobs := map[string]int64{}
	for _, id := range []string{"a", "b", "c"} { // in this order
		e, err := s.Env.Jobs.Enqueue(t.Context(), s.Env.DB, jobstore.Request{Operation: job.BuildOverlay, Subject: job.Overlay(o.ID), Host: id})
		if err != nil {
			t.Fatal(err)
		}
		jobs[id] = e.ID
	}
	v := s.Visitor(anna, route.OverlayShow, build)
	shows := func(id string) {
		t.Helper()
		page := v.Get("/overlays/1").Page()
		if got := page.Find("#overlay-job a").First().AttrOr("href", ""); got != route.JobShow.URL(jobs[id]) {
			t.Errorf("the page shows %s, want that of %s, %d", got, id, jobs[id])
		}
		if page.Find("#overlay-hosts tbody tr").Length() != 3 {
			t.Errorf("not one line for each host: %s", page.Find("#overlay-hosts").Text())
		}
	}
	shows("b")
	c, found, err := s.Env.Jobs.Claim(t.Context(), jobstore.Worker{Name: "test", Host: "c"}, job.Runnable())
	if err != nil || !found {
		t.Fatal(found, err)
	}
	shows("c")
	r := s.Env.Jobs.Record(t.Context(), c)
	defer r.Close()
	if err := r.Finish(job.Failed, "it broke", nil); err != nil {
		t.Fatal(err)
	}
	shows("b")
	if _, _, err := s.Env.Jobs.Cancel(t.Context(), jobs["b"]); err != nil {
		t.Fatal(err)
	}
	shows("a")
	if text := v.Get("/overlays/1").Text("main"); !strings.Contains(text, "failed on c") || !strings.Contains(text, "The host a reported last 1 hour ago") {
		t.Errorf("the page says %s", text)
	}
}

// A page that polls about one host's job hears of the others when theirs begin and end, and only then.
//
// shows: P46
func TestPollingWithSeveralHosts(t *testing.T) {
	s := fntest.New(t)
	anna := s.Person("anna", false)
	o := s.Overlay(anna, "annas", overlay.Workshop)
	for _, id := range []string{"a", "b"} {
		dbtest.AddHost(t, s.Env.DB, id, s.Env.Now())
	}
	if _, err := s.Env.Jobs.Enqueue(t.Context(), s.Env.DB, jobstore.Request{Operation: job.BuildOverlay, Subject: job.Overlay(o.ID)}); err != nil {
		t.Fatal(err)
	}
	claim := func(host string) jobstore.Claim {
		t.Helper()
		c, found, err := s.Env.Jobs.Claim(t.Context(), jobstore.Worker{Name: "test", Host: host}, job.Runnable())
		if err != nil || !found {
			t.Fatal(found, err)
		}
		return c
	}
	claim("a")
	v := s.Visitor(anna, route.OverlayShow, build)
	next := v.Get("/overlays/1").Page().Find("#overlay-progress").AttrOr("hx-get", "")
	v = v.Htmx()
	hears := func(what, want string) {
		t.Helper()
		page := v.Get(next).Page()
		next = page.Find("#overlay-progress").AttrOr("hx-get", "")
		if got := page.Find("#overlay-hosts tbody").Text(); (got == "") != (want == "") || !strings.Contains(got, want) {
			t.Errorf("%s: the page gets %q, want %q", what, got, want)
		}
		if page.Find("#item-list").Length() != 0 {
			t.Errorf("%s: the items are replaced although the job of the page goes on", what)
		}
	}
	hears("nothing has happened", "")
	c := claim("b")
	hears("b begins", "being built")
	hears("nothing has happened since", "")
	r := s.Env.Jobs.Record(t.Context(), c)
	defer r.Close()
	if err := r.Finish(job.Failed, "it broke", nil); err != nil {
		t.Fatal(err)
	}
	hears("b has failed", "failed")
	hears("nothing has happened since then", "")
}

// Who may see the overlay may poll about its job, and nobody else; and a job is only polled on the page of its own overlay.
func TestWhoMayPoll(t *testing.T) {
	s := fntest.New(t)
	anna, bert, root := s.Person("anna", false), s.Person("bert", false), s.Person("root", true)
	s.Overlay(anna, "annas", overlay.Workshop)  // 1
	s.Overlay(root, "shared", overlay.External) // 2
	s.Overlay(bert, "berts", overlay.Workshop)  // 3
	jobs := jobstore.NewStore(s.Env.DB, time.Now)
	for id := range int64(3) {
		if _, err := jobs.Enqueue(t.Context(), s.Env.DB, jobstore.Request{Operation: job.BuildOverlay, Subject: job.Overlay(id + 1), UserID: root.ID}); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		user   account.User
		path   string
		status int
		says   string
	}{
		{anna, "/overlays/1?job=1&state=queued", http.StatusOK, "job=1"},
		{root, "/overlays/1?job=1&state=queued", http.StatusOK, "job=1"},
		{bert, "/overlays/1?job=1&state=queued", http.StatusForbidden, ""},
		{bert, "/overlays/2?job=2&state=queued", http.StatusOK, "job=2"},
		{bert, "/overlays/1?job=3&state=queued", http.StatusForbidden, ""},
		{anna, "/overlays/1?job=3&state=queued", http.StatusOK, "job=1"},
		{anna, "/overlays/1?job=99&state=queued", http.StatusOK, "job=1"},
		{anna, "/overlays/1?job=x&state=queued", http.StatusOK, "job=1"},
		{anna, "/overlays/9?job=1&state=queued", http.StatusNotFound, ""},
		{anna, "/overlays/x?job=1&state=queued", http.StatusNotFound, ""},
	} {
		got := s.Visitor(c.user, route.OverlayShow, build).Htmx().Get(c.path)
		if got.StatusCode != c.status || !strings.Contains(got.Body, c.says) {
			t.Errorf("%s asks for %s: %d %s", c.user.Name, c.path, got.StatusCode, got.Body)
		}
	}
}

// The page says what waits, as long as it waits.
func TestWaitingChangesAreShown(t *testing.T) {
	s := fntest.New(t)
	anna := s.Person("anna", false)
	s.Overlay(anna, "annas", overlay.Workshop)
	dbtest.AddHost(t, s.Env.DB, "here", s.Env.Now())
	for _, statement := range []string{
		`INSERT INTO workshop_items (id, steam_id, title, file_url, last_error, created_at) VALUES (1, 71, 'One', 'u', 'download failed: status 404', 0), (2, 72, 'Two', 'u', '', 0), (3, 73, 'Three', 'u', '', 0)`,
		`INSERT INTO overlay_workshop_items (overlay_id, workshop_item_id, added_at) VALUES (1, 1, 0), (1, 2, 0)`,
		`INSERT INTO overlay_links (overlay_id, workshop_item_id, host_id) VALUES (1, 3, 'here')`,
		`UPDATE overlays SET last_build_status = 'failed'`,
	} {
		if _, err := s.Env.DB.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	v := s.Visitor(anna, route.OverlayShow, build)
	said := v.Get("/overlays/1").Text("#overlay-waiting")
	for _, want := range []string{"3 changes are waiting because 1 item could not be downloaded", "One (71): status 404", "still linked: Three (73)"} {
		if !strings.Contains(strings.ReplaceAll(said, ":Three", ": Three"), want) {
			t.Errorf("%q does not say %q", said, want)
		}
	}
	if _, err := s.Env.DB.ExecContext(t.Context(), `UPDATE overlays SET last_build_status = 'ok'`); err != nil {
		t.Fatal(err)
	}
	if said := v.Get("/overlays/1").Text("#overlay-waiting"); said != "" {
		t.Errorf("after a build: %q", said)
	}
}

// fill puts items into overlay 1: every third has failed.
func fill(t *testing.T, s *fntest.Site, items int, title string) {
	t.Helper()
	for _, statement := range []string{
		`INSERT INTO workshop_items (steam_id, title, file_url, file_size, last_error, created_at)
			WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
			SELECT i, ?2 || i, 'x', ?1 - i, CASE i % 3 WHEN 0 THEN 'download failed: ' || ?2 ELSE '' END, 0 FROM n`,
		`INSERT INTO overlay_workshop_items (overlay_id, workshop_item_id, added_at) SELECT 1, id, 0 FROM workshop_items WHERE ?1 > 0 AND ?2 <> ''`,
	} {
		if _, err := s.Env.DB.ExecContext(t.Context(), statement, items, title); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAPageOfManyItems(t *testing.T) {
	s := fntest.New(t)
	anna := s.Person("anna", false)
	s.Overlay(anna, "annas", overlay.Workshop)
	fill(t, s, 1000, "Title ")
	v := s.Visitor(anna, route.OverlayShow, build)
	for path, want := range map[string]struct {
		rows        int
		first, says string
	}{
		"/overlays/1":                                {200, "1", "1,000 items, page 1 of 5"},
		"/overlays/1?page=5":                         {200, "801", "1,000 items, page 5 of 5"},
		"/overlays/1?page=6":                         {200, "801", "There is no page 6. This is the last one, page 5."},
		"/overlays/1?sort=size":                      {200, "1000", "page 1 of 5"},
		"/overlays/1?sort=-size&page=2":              {200, "201", "page 2 of 5"},
		"/overlays/1?show=failed&page=2":             {133, "603", "333 items, page 2 of 2"},
		"/overlays/1?q=TITLE+99&sort=-title":         {11, "999", ""},
		"/overlays/1?q=nothing":                      {0, "", "Nothing was found. Show all items"},
		"/overlays/1?q=&show=&sort=&page=":           {200, "1", "page 1 of 5"},
		"/overlays/1?q=Title&show=failed&sort=title": {200, "102", "333 items, page 1 of 2"},
	} {
		got := v.Get(path)
		rows := got.Page().Find("#items tbody tr")
		if got.StatusCode != http.StatusOK || rows.Length() != want.rows || rows.First().Find("small").Text() != want.first || !strings.Contains(got.Text("#items"), want.says) {
			t.Errorf("%s: %d, %d rows from %q on, says %.300q; want %+v", path, got.StatusCode, rows.Length(), rows.First().Find("small").Text(), got.Text("#items"), want)
		}
	}
	for path, says := range map[string]string{
		"/overlays/1?sort=colour": "cannot be sorted by “colour”",
		"/overlays/1?show=lost":   "no rows in a state “lost”",
		"/overlays/1?page=two":    "“two” is not the number of a page",
	} {
		if got := v.Get(path); got.StatusCode != http.StatusBadRequest || !strings.Contains(got.Text("#error"), says) {
			t.Errorf("%s: %d, %q, want 400 with %q", path, got.StatusCode, got.Text("#error"), says)
		}
	}
	if got := v.Htmx().Get("/overlays/1?page=2"); got.Text("#say") != "1,000 items, page 2 of 5" {
		t.Errorf("a screen reader hears %q", got.Text("#say"))
	}
}

// An answer may have at most 6 MiB.
func TestAnswersAreSmallWithManyItemsAndLongTitles(t *testing.T) {
	s := fntest.New(t)
	anna := s.Person("anna", false)
	s.Overlay(anna, "annas", overlay.Workshop)
	fill(t, s, 6000, strings.Repeat("<Long>", 1000))
	v := s.Visitor(anna, route.OverlayShow, build)
	for _, path := range []string{"/overlays/1", "/overlays/1?page=30", "/overlays/1?show=failed"} {
		if got := v.Get(path); got.StatusCode != http.StatusOK || len(got.Body) > 2<<20 {
			t.Errorf("%s: %d with %d bytes", path, got.StatusCode, len(got.Body))
		}
	}
}
