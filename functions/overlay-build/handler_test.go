package main

import (
	"testing"

	"left4me/shared/db/dbtest"
	"left4me/shared/overlay"
	"left4me/shared/route"
	"left4me/templates/fntest"
)

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

// On several hosts it leads to where all its jobs are shown.
func TestABuildOnSeveralHosts(t *testing.T) {
	s := fntest.New(t)
	anna := s.Person("anna", false)
	dbtest.AddHost(t, s.Env.DB, "attic", s.Env.Now())
	dbtest.AddHost(t, s.Env.DB, "cellar", s.Env.Now())
	s.Overlay(anna, "annas", overlay.Workshop)
	got := s.Visitor(anna, route.OverlayBuild, build).Post("/overlays/1/build")
	if to := got.Header.Get("Location"); to != "/overlays/1#overlay-hosts-summary" {
		t.Errorf("to %q", to)
	}
}
