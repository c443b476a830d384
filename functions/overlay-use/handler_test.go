package main

import (
	"net/http"
	"strings"
	"testing"

	"left4me/shared/host"
	"left4me/shared/overlay"
	"left4me/shared/route"
	"left4me/templates/fntest"
)

// The instructions have the paths of the host, ready for a shell.
func TestInstructionsHaveTheHostsPaths(t *testing.T) {
	s := fntest.New(t)
	anna, bert := s.Person("anna", false), s.Person("bert", false)
	s.Overlay(anna, "maps", overlay.Workshop) // 1
	ask := func() string {
		t.Helper()
		got := s.Visitor(anna, route.OverlayUse, build).Get("/overlays/1/use")
		if got.StatusCode != http.StatusOK {
			t.Fatal(got.StatusCode)
		}
		return got.Text("main")
	}
	if text := ask(); !strings.Contains(text, "no game host has reported") {
		t.Errorf("without a host: %s", text)
	}
	hosts := host.NewStore(s.Env.DB, s.Env.Now, s.Env.Jobs)
	for _, h := range []host.Host{{Name: "attic", Root: "/srv/left 4 me"}, {Name: "cellar", Root: "/var/lib/left4me"}} {
		h.ID, h.Command, h.Version, h.Agent.Disk = h.Name, "up", "1", h.Name
		if _, err := hosts.Register(t.Context(), h); err != nil {
			t.Fatal(err)
		}
	}
	text := ask()
	for _, want := range []string{"'/srv/left 4 me/overlays/1'", "/var/lib/left4me/overlays/1", "update_addon_paths; mission_reload", "LinuxGSM", "Docker", "Pterodactyl"} {
		if !strings.Contains(text, want) {
			t.Errorf("the page lacks %q: %s", want, text)
		}
	}
	if got := s.Visitor(bert, route.OverlayUse, build).Get("/overlays/1/use"); got.StatusCode != http.StatusForbidden {
		t.Errorf("somebody else: %d", got.StatusCode)
	}
}
