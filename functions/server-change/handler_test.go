package main

import (
	"net/http"
	"strconv"
	"strings"
	"testing"

	"left4me/shared/route"
	"left4me/templates/fntest"
)

func TestChangesAreSavedOrRefusedAtTheForm(t *testing.T) {
	s := fntest.New(t)
	anna := s.Person("anna", false)
	one := s.Server(anna, "one", 27015)
	blueprint := strconv.FormatInt(one.BlueprintID, 10)
	v := s.Visitor(anna, route.ServerChange, build)
	if got := v.Post("/servers/1", "name", "new", "blueprint_id", blueprint, "port", "1"); got.StatusCode != http.StatusSeeOther || got.Location() != "/servers/1" {
		t.Errorf("%d to %q", got.StatusCode, got.Location())
	}
	if n := s.Count(`SELECT COUNT(*) FROM servers WHERE id = 1 AND name = 'new' AND port = 27015`); n != 1 {
		t.Error("it was not changed, or its port was")
	}
	got := v.Post("/servers/1", "name", "  ", "blueprint_id", blueprint)
	if shown := got.Page().Find("#change-error").Text(); got.StatusCode != http.StatusBadRequest || !strings.Contains(shown, "give the server a name") {
		t.Errorf("%d, %q", got.StatusCode, shown)
	}
	got = v.Post("/servers/1", "name", "x", "blueprint_id", "99")
	if shown := got.Page().Find("#change-error").Text(); got.StatusCode != http.StatusBadRequest || !strings.Contains(shown, "choose from the lists") {
		t.Errorf("%d, %q", got.StatusCode, shown)
	}
	if got := v.Post("/servers/1", "name", "new", "blueprint_id", blueprint, "restart", "at", "restart_time", "05:30"); got.StatusCode != http.StatusSeeOther {
		t.Errorf("%d: %s", got.StatusCode, got.Body)
	}
	if n := s.Count(`SELECT COUNT(*) FROM servers WHERE id = 1 AND restart_policy = 'at 05:30'`); n != 1 {
		t.Error("the restart policy was not changed")
	}
	got = v.Post("/servers/1", "name", "new", "blueprint_id", blueprint, "restart", "at the latest", "restart_time", "07:00", "restart_hours", "1000")
	page := got.Page()
	if shown := page.Find("#change-error").Text(); got.StatusCode != http.StatusBadRequest || !strings.Contains(shown, "a number from 1 to 168") {
		t.Errorf("%d, %q", got.StatusCode, shown)
	}
	if chosen, hours := page.Find("#restart [selected]").AttrOr("value", ""), page.Find("#restart-hours").AttrOr("value", ""); chosen != "at the latest" || hours != "1000" {
		t.Errorf("the form has forgotten what was sent: %q, %q", chosen, hours)
	}
}
