package main

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"left4me/shared/job"
	"left4me/shared/jobstore"
	"left4me/shared/overlay"
	"left4me/shared/route"
	"left4me/templates/fntest"
)

func TestDeleteHidesTheOverlayAndEnqueuesTheRemoval(t *testing.T) {
	s := fntest.New(t)
	anna := s.Person("anna", false)
	s.Overlay(anna, "maps", overlay.Workshop)
	if _, err := jobstore.NewStore(s.Env.DB, time.Now).Enqueue(t.Context(), s.Env.DB, jobstore.Request{Operation: job.BuildOverlay, Subject: job.Overlay(1), UserID: anna.ID}); err != nil {
		t.Fatal(err)
	}
	got := s.Visitor(anna, route.OverlayDelete, build).Post("/overlays/1/delete", "confirm", "yes")
	if got.StatusCode != http.StatusSeeOther || got.Header.Get("Location") != "/overlays" {
		t.Fatalf("%d to %q", got.StatusCode, got.Header.Get("Location"))
	}
	if n := s.Count(`SELECT COUNT(*) FROM overlays WHERE id = 1 AND deleted_at IS NOT NULL`); n != 1 {
		t.Error("the row is not marked as deleted")
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
		if shown := got.Page().Find("details[open] #delete-error").Text(); got.StatusCode != http.StatusBadRequest || !strings.Contains(shown, "Nothing was deleted") {
			t.Errorf("%d, %q", got.StatusCode, shown)
		}
	}
	if n := s.Count(`SELECT COUNT(*) FROM overlays WHERE deleted_at IS NULL`) - s.Count(`SELECT COUNT(*) FROM jobs`); n != 1 {
		t.Error("something was deleted, or a removal was enqueued")
	}
}
