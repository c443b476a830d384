package main

import (
	"net/http"
	"reflect"
	"slices"
	"testing"

	"left4me/shared/blueprint"
	"left4me/shared/route"
	"left4me/templates/fntest"
)

// all has every field of the form.
var all = []string{"name", "versus", "hostname", " Anna's ", "mode", "versus", "map", "c5m1_waterfront", "slots", "4", "password", "secret", "groups", "1 2;3,4",
	"exclusive", "yes", "region", "3", "tags", "hard,\tfriends", "lobby_only", "yes", "consistency", "yes", "lines", "one\r\n\r\n  two\r\n\r\n", "arguments", " -a  -b "}

func TestEveryFieldIsSaved(t *testing.T) {
	s := fntest.New(t)
	root := s.Person("root", true)
	store := blueprint.NewStore(s.Env.DB, s.Env.Now, s.Env.Jobs)
	id, err := store.Create(t.Context(), root, "friday", false)
	if err != nil {
		t.Fatal(err)
	}
	visitor, path := s.Visitor(root, route.BlueprintSave, build), route.BlueprintSave.URL(id)
	saved := func() blueprint.Blueprint {
		t.Helper()
		b, err := store.Get(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	if got := visitor.Post(path, all...); got.StatusCode != http.StatusSeeOther {
		t.Fatalf("%d: %s", got.StatusCode, got.Page().Find("main").Text())
	}
	want := blueprint.Settings{Hostname: "Anna's", Mode: "versus", Map: "c5m1_waterfront", Slots: 4, Password: "secret", Groups: []string{"1", "2", "3", "4"}, Exclusive: true,
		Region: 3, Tags: []string{"hard", "friends"}, LobbyOnly: true, Consistency: true, Lines: []string{"one", "", "  two"}, Arguments: []string{"-a", "-b"}}
	if b := saved(); b.Name != "versus" || !reflect.DeepEqual(b.Settings, want) {
		t.Errorf("saved %q %+v, want %+v", b.Name, b.Settings, want)
	}
	// Boxes that are not ticked are not sent.
	few := slices.Clone(all[:len(all)-2])
	few[1] = "changed"
	for _, box := range []string{"exclusive", "lobby_only", "consistency"} {
		i := slices.Index(few, box)
		few = slices.Delete(few, i, i+2)
	}
	if got := visitor.Post(path, few...); got.StatusCode != http.StatusSeeOther {
		t.Fatalf("%d: %s", got.StatusCode, got.Page().Find("main").Text())
	}
	if b := saved(); b.Name != "changed" || b.Settings.Exclusive || b.Settings.LobbyOnly || b.Settings.Consistency || len(b.Settings.Arguments) != 2 {
		t.Errorf("saved %+v", b)
	}
}

func TestARefusedFormKeepsWhatWasTyped(t *testing.T) {
	s := fntest.New(t)
	anna := s.Person("anna", false)
	id, err := blueprint.NewStore(s.Env.DB, s.Env.Now, s.Env.Jobs).Create(t.Context(), anna, "friday", false)
	if err != nil {
		t.Fatal(err)
	}
	typed := slices.Clone(all[:len(all)-2])
	typed[slices.Index(typed, "map")+1] = "two words"
	got := s.Visitor(anna, route.BlueprintSave, build).Post(route.BlueprintSave.URL(id), typed...)
	page := got.Page()
	if got.StatusCode != http.StatusBadRequest {
		t.Errorf("%d: %s", got.StatusCode, page.Find("main").Text())
	}
	for field, want := range map[string]string{"name": "versus", "map": "two words", "groups": "1, 2, 3, 4", "slots": "4"} {
		if value := page.Find("#"+field).AttrOr("value", ""); value != want {
			t.Errorf("%s has %q, want %q", field, value, want)
		}
	}
	if text := page.Find("#lines").Text(); text != "one\n\n  two" {
		t.Errorf("the lines are %q", text)
	}
}
