package main

import (
	"net/http"
	"strings"
	"testing"

	"left4me/shared/account"
	"left4me/shared/route"
	"left4me/templates/fntest"
)

func TestPeopleSeeTheirOwnSessions(t *testing.T) {
	s := fntest.New(t)
	anna := s.Person("anna", false)
	if got := s.Visitor(account.User{}, route.Account, build).Get("/account"); got.StatusCode != http.StatusSeeOther {
		t.Errorf("nobody: %d", got.StatusCode)
	}
	s.Visitor(s.Person("bert", false), route.Account, build)
	s.Visitor(anna, route.Account, build)
	got := s.Visitor(anna, route.Account, build).Get("/account")
	page := got.Page()
	rows := page.Find("table.sessions tbody tr")
	if got.StatusCode != http.StatusOK || rows.Length() != 2 {
		t.Fatalf("%d with %d sessions, want anna's 2", got.StatusCode, rows.Length())
	}
	if shown := page.Find(".facts").Text(); !strings.Contains(shown, "anna") || !strings.Contains(shown, "user") {
		t.Errorf("the page says %q", shown)
	}
	// The newest session is the current one, which is ended by signing out.
	if rows.First().Find("button").Length() != 0 || rows.Last().Find("button").Length() != 1 || !strings.Contains(rows.First().Text(), "this one") {
		t.Errorf("the rows say %q", rows.Text())
	}
}
