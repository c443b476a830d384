package main

import (
	"net/http"
	"testing"

	"left4me/shared/account"
	"left4me/shared/route"
	"left4me/templates/fntest"
)

func TestTheFormKeepsTheNextPage(t *testing.T) {
	s := fntest.New(t)
	anna := s.Person("anna", false)
	nobody := s.Visitor(account.User{}, route.LoginForm, build)
	for next, want := range map[string]string{"/jobs/7": "/jobs/7", "//evil.example": ""} {
		got := nobody.Get("/login?next=" + next)
		page := got.Page()
		if got.StatusCode != http.StatusOK || page.Find("input[name=next]").AttrOr("value", "") != want {
			t.Errorf("next %q: %d, %q", next, got.StatusCode, page.Find("input[name=next]").AttrOr("value", ""))
		}
		if token := page.Find("input[name=csrf_token]").AttrOr("value", ""); token != nobody.Token() {
			t.Errorf("the form's token is %q", token)
		}
	}
	if got := s.Visitor(anna, route.LoginForm, build).Get("/login?next=/jobs/7"); got.StatusCode != http.StatusSeeOther || got.Header.Get("Location") != "/jobs/7" {
		t.Errorf("somebody who is signed in: %d to %q", got.StatusCode, got.Header.Get("Location"))
	}
}
