package main

import (
	"net/http"
	"strconv"
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
		`INSERT INTO overlay_workshop_items (overlay_id, workshop_item_id, added_at) SELECT 1, id, 0 FROM workshop_items`,
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

// After a removal, the page stays where it was: in its order, and on its page, or on the one before if that is empty now.
func TestThePageStaysWhereItWas(t *testing.T) {
	s := fntest.New(t)
	anna := s.Person("anna", false)
	s.Overlay(anna, "annas", overlay.Workshop)
	for _, statement := range []string{
		`INSERT INTO workshop_items (id, steam_id, title, created_at)
			WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 402) SELECT i, i, 'title', 0 FROM n`,
		`INSERT INTO overlay_workshop_items (overlay_id, workshop_item_id, added_at) SELECT 1, id, 0 FROM workshop_items`,
	} {
		if _, err := s.Env.DB.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	v := s.Visitor(anna, route.ItemsRemove, build)
	if got := v.Post("/overlays/1/items/delete", "item", "402", "q", "title", "page", "2"); got.Location() != "/overlays/1?page=2&q=title" {
		t.Errorf("a plain form leads to %q", got.Location())
	}
	v.Htmx()
	for _, c := range []struct{ item, page, first, pages string }{
		{"7", "2", "202", "400 items, page 2 of 2"},
		{"9", "2", "203", "399 items, page 2 of 2"},
	} {
		got := v.Post("/overlays/1/items/delete", "item", c.item, "page", c.page)
		if first := got.Page().Find("#items tbody small").First().Text(); first != c.first || got.Text(".pages p") != c.pages {
			t.Errorf("without item %s, page %s begins with %s, and says %q; want %+v", c.item, c.page, first, got.Text(".pages p"), c)
		}
		if got := got.Page().Find(`form.selection input[name="page"]`).AttrOr("value", ""); got != c.page {
			t.Errorf("the form is for page %q", got)
		}
	}
	var all []string
	for n := range 199 {
		all = append(all, "item", strconv.Itoa(203+n))
	}
	got := v.Post("/overlays/1/items/delete", append(all, "page", "2")...)
	if got.StatusCode != http.StatusOK || got.Page().Find("#items tbody tr").Length() != 200 || !strings.Contains(got.Text("#items"), "There is no page 2. This is the last one, page 1.") {
		t.Errorf("%d %.300s", got.StatusCode, got.Text("#items"))
	}
}
