package main

import (
	"net/http"
	"testing"

	"left4me/shared/route"
	"left4me/templates/fntest"
)

func TestSigningOutRevokesTheSession(t *testing.T) {
	s := fntest.New(t)
	v := s.Visitor(s.Person("anna", false), route.Logout, build)
	if got := v.Post("/logout"); got.StatusCode != http.StatusSeeOther || got.Header.Get("Location") != "/login" {
		t.Errorf("%d to %q", got.StatusCode, got.Header.Get("Location"))
	}
	if n := s.Count(`SELECT COUNT(*) FROM sessions`); n != 0 {
		t.Errorf("%d sessions are left", n)
	}
	if got := v.Post("/logout"); got.StatusCode != http.StatusUnauthorized {
		t.Errorf("signing out again: %d", got.StatusCode)
	}
}

func TestAFailedSignOutCanBeRetried(t *testing.T) {
	s := fntest.New(t)
	v := s.Visitor(s.Person("anna", false), route.Logout, build)
	exec := func(statement string) {
		t.Helper()
		if _, err := s.Env.DB.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	exec(`CREATE TRIGGER tr_fail BEFORE DELETE ON sessions BEGIN SELECT RAISE(ABORT, 'no'); END`)
	if got := v.Post("/logout"); got.StatusCode != http.StatusInternalServerError {
		t.Errorf("%d", got.StatusCode)
	}
	exec(`DROP TRIGGER tr_fail`)
	if got := v.Post("/logout"); got.StatusCode != http.StatusSeeOther {
		t.Errorf("the second try: %d", got.StatusCode)
	}
}
