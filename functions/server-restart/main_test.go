package main

import (
	"net/http"
	"testing"

	"left4me/shared/route"
	"left4me/templates/fntest"
)

func TestTheButtonLeadsToItsJob(t *testing.T) {
	s := fntest.New(t)
	anna := s.Person("anna", false)
	s.Server(anna, "one", 27015)
	if got := s.Visitor(anna, route.ServerRestart, build).Post("/servers/1/restart"); got.StatusCode != http.StatusSeeOther || got.Location() != "/jobs/1" {
		t.Errorf("%d to %q", got.StatusCode, got.Location())
	}
	if n := s.Count(`SELECT COUNT(*) FROM jobs WHERE operation = 'server_start' AND argument = '{"restart":true,"overlays":[]}' AND subject_id = 1 AND host_id = 'here' AND user_id = ?`, anna.ID); n != 1 {
		t.Error("the job was not enqueued")
	}
}
