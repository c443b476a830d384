package main

import (
	"net/http"
	"strings"
	"testing"

	"left4me/shared/route"
	"left4me/templates/fntest"
)

func TestItIsDoneOnlyAfterConfirmation(t *testing.T) {
	s := fntest.New(t)
	anna := s.Person("anna", false)
	s.Server(anna, "one", 27015)
	v := s.Visitor(anna, route.ServerDelete, build)
	got := v.Post("/servers/1/delete", "confirm", "no")
	if shown := got.Page().Find("details[open] #delete-error").Text(); got.StatusCode != http.StatusBadRequest || !strings.Contains(shown, "Nothing was removed") {
		t.Errorf("%d, %q", got.StatusCode, shown)
	}
	if n := s.Count(`SELECT COUNT(*) FROM jobs`); n != 0 {
		t.Error("a job was enqueued")
	}
	if got := v.Post("/servers/1/delete", "confirm", "yes"); got.StatusCode != http.StatusSeeOther || got.Location() != "/jobs/1" {
		t.Errorf("%d to %q", got.StatusCode, got.Location())
	}
	if n := s.Count(`SELECT COUNT(*) FROM jobs WHERE operation = 'delete_server' AND state = 'queued' AND subject_id = 1 AND user_id = ?`, anna.ID); n != 1 {
		t.Error("no job was enqueued")
	}
}
