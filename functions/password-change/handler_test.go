package main

import (
	"net/http"
	"strings"
	"testing"

	"left4me/shared/account"
	"left4me/shared/route"
	"left4me/templates/fntest"
)

const (
	path = "/account/password"
	old  = "a password" // fntest's
)

func TestSuccessChangesThePasswordAndEndsOtherSessions(t *testing.T) {
	s := fntest.New(t)
	anna := s.Person("anna", false)
	elsewhere := s.Visitor(anna, route.PasswordChange, build)
	v := s.Visitor(anna, route.PasswordChange, build)
	got := v.Post(path, "current", old, "new", "another one", "again", "another one")
	if got.StatusCode != http.StatusSeeOther || got.Header.Get("Location") != "/account" {
		t.Fatalf("%d to %q: %s", got.StatusCode, got.Header.Get("Location"), got.Body)
	}
	if _, _, err := account.NewStore(s.Env.DB, s.Env.Now).SignIn(t.Context(), "anna", "another one", account.Client{Address: "192.0.2.7"}); err != nil {
		t.Error(err)
	}
	if got := elsewhere.Post(path, "current", "another one", "new", old, "again", old); got.StatusCode != http.StatusUnauthorized {
		t.Errorf("the other session: %d", got.StatusCode)
	}
	if got := v.Post(path, "current", "another one", "new", old, "again", old); got.StatusCode != http.StatusSeeOther {
		t.Errorf("this session: %d", got.StatusCode)
	}
}

func TestErrorsAreShownInTheForm(t *testing.T) {
	s := fntest.New(t)
	v := s.Visitor(s.Person("anna", false), route.PasswordChange, build)
	for what, c := range map[string]struct {
		current, fresh, again string
		status                int
		says                  string
	}{
		"a wrong current one": {"wrong", "another one", "another one", http.StatusForbidden, "not your current password"},
		"a short one":         {old, "short", "short", http.StatusBadRequest, "at least 8"},
		"two that differ":     {old, "another one", "another two", http.StatusBadRequest, "differ"},
	} {
		got := v.Post(path, "current", c.current, "new", c.fresh, "again", c.again)
		page := got.Page()
		if got.StatusCode != c.status || !strings.Contains(page.Find("#password-error").Text(), c.says) {
			t.Errorf("%s: %d, %q", what, got.StatusCode, page.Find("#password-error").Text())
		}
		if typed := page.Find("#current").AttrOr("value", "") + page.Find("#new").AttrOr("value", ""); typed != "" {
			t.Errorf("%s: the page holds %q", what, typed)
		}
	}
	for range 6 {
		if got := v.Post(path, "current", "wrong", "new", "another one", "again", "another one"); got.StatusCode == http.StatusTooManyRequests {
			if got.Header.Get("Retry-After") == "" || !strings.Contains(got.Page().Find("#password-error").Text(), "Too many") {
				t.Errorf("Retry-After %q: %s", got.Header.Get("Retry-After"), got.Page().Find("main").Text())
			}
			return
		}
	}
	t.Error("guesses are not delayed")
}
