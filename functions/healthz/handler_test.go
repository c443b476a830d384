package main

import (
	"net/http"
	"testing"

	"left4me/shared/account"
	"left4me/shared/route"
	"left4me/templates/fntest"
)

func TestHealthFollowsTheDatabase(t *testing.T) {
	s := fntest.New(t)
	v := s.Visitor(account.User{}, route.Health, build)
	if got := v.Get("/healthz"); got.StatusCode != http.StatusOK || got.Body != "ok\n" {
		t.Errorf("%d %q", got.StatusCode, got.Body)
	}
	if n := s.Count(`SELECT COUNT(*) FROM sign_in_failures`); n != 0 {
		t.Errorf("%d rows are left", n)
	}
	if _, err := s.Env.DB.ExecContext(t.Context(), `CREATE TRIGGER tr_fail BEFORE INSERT ON sign_in_failures BEGIN SELECT RAISE(ABORT, 'no'); END`); err != nil {
		t.Fatal(err)
	}
	if got := v.Get("/healthz"); got.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("without writing: %d", got.StatusCode)
	}
	s.Break()
	if got := v.Get("/healthz"); got.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("without a database: %d", got.StatusCode)
	}
}
