package main

import (
	"net/http"
	"strings"
	"testing"

	"left4me/shared/overlay"
	"left4me/shared/route"
	"left4me/templates/fntest"
)

func TestTheChosenItemsAreRemovedWithOneBuild(t *testing.T) {
	s := fntest.New(t)
	anna := s.Person("anna", false)
	s.Overlay(anna, "annas", overlay.Workshop) // 1
	for _, statement := range []string{
		`INSERT INTO workshop_items (id, steam_id, title, created_at) VALUES (1, 71, 'One', 0), (2, 72, 'Two', 0), (3, 73, 'Three', 0), (4, 74, 'Four', 0), (5, 75, 'Five', 0)`,
		`INSERT INTO overlay_workshop_items SELECT 1, id, 0 FROM workshop_items`,
	} {
		if _, err := s.Env.DB.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	const remove = "/overlays/1/items/delete"
	v := s.Visitor(anna, route.ItemsRemove, build)
	for says, fields := range map[string][]string{
		"choose at least one item": nil,
		"“x” is not an item":       {"item", "1", "item", "x"},
	} {
		if got := v.Post(remove, fields...); got.StatusCode != http.StatusBadRequest || !strings.Contains(got.Text("#error"), says) {
			t.Errorf("%q: %d %s", fields, got.StatusCode, got.Text("#error"))
		}
	}
	if n := s.Count(`SELECT COUNT(*) FROM overlay_workshop_items`); n != 5 {
		t.Errorf("%d items are left after refused requests", n)
	}
	plain := v.Post(remove, "item", "1", "item", "3")
	if plain.StatusCode != http.StatusSeeOther || plain.Location() != "/overlays/1" || plain.Notice() != "2 items removed." {
		t.Errorf("a plain form: %d to %q, %q", plain.StatusCode, plain.Location(), plain.Notice())
	}
	got := v.Htmx().Post(remove, "item", "2", "item", "5")
	if shown := got.Text(".notice"); got.StatusCode != http.StatusOK || !strings.Contains(shown, "2 items removed") || got.Text("table.items tbody th small") != "74" {
		t.Errorf("htmx: %d, %q", got.StatusCode, shown)
	}
	if n := s.Count(`SELECT COUNT(*) FROM jobs WHERE operation = 'build_overlay'`); n != 1 {
		t.Errorf("%d builds, want one", n)
	}
}
