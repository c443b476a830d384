package page_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"left4me/shared/account"
	"left4me/templates/assets"
	"left4me/templates/page"
	"left4me/templates/pagetest"
)

var now = time.Date(2026, 3, 14, 18, 30, 0, 0, time.UTC)

func signedIn(name string) page.Frame {
	return page.Frame{User: account.User{Name: name}, CSRF: "token", Version: "1.2.3", Now: now}
}

// The header has the navigation only for people who may use it, and escapes names.
func TestFrameShowsWhoIsSignedIn(t *testing.T) {
	hostile := `"><script>alert(1)</script>`
	doc := pagetest.Page(t, pagetest.Render(t, page.Error(page.ErrorView{Frame: signedIn(hostile), Status: 404, Sentence: "It is gone."})))
	if got := pagetest.Text(doc, ".who"); got != "Signed in as "+hostile {
		t.Errorf("the header says %q", got)
	}
	if n := doc.Find(`form[action="/logout"] button`).Length(); n != 1 {
		t.Errorf("%d buttons sign out", n)
	}
	if strings.Contains(pagetest.Text(doc, "header"), "admin") {
		t.Error("an ordinary person is called admin")
	}
	doc = pagetest.Page(t, pagetest.Render(t, page.Error(page.ErrorView{Frame: page.Frame{Now: now}, Status: 404, Sentence: "It is gone."})))
	if doc.Find("nav, form").Length() != 0 {
		t.Error("there is a navigation although nobody is signed in")
	}
}

// Every error page has a way on. Only faults of left4me show a request id.
func TestErrorsSayWhatToDo(t *testing.T) {
	for status := 400; status < 600; status++ {
		if http.StatusText(status) == "" && status != 499 {
			continue
		}
		v := page.ErrorView{Frame: signedIn("nick"), Status: status, Sentence: "Do this."}
		if status >= 500 {
			v.RequestID = "r-1"
		}
		doc := pagetest.Page(t, pagetest.Render(t, page.Error(v)))
		if pagetest.Text(doc, "h1") == "" || !strings.Contains(pagetest.Text(doc, "#error"), "Do this.") || doc.Find("main a[href]").Length() != 1 {
			t.Errorf("%d: %s", status, pagetest.Text(doc, "main"))
		}
		if got := pagetest.Text(doc, "#error code"); got != v.RequestID {
			t.Errorf("%d: the request id reads %q", status, got)
		}
	}
	doc := pagetest.Fragment(t, pagetest.Render(t, page.ErrorFragment(page.ErrorView{Status: 401, Sentence: "Sign in."})))
	if doc.Find(`#error a[href="/login?beside"][target=_blank]`).Length() != 1 {
		t.Error("a 401 does not lead to the sign-in form")
	}
}

// A page whose parts are updated by a script must not be reloaded as well.
func TestPagesReloadOnlyWithoutScript(t *testing.T) {
	f := signedIn("nick")
	f.Reload = true
	html := pagetest.Render(t, page.Layout(f))
	refresh := `<meta http-equiv="refresh" content="3">`
	switch {
	case !strings.Contains(html, refresh):
		t.Error("without script the page would not be updated")
	case assets.Has(assets.Htmx) != strings.Contains(html, "<noscript>"+refresh):
		t.Error("the page reloads although a script updates it")
	case assets.Has(assets.Htmx) != strings.Contains(html, "<script src="):
		t.Error("the page refers to a missing script, or lacks the existing one")
	}
	f.Reload = false
	if strings.Contains(pagetest.Render(t, page.Layout(f)), refresh) {
		t.Error("a page that does not change is loaded again")
	}
}

// Numbers must be readable at the limits of their units.
func TestSizesAndTimes(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{page.Bytes(-1), "0 B"}, {page.Bytes(36_022_455), "34 MiB"}, {page.Bytes(1 << 30), "1.0 GiB"},
		{page.Count(1, "item"), "1 item"}, {page.Count(0, "item"), "0 items"}, {page.Count(1000, "item"), "1,000 items"},
		{page.Rate(8<<20, 2*time.Second), "4.0 MiB/s"}, {page.Rate(8<<20, time.Millisecond), ""}, {page.Rate(0, time.Minute), ""},
		{page.Duration(-time.Second), "0.1 s"}, {page.Duration(9960 * time.Millisecond), "9.9 s"}, {page.Duration(12400 * time.Millisecond), "12 s"},
		{page.Duration(200 * time.Second), "3 min 20 s"}, {page.Duration(125 * time.Minute), "2 h 5 min"},
		{page.Ago(now.Add(-3*time.Minute), now), "3 minutes ago"}, {page.Ago(now.Add(2*time.Second), now), "just now"}, {page.Ago(now, now), "just now"},
		{page.Ago(now.Add(time.Minute), now), "1 minute from now"}, {page.Ago(now.AddDate(0, 0, -13), now), "1 week ago"}, {page.Ago(now.AddDate(-2, 0, 0), now), "2 years ago"},
	} {
		if c.got != c.want {
			t.Errorf("%q, want %q", c.got, c.want)
		}
	}
	doc := pagetest.Fragment(t, pagetest.Render(t, page.When(now.Add(-time.Hour).In(time.FixedZone("X", 3600)), now)))
	when := doc.Find("time")
	if when.Text() != "1 hour ago" || when.AttrOr("datetime", "") != "2026-03-14T17:30:00Z" || when.AttrOr("title", "") != "14 Mar 2026, 17:30 UTC" {
		t.Errorf("an hour ago reads %q, %q, %q", when.Text(), when.AttrOr("datetime", ""), when.AttrOr("title", ""))
	}
	if got := pagetest.Render(t, page.When(time.Time{}, now)); strings.TrimSpace(got) != "never" {
		t.Errorf("the zero time reads %q", got)
	}
}

// All three headers must name the same element.
func TestRetarget(t *testing.T) {
	h := http.Header{}
	page.Retarget(h, "box")
	if h.Get("HX-Retarget") != "#box" || h.Get("HX-Reselect") != "#box" || h.Get("HX-Reswap") != "outerHTML" {
		t.Errorf("the headers are %v", h)
	}
}
