package server_test

import (
	"database/sql"
	"strconv"
	"strings"
	"testing"
	"time"

	"left4me/shared/account"
	"left4me/shared/db/dbtest"
	"left4me/shared/job"
	"left4me/shared/jobstore"
	"left4me/shared/server"
)

// run makes a server that runs what its start would give now: the overlay maps with the items 10, a map, and 11, below the empty overlay guns,
// with release 100.
func (w fixture) run(t *testing.T) server.Server {
	t.Helper()
	s := w.make(t, "friday", 27015)
	w.finish(t)
	w.exec(t, `INSERT INTO workshop_items (id, steam_id, title, created_at) VALUES (10, '10', 'Urban Flight', 1), (11, '11', 'blood tracks', 1)`)
	w.exec(t, `INSERT INTO item_hosts (workshop_item_id, host_id, downloaded_time_updated, downloaded_file_size) VALUES (10, 'here', 100, 5), (11, 'here', 101, 6)`)
	w.exec(t, `INSERT INTO item_contents (workshop_item_id, time_updated, file_size, kind, campaigns) VALUES (10, 1, 1, 'campaign', '[{}]')`)
	w.exec(t, `INSERT INTO overlay_links (overlay_id, workshop_item_id, host_id) VALUES (1, 10, 'here'), (1, 11, 'here'), (1, 10, 'there')`)
	w.exec(t, `INSERT INTO releases (host_id, build_id, bytes, installed_at) VALUES ('here', 100, 1, 1)`)
	w.built(t)
	w.begin(t, s, server.RunOverlay{ID: 2, Name: "guns"}, maps)
	if err := w.Answered(t.Context(), w.db, s.ID, server.Event{Kind: "started"}); err != nil {
		t.Fatal(err)
	}
	return s
}

// built records that builds have succeeded, at a later time than others before.
func (w fixture) built(t *testing.T) {
	t.Helper()
	*w.now = w.now.Add(time.Second)
	w.exec(t, `UPDATE overlay_hosts SET last_build_status = 'ok', revision = 1, last_build_at = ?`, w.now.UnixMilli())
}

func (w fixture) pending(t *testing.T) server.Pending {
	t.Helper()
	all, err := w.Pending(t.Context(), "here")
	if err != nil || len(all) != 1 {
		t.Fatalf("%+v, %v", all, err)
	}
	return all[0]
}

// said returns the texts of the events of a kind, the newest first.
func (w fixture) said(t *testing.T, kind string) string {
	t.Helper()
	events, err := w.Events(t.Context(), 1, 100)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range events {
		if e.Kind == kind {
			all = append(all, e.Text)
		}
	}
	return strings.Join(all, "; ")
}

// shows: P63
func TestWhatWaitsIsSaidInWords(t *testing.T) { dbtest.Each(t, testWhatWaitsIsSaidInWords) }

func testWhatWaitsIsSaidInWords(t *testing.T, open dbtest.Backend) {
	w := setUp(t, open)
	w.run(t)
	if p := w.pending(t); p.Update != (server.Update{}) || w.said(t, "update waiting") != "" {
		t.Errorf("after the start: %+v", p.Update)
	}
	const one, all = `UPDATE item_hosts SET downloaded_time_updated = 200 WHERE workshop_item_id = `, `1 map is newer, 1 item is newer`
	for _, c := range []struct{ change, waits string }{
		{one + `10`, "1 map is newer"},
		{one + `11`, all},
		{`INSERT INTO workshop_items (id, steam_id, title, created_at) VALUES (12, '12', '', 1)`, all},
		{`INSERT INTO item_hosts (workshop_item_id, host_id) VALUES (12, 'here')`, all},
		{`INSERT INTO overlay_links (overlay_id, workshop_item_id, host_id) VALUES (2, 12, 'here'), (1, 12, 'here')`, all + ", 1 item was added"},
		{`DELETE FROM overlay_links WHERE workshop_item_id = 10 AND host_id = 'here'`, "1 item is newer, 1 item was added, 1 map was removed"},
		{`INSERT INTO releases (host_id, build_id, bytes, installed_at) VALUES ('here', 101, 1, 2)`, "1 item is newer, 1 item was added, 1 map was removed, the game is newer"},
		{`DELETE FROM overlay_links WHERE host_id = 'here'`, "1 map was removed, 1 item was removed, the game is newer"},
		{`UPDATE blueprint_overlays SET position = 3 - position`, "1 map was removed, 1 item was removed, the overlays have another order, the game is newer"},
		{`DELETE FROM blueprint_overlays WHERE overlay_id = 2`, "1 map was removed, 1 item was removed, 1 overlay was removed, the game is newer"},
		{`UPDATE blueprints SET settings = '{"slots":4}'`, "1 map was removed, 1 item was removed, 1 overlay was removed, the game is newer, the settings have changed"},
	} {
		w.exec(t, c.change)
		w.built(t)
		if p := w.pending(t); p.Update.Waits != c.waits {
			t.Errorf("%s: %q, want %q", c.change, p.Update.Waits, c.waits)
		}
	}
	if got := w.said(t, "update waiting"); !strings.HasPrefix(got, "1 map was removed (Urban Flight), 1 item was removed (blood tracks), 1 overlay was removed (guns), the game is newer, the settings have changed; ") ||
		!strings.HasSuffix(got, "; 1 map is newer (Urban Flight)") || strings.Count(got, ";") != 8 {
		t.Errorf("events: %s", got)
	}
	w.exec(t, `UPDATE blueprints SET settings = '{"slots":8}'`)
	w.exec(t, `DELETE FROM releases WHERE build_id = 101`)
	w.exec(t, `INSERT INTO blueprint_overlays (blueprint_id, overlay_id, position) VALUES (?, 2, 0)`, w.hers)
	w.exec(t, `INSERT INTO overlay_links (overlay_id, workshop_item_id, host_id) VALUES (1, 10, 'here'), (1, 11, 'here')`)
	w.exec(t, `UPDATE item_hosts SET downloaded_time_updated = 90 + workshop_item_id`)
	w.built(t)
	if p := w.pending(t); p.Update != (server.Update{}) {
		t.Errorf("back as it was: %+v", p.Update)
	}
	for what, change := range map[string]string{"port": `UPDATE servers SET port = 27016`, "blueprint": `UPDATE servers SET blueprint_id = 1`} {
		w.exec(t, change)
		if p := w.pending(t); p.Update.Waits == "" {
			t.Errorf("another %s is no update", what)
		}
	}
}

// What a build is about to change is looked at when it has ended, all at once. Then nothing is read or written until something changes.
func TestContentIsComparedWhenItHasChanged(t *testing.T) {
	dbtest.Each(t, testContentIsComparedWhenItHasChanged)
}

func testContentIsComparedWhenItHasChanged(t *testing.T, open dbtest.Backend) {
	w := setUp(t, open)
	s := w.run(t)
	w.pending(t)
	w.exec(t, `UPDATE item_hosts SET downloaded_time_updated = 200`)
	if p := w.pending(t); p.Update.Waits != "" {
		t.Error("it was compared although no build has ended")
	}
	for _, r := range []jobstore.Request{
		{Operation: job.BuildOverlay, Subject: job.Overlay(1), Host: "here"},
		{Operation: job.RefreshWorkshopItems},
		{Operation: job.Install, Host: "here"},
		{Operation: job.ServerStop, Subject: job.Server(s.ID), Host: "here"},
	} {
		if _, err := w.jobs.Enqueue(t.Context(), w.db, r); err != nil {
			t.Fatal(err)
		}
		w.built(t)
		if p := w.pending(t); !p.Busy || p.Update.Waits != "" {
			t.Errorf("while %s waits: %+v", r.Operation.Name, p)
		}
		w.finish(t)
	}
	for _, r := range []jobstore.Request{
		{Operation: job.BuildOverlay, Subject: job.Overlay(1), Host: "there"},
		{Operation: job.Install, Host: "there"},
		{Operation: job.CheckGame, Host: "here"},
	} {
		if _, err := w.jobs.Enqueue(t.Context(), w.db, r); err != nil {
			t.Fatal(err)
		}
		if p := w.pending(t); p.Busy {
			t.Errorf("%s keeps it from being compared", r.Operation.Name)
		}
		w.finish(t)
	}
	p := w.pending(t)
	if p.Update.Waits != "1 map is newer, 1 item is newer" || p.News != "Urban Flight, blood tracks" || !p.Update.Since.Equal(*w.now) {
		t.Errorf("%+v", p)
	}
	first := *w.now
	*w.now = w.now.Add(time.Hour)
	w.exec(t, `UPDATE item_hosts SET downloaded_time_updated = 300 WHERE workshop_item_id = 10`)
	w.built(t)
	if p := w.pending(t); !p.Update.Since.Equal(first) {
		t.Errorf("it waits since %v, not %v", p.Update.Since, first)
	}
	w.exec(t, `UPDATE overlay_hosts SET last_build_status = 'failed' WHERE overlay_id = 1 AND host_id = 'here'`)
	if p := w.pending(t); p.FailedOverlay != "maps" {
		t.Errorf("%+v", p)
	}
	w.exec(t, `CREATE TRIGGER unwritten BEFORE UPDATE ON server_updates BEGIN SELECT RAISE(ABORT, 'nothing has changed'); END`)
	w.pending(t)
	if err := w.SavePlan(t.Context(), p, p.Update.Plan, "", server.Event{}); err != nil {
		t.Error(err)
	}
	for _, step := range dbtest.Plan(t, w.db, server.PendingSQL, sql.Named("host", "here")) {
		if strings.HasPrefix(step, "SCAN") && !strings.Contains(step, "SCAN (subquery") {
			t.Error(step)
		}
	}
}

// shows: P63
func TestAnUpdateIsTriedOnce(t *testing.T) { dbtest.Each(t, testAnUpdateIsTriedOnce) }

func testAnUpdateIsTriedOnce(t *testing.T, open dbtest.Backend) {
	w := setUp(t, open)
	s := w.run(t)
	w.exec(t, `UPDATE item_hosts SET downloaded_time_updated = 200`)
	w.built(t)
	p := w.pending(t)
	plan := server.Plan{EmptyAt: w.now.Add(-time.Minute), RestartAt: w.now.Add(time.Minute), Warned: 5}
	if err := w.SavePlan(t.Context(), p, plan, "because", server.Event{Kind: "not restarted", Text: "because"}); err != nil {
		t.Fatal(err)
	}
	p = w.pending(t)
	if u := p.Update; !u.Plan.EmptyAt.Equal(plan.EmptyAt) || !u.Plan.RestartAt.Equal(plan.RestartAt) || u.Plan.Warned != 5 || u.Held != "because" || w.said(t, "not restarted") != "because" {
		t.Errorf("%+v", u)
	}
	for range 2 {
		if err := w.Renew(t.Context(), p, plan.RestartAt); err != nil {
			t.Fatal(err)
		}
	}
	live, err := w.jobs.LiveOf(t.Context(), job.Server(s.ID))
	if err != nil || len(live) != 1 || live[0].Operation != job.ServerStart.Name || live[0].UserID != 0 {
		t.Fatalf("%+v, %v", live, err)
	}
	e := live[0]
	w.exec(t, `UPDATE jobs SET state = 'failed', error = 'no', finished_at = 1 WHERE id = ?`, e.ID)
	tried := func(want int64) {
		t.Helper()
		if p := w.pending(t); p.TriedJob.ID != want || want != 0 && (p.TriedJob.State != job.Failed || p.TriedJob.Error != "no") {
			t.Errorf("%+v, want job %d", p.TriedJob, want)
		}
	}
	tried(e.ID)
	// Also if the server has been started again, but did not get what it was to get.
	w.end(t, s, server.Stopped)
	if got := w.get(t, s.ID).Update; got != (server.Update{}) {
		t.Errorf("of one that does not run: %+v", got)
	}
	w.begin(t, s, server.RunOverlay{ID: 2, Name: "guns"}, maps)
	if err := w.Answered(t.Context(), w.db, s.ID, server.Event{Kind: "started"}); err != nil {
		t.Fatal(err)
	}
	tried(e.ID)
	// Not if something changes, or a person acts.
	w.exec(t, `UPDATE item_hosts SET downloaded_time_updated = 300`)
	w.built(t)
	tried(0)
	w.exec(t, `UPDATE item_hosts SET downloaded_time_updated = 200`)
	w.built(t)
	tried(e.ID)
	if _, err := w.Restart(t.Context(), w.anna, w.get(t, s.ID)); err != nil {
		t.Fatal(err)
	}
	w.finish(t)
	tried(0)
}

func TestAnotherPolicyHasAPlanOfItsOwn(t *testing.T) {
	dbtest.Each(t, testAnotherPolicyHasAPlanOfItsOwn)
}

func testAnotherPolicyHasAPlanOfItsOwn(t *testing.T, open dbtest.Backend) {
	w := setUp(t, open)
	s := w.run(t)
	w.exec(t, `UPDATE item_hosts SET downloaded_time_updated = 200`)
	w.built(t)
	plan := server.Plan{RestartAt: w.now.Add(time.Minute), Warned: 5}
	if err := w.SavePlan(t.Context(), w.pending(t), plan, "", server.Event{}); err != nil {
		t.Fatal(err)
	}
	form := server.Form{Name: "saturday", BlueprintID: s.BlueprintID}
	if err := w.Change(t.Context(), w.anna, w.get(t, s.ID), form); err != nil {
		t.Fatal(err)
	}
	if got := w.get(t, s.ID); got.Policy.Kind != server.WhenEmpty || got.Update.Plan.Warned != 5 {
		t.Errorf("the same policy: %+v", got)
	}
	form.Policy = server.Policy{Kind: server.Daily, Minute: 5}
	if err := w.Change(t.Context(), w.anna, w.get(t, s.ID), form); err != nil {
		t.Fatal(err)
	}
	if got := w.get(t, s.ID); got.Policy != form.Policy || got.Update.Plan != (server.Plan{}) || got.Update.Waits == "" {
		t.Errorf("another policy: %+v", got)
	}
	if err := w.Change(t.Context(), account.User{ID: w.bert.ID}, w.get(t, s.ID), server.Form{Name: "x", BlueprintID: 99}); status(err) != 400 {
		t.Error(err)
	}
}

func TestRestartsForUpdatesDoNotDisturb(t *testing.T) {
	now := time.Now()
	for name, c := range map[string]struct {
		argument server.StartArgument
		humans   int
		want     bool
	}{
		"a person asked":          {server.StartArgument{Restart: true}, 4, false},
		"nobody plays":            {server.StartArgument{Update: true}, 0, false},
		"nobody was told":         {server.StartArgument{Update: true}, 1, true},
		"they were told":          {server.StartArgument{Update: true, Announced: now.UnixMilli()}, 1, false},
		"they were told, late":    {server.StartArgument{Update: true, Announced: now.Add(-14 * time.Minute).UnixMilli()}, 1, false},
		"others were told":        {server.StartArgument{Update: true, Announced: now.Add(-16 * time.Minute).UnixMilli()}, 1, true},
		"they were told of later": {server.StartArgument{Update: true, Announced: now.Add(time.Minute).UnixMilli()}, 1, true},
	} {
		if got := c.argument.Disturbs(c.humans, now); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// shows: P63
func TestPopulations(t *testing.T) { dbtest.Each(t, testPopulations) }

func testPopulations(t *testing.T, open dbtest.Backend) {
	w := setUp(t, open)
	s := w.run(t)
	see := func(after time.Duration, seen server.Seen) {
		t.Helper()
		*w.now = w.now.Add(after)
		if err := w.Populate(t.Context(), w.pending(t), seen); err != nil {
			t.Fatal(err)
		}
	}
	check := func(since time.Duration, want string) {
		t.Helper()
		all, err := w.Populations(t.Context(), s.ID, since)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, p := range all {
			n := "-"
			if p.Known {
				n = strconv.Itoa(p.Humans)
			}
			got += " " + w.now.Sub(p.At).String() + ":" + n
		}
		if strings.TrimSpace(got) != want {
			t.Errorf("since %v: %q, want %q", since, got, want)
		}
	}
	see(0, server.Seen{})
	check(time.Hour, "")
	see(0, server.Seen{Answering: true})
	see(time.Hour, server.Seen{Answering: true})
	see(time.Hour, server.Seen{Answering: true, Humans: 3})
	see(time.Hour, server.Seen{})
	see(time.Hour, server.Seen{Answering: true, Humans: 2})
	check(24*time.Hour, "4h0m0s:0 2h0m0s:3 1h0m0s:- 0s:2")
	check(90*time.Minute, "2h0m0s:3 1h0m0s:- 0s:2")
	see(4*24*time.Hour, server.Seen{Answering: true, Humans: 1})
	check(24*time.Hour, "96h0m0s:2 0s:1")
	*w.now = w.now.Add(time.Hour)
	w.end(t, s, server.Stopped)
	w.end(t, s, server.Stopped)
	check(30*24*time.Hour, "97h0m0s:2 1h0m0s:1 0s:-")
}
