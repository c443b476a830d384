package workshop_test

import (
	"database/sql"
	"net/http"
	"slices"
	"strings"
	"testing"

	"left4me/shared/account"
	"left4me/shared/db/dbtest"
	"left4me/shared/list"
	"left4me/shared/overlay"
	"left4me/shared/steam"
	"left4me/shared/workshop"
)

// listed returns the steam ids of a page, in order.
func (w fixture) listed(t *testing.T, o overlay.Overlay, q list.Query) string {
	t.Helper()
	page, err := w.List(t.Context(), o.ID, q)
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, i := range page.Rows {
		ids = append(ids, string(i.SteamID))
	}
	return strings.Join(ids, " ")
}

func TestListOfItems(t *testing.T) { dbtest.Each(t, testListOfItems) }

func testListOfItems(t *testing.T, open dbtest.Backend) {
	w := setUp(t, open, "")
	for n, i := range []struct {
		title            string
		size, updated    int
		downloaded, date any
	}{
		{"Foggy Harbour", 30, 3, nil, 5}, {"mill", 10, 1, 7, 2}, {"50% off", 20, 2, 8, 1}, {"Mill 2", 40, 4, 6, 3},
	} {
		w.exec(t, `INSERT INTO workshop_items (id, steam_id, title, file_url, file_size, time_updated, last_downloaded_at, created_at) VALUES (?, ?, ?, 'x', ?, ?, ?, 0)`,
			n+1, 101+n, i.title, i.size, i.updated, i.downloaded)
		w.exec(t, `INSERT INTO overlay_workshop_items (overlay_id, workshop_item_id, added_at) VALUES (?, ?, ?)`, w.overlay.ID, n+1, i.date)
	}
	other := w.make(t, "others")
	w.exec(t, `INSERT INTO overlay_workshop_items (overlay_id, workshop_item_id, added_at) VALUES (?, 4, 0)`, other.ID)
	for _, c := range []struct {
		query list.Query
		want  string
	}{
		{list.Query{}, "103 102 104 101"},
		{list.Query{Sort: "title"}, "103 101 102 104"},
		{list.Query{Sort: "-title"}, "104 102 101 103"},
		{list.Query{Sort: "size"}, "102 103 101 104"},
		{list.Query{Sort: "-updated"}, "104 101 103 102"},
		{list.Query{Sort: "downloaded"}, "101 104 102 103"},
		{list.Query{Text: "MILL"}, "102 104"},
		{list.Query{Text: "103"}, "103"},
		{list.Query{Text: "%"}, "103"},
		{list.Query{Text: "_"}, ""},
	} {
		if got := w.listed(t, w.overlay, c.query); got != c.want {
			t.Errorf("%+v: %s, want %s", c.query, got, c.want)
		}
	}
	for _, c := range []struct {
		of   overlay.Overlay
		want workshop.Sum
	}{{w.overlay, workshop.Sum{Items: 4, Size: 100}}, {other, workshop.Sum{Items: 1, Size: 40}}, {w.make(t, "empty"), workshop.Sum{}}} {
		if sum, err := w.Sum(t.Context(), c.of.ID); err != nil || sum != c.want {
			t.Errorf("%s: %+v, %v, want %+v", c.of.Name, sum, err, c.want)
		}
	}
	for column := range workshop.Listing.Order {
		_ = w.listed(t, w.overlay, list.Query{Sort: column})
	}
}

// The list reads the items of its overlay, however many others there are.
func TestPlansOfTheList(t *testing.T) {
	d := dbtest.New(t)
	for column := range workshop.Listing.Order {
		for _, step := range dbtest.Plan(t, d, workshop.Listing.SQL(list.Query{Sort: column}), sql.Named("overlay", 1), sql.Named("text", "%"),
			sql.Named("state", ""), sql.Named("limit", 9), sql.Named("offset", 0)) {
			// l are the links of this overlay, grouped by item.
			grouped := strings.HasPrefix(step, "SEARCH l USING AUTOMATIC")
			if !grouped && (strings.HasPrefix(step, "SCAN") || strings.Contains(step, "AUTOMATIC")) {
				t.Errorf("sorted by %q: %s", column, step)
			}
		}
	}
}

func TestRemoveSeveralItems(t *testing.T) { dbtest.Each(t, testRemoveSeveralItems) }

func testRemoveSeveralItems(t *testing.T, open dbtest.Backend) {
	w := setUp(t, open, "item 1 title=One\nitem 2\nitem 3\n")
	other := w.make(t, "others")
	for _, o := range []overlay.Overlay{w.overlay, other} {
		if _, err := w.Add(t.Context(), w.client, w.anna, o, []steam.ID{"1", "2", "3"}, workshop.Items, nil); err != nil {
			t.Fatal(err)
		}
	}
	w.exec(t, `DELETE FROM overlay_workshop_items WHERE overlay_id = ? AND workshop_item_id = 2`, w.overlay.ID)
	w.exec(t, `DELETE FROM jobs`)
	if _, _, err := w.Remove(t.Context(), w.anna, w.overlay, []int64{2}); status(err) != http.StatusNotFound || w.builds(t) != 0 {
		t.Errorf("one of another overlay: %v and %d builds", err, w.builds(t))
	}
	removed, build, err := w.Remove(t.Context(), w.anna, w.overlay, []int64{3, 2, 1})
	if err != nil || len(removed) != 2 || removed[0].Title != "One" || removed[1].SteamID != "3" || !build.New || w.builds(t) != 1 {
		t.Errorf("%+v, %+v, %v and %d builds", removed, build, err, w.builds(t))
	}
	if here, there := w.listed(t, w.overlay, list.Query{}), w.listed(t, other, list.Query{}); here != "" || there != "1 2 3" {
		t.Errorf("left here: %q, in the other overlay: %q", here, there)
	}
}

func TestCopyItems(t *testing.T) { dbtest.Each(t, testCopyItems) }

func testCopyItems(t *testing.T, open dbtest.Backend) {
	w := setUp(t, open, "item 1\nitem 2\nitem 3\n")
	if _, err := w.Add(t.Context(), w.client, w.anna, w.overlay, []steam.ID{"1", "2", "3"}, workshop.Items, nil); err != nil {
		t.Fatal(err)
	}
	other := w.make(t, "others")
	w.exec(t, `INSERT INTO overlay_workshop_items (overlay_id, workshop_item_id, added_at) VALUES (?, 1, 0)`, other.ID)
	w.exec(t, `UPDATE overlays SET last_build_status = 'ok'`)
	w.exec(t, `DELETE FROM jobs`)
	w.steam.Forget()
	for name, c := range map[string]struct {
		ids    []int64
		to     overlay.Overlay
		status int
	}{
		"to itself":        {[]int64{1}, w.overlay, http.StatusBadRequest},
		"to an external":   {[]int64{1}, overlay.Overlay{ID: 9, Type: overlay.External}, http.StatusBadRequest},
		"what is not here": {[]int64{98, 99}, other, http.StatusNotFound},
	} {
		if _, err := w.Copy(t.Context(), w.anna, w.overlay, c.ids, c.to); status(err) != c.status {
			t.Errorf("%s: %v, want %d", name, err, c.status)
		}
	}
	limited := w.anna
	limited.Limits = &account.Limits{OverlayItems: 2, Items: 99, ActionsPerMinute: 9}
	if _, err := w.Copy(t.Context(), limited, w.overlay, []int64{1, 2, 3}, other); status(err) != http.StatusTooManyRequests {
		t.Errorf("more than an overlay may have: %v", err)
	}
	if added, err := w.Copy(t.Context(), w.anna, w.overlay, []int64{1}, other); err != nil || added.Already != 1 || added.New != 0 || added.JobID != 0 {
		t.Errorf("what is there already: %+v, %v", added, err)
	}
	if w.builds(t) != 0 {
		t.Error("a build although nothing has changed")
	}
	added, err := w.Copy(t.Context(), w.anna, w.overlay, []int64{1, 2, 3, 99}, other)
	if err != nil || added.New != 2 || added.Already != 1 || added.JobID == 0 || w.builds(t) != 1 {
		t.Errorf("%+v, %v and %d builds", added, err, w.builds(t))
	}
	if here, there := w.listed(t, w.overlay, list.Query{}), w.listed(t, other, list.Query{}); here != "1 2 3" || there != "1 2 3" {
		t.Errorf("here: %q, in the other overlay: %q", here, there)
	}
	var changed []string
	for _, o := range []overlay.Overlay{w.overlay, other} {
		o, err := w.overlays.Get(t.Context(), o.ID)
		if err != nil {
			t.Fatal(err)
		}
		changed = append(changed, o.LastBuildStatus)
	}
	if !slices.Equal(changed, []string{"ok", ""}) {
		t.Errorf("build states %q, want only the other overlay to be out of date", changed)
	}
	if n := w.steam.Count("api"); n != 0 {
		t.Errorf("Steam was asked %d times", n)
	}
}
