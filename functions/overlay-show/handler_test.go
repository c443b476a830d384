package main

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"left4me/shared/account"
	"left4me/shared/job"
	"left4me/shared/jobstore"
	"left4me/shared/overlay"
	"left4me/shared/route"
	"left4me/shared/steam"
	"left4me/shared/workshop"
	"left4me/templates/fntest"
)

func TestOnlyPeopleWhoMayBuildSeeTheButton(t *testing.T) {
	s := fntest.New(t)
	anna, bert, root := s.Person("anna", false), s.Person("bert", false), s.Person("root", true)
	s.Overlay(anna, "annas", overlay.Workshop)  // 1
	s.Overlay(root, "shared", overlay.External) // 2
	for _, c := range []struct {
		user  account.User
		path  string
		edits bool
	}{
		{anna, "/overlays/1", true},
		{root, "/overlays/1", true},
		{bert, "/overlays/2", false},
		{root, "/overlays/2", true},
	} {
		got := s.Visitor(c.user, route.OverlayShow, build).Get(c.path)
		builds := got.Page().Find(`form[action$="/build"]`).Length() > 0
		if got.StatusCode != http.StatusOK || builds != c.edits {
			t.Errorf("%s asks for %s: %d, may build: %v", c.user.Name, c.path, got.StatusCode, builds)
		}
	}
}

func TestItemsAreShown(t *testing.T) {
	s := fntest.New(t, "LEFT4ME_EXAMPLES", "paste me")
	anna := s.Person("anna", false)
	o := s.Overlay(anna, "annas", overlay.Workshop)
	v := s.Visitor(anna, route.OverlayShow, build)
	if got := v.Get("/overlays/1"); !strings.Contains(got.Body, "paste me") {
		t.Error("an empty overlay shows no example")
	}
	items := workshop.NewStore(s.Env.DB, s.Env.Now, s.Env.Jobs)
	hostile := steam.Item{SteamID: "7", Result: 1, ConsumerAppID: 550, Title: "<script>alert(1)</script>", Filename: "a.vpk",
		FileURL: "https://cdn.steamusercontent.com/ugc/1/2/", FileSize: 2 << 20, TimeUpdated: 1740856166}
	if _, err := items.Save(t.Context(), s.Env.DB, []steam.Item{hostile, {SteamID: "8", Result: 9}}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Env.DB.ExecContext(t.Context(), `INSERT INTO overlay_workshop_items SELECT ?, id, 0 FROM workshop_items`, o.ID); err != nil {
		t.Fatal(err)
	}
	page := v.Get("/overlays/1").Page()
	rows := page.Find("table.items tbody tr")
	for i, want := range []string{"waiting for download", "not on Steam any more"} {
		if got := rows.Eq(i).Find(".state").Text(); got != want {
			t.Errorf("item %d is %q, want %q", i, got, want)
		}
	}
	link := rows.Eq(0).Find("th a")
	if link.Text() != hostile.Title || link.AttrOr("href", "") != "https://steamcommunity.com/sharedfiles/filedetails/?id=7" || page.Find("script:not([src])").Length() != 0 {
		t.Errorf("the title is %q, linked to %q", link.Text(), link.AttrOr("href", ""))
	}
}

// The page polls about the job that it shows. The answer also says how that job ended.
func TestPollingDuringAJob(t *testing.T) {
	s := fntest.New(t)
	anna := s.Person("anna", false)
	o := s.Overlay(anna, "annas", overlay.Workshop)
	jobs := jobstore.NewStore(s.Env.DB, time.Now)
	queued, err := jobs.Enqueue(t.Context(), s.Env.DB, jobstore.Request{Operation: job.BuildOverlay, Subject: job.Overlay(o.ID), UserID: anna.ID})
	if err != nil {
		t.Fatal(err)
	}
	v := s.Visitor(anna, route.OverlayShow, build).Htmx()
	ask := func(state string) string {
		t.Helper()
		got := v.Get("/overlays/1?job=" + strconv.FormatInt(queued.ID, 10) + "&state=" + state)
		if got.StatusCode != http.StatusOK || strings.Contains(got.Body, "<html") {
			t.Fatalf("%d %s", got.StatusCode, got.Body)
		}
		return got.Body
	}
	if body := ask("queued"); !strings.Contains(body, "every 1s") {
		t.Errorf("a queued job: %s", body)
	}
	if _, _, err := jobs.Cancel(t.Context(), queued.ID); err != nil {
		t.Fatal(err)
	}
	if body := ask("queued"); strings.Contains(body, "every 1s") || !strings.Contains(body, "cancelled") || !strings.Contains(body, `id="item-list"`) {
		t.Errorf("an ended job: %s", body)
	}
}
