package account_test

import (
	"testing"
	"time"

	"github.com/PuerkitoBio/goquery"

	"left4me/shared/account"
	view "left4me/templates/account"
	"left4me/templates/page"
	"left4me/templates/pagetest"
)

// Sessions are shown with the names of well-known browsers, so that people recognize their own.
func TestSessionsShowBrowsers(t *testing.T) {
	says := map[string]string{
		"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0":                                                                  "Firefox on Linux",
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Safari/537.36":                         "Chrome on Windows",
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Safari/537.36 Edg/138.0.0.0":           "Edge on Windows",
		"Mozilla/5.0 (Linux; Android 15; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Mobile Safari/537.36":                         "Chrome on Android",
		"Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1": "Safari on iPhone",
		"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Safari/605.1.15":                   "Safari on macOS",
		"curl/8.5.0":         "curl",
		"<b>something</b> 1": "<b>something</b> 1",
		"":                   "unknown browser",
	}
	v := view.ShowView{Frame: page.Frame{User: account.User{ID: 1, Name: "nick"}, CSRF: "token", Now: time.Unix(0, 0)}}
	for agent := range says {
		v.Sessions = append(v.Sessions, account.Session{ID: int64(len(v.Sessions) + 1), From: account.Client{UserAgent: agent}, Current: agent == ""})
	}
	rows := pagetest.Page(t, pagetest.Render(t, view.Show(v))).Find("table.sessions tbody tr")
	rows.Each(func(i int, row *goquery.Selection) {
		s := v.Sessions[i]
		if got, want := row.Find("th").Text(), says[s.From.UserAgent]; got != want {
			t.Errorf("%q reads %q, want %q", s.From.UserAgent, got, want)
		}
		if ends := row.Find("button").Length() == 1; ends == s.Current {
			t.Errorf("%q can be ended: %t", s.From.UserAgent, ends)
		}
	})
	if rows.Length() != len(says) {
		t.Errorf("%d rows", rows.Length())
	}
	alone := view.ShowView{Frame: v.Frame, Sessions: []account.Session{{ID: 1, Current: true}}}
	if pagetest.Page(t, pagetest.Render(t, view.Show(alone))).Find("[name=session]").Length() != 0 {
		t.Error("the only session can be ended")
	}
}
