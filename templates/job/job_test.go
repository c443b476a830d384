package job_test

import (
	"strings"
	"testing"
	"time"

	"github.com/PuerkitoBio/goquery"
	"left4me/shared/account"

	"left4me/shared/job"
	"left4me/shared/jobstore"
	"left4me/shared/list"
	view "left4me/templates/job"
	"left4me/templates/page"
	"left4me/templates/pagetest"
)

const hostile = `<script>alert(1)</script>"' onload=x`

var now = time.Date(2026, 3, 14, 18, 30, 0, 0, time.UTC)

func frame() page.Frame {
	return page.Frame{User: account.User{ID: 1, Name: "nick"}, CSRF: "token", Now: now}
}

func at(state job.State) view.ShowView {
	v := view.ShowView{Frame: frame(), After: 3, Job: jobstore.Job{
		ID: 7, Operation: "build_overlay", State: state, Subject: job.Overlay(3), SubjectName: hostile, UserName: "nick", CreatedAt: now.Add(-time.Minute),
	}}
	if state != job.Queued {
		v.Job.StartedAt = now.Add(-30 * time.Second)
	}
	if v.Job.State.Ended() {
		v.Job.FinishedAt = now.Add(-10 * time.Second)
	}
	return v
}

// Only the page of a job that has not ended polls and offers to cancel.
func TestJobPageInEveryState(t *testing.T) {
	for state, want := range map[job.State]struct {
		verdict           string
		asks, cancel, bar bool
	}{
		"queued":     {"", true, true, false},
		"running":    {"", true, true, true},
		"cancelling": {"It stops at the next safe point.", true, false, true},
		"succeeded":  {"Done after 20 s.", false, false, false},
		"failed":     {"Failed after 20 s.", false, false, false},
		"cancelled":  {"Cancelled after 20 s.", false, false, false},
	} {
		t.Run(string(state), func(t *testing.T) {
			doc := pagetest.Page(t, pagetest.Render(t, view.Show(at(state))))
			if got := pagetest.Text(doc, "#job-state .bar > p"); got != want.verdict {
				t.Errorf("it says %q, want %q", got, want.verdict)
			}
			if got := pagetest.Text(doc, "#job-state .state"); got != string(state) {
				t.Errorf("the state reads %q", got)
			}
			asks := doc.Find("#job-progress").AttrOr("hx-get", "")
			if (asks == "/jobs/7?after=3&state="+string(state)) != want.asks || (asks == "") == want.asks {
				t.Errorf("it asks %q", asks)
			}
			if got := doc.Find(`form[action="/jobs/7/cancel"]`).Length() == 1; got != want.cancel {
				t.Errorf("offers to cancel: %v", got)
			}
			if got := doc.Find("progress").Length() == 1; got != want.bar {
				t.Errorf("shows a bar: %v", got)
			}
		})
	}
}

// A job that cannot run says why, since when, and what to do, also when its page asks for news.
func TestJobWithoutAHost(t *testing.T) {
	for name, c := range map[string]struct {
		state job.State
		seen  time.Time
		says  string
	}{
		"a host that is busy":          {job.Queued, now.Add(-time.Minute), "It starts as soon as the game host is free."},
		"a host that is busy with it":  {job.Running, now.Add(-time.Minute), ""},
		"no host yet":                  {job.Queued, time.Time{}, "No game host is running: none has ever reported. The job goes on by itself as soon as one is."},
		"a host that went silent":      {job.Queued, now.Add(-3 * time.Hour), "No game host is running: the last one reported 3 hours ago and has been silent since. The job goes on"},
		"one that went silent with it": {job.Running, now.Add(-3 * time.Hour), "No game host is running: the last one reported 3 hours ago and has been silent since. The job goes on"},
		"one that is not needed":       {job.Succeeded, now.Add(-3 * time.Hour), ""},
	} {
		v := at(c.state)
		v.Job.HostSeenAt, v.Seen = c.seen, c.state
		for part, doc := range map[string]*goquery.Document{
			"page":     pagetest.Page(t, pagetest.Render(t, view.Show(v))),
			"fragment": pagetest.Fragment(t, pagetest.Render(t, view.Fragment(v))),
		} {
			if got := pagetest.Text(doc, "#job-progress > .notice, #job-progress > .hint"); !strings.HasPrefix(got, c.says) || (got == "") != (c.says == "") {
				t.Errorf("%s: the %s says %q", name, part, got)
			}
		}
	}
}

// Of several hosts, the pages name the one that the job is on, and a silent one delays only its own jobs.
//
// shows: P46
func TestJobOfOneOfSeveralHosts(t *testing.T) {
	for name, c := range map[string]struct {
		state job.State
		seen  time.Time
		says  string
	}{
		"a busy host":    {job.Queued, now, "It starts as soon as the host attic is free."},
		"a silent host":  {job.Queued, now.Add(-3 * time.Hour), "The host attic reported last 3 hours ago and has been silent since. The job goes on by itself as soon as that host's agent is running; other hosts do not wait for it."},
		"a host at work": {job.Running, now, ""},
	} {
		v := at(c.state)
		v.Job.HostID, v.Job.HostName, v.Job.SeveralHosts, v.Job.HostSeenAt = "a", "attic", true, c.seen
		doc := pagetest.Page(t, pagetest.Render(t, view.Show(v)))
		if got := pagetest.Text(doc, "#job-progress > .notice, #job-progress > .hint"); !strings.HasPrefix(got, c.says) || (got == "") != (c.says == "") {
			t.Errorf("%s: the page says %q", name, got)
		}
		if got := pagetest.Text(doc, ".facts"); !strings.Contains(got, "Host attic") && !strings.Contains(got, "Hostattic") {
			t.Errorf("%s: the facts are %q", name, got)
		}
		list := func() string {
			return pagetest.Text(pagetest.Page(t, pagetest.Render(t, view.List(view.ListView{Frame: v.Frame, Jobs: pagetest.Listed(v.Job)}))), "tbody")
		}
		if got := list(); !strings.Contains(got, "on attic") {
			t.Errorf("%s: in the list: %q", name, got)
		}
		v.Job.SeveralHosts = false
		if got := list() + pagetest.Text(pagetest.Page(t, pagetest.Render(t, view.Show(v))), "main"); strings.Contains(got, "attic") {
			t.Errorf("%s: the only host is named: %q", name, got)
		}
	}
	v := at(job.Cancelled)
	v.Job.HostID, v.Job.SeveralHosts = "gone", true
	if got := pagetest.Text(pagetest.Page(t, pagetest.Render(t, view.Show(v))), ".facts"); !strings.Contains(got, "a removed host") {
		t.Errorf("of a removed host: %q", got)
	}
}

// The page of a job leads to what it is about, whatever that is.
func TestJobPageLeadsToItsSubject(t *testing.T) {
	for _, o := range job.Runnable() {
		v := at(job.Queued)
		v.Job.Operation, v.Job.Subject = o.Name, job.Subject{Kind: o.About, ID: 3}
		doc := pagetest.Page(t, pagetest.Render(t, view.Show(v)))
		if leads := doc.Find("dl.facts a").Length() == 1; leads != (o.About != job.System) {
			t.Errorf("%s, about %q: it leads to its subject: %v", o.Name, o.About, leads)
		}
	}
}

// A page asks about a job that waits less and less often.
func TestPollingSlowsDownWhileTheJobWaits(t *testing.T) {
	for _, c := range []struct {
		state job.State
		age   time.Duration
		want  string
	}{
		{job.Queued, 0, "every 1s"},
		{job.Queued, -time.Minute, "every 1s"}, // the clocks of two machines differ
		{job.Queued, 27 * time.Second, "every 5s"},
		{job.Queued, time.Hour, "every 10s"},
		{job.Running, time.Hour, "every 1s"},
		{job.Cancelling, time.Hour, "every 1s"},
	} {
		v := at(c.state)
		v.Job.CreatedAt = now.Add(-c.age)
		if got := pagetest.Page(t, pagetest.Render(t, view.Show(v))).Find("#job-progress").AttrOr("hx-trigger", ""); got != c.want {
			t.Errorf("%s for %s: %q, want %q", c.state, c.age, got, c.want)
		}
	}
}

// The bar is right when totals are unknown or smaller than what is done.
func TestProgress(t *testing.T) {
	for _, c := range []struct {
		p                 jobstore.Progress
		label, value, max string
	}{
		{jobstore.Progress{}, "Getting ready", "", ""},
		{jobstore.Progress{ItemsDone: 1, ItemsTotal: 1}, "1 of 1 item", "1", "1"},
		{jobstore.Progress{ItemsDone: 3, ItemsTotal: 12, BytesDone: 40 << 20, BytesTotal: 128 << 20}, "3 of 12 items, 40 MiB of 128 MiB, 4.0 MiB/s", "41943040", "134217728"},
		{jobstore.Progress{ItemsTotal: 2, BytesDone: 30, BytesTotal: 20}, "0 of 2 items, 30 B of 20 B, 3 B/s", "20", "20"},
	} {
		doc := pagetest.Fragment(t, pagetest.Render(t, view.Bar(c.p, 10*time.Second)))
		bar := doc.Find("progress")
		if pagetest.Text(doc, `label[for="bar"]`) != c.label || bar.AttrOr("value", "") != c.value || bar.AttrOr("max", "") != c.max {
			t.Errorf("%+v shows %q, %s of %s", c.p, pagetest.Text(doc, "label"), bar.AttrOr("value", ""), bar.AttrOr("max", ""))
		}
	}
	doc := pagetest.Fragment(t, pagetest.Render(t, view.Bar(jobstore.Progress{Current: hostile}, 0)))
	if got := pagetest.Text(doc, ".current"); got != "Now: "+hostile {
		t.Errorf("what is being fetched reads %q", got)
	}
}

// Lines of stderr are marked not only by colour, and log lines are escaped.
func TestLogMarksStderr(t *testing.T) {
	v := at("failed")
	v.Log = []jobstore.Line{{Seq: 2, At: now, Text: "fine"}, {Seq: 3, At: now, Stream: job.Stderr, Text: hostile}}
	v.Failures, v.Job.Error, v.Earlier = append(v.Log[1:], jobstore.Line{Seq: 4, Stream: job.Stderr, Text: "build failed: 1 item failed"}), "1 item failed", true
	doc := pagetest.Page(t, pagetest.Render(t, view.Show(v)))
	if got := pagetest.Text(doc, "#job-log li:nth-child(1)"); got != "18:30:00fine" {
		t.Errorf("a stdout line reads %q", got)
	}
	if got := pagetest.Text(doc, "#job-log li:nth-child(2)"); got != "18:30:00stderr "+hostile {
		t.Errorf("a stderr line reads %q", got)
	}
	if got := pagetest.Text(doc, "#job-state .failures li"); got != hostile {
		t.Errorf("beside the verdict, what went wrong reads %q", got)
	}
	if got := pagetest.Text(doc, "#job-state .bar > p"); got != "Failed after 20 s: 1 item failed" {
		t.Errorf("the verdict reads %q", got)
	}
	if doc.Find(`a[href="/jobs/7?before=2"]`).Length() != 1 {
		t.Error("nothing leads to the earlier lines")
	}
}

// The fragment repeats no lines, and has the buttons only if the state has changed.
func TestFragmentHasOnlyChanges(t *testing.T) {
	v := at("running")
	v.Seen = "running"
	doc := pagetest.Fragment(t, pagetest.Render(t, view.Fragment(v)))
	if doc.Find("#job-progress[hx-get]").Length() != 1 || doc.Find("#job-state, #say, ol").Length() != 0 {
		t.Error("a fragment without news is more than the bar")
	}

	v = at("succeeded")
	v.Seen, v.Log = "running", []jobstore.Line{{Seq: 4, At: now, Text: "last"}}
	doc = pagetest.Fragment(t, pagetest.Render(t, view.Fragment(v)))
	if doc.Find(`#job-state[hx-swap-oob="true"]`).Length() != 1 || pagetest.Text(doc, `#say[hx-swap-oob]`) != "Job 7: succeeded" {
		t.Error("the end is not announced")
	}
	if got := pagetest.Text(doc, `ol[hx-swap-oob="beforeend:#job-log"] li span`); got != "last" {
		t.Errorf("the new lines are %q", got)
	}
	if doc.Find("[hx-get], [hx-trigger]").Length() != 0 {
		t.Error("an ended job is asked about")
	}

	v.More = true
	doc = pagetest.Fragment(t, pagetest.Render(t, view.Fragment(v)))
	if got := doc.Find("#job-progress").AttrOr("hx-trigger", ""); !strings.HasPrefix(got, "load") {
		t.Errorf("lines that are left are asked for on %q", got)
	}
}

// The page of old lines does not poll for new ones.
func TestOldLinesDoNotPoll(t *testing.T) {
	v := at("running")
	v.Later = true
	html := pagetest.Render(t, view.Show(v))
	doc := pagetest.Page(t, html)
	if doc.Find("[hx-get]").Length() != 0 || strings.Contains(html, `http-equiv="refresh"`) {
		t.Error("the page of old lines asks for new ones")
	}
	if doc.Find(`main a[href="/jobs/7"]`).Length() != 1 {
		t.Error("nothing leads to the newest lines")
	}
}

// The list shows jobs of deleted overlays, of nobody, and of unknown operations.
func TestJobList(t *testing.T) {
	v := view.ListView{Frame: frame(), Jobs: list.Page[jobstore.Job]{Place: list.Place{Query: list.Query{Page: 2}, More: true}, Rows: []jobstore.Job{
		at("running").Job,
		{ID: 6, Operation: "build_overlay", State: "failed", Subject: job.Overlay(1), CreatedAt: now},
		{ID: 5, Operation: "refresh_workshop_items", State: "succeeded", CreatedAt: now, StartedAt: now, FinishedAt: now.Add(2 * time.Hour)},
		{ID: 4, Operation: hostile, State: hostile, CreatedAt: now},
	}}}
	doc := pagetest.Page(t, pagetest.Render(t, view.List(v)))
	for i, want := range []string{
		"Build overlay job 7running" + hostile + "nick1 minute ago30 s",
		"Build overlay job 6failedoverlay 1, deletednobody (automatic)just now",
		"Refresh all workshop items job 5succeededallnobody (automatic)just now2 h 0 min",
		hostile + " job 4" + hostile + "nonenobody (automatic)just now",
	} {
		row := doc.Find("tbody tr").Eq(i)
		if got := strings.Join(strings.Fields(row.Text()), " "); strings.ReplaceAll(got, " ", "") != strings.ReplaceAll(want, " ", "") {
			t.Errorf("row %d reads %q, want %q", i, got, want)
		}
	}
	if doc.Find(`.pages a[href="/jobs?page=3"]`).Length() != 1 || doc.Find(`.pages a[href="/jobs"]`).Length() != 1 {
		t.Error("the other pages cannot be reached")
	}
	empty := pagetest.Page(t, pagetest.Render(t, view.List(view.ListView{Frame: frame()})))
	if empty.Find("table, .pages").Length() != 0 || empty.Find(`.empty a[href="/overlays"]`).Length() != 1 {
		t.Error("an empty list does not say what to do")
	}
}
