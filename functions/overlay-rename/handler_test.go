package main

import (
	"net/http"
	"strings"
	"testing"

	"left4me/shared/overlay"
	"left4me/shared/route"
	"left4me/templates/fntest"
)

func TestSuccessChangesTheNameOnly(t *testing.T) {
	s := fntest.New(t)
	anna := s.Person("anna", false)
	o := s.Overlay(anna, "annas", overlay.Workshop)
	got := s.Visitor(anna, route.OverlayRename, build).Post("/overlays/1", "name", "  other ", "type", "external", "path", "../x")
	if got.StatusCode != http.StatusSeeOther || got.Header.Get("Location") != "/overlays/1" {
		t.Fatalf("%d to %q", got.StatusCode, got.Header.Get("Location"))
	}
	if n := s.Count(`SELECT COUNT(*) FROM overlays WHERE id = 1 AND name = 'other' AND type = 'workshop' AND user_id = ? AND uid = ? AND revision = ?`, anna.ID, o.UID, o.Revision); n != 1 {
		t.Error("more than the name has changed, or less")
	}
	if n := s.Count(`SELECT COUNT(*) FROM jobs`); n != 0 {
		t.Errorf("%d jobs", n)
	}
}

func TestAnInvalidNameIsShownAgainWithAnError(t *testing.T) {
	s := fntest.New(t)
	anna := s.Person("anna", false)
	s.Overlay(anna, "annas", overlay.Workshop)
	s.Overlay(anna, "taken", overlay.Workshop)
	for name, c := range map[string]struct {
		typed  string
		status int
		says   string
	}{
		"no name":      {" ", http.StatusBadRequest, "give the overlay a name"},
		"a long name":  {strings.Repeat("x", 65), http.StatusBadRequest, "at most 64"},
		"a taken name": {"taken", http.StatusConflict, "already have an overlay named “taken”"},
	} {
		got := s.Visitor(anna, route.OverlayRename, build).Post("/overlays/1", "name", c.typed)
		page := got.Page()
		if got.StatusCode != c.status || !strings.Contains(page.Find("details[open] #rename-error").Text(), c.says) {
			t.Errorf("%s: %d, %s", name, got.StatusCode, page.Find("#rename-error").Text())
		}
		if typed := page.Find("#new-name").AttrOr("value", ""); typed != c.typed {
			t.Errorf("%s: the form holds %q", name, typed)
		}
		if title := page.Find("h1").Text(); title != "annas" {
			t.Errorf("%s: the page is titled %q", name, title)
		}
	}
}
