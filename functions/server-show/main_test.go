package main

import (
	"strings"
	"testing"
	"time"

	"github.com/PuerkitoBio/goquery"

	"left4me/shared/job"
	"left4me/shared/jobstore"
	"left4me/shared/route"
	"left4me/shared/server"
	"left4me/templates/fntest"
)

// A page that polls gets the bar until its job is in another state, and then the state of the server, what runs and what happened.
func TestThePageFollowsAJob(t *testing.T) {
	s := fntest.New(t)
	anna := s.Person("anna", false)
	one := s.Server(anna, "one", 27015)
	servers := server.NewStore(s.Env.DB, s.Env.Now, s.Env.Jobs)
	start, err := servers.Start(t.Context(), anna, one)
	if err != nil {
		t.Fatal(err)
	}
	v := s.Visitor(anna, route.ServerShow, build)
	next := func(page string) string {
		t.Helper()
		poll := v.Get(page).Page().Find("#server-progress").AttrOr("hx-get", "")
		if poll == "" {
			t.Fatalf("%s does not poll", page)
		}
		return poll
	}
	poll := next("/servers/1")
	v.Htmx()
	if again := v.Get(poll); strings.Contains(again.Body, "server-now") || again.Page().Find("#server-progress").AttrOr("hx-get", "") != poll {
		t.Errorf("while nothing changes: %s", again.Body)
	}
	c, found, err := s.Env.Jobs.Claim(t.Context(), jobstore.Worker{Name: "test", Host: "here"}, job.Runnable())
	if err != nil || !found || c.JobID != start.ID {
		t.Fatal(c, found, err)
	}
	poll = next(poll)
	run, err := servers.Prepare(t.Context(), one.ID, server.Run{JobID: start.ID, Port: one.Port, Build: 77, Blueprint: "of one", Settings: "{}"}, anna.ID)
	if err == nil {
		err = servers.Begin(t.Context(), one.ID, run)
	}
	if err == nil {
		err = servers.EndNow(t.Context(), one.ID, server.Crashed, "It ended.", "Segmentation fault <b>", server.Event{Kind: "not started", Text: "It ended.", JobID: start.ID})
	}
	if err == nil {
		err = s.Env.Jobs.Finish(t.Context(), c, jobstore.Ending{State: job.Failed, Error: "It ended."})
	}
	if err != nil {
		t.Fatal(err)
	}
	news := v.Get(poll).Page()
	for selector, want := range map[string]string{"#server-now .state": "crashed", "#server-now pre": "Segmentation fault <b>", "#server-run": "77", "#server-events": "not started"} {
		if got := news.Find(selector).Text(); !strings.Contains(got, want) {
			t.Errorf("%s is %q, want %q", selector, got, want)
		}
	}
	if news.Find("[hx-get]").Not("#server-poll").Length() != 0 {
		t.Error("the polling does not end")
	}
}

// A page asks every few seconds for what has changed. Until something has, the answer is what asks again.
//
// shows: P62
func TestThePageFollowsTheGame(t *testing.T) {
	s := fntest.New(t)
	anna := s.Person("anna", false)
	one := s.Server(anna, "one", 27015)
	servers := server.NewStore(s.Env.DB, s.Env.Now, s.Env.Jobs)
	run, err := servers.Prepare(t.Context(), one.ID, server.Run{JobID: 1, Port: one.Port, Build: 77, Blueprint: "of one", Settings: "{}"}, anna.ID)
	if err == nil {
		err = servers.Begin(t.Context(), one.ID, run)
	}
	if err == nil {
		err = servers.Answered(t.Context(), s.Env.DB, one.ID, server.Event{Kind: "started"})
	}
	if err != nil {
		t.Fatal(err)
	}
	v := s.Visitor(anna, route.ServerShow, build)
	page := v.Get("/servers/1").Page()
	if text := page.Find("#server-live").Text(); !strings.Contains(text, "will be asked in a moment") {
		t.Error(text)
	}
	says := func(l server.Live) {
		t.Helper()
		l.RunID, l.AnsweringAt = run, s.Env.Now()
		if err := servers.Checked(t.Context(), []server.Check{{ServerID: one.ID, Now: l}}); err != nil {
			t.Fatal(err)
		}
	}
	v.Htmx()
	poll := page.Find("#server-poll").AttrOr("hx-get", "")
	next := func() string {
		t.Helper()
		answer := v.Get(poll)
		poll = answer.Page().Find("#server-poll").AttrOr("hx-get", "")
		if poll == "" {
			t.Fatalf("the page does not ask again: %s", answer.Body)
		}
		return answer.Page().Find("#server-live").Text()
	}
	says(server.Live{Answering: true, Map: "c2m1_highway", Mode: "versus", Slots: 8, Humans: 1, Bots: 3, Players: []server.Player{{Name: `<b>"Nick"`, Score: 42, Since: s.Env.Now()}, {Name: "Coach", Bot: true}}})
	text := next()
	for _, want := range []string{"c2m1_highway", "versus", "1 of 8, 3 bots", `<b>"Nick"`, "42"} {
		if !strings.Contains(text, want) {
			t.Errorf("the news lack %q: %s", want, text)
		}
	}
	if strings.Contains(text, "Coach") {
		t.Errorf("a bot is named: %s", text)
	}
	if text := next(); text != "" {
		t.Errorf("although nothing has changed: %s", text)
	}
	now := s.Env.Now()
	s.Env.Now = func() time.Time { return now.Add(10 * time.Second) }
	servers = server.NewStore(s.Env.DB, s.Env.Now, s.Env.Jobs)
	says(server.Live{Map: "c2m1_highway", Slots: 8, Humans: 1})
	if text := next(); !strings.Contains(text, "has not answered since") {
		t.Error(text)
	}
}

// A page with the console asks for the lines that it lacks, which keeps the console watched.
//
// shows: P64
func TestThePageFollowsTheConsole(t *testing.T) {
	s := fntest.New(t)
	anna := s.Person("anna", false)
	one := s.Server(anna, "one", 27015)
	servers := server.NewStore(s.Env.DB, s.Env.Now, s.Env.Jobs)
	say := func(lines ...string) {
		t.Helper()
		if err := servers.AddConsole(t.Context(), one.ID, lines); err != nil {
			t.Fatal(err)
		}
	}
	watched := func() bool {
		t.Helper()
		all, err := servers.WatchedConsoles(t.Context(), "here")
		if err != nil {
			t.Fatal(err)
		}
		return len(all) == 1
	}
	say("first", "<b>second")
	v := s.Visitor(anna, route.ServerShow, build)
	closed := v.Get("/servers/1").Page()
	if poll := closed.Find("#server-console-poll"); poll.AttrOr("hx-trigger", "") != "intersect once" || closed.Find("#server-console li").Length() != 0 || watched() {
		t.Errorf("closed: %s, watched %v", closed.Find("#server-console").Text(), watched())
	}
	open := v.Get("/servers/1?console=0").Page()
	if text := open.Find("#server-console[open] ol").Text(); text != "first<b>second" || !watched() {
		t.Errorf("without scripts: %q, watched %v", text, watched())
	}
	poll := closed.Find("#server-console-poll").AttrOr("hx-get", "")
	v.Htmx()
	next := func() (lines, how string) {
		t.Helper()
		page := v.Get(poll).Page()
		next := page.Find("#server-console-poll")
		if poll = next.AttrOr("hx-get", ""); poll == "" || next.AttrOr("hx-trigger", "") != "every 1s" {
			t.Fatal("it does not ask again")
		}
		list := page.Find("ol")
		return list.Text(), list.AttrOr("hx-swap-oob", "")
	}
	if lines, how := next(); lines != "first<b>second" || how != "beforeend:#server-console-lines" {
		t.Errorf("%q, %q", lines, how)
	}
	if lines, _ := next(); lines != "" {
		t.Errorf("although nothing is new: %q", lines)
	}
	say("third")
	if lines, _ := next(); lines != "third" {
		t.Errorf("%q", lines)
	}
	// A page with very many lines begins anew.
	poll = "/servers/1?console=3&lines=5000"
	if lines, how := next(); lines != "first<b>secondthird" || how != "innerHTML:#server-console-lines" || !strings.Contains(poll, "lines=3") {
		t.Errorf("%q, %q, then %s", lines, how, poll)
	}
}

func TestTheButtonsFitTheState(t *testing.T) {
	s := fntest.New(t)
	anna := s.Person("anna", false)
	s.Server(anna, "one", 27015)
	for state, want := range map[server.State]string{server.Stopped: "Start", server.Crashed: "Start", server.Running: "Restart Stop", server.Starting: "Restart Stop"} {
		if _, err := s.Env.DB.ExecContext(t.Context(), `UPDATE servers SET state = ?`, state); err != nil {
			t.Fatal(err)
		}
		buttons := s.Visitor(anna, route.ServerShow, build).Get("/servers/1").Page().Find("#server-now button").Map(func(_ int, b *goquery.Selection) string { return b.Text() })
		if got := strings.Join(buttons, " "); got != want {
			t.Errorf("%s: %q, want %q", state, got, want)
		}
	}
	now := s.Env.Now()
	s.Env.Now = func() time.Time { return now.Add(jobstore.HostSilentAfter + time.Minute) }
	page := s.Visitor(anna, route.ServerShow, build).Get("/servers/1").Page()
	if text := page.Find("#server-now").Text(); !strings.Contains(text, "unknown") || !strings.Contains(text, "has been silent since then") {
		t.Errorf("of a silent host: %s", text)
	}
}
