package main

import (
	"net/http"
	"testing"

	"left4me/shared/overlay"
	"left4me/shared/route"
	"left4me/templates/fntest"
)

// The buttons for all selected items and those of the rows change what they say, with one build. A row's button leaves the selection alone.
func TestItemsAreDisabledAndEnabled(t *testing.T) {
	s := fntest.New(t)
	anna := s.Person("anna", false)
	s.Overlay(anna, "annas", overlay.Workshop) // 1
	for _, statement := range []string{
		`INSERT INTO workshop_items (id, steam_id, title, created_at) VALUES (1, 71, 'One', 0), (2, 72, 'Two', 0), (3, 73, 'Three', 0)`,
		`INSERT INTO overlay_workshop_items (overlay_id, workshop_item_id, added_at) SELECT 1, id, 0 FROM workshop_items`,
	} {
		if _, err := s.Env.DB.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	disabled := func() (n int) { return s.Count(`SELECT SUM(disabled << workshop_item_id) FROM overlay_workshop_items`) }
	const change = "/overlays/1/items/change"
	v := s.Visitor(anna, route.ItemsChange, build)
	if got := v.Post(change, "change", "disable", "item", "1", "item", "3"); got.StatusCode != http.StatusSeeOther || got.Notice() != "2 items disabled." || disabled() != 0b1010 {
		t.Errorf("a plain form: %d %q, %b", got.StatusCode, got.Notice(), disabled())
	}
	got := v.Htmx().Post(change, "change", "enable 3", "item", "1")
	if states := got.Text("#items .state"); got.StatusCode != http.StatusOK || got.Text(".notice bdi") != "Three enabled" || disabled() != 0b10 || states[:len("disabled")] != "disabled" {
		t.Errorf("a row's button: %d %q %q, %b", got.StatusCode, got.Text(".notice"), states, disabled())
	}
	if n := s.Count(`SELECT COUNT(*) FROM jobs WHERE operation = 'build_overlay'`); n != 1 {
		t.Errorf("%d builds, want one", n)
	}
	if got := v.Htmx().Post(change, "change", "paint 3"); got.StatusCode != http.StatusBadRequest || disabled() != 0b10 {
		t.Errorf("an unknown change: %d", got.StatusCode)
	}
}
