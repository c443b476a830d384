package main

import (
	"net/http"
	"strings"
	"testing"

	"left4me/shared/overlay"
	"left4me/shared/route"
	"left4me/templates/fntest"
)

func TestTheSelectedItemsAreCopied(t *testing.T) {
	s := fntest.New(t)
	anna, bert, root := s.Person("anna", false), s.Person("bert", false), s.Person("root", true)
	s.Overlay(anna, "annas", overlay.Workshop)  // 1
	s.Overlay(anna, "others", overlay.Workshop) // 2
	s.Overlay(bert, "berts", overlay.Workshop)  // 3
	s.Overlay(root, "shared", overlay.External) // 4
	for _, statement := range []string{
		`INSERT INTO workshop_items (id, steam_id, title, created_at) VALUES (1, 71, 'One', 0), (2, 72, 'Two', 0), (3, 73, 'Three', 0)`,
		`INSERT INTO overlay_workshop_items (overlay_id, workshop_item_id, added_at) VALUES (1, 1, 0), (1, 2, 0), (2, 2, 0), (3, 3, 0)`,
	} {
		if _, err := s.Env.DB.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	const copy = "/overlays/1/items/copy"
	v := s.Visitor(anna, route.ItemsCopy, build)
	for name, c := range map[string]struct {
		status int
		says   string
		fields []string
	}{
		"nothing":                      {http.StatusBadRequest, "Please choose at least one item.", []string{"to", "2"}},
		"no overlay":                   {http.StatusBadRequest, "Please choose the overlay to copy to.", []string{"item", "1"}},
		"no number":                    {http.StatusBadRequest, "“x” is not an item.", []string{"item", "x", "to", "2"}},
		"to itself":                    {http.StatusBadRequest, "The items are in this overlay already.", []string{"item", "1", "to", "1"}},
		"to an overlay that is not":    {http.StatusNotFound, "There is no overlay 99.", []string{"item", "1", "to", "99"}},
		"to somebody else's overlay":   {http.StatusForbidden, "belongs to somebody else", []string{"item", "1", "to", "3"}},
		"to an external overlay":       {http.StatusForbidden, "Only administrators", []string{"item", "1", "to", "4"}},
		"an item of another overlay":   {http.StatusNotFound, "not in this overlay any more", []string{"item", "3", "to", "2"}},
		"from a list of unknown order": {http.StatusBadRequest, "cannot be sorted", []string{"item", "1", "to", "2", "sort", "x"}},
	} {
		if got := v.Post(copy, c.fields...); got.StatusCode != c.status || !strings.Contains(got.Text("#error"), c.says) {
			t.Errorf("%s: %d %q, want %d with %q", name, got.StatusCode, got.Text("#error"), c.status, c.says)
		}
	}
	if n := s.Count(`SELECT COUNT(*) FROM overlay_workshop_items`) + s.Count(`SELECT COUNT(*) FROM jobs`); n != 4 {
		t.Errorf("%d associations and jobs after refused requests, want 4", n)
	}
	plain := v.Post(copy, "item", "1", "item", "1", "to", "2", "sort", "-title", "page", "2")
	if plain.StatusCode != http.StatusSeeOther || plain.Location() != "/overlays/1?page=2&sort=-title" || plain.Notice() != "1 item copied to others." {
		t.Errorf("a plain form: %d to %q, %q", plain.StatusCode, plain.Location(), plain.Notice())
	}
	got := v.Htmx().Post(copy, "item", "1", "item", "2", "to", "2")
	if shown := got.Text("#items .notice"); got.StatusCode != http.StatusOK || shown != "0 items copied to others, 2 already there." {
		t.Errorf("htmx: %d, %q", got.StatusCode, shown)
	}
	if n := s.Count(`SELECT COUNT(*) FROM jobs WHERE operation = 'build_overlay' AND subject_id = 2`); n != 1 {
		t.Errorf("%d builds, want one of the other overlay", n)
	}
}
