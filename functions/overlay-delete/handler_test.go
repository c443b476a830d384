package main

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"left4me/shared/account"
	"left4me/shared/fn/fntest"
	"left4me/shared/jobstore"
	"left4me/shared/overlay"
	"left4me/shared/route"
)

func TestWhoMayDelete(t *testing.T) {
	s := fntest.New(t)
	anna, bert, root := s.Person("anna", false), s.Person("bert", false), s.Person("root", true)
	s.Overlay(anna, "annas", overlay.Workshop)  // 1
	s.Overlay(root, "shared", overlay.External) // 2
	s.Overlay(anna, "second", overlay.Workshop) // 3
	for _, c := range []struct {
		user   account.User
		path   string
		status int
	}{
		{account.User{}, "/overlays/1/delete", http.StatusUnauthorized},
		{bert, "/overlays/1/delete", http.StatusForbidden},
		{bert, "/overlays/2/delete", http.StatusForbidden},
		{anna, "/overlays/9/delete", http.StatusNotFound},
		{anna, "/overlays/1/delete", http.StatusSeeOther},
		{anna, "/overlays/1/delete", http.StatusNotFound},
		{root, "/overlays/2/delete", http.StatusSeeOther},
		{root, "/overlays/3/delete", http.StatusSeeOther},
	} {
		before := s.Count(`SELECT COUNT(*) FROM overlays WHERE deleted_at IS NULL`) - s.Count(`SELECT COUNT(*) FROM jobs`)
		got := s.Visitor(c.user, route.OverlayDelete, build).Post(c.path, "confirm", "yes")
		if got.StatusCode != c.status {
			t.Errorf("%s posts %s: %d, want %d", c.user.Name, c.path, got.StatusCode, c.status)
		}
		after := s.Count(`SELECT COUNT(*) FROM overlays WHERE deleted_at IS NULL`) - s.Count(`SELECT COUNT(*) FROM jobs`)
		if c.status != http.StatusSeeOther && after != before {
			t.Errorf("%s posts %s: deleted although refused", c.user.Name, c.path)
		}
	}
}

func TestSuccessHidesItFreesItsNameAndEnqueuesTheRemoval(t *testing.T) {
	s := fntest.New(t)
	anna := s.Person("anna", false)
	s.Overlay(anna, "maps", overlay.Workshop)
	if _, err := jobstore.NewStore(s.Env.DB, time.Now).EnqueueBuild(t.Context(), s.Env.DB, 1, anna.ID); err != nil {
		t.Fatal(err)
	}
	got := s.Visitor(anna, route.OverlayDelete, build).Post("/overlays/1/delete", "confirm", "yes")
	if got.StatusCode != http.StatusSeeOther || got.Header.Get("Location") != "/overlays" {
		t.Fatalf("%d to %q", got.StatusCode, got.Header.Get("Location"))
	}
	if n := s.Count(`SELECT COUNT(*) FROM overlays WHERE id = 1 AND deleted_at IS NOT NULL`); n != 1 {
		t.Error("the row is not one that waits for its removal")
	}
	if n := s.Count(`SELECT COUNT(*) FROM jobs WHERE operation = 'delete_overlay' AND state = 'queued' AND subject_id = 1 AND user_id = ?`, anna.ID); n != 1 {
		t.Error("no removal is queued")
	}
	if n := s.Count(`SELECT COUNT(*) FROM jobs WHERE operation = 'build_overlay' AND state = 'cancelled'`); n != 1 {
		t.Error("its build is still queued")
	}
	s.Overlay(anna, "maps", overlay.Workshop)
}

func TestWithoutConfirmationNothingHappens(t *testing.T) {
	s := fntest.New(t)
	anna := s.Person("anna", false)
	s.Overlay(anna, "maps", overlay.Workshop)
	for _, form := range [][]string{nil, {"confirm", "no"}} {
		got := s.Visitor(anna, route.OverlayDelete, build).Post("/overlays/1/delete", form...)
		if said := got.Page().Find("details[open] #delete-error").Text(); got.StatusCode != http.StatusBadRequest || !strings.Contains(said, "Nothing was deleted") {
			t.Errorf("%d, %q", got.StatusCode, said)
		}
	}
	if n := s.Count(`SELECT COUNT(*) FROM overlays WHERE deleted_at IS NULL`) - s.Count(`SELECT COUNT(*) FROM jobs`); n != 1 {
		t.Error("something was deleted, or is going to be")
	}
}
