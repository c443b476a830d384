package main

import (
	"net/http"
	"testing"

	"left4me/shared/account"
	"left4me/shared/route"
	"left4me/templates/fntest"
)

func TestHomeRedirectsToTheOverlays(t *testing.T) {
	v := fntest.New(t).Visitor(account.User{}, route.Home, build)
	if got := v.Get("/"); got.StatusCode != http.StatusSeeOther || got.Header.Get("Location") != "/overlays" {
		t.Errorf("%d to %q", got.StatusCode, got.Header.Get("Location"))
	}
	if got := v.Get("/nowhere"); got.StatusCode != http.StatusNotFound {
		t.Errorf("another path: %d", got.StatusCode)
	}
}
