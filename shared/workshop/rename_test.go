package workshop_test

import (
	"net/http"
	"strings"
	"testing"

	"left4me/shared/db/dbtest"
	"left4me/shared/steam"
	"left4me/shared/vpk"
	"left4me/shared/workshop"
)

func TestLinksGetNamesOfMutations(t *testing.T) { dbtest.Each(t, testLinksGetNamesOfMutations) }

func testLinksGetNamesOfMutations(t *testing.T, open dbtest.Backend) {
	w := setUp(t, open, "item 1\nitem 2\nitem 3\n")
	w.holds(t, w.overlay, "1", "2")
	other := w.make(t, "other")
	w.holds(t, other, "1", "3")
	contents := map[workshop.Version]workshop.Content{}
	for _, id := range []steam.ID{"1", "2"} {
		if err := w.Downloaded(t.Context(), w.row(t, id), "here"); err != nil {
			t.Fatal(err)
		}
	}
	all, err := w.Unread(t.Context(), "here", 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range all {
		contents[v] = workshop.Content{Content: vpk.Content{Kind: vpk.Mutation, Mutations: []string{"holdout", "siege"}}}
	}
	if err := w.SaveContents(t.Context(), contents); err != nil {
		t.Fatal(err)
	}
	first, second, third := w.row(t, "1").ID, w.row(t, "2").ID, int64(3)
	built := func() int { return w.count(t, `SELECT COUNT(*) FROM jobs WHERE operation = 'build_overlay'`) }
	rename := func(id int64, mutation, file string) {
		t.Helper()
		w.exec(t, `DELETE FROM jobs`)
		i, build, err := w.Rename(t.Context(), w.anna, w.overlay, id, mutation)
		if err != nil || i.LinkFile() != file || build.ID == 0 || built() != 1 {
			t.Errorf("%s: %+v, %+v, %v", mutation, i, build, err)
		}
		if got := w.row(t, i.SteamID); got.LinkFile() != file {
			t.Errorf("%s is stored as %s", file, got.LinkFile())
		}
	}
	rename(first, "holdout", "holdout.vpk")
	rename(first, "siege", "siege.vpk")
	rename(second, "holdout", "holdout.vpk")
	rename(first, "", "1.vpk")
	rename(first, "", "1.vpk")
	w.exec(t, `DELETE FROM jobs`)
	for _, c := range []struct {
		id       int64
		mutation string
		status   int
		says     string
	}{
		{first, "holdout", http.StatusConflict, "Item 2 of this overlay is linked as holdout.vpk already."},
		{first, "nosuch", http.StatusBadRequest, "The file of item 1 has no mutation “nosuch”."},
		{first, "../x", http.StatusBadRequest, "The file of item 1 has no mutation"},
		{third, "", http.StatusNotFound, "not in this overlay any more"},
	} {
		if _, _, err := w.Rename(t.Context(), w.anna, w.overlay, c.id, c.mutation); status(err) != c.status || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%d as %q: %v", c.id, c.mutation, err)
		}
	}
	if n := built(); n != 0 {
		t.Errorf("%d builds after refused changes", n)
	}
	// Names are those of one overlay, and go with the item.
	if _, _, err := w.Rename(t.Context(), w.anna, other, first, "holdout"); err != nil {
		t.Error(err)
	}
	if _, _, err := w.Remove(t.Context(), w.anna, w.overlay, []int64{second}); err != nil {
		t.Fatal(err)
	}
	if n := w.count(t, `SELECT COUNT(*) FROM overlay_link_names`); n != 1 {
		t.Errorf("%d names are left", n)
	}
}
