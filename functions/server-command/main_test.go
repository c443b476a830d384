package main

import (
	"net/http"
	"strings"
	"testing"

	"left4me/shared/route"
	"left4me/templates/fntest"
)

// shows: P64 P65
func TestEachFormIsOneCommand(t *testing.T) {
	s := fntest.New(t)
	anna := s.Person("anna", false)
	s.Server(anna, "one", 27015)
	v := s.Visitor(anna, route.ServerCommand, build)
	if got := v.Post("/servers/1/command", "command", "status"); got.StatusCode != http.StatusConflict || !strings.Contains(got.Page().Find("#command-error").Text(), "Please start it first") {
		t.Errorf("of a server that is off: %d, %s", got.StatusCode, got.Body)
	}
	if _, err := s.Env.DB.ExecContext(t.Context(), `UPDATE servers SET state = 'running'`); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		form    []string
		command string
	}{
		{[]string{"command", "  sv_cheats 0; status "}, `sv_cheats 0; status`},
		{[]string{"as", "say", "command", `hi "all"; quit // there`}, `say "hi 'all'; quit // there"`},
		{[]string{"kick", "12"}, `kickid 12`},
		{[]string{"map", "c2m1_highway", "mode", ""}, `changelevel c2m1_highway`},
		{[]string{"map", "c2m1_highway", "mode", "versus"}, `map c2m1_highway versus`},
	} {
		got := v.Post("/servers/1/command", c.form...)
		if got.StatusCode != http.StatusSeeOther || !strings.HasPrefix(got.Location(), "/jobs/") {
			t.Errorf("%q: %d to %q", c.form, got.StatusCode, got.Location())
		}
		if n := s.Count(`SELECT COUNT(*) FROM jobs WHERE operation = 'server_command' AND argument ->> '$' = ? AND subject_id = 1 AND host_id = 'here' AND user_id = ?`, c.command, anna.ID); n != 1 {
			t.Errorf("%q is not the command %q", c.form, c.command)
		}
	}
	for name, form := range map[string][]string{
		"nothing":             {},
		"no command":          {"command", " "},
		"two lines":           {"command", "say a\nquit"},
		"a long command":      {"command", strings.Repeat("x", 501)},
		"nothing to say":      {"as", "say", "command", " "},
		"two lines to say":    {"as", "say", "command", "a\nquit"},
		"a long text":         {"as", "say", "command", strings.Repeat("ü", 121)},
		"a name":              {"kick", `Ellis"; quit`},
		"a negative player":   {"kick", "-1"},
		"a map with commands": {"map", "c1m1; quit", "mode", ""},
		"a mode with those":   {"map", "c1m1_hotel", "mode", `coop; quit`},
		"no map":              {"map", ""},
	} {
		got := v.Post("/servers/1/command", form...)
		if got.StatusCode != http.StatusBadRequest || got.Page().Find("#command-error").Text() == "" {
			t.Errorf("%s: %d, %s", name, got.StatusCode, got.Body)
		}
	}
	if typed := v.Post("/servers/1/command", "as", "say", "command", strings.Repeat("ü", 121)).Page().Find("#say-text").AttrOr("value", ""); len(typed) != 242 {
		t.Errorf("what was typed is lost: %q", typed)
	}
	if n := s.Count(`SELECT COUNT(*) FROM jobs WHERE operation = 'server_command'`); n != 5 {
		t.Errorf("%d jobs", n)
	}
}
