package workshop_test

import (
	"reflect"
	"testing"
	"time"

	"left4me/shared/db/dbtest"
	"left4me/shared/list"
	"left4me/shared/steam"
	"left4me/shared/vpk"
	"left4me/shared/workshop"
)

var harbour = vpk.Campaign{Title: `Foggy "Harbour"`, Modes: []vpk.Mode{
	{Name: "coop", Maps: []vpk.Map{{Name: "fh1_docks", Title: "Docks"}, {Name: "fh2_pier", Title: "Pier"}}},
	{Name: "versus", Maps: []vpk.Map{{Name: "fh1_docks", Title: "Docks"}}},
}}

func TestContentsAreStored(t *testing.T) { dbtest.Each(t, testContentsAreStored) }

func testContentsAreStored(t *testing.T, open dbtest.Backend) {
	w := setUp(t, open, "item 1\nitem 2\nitem 3\n")
	w.holds(t, w.overlay, "1", "2")
	other := w.make(t, "other")
	w.holds(t, other, "2", "3")
	dbtest.AddHost(t, w.db, "there", time.Now())
	download := func(host string, ids ...steam.ID) {
		t.Helper()
		for _, o := range []int64{w.overlay.ID, other.ID} {
			items, err := w.OfOverlay(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			for _, i := range items {
				for _, id := range ids {
					if i.SteamID == id {
						if err := w.Downloaded(t.Context(), i, host); err != nil {
							t.Fatal(err)
						}
					}
				}
			}
		}
	}
	unread := func(host string, overlayID int64, want ...steam.ID) (found []workshop.Version) {
		t.Helper()
		found, err := w.Unread(t.Context(), host, overlayID)
		var got []steam.ID
		for _, v := range found {
			got = append(got, v.SteamID)
		}
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("unread on %s in overlay %d: %v, %v, want %v", host, overlayID, got, err, want)
		}
		return found
	}
	save := func(contents map[workshop.Version]workshop.Content) {
		t.Helper()
		if err := w.SaveContents(t.Context(), contents); err != nil {
			t.Fatal(err)
		}
	}
	content := func(id steam.ID) *workshop.Content {
		t.Helper()
		page, err := w.List(t.Context(), w.overlay.ID, list.Query{Page: 1, Text: string(id)})
		if err != nil || len(page.Rows) != 1 {
			t.Fatal(page, err)
		}
		return page.Rows[0].Content
	}
	campaigns := func(want []workshop.Campaign, overlays ...int64) {
		t.Helper()
		if got, err := workshop.Campaigns(t.Context(), w.db, overlays); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("campaigns of %v: %+v, %v", overlays, got, err)
		}
	}

	unread("here", 0)
	download("here", "1", "2", "3")
	unread("there", 0)
	unread("here", other.ID, "2", "3")
	all := unread("here", 0, "1", "2", "3")
	if c := content("1"); c != nil {
		t.Errorf("before it was read: %+v", c)
	}
	mill := vpk.Campaign{Title: "Old Mill", Modes: []vpk.Mode{{Name: "survival", Maps: []vpk.Map{{Name: "mill", Title: "Mill"}}}}}
	read := workshop.Content{Content: vpk.Content{Kind: vpk.CampaignKind, Title: "Harbour", Author: "Nick", Version: "1.2", Mutations: []string{"holdout"}}}
	withCampaigns := read
	withCampaigns.Campaigns = []vpk.Campaign{harbour, mill}
	save(map[workshop.Version]workshop.Content{
		all[0]: withCampaigns,
		all[1]: {Unknown: "its index is broken"},
		all[2]: {Content: vpk.Content{Kind: vpk.CampaignKind, Campaigns: []vpk.Campaign{mill}}},
	})
	unread("here", 0)
	download("there", "1")
	unread("there", 0)
	if c := content("1"); c == nil || !reflect.DeepEqual(*c, read) {
		t.Errorf("what was read: %+v", c)
	}
	dbtest.Filled(t, *content("1"), "Unknown", "Campaigns") // Campaigns returns those
	if c := content("2"); c == nil || c.Unknown != "its index is broken" {
		t.Errorf("what could not be read: %+v", c)
	}
	of1, of3 := []workshop.Campaign{{"1", harbour}, {"1", mill}}, []workshop.Campaign{{"3", mill}}
	campaigns(of1, w.overlay.ID)
	campaigns(append(of1[:2:2], of3...), w.overlay.ID, other.ID)
	campaigns(append(of3[:1:1], of1...), other.ID, w.overlay.ID, other.ID)
	campaigns(nil)
	if n := harbour.Maps(); n != 2 {
		t.Errorf("%d maps", n)
	}

	// A new file counts when the last host has it. What is in the old one is forgotten when no host has that.
	w.steam.Tell(t, "update 1\n")
	if err := w.Refresh(t.Context(), w.client, []steam.ID{"1"}, func(workshop.Refreshed) {}); err != nil {
		t.Fatal(err)
	}
	campaigns(of1, w.overlay.ID)
	download("here", "1")
	newer := unread("here", w.overlay.ID, "1")
	save(map[workshop.Version]workshop.Content{newer[0]: {Content: vpk.Content{Kind: vpk.Other}}})
	campaigns(of1, w.overlay.ID)
	download("there", "1")
	unread("there", 0)
	campaigns(nil, w.overlay.ID)
	if c := content("1"); c == nil || c.Kind != vpk.Other {
		t.Errorf("the new file: %+v", c)
	}
	for _, host := range []string{"here", "there"} {
		if old, err := w.ForgetVersions(t.Context(), newer[0].ItemID, host, 1); err != nil || len(old) != 1 {
			t.Errorf("%s forgets %v, %v", host, old, err)
		}
	}
	save(map[workshop.Version]workshop.Content{newer[0]: read})
	if n := w.count(t, `SELECT COUNT(*) FROM item_contents`); n != 3 {
		t.Errorf("%d contents are kept", n)
	}
	if c := content("1"); c == nil || c.Kind != vpk.CampaignKind {
		t.Errorf("read again: %+v", c)
	}

	// What Steam has lost is still there. What was removed from the cache is not.
	w.steam.Tell(t, "remove 3\n")
	if err := w.Refresh(t.Context(), w.client, []steam.ID{"3"}, func(workshop.Refreshed) {}); err != nil {
		t.Fatal(err)
	}
	campaigns(of3, other.ID)
	if err := w.NotDownloaded(t.Context(), "here", []steam.ID{"3"}); err != nil {
		t.Fatal(err)
	}
	campaigns(nil, other.ID)
	unread("here", 0)
}
