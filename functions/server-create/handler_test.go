package main

import (
	"net/http"
	"strconv"
	"strings"
	"testing"

	"left4me/shared/route"
	"left4me/templates/fntest"
)

// shows: P55
func TestSuccessCreatesTheServerAndPreparesIt(t *testing.T) {
	s := fntest.New(t)
	anna, root := s.Person("anna", false), s.Person("root", true)
	first := s.Server(anna, "first", 27015)
	blueprint := strconv.FormatInt(first.BlueprintID, 10)
	v := s.Visitor(root, route.ServerCreate, build)
	got := v.Post("/servers", "name", " second ", "host_id", "here", "port", "27016", "blueprint_id", blueprint, "user_id", strconv.FormatInt(anna.ID, 10))
	if got.StatusCode != http.StatusSeeOther || got.Header.Get("Location") != "/servers/2" {
		t.Fatalf("%d to %q", got.StatusCode, got.Header.Get("Location"))
	}
	if n := s.Count(`SELECT COUNT(*) FROM servers WHERE id = 2 AND name = 'second' AND port = 27016 AND user_id = ? AND state = 'stopped'`, anna.ID); n != 1 {
		t.Error("the server is not as it was asked for")
	}
	if n := s.Count(`SELECT COUNT(*) FROM jobs WHERE operation = 'server_init' AND state = 'queued' AND subject_id = 2 AND user_id = ?`, root.ID); n != 1 {
		t.Error("no job prepares it")
	}
	// Without an owner it is the administrator's.
	if got := v.Post("/servers", "name", "third", "host_id", "here", "port", "27017", "blueprint_id", blueprint); got.StatusCode != http.StatusSeeOther {
		t.Errorf("%d", got.StatusCode)
	}
	if n := s.Count(`SELECT COUNT(*) FROM servers WHERE name = 'third' AND user_id = ?`, root.ID); n != 1 {
		t.Error("the third server is not the administrator's")
	}
	for name, c := range map[string]struct {
		port   string
		status int
		says   string
	}{
		"a taken port": {"27015", http.StatusConflict, "The server first has port 27015 on this host. Port 27018 is free."},
		"no port":      {"many", http.StatusBadRequest, "from 1024 to 65535"},
	} {
		got := v.Post("/servers", "name", "new", "host_id", "here", "port", c.port, "blueprint_id", blueprint)
		page := got.Page()
		if got.StatusCode != c.status || !strings.Contains(page.Find("#create-error").Text(), c.says) {
			t.Errorf("%s: %d, %s", name, got.StatusCode, page.Find("main").Text())
		}
		if typed := page.Find("#create-name").AttrOr("value", ""); typed != "new" {
			t.Errorf("%s: the form holds %q", name, typed)
		}
	}
}
