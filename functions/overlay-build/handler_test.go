package main

import (
	"net/http"
	"testing"

	"left4me/shared/account"
	"left4me/shared/fn/fntest"
	"left4me/shared/overlay"
	"left4me/shared/route"
)

func TestWhoMayBuild(t *testing.T) {
	s := fntest.New(t)
	anna, bert, root := s.Person("anna", false), s.Person("bert", false), s.Person("root", true)
	s.Overlay(anna, "annas", overlay.Workshop)  // 1
	s.Overlay(root, "shared", overlay.External) // 2
	for _, c := range []struct {
		user   account.User
		path   string
		status int
	}{
		{account.User{}, "/overlays/1/build", http.StatusUnauthorized},
		{bert, "/overlays/1/build", http.StatusForbidden},
		{bert, "/overlays/2/build", http.StatusForbidden},
		{anna, "/overlays/3/build", http.StatusNotFound},
		{anna, "/overlays/1/build", http.StatusSeeOther},
		{root, "/overlays/1/build", http.StatusSeeOther},
		{root, "/overlays/2/build", http.StatusSeeOther},
	} {
		before := s.Count(`SELECT COUNT(*) FROM jobs`)
		got := s.Visitor(c.user, route.OverlayBuild, build).Post(c.path)
		if got.StatusCode != c.status {
			t.Errorf("%s posts %s: %d, want %d", c.user.Name, c.path, got.StatusCode, c.status)
		}
		if c.status != http.StatusSeeOther && s.Count(`SELECT COUNT(*) FROM jobs`) != before {
			t.Errorf("%s posts %s: a refused build was enqueued", c.user.Name, c.path)
		}
	}
}

func TestBuildsCoalesce(t *testing.T) {
	s := fntest.New(t)
	anna := s.Person("anna", false)
	s.Overlay(anna, "annas", overlay.Workshop)
	v := s.Visitor(anna, route.OverlayBuild, build)
	first, second := v.Post("/overlays/1/build"), v.Post("/overlays/1/build")
	if first.Header.Get("Location") != "/jobs/1" || second.Header.Get("Location") != "/jobs/1" {
		t.Errorf("to %q, then to %q", first.Header.Get("Location"), second.Header.Get("Location"))
	}
	if n := s.Count(`SELECT COUNT(*) FROM jobs`); n != 1 {
		t.Errorf("%d jobs", n)
	}
}
