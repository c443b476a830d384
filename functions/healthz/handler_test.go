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
	s.Break()
	if got := v.Get("/healthz"); got.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("without a database: %d", got.StatusCode)
	}
}
