package main

import (
	"net/http"
	"strings"
	"testing"

	"left4me/shared/account"
	"left4me/shared/overlay"
	"left4me/shared/route"
	"left4me/shared/steam/steamtest"
	"left4me/templates/fntest"
	"left4me/templates/webtest"
)

const items = "/overlays/1/items"

func setUp(t *testing.T, catalog string) (*fntest.Site, account.User, *webtest.Visitor, *steamtest.Server) {
	t.Helper()
	fake := steamtest.Start(t, catalog)
	s := fntest.New(t, "STEAM_API_URL", fake.URL, "STEAM_CDN_HOSTS", fake.Host(), "MAX_OVERLAY_ITEMS", "2")
	anna := s.Person("anna", false)
	s.Overlay(anna, "maps", overlay.Workshop) // 1
	return s, anna, s.Visitor(anna, route.ItemAdd, build), fake
}

func TestOnlyWorkshopOverlaysTakeItems(t *testing.T) {
	s, _, _, _ := setUp(t, "item 1")
	root := s.Person("root", true)
	s.Overlay(root, "shared", overlay.External) // 2
	got := s.Visitor(root, route.ItemAdd, build).Post("/overlays/2/items", "input", "1")
	if shown := got.Page().Find("#error").Text(); got.StatusCode != http.StatusBadRequest || !strings.Contains(shown, "External overlays hold no workshop items") {
		t.Errorf("an administrator, to an external overlay: %d, %q", got.StatusCode, shown)
	}
}

func TestSuccessAsAFragmentAndAsAPage(t *testing.T) {
	s, _, v, _ := setUp(t, "item 1 title=One\nitem 2 title=Two\n")
	plain := v.Post(items, "input", "1")
	if plain.StatusCode != http.StatusSeeOther || plain.Header.Get("Location") != "/overlays/1" {
		t.Errorf("a plain form: %d to %q", plain.StatusCode, plain.Header.Get("Location"))
	}
	got := v.Htmx().Post(items, "input", "https://steamcommunity.com/sharedfiles/filedetails/?id=2 1")
	page := got.Page()
	if got.StatusCode != http.StatusOK || strings.Contains(got.Body, "<html") {
		t.Errorf("htmx: %d", got.StatusCode)
	}
	if shown := page.Find(".notice").Text(); !strings.Contains(shown, "1 added, 1 already in overlay") || !strings.Contains(shown, "Job 1") {
		t.Errorf("it says %q", shown)
	}
	if rows := page.Find("table.items tbody tr").Length(); rows != 2 {
		t.Errorf("%d rows", rows)
	}
	if n := s.Count(`SELECT COUNT(*) FROM jobs WHERE operation = 'build_overlay' AND state = 'queued'`); n != 1 {
		t.Errorf("%d builds are queued, want one", n)
	}
	if _, err := s.Env.DB.ExecContext(t.Context(), `DELETE FROM overlay_workshop_items WHERE workshop_item_id = 1`); err != nil {
		t.Fatal(err)
	}
	back := v.Post(items, "input", "1", "restore", "1 5")
	if focus := back.Page().Find("button[data-focus]").AttrOr("formaction", ""); focus != "/overlays/1/items/1/delete" {
		t.Errorf("after an item was put back the focus is on %q", focus)
	}
	if s.Count(`SELECT added_at FROM overlay_workshop_items WHERE workshop_item_id = 1`) != 5 {
		t.Error("an item that was put back is not where it was")
	}
	if again := v.Post(items, "input", "1"); !strings.Contains(again.Body, "already in overlay") || again.StatusCode != http.StatusOK {
		t.Errorf("what is there already: %d %s", again.StatusCode, again.Page().Find(".notice").Text())
	}
}

func TestRefusedInputStaysInTheBox(t *testing.T) {
	for name, c := range map[string]struct {
		catalog, input string
		status         int
		says           string
	}{
		"rubbish":         {"item 1", "1 rubbish", http.StatusBadRequest, "“rubbish” is neither a workshop link nor an id"},
		"nothing":         {"item 1", "  ", http.StatusBadRequest, "paste at least one"},
		"a foreign game":  {"item 1\nitem 2 app=730", "1 2", http.StatusBadRequest, "another game"},
		"unknown":         {"item 1", "404", http.StatusBadRequest, "Steam has no item 404"},
		"too many items":  {"item 1\nitem 2\nitem 3", "1 2 3", http.StatusTooManyRequests, "would have more than 2 items"},
		"Steam's refusal": {"item 1\napi status=403", "1", http.StatusBadGateway, "steam api error: steam answered 403"},
	} {
		t.Run(name, func(t *testing.T) {
			s, _, v, _ := setUp(t, c.catalog)
			plain := v.Post(items, "input", c.input)
			page := plain.Page()
			if plain.StatusCode != c.status || !strings.Contains(page.Find("#add-error").Text(), c.says) || page.Find("#input").Text() != c.input {
				t.Errorf("as a page: %d, %q, the box holds %q", plain.StatusCode, page.Find("#add-error").Text(), page.Find("#input").Text())
			}
			part := v.Htmx().Post(items, "input", c.input)
			if part.StatusCode != c.status || !strings.Contains(part.Body, c.says) || part.Header.Get("HX-Retarget") != "#add-error" || strings.Contains(part.Body, "<textarea") {
				t.Errorf("as a fragment: %d for %q: %s", part.StatusCode, part.Header.Get("HX-Retarget"), part.Body)
			}
			if s.Count(`SELECT COUNT(*) FROM overlay_workshop_items`)+s.Count(`SELECT COUNT(*) FROM jobs`) != 0 {
				t.Error("something was left behind")
			}
		})
	}
}
