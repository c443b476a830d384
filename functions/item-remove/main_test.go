package main

import (
	"net/http"
	"strings"
	"testing"

	"left4me/shared/account"
	"left4me/shared/overlay"
	"left4me/shared/route"
	"left4me/shared/steam"
	"left4me/shared/workshop"
	"left4me/templates/fntest"
)

func setUp(t *testing.T) (*fntest.Site, account.User) {
	t.Helper()
	s := fntest.New(t)
	anna := s.Person("anna", false)
	o := s.Overlay(anna, "maps", overlay.Workshop) // 1
	items := []steam.Item{{SteamID: "71", Result: 1, Title: "One"}, {SteamID: "72", Result: 1, Title: "Two"}}
	if _, err := workshop.NewStore(s.Env.DB, s.Env.Now, s.Env.Jobs).Save(t.Context(), s.Env.DB, items); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Env.DB.ExecContext(t.Context(), `INSERT INTO overlay_workshop_items (overlay_id, workshop_item_id, added_at) SELECT ?, id, 0 FROM workshop_items`, o.ID); err != nil {
		t.Fatal(err)
	}
	return s, anna
}

func TestSuccessAsAFragmentAndAsAPage(t *testing.T) {
	s, anna := setUp(t)
	v := s.Visitor(anna, route.ItemRemove, build)
	if got := v.Post("/overlays/1/items/1/delete"); got.StatusCode != http.StatusSeeOther || got.Header.Get("Location") != "/overlays/1" {
		t.Errorf("a plain form: %d to %q", got.StatusCode, got.Header.Get("Location"))
	}
	got := v.Htmx().Post("/overlays/1/items/2/delete")
	if shown := got.Page().Find(".notice").Text(); got.StatusCode != http.StatusOK || !strings.Contains(shown, "Two removed") {
		t.Errorf("htmx: %d, %q", got.StatusCode, shown)
	}
	if n := s.Count(`SELECT COUNT(*) FROM overlay_workshop_items`); n != 0 {
		t.Errorf("%d items are left in the overlay", n)
	}
	if n := s.Count(`SELECT COUNT(*) FROM workshop_items`); n != 2 {
		t.Errorf("%d items are left at all", n)
	}
	if n := s.Count(`SELECT COUNT(*) FROM jobs WHERE operation = 'build_overlay'`); n != 1 {
		t.Errorf("%d builds, want one", n)
	}
}
