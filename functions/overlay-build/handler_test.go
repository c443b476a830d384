package main

import (
	"testing"

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
