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
	v := s.Visitor(anna, route.ServerReset, build)
	got := v.Post("/servers/1/reset", "confirm", "no")
	if shown := got.Page().Find("details[open] #reset-error").Text(); got.StatusCode != http.StatusBadRequest || !strings.Contains(shown, "Nothing was removed") {
		t.Errorf("%d, %q", got.StatusCode, shown)
	}
	if n := s.Count(`SELECT COUNT(*) FROM jobs`); n != 0 {
		t.Error("a job was enqueued")
	}
	if got := v.Post("/servers/1/reset", "confirm", "yes"); got.StatusCode != http.StatusSeeOther || got.Location() != "/jobs/1" {
		t.Errorf("%d to %q", got.StatusCode, got.Location())
	}
	if n := s.Count(`SELECT COUNT(*) FROM jobs WHERE operation = 'server_reset' AND state = 'queued' AND subject_id = 1 AND user_id = ?`, anna.ID); n != 1 {
		t.Error("no job was enqueued")
	}
}

// The page says before what would be lost.
func TestThePageSaysHowMuchTheGameWrote(t *testing.T) {
	s := fntest.New(t)
	anna := s.Person("anna", false)
	s.Server(anna, "one", 27015)
	v := s.Visitor(anna, route.ServerReset, build)
	says := func(want string) {
		t.Helper()
		if shown := v.Post("/servers/1/reset").Page().Find("form[action='/servers/1/reset']").Text(); !strings.Contains(strings.Join(strings.Fields(shown), " "), want) {
			t.Errorf("%q, want %q", shown, want)
		}
	}
	change := func(statement string) {
		t.Helper()
		if _, err := s.Env.DB.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	says("The game has written nothing yet.")
	change(`INSERT INTO runs (server_id, job_id, port, build_id, blueprint, settings, created_at, started_at) VALUES (1, 1, 27015, 1, 'b', '{}', 1, 1)`)
	says("is counted when the server has stopped.")
	change(`UPDATE runs SET ended_at = 1`)
	says("is not known.")
	change(`UPDATE runs SET files = 1201, bytes = 3145728`)
	says("It has written 1,201 files with 3.0 MiB.")
}

func TestARunningServerIsNotReset(t *testing.T) {
	s := fntest.New(t)
	anna := s.Person("anna", false)
	s.Server(anna, "one", 27015)
	if _, err := s.Env.DB.ExecContext(t.Context(), `UPDATE servers SET state = 'running'`); err != nil {
		t.Fatal(err)
	}
	got := s.Visitor(anna, route.ServerReset, build).Post("/servers/1/reset", "confirm", "yes")
	if shown := got.Page().Find("details[open] #reset-error").Text(); got.StatusCode != http.StatusConflict || !strings.Contains(shown, "Please stop it first") {
		t.Errorf("%d, %q", got.StatusCode, shown)
	}
}
