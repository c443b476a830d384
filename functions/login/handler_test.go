package main

import (
	"net/http"
	"strings"
	"testing"

	"left4me/shared/account"
	"left4me/shared/route"
	"left4me/templates/fntest"
)

var nobody account.User

func TestSignIn(t *testing.T) {
	s := fntest.New(t)
	s.Person("anna", false)
	for next, want := range map[string]string{"": "/overlays", "/jobs/7": "/jobs/7", "https://evil.example/": "/overlays"} {
		got := s.Visitor(nobody, route.Login, build).Post("/login", "name", " anna ", "password", "a password", "next", next)
		if got.StatusCode != http.StatusSeeOther || got.Header.Get("Location") != want {
			t.Errorf("next %q: %d to %q", next, got.StatusCode, got.Header.Get("Location"))
		}
		signedIn := false
		for _, c := range got.Cookies() {
			signedIn = signedIn || c.Name == "left4me_session" && len(c.Value) == 43
		}
		if !signedIn {
			t.Errorf("no session in %v", got.Cookies())
		}
	}
}

func TestErrorsAreShownInTheForm(t *testing.T) {
	s := fntest.New(t)
	s.Person("anna", false)
	v := s.Visitor(nobody, route.Login, build)
	for try := range 6 {
		got := v.Post("/login", "name", "anna", "password", "wrong", "next", "/jobs/7")
		page := got.Page()
		want, says := http.StatusUnauthorized, "name or the password is wrong"
		if try == 5 {
			want, says = http.StatusTooManyRequests, "Too many failed attempts"
		}
		if got.StatusCode != want || !strings.Contains(page.Text(), says) || page.Find("#name").AttrOr("value", "") != "anna" ||
			page.Find("input[name=next]").AttrOr("value", "") != "/jobs/7" || page.Find("#password").AttrOr("value", "") != "" {
			t.Errorf("try %d: %d %s", try, got.StatusCode, page.Find("form").Text())
		}
		if (got.Header.Get("Retry-After") != "") != (want == http.StatusTooManyRequests) {
			t.Errorf("try %d: Retry-After %q", try, got.Header.Get("Retry-After"))
		}
	}
	if n := s.Count(`SELECT COUNT(*) FROM sessions`); n != 0 {
		t.Errorf("%d sessions", n)
	}
}

func TestSignInNeedsTheCSRFToken(t *testing.T) {
	s := fntest.New(t)
	s.Person("anna", false)
	got := s.Visitor(nobody, route.Login, build).PostWith(nil, "/login", "name", "anna", "password", "a password")
	if got.StatusCode != http.StatusForbidden || s.Count(`SELECT COUNT(*) FROM sessions`) != 0 {
		t.Errorf("%d", got.StatusCode)
	}
}
