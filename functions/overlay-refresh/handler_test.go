package main

import (
	"bytes"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"left4me/shared/account"
	"left4me/shared/overlay"
	"left4me/shared/route"
	"left4me/shared/steam"
	"left4me/shared/steam/steamtest"
	"left4me/shared/workshop"
	"left4me/templates/fntest"
)

const refresh = "/overlays/1/refresh"

// setUp creates overlay 1 of anna with the items ids.
func setUp(t *testing.T, catalog string, ids ...steam.ID) (*fntest.Site, account.User, *steamtest.Server) {
	t.Helper()
	fake := steamtest.Start(t, catalog)
	s := fntest.New(t, "STEAM_API_URL", fake.URL)
	anna := s.Person("anna", false)
	s.Overlay(anna, "maps", overlay.Workshop) // 1
	db := s.Env.DB
	items, err := steam.NewClient(fake.URL, slog.New(slog.DiscardHandler)).Details(t.Context(), ids)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := workshop.NewStore(db, s.Env.Now, s.Env.Jobs).Save(t.Context(), db, items); err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), `INSERT INTO overlay_workshop_items (overlay_id, workshop_item_id, added_at) SELECT 1, id, id FROM workshop_items`); err != nil {
		t.Fatal(err)
	}
	fake.Forget()
	return s, anna, fake
}

func TestAnEmptyOverlaySendsNoRequest(t *testing.T) {
	s, anna, fake := setUp(t, "")
	got := s.Visitor(anna, route.OverlayRefresh, build).Post(refresh)
	if got.StatusCode != http.StatusBadRequest || !strings.Contains(got.Body, "overlay has no items") || fake.Count("api") != 0 {
		t.Errorf("%d after %d questions: %s", got.StatusCode, fake.Count("api"), got.Page().Find("main").Text())
	}
	if n := s.Count(`SELECT COUNT(*) FROM jobs`); n != 0 {
		t.Errorf("%d jobs", n)
	}
}

func TestSuccessRedirectsToTheBuild(t *testing.T) {
	s, anna, fake := setUp(t, "item 101\nitem 102\nitem 103\n", "101", "102", "103")
	fake.Tell(t, "update 101 size=70KiB title=\"New one\"\nremove 102\nitem 103 app=730\n")
	var log bytes.Buffer
	s.Env.Log = slog.New(slog.NewTextHandler(&log, nil))
	v := s.Visitor(anna, route.OverlayRefresh, build)
	for range 2 {
		if got := v.Post(refresh); got.StatusCode != http.StatusSeeOther || got.Header.Get("Location") != "/jobs/1" {
			t.Fatalf("%d to %q", got.StatusCode, got.Header.Get("Location"))
		}
		if n := s.Count(`SELECT COUNT(*) FROM jobs WHERE operation = 'build_overlay' AND state = 'queued' AND user_id = ?`, anna.ID); n != 1 {
			t.Errorf("%d builds of anna's, want one", n)
		}
	}
	if n := fake.Count("details"); n != 2 {
		t.Errorf("%d questions for two refreshes", n)
	}
	if n := s.Count(`SELECT COUNT(*) FROM workshop_items WHERE steam_id = '101' AND title = 'New one' AND file_size = 71680`); n != 1 {
		t.Error("item 101 was not updated")
	}
	if !strings.Contains(log.String(), "for another game") || !strings.Contains(log.String(), "item=103") {
		t.Errorf("the log says %q", log.String())
	}
}

func TestNotice(t *testing.T) {
	many := make([]steam.Item, 7)
	for i := range many {
		many[i].SteamID = steam.ID(rune('1' + i))
	}
	for want, found := range map[string]workshop.Refreshed{
		"Refreshed from Steam: 0 of 1 item changed.": {Items: 1},
		"Refreshed from Steam: 2 of 9 items changed, 3 cannot be downloaded from Steam, skipped as made for another game now: 1, 2, 3, 4, 5 and 2 more.": {
			Items: 9, Changed: many[:2], Unavailable: many[:1], Missing: many[:2], Foreign: many,
		},
	} {
		if got := notice(found); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestWhenSteamFailsNothingIsWritten(t *testing.T) {
	s, anna, fake := setUp(t, "item 101\n", "101")
	fake.Tell(t, "update 101 size=70KiB title=\"New one\"\ndetails status=403\n")
	got := s.Visitor(anna, route.OverlayRefresh, build).Post(refresh)
	if got.StatusCode != http.StatusBadGateway || !strings.Contains(got.Text("#refresh-error"), "steam api error: steam answered 403") || got.Page().Find("table.items tbody tr").Length() != 1 {
		t.Errorf("the answer is not the overlay's page with the reason: %d: %s", got.StatusCode, got.Page().Find("main").Text())
	}
	part := s.Visitor(anna, route.OverlayRefresh, build).Htmx().Post(refresh)
	if part.StatusCode != http.StatusBadGateway || !strings.Contains(part.Text("#error"), "steam api error: steam answered 403") || part.Page().Find("table").Length() != 0 {
		t.Errorf("as a fragment: %d: %s", part.StatusCode, part.Body)
	}
	if s.Count(`SELECT COUNT(*) FROM jobs`) != 0 || s.Count(`SELECT COUNT(*) FROM workshop_items WHERE title = 'New one'`) != 0 {
		t.Error("something was written")
	}
}
