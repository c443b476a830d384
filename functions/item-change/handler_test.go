package main

import (
	"net/http"
	"strings"
	"testing"

	"left4me/shared/overlay"
	"left4me/shared/route"
	"left4me/templates/fntest"
)

func TestTheLinkOfAnItemGetsAnotherName(t *testing.T) {
	s := fntest.New(t)
	anna := s.Person("anna", false)
	s.Overlay(anna, "annas", overlay.Workshop) // 1
	for _, statement := range []string{
		`INSERT INTO workshop_items (id, steam_id, title, created_at) VALUES (1, 71, 'Lights Out', 0)`,
		`INSERT INTO item_contents (workshop_item_id, time_updated, file_size, kind, mutations) VALUES (1, 0, 0, 'mutation or script', '["lightsout"]')`,
		`INSERT INTO overlay_workshop_items (overlay_id, workshop_item_id, added_at) VALUES (1, 1, 0)`,
	} {
		if _, err := s.Env.DB.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	const change = "/overlays/1/items/1"
	v := s.Visitor(anna, route.ItemChange, build)
	if got := v.Post(change, "link", "x"); got.StatusCode != http.StatusBadRequest || !strings.Contains(got.Text("#error"), "no mutation “x”") {
		t.Errorf("refused: %d %q", got.StatusCode, got.Text("#error"))
	}
	if got := v.Post(change, "link", "lightsout", "sort", "x"); got.StatusCode != http.StatusBadRequest {
		t.Errorf("from a list of unknown order: %d", got.StatusCode)
	}
	if n := s.Count(`SELECT COUNT(*) FROM overlay_link_names`); n != 0 {
		t.Errorf("%d names after refused requests", n)
	}
	plain := v.Post(change, "link", "lightsout", "sort", "-title")
	if plain.StatusCode != http.StatusSeeOther || plain.Location() != "/overlays/1?sort=-title" || plain.Notice() != "The file of Lights Out gets the name lightsout.vpk." {
		t.Errorf("a plain form: %d to %q, %q", plain.StatusCode, plain.Location(), plain.Notice())
	}
	got := v.Htmx().Post(change, "link", "")
	if shown := got.Text("#items .notice"); got.StatusCode != http.StatusOK || !strings.HasPrefix(shown, "The file of Lights Out gets the name 71.vpk.") {
		t.Errorf("htmx: %d, %q", got.StatusCode, shown)
	}
	if n := s.Count(`SELECT COUNT(*) FROM jobs WHERE operation = 'build_overlay'`); n != 1 {
		t.Errorf("%d builds, want one", n)
	}
}
