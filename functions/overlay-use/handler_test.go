package main

import (
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"left4me/shared/host"
	"left4me/shared/overlay"
	"left4me/shared/route"
	"left4me/templates/fntest"
)

// The commands link each file of the overlay into the game's directory, and remove the links that they have made before, and nothing
// else.
func TestTheCommandsOfTheInstructions(t *testing.T) {
	s := fntest.New(t)
	anna := s.Person("anna", false)
	s.Overlay(anna, "maps", overlay.Workshop) // 1
	root := filepath.Join(t.TempDir(), "left 4 'me'")
	game := t.TempDir()
	addons, cache := filepath.Join(root, "overlays", "1", "left4dead2", "addons"), filepath.Join(root, "workshop_cache")
	for _, dir := range []string{addons, cache, filepath.Join(game, "left4dead2", "addons")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	item := func(id string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(cache, id), []byte(id), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(filepath.Join(cache, id), filepath.Join(addons, id)); err != nil {
			t.Fatal(err)
		}
	}
	mine := filepath.Join(game, "left4dead2", "addons", "mine.vpk")
	if err := os.Symlink("/elsewhere", mine); err != nil {
		t.Fatal(err)
	}
	hosts, attic := host.NewStore(s.Env.DB, s.Env.Now, s.Env.Jobs), host.Host{ID: "attic", Name: "attic", Agent: host.Agent{Disk: "d"}, Command: "up", Version: "1", Root: root}
	_, err := hosts.Register(t.Context(), attic)
	if err := errors.Join(err, hosts.Report(t.Context(), attic)); err != nil {
		t.Fatal(err)
	}
	command := s.Visitor(anna, route.OverlayUse, build).Get("/overlays/1/use").Page().Find("#srcds-0-command").Text()
	_, command, _ = strings.Cut(command, "\n") // the first line is an example
	linked := func() (names []string) {
		t.Helper()
		run := exec.Command("sh", "-ec", command)
		run.Env = append(os.Environ(), "GAME="+game)
		if out, err := run.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", command, err, out)
		}
		entries, err := os.ReadDir(filepath.Join(game, "left4dead2", "addons"))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			content, _ := os.ReadFile(filepath.Join(game, "left4dead2", "addons", e.Name()))
			names = append(names, e.Name()+"="+string(content))
		}
		return names
	}
	item("1.vpk")
	item("2.vpk")
	if got := linked(); !slices.Equal(got, []string{"1.vpk=1.vpk", "2.vpk=2.vpk", "mine.vpk="}) {
		t.Errorf("the game has %v", got)
	}
	if err := os.Remove(filepath.Join(addons, "1.vpk")); err != nil {
		t.Fatal(err)
	}
	item("3.vpk")
	if got := linked(); !slices.Equal(got, []string{"2.vpk=2.vpk", "3.vpk=3.vpk", "mine.vpk="}) {
		t.Errorf("after a change the game has %v", got)
	}
}

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
