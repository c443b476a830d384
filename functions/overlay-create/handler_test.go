package main

import (
	"net/http"
	"strings"
	"testing"

	"left4me/shared/overlay"
	"left4me/shared/route"
	"left4me/templates/fntest"
)

func TestSuccessCreatesTheOverlayAndItsFirstBuild(t *testing.T) {
	s := fntest.New(t)
	anna, root := s.Person("anna", false), s.Person("root", true)
	got := s.Visitor(anna, route.OverlayCreate, build).Post("/overlays", "name", "  maps ", "type", "workshop")
	if got.StatusCode != http.StatusSeeOther || got.Header.Get("Location") != "/overlays/1" {
		t.Fatalf("%d to %q", got.StatusCode, got.Header.Get("Location"))
	}
	if n := s.Count(`SELECT COUNT(*) FROM overlays WHERE name = 'maps' AND type = 'workshop' AND user_id = ?`, anna.ID); n != 1 {
		t.Error("the overlay is not anna's")
	}
	if n := s.Count(`SELECT COUNT(*) FROM jobs WHERE operation = 'build_overlay' AND state = 'queued' AND subject_id = 1 AND user_id = ?`, anna.ID); n != 1 {
		t.Error("no build is queued")
	}
	if got := s.Visitor(root, route.OverlayCreate, build).Post("/overlays", "name", "maps", "type", "external"); got.StatusCode != http.StatusSeeOther {
		t.Errorf("an administrator's external overlay: %d", got.StatusCode)
	}
	if n := s.Count(`SELECT COUNT(*) FROM overlays WHERE type = 'external' AND user_id IS NULL`); n != 1 {
		t.Error("the external overlay is not everybody's")
	}
}

func TestAnInvalidFormIsShownAgainWithAnError(t *testing.T) {
	s := fntest.New(t)
	anna := s.Person("anna", false)
	s.Overlay(anna, "maps", overlay.Workshop)
	for name, c := range map[string]struct {
		form   []string
		status int
		says   string
	}{
		"no name":         {[]string{"name", " ", "type", "workshop"}, http.StatusBadRequest, "give the overlay a name"},
		"a taken name":    {[]string{"name", "maps", "type", "workshop"}, http.StatusConflict, "already have an overlay named “maps”"},
		"a long name":     {[]string{"name", strings.Repeat("x", 65), "type", "workshop"}, http.StatusBadRequest, "at most 64"},
		"an unknown type": {[]string{"name", "new", "type", "torrent"}, http.StatusBadRequest, "no overlay type “torrent”"},
	} {
		got := s.Visitor(anna, route.OverlayCreate, build).Post("/overlays", c.form...)
		page := got.Page()
		if got.StatusCode != c.status || !strings.Contains(page.Text(), c.says) {
			t.Errorf("%s: %d, %s", name, got.StatusCode, page.Find("main").Text())
		}
		if typed := page.Find("input[name=name]").AttrOr("value", ""); typed != c.form[1] {
			t.Errorf("%s: the form holds %q", name, typed)
		}
	}
	if n := s.Count(`SELECT COUNT(*) FROM jobs`) + s.Count(`SELECT COUNT(*) FROM overlays`); n != 1 {
		t.Error("a refused form left something behind")
	}
}

func TestBeyondTheLimitTheNameStaysInTheForm(t *testing.T) {
	s := fntest.New(t, "MAX_OVERLAYS", "1")
	anna := s.Person("anna", false)
	s.Overlay(anna, "maps", overlay.Workshop)
	got := s.Visitor(anna, route.OverlayCreate, build).Post("/overlays", "name", "more", "type", "workshop")
	page := got.Page()
	if got.StatusCode != http.StatusTooManyRequests || !strings.Contains(page.Text(), "as many overlays as one person may have (1,") {
		t.Errorf("%d, %s", got.StatusCode, page.Find("main").Text())
	}
	if typed := page.Find("input[name=name]").AttrOr("value", ""); typed != "more" {
		t.Errorf("the form holds %q", typed)
	}
	if n := s.Count(`SELECT COUNT(*) FROM jobs`) + s.Count(`SELECT COUNT(*) FROM overlays`); n != 1 {
		t.Error("a refused form left something behind")
	}
}
