package workshop_test

import (
	"reflect"
	"slices"
	"testing"

	"left4me/shared/db/dbtest"
	"left4me/shared/steam"
	"left4me/shared/workshop"
)

// Each field of what Steam says is stored when nothing else has changed, and each field of an item is read.
func TestEveryFieldIsStoredAndRead(t *testing.T) { dbtest.Each(t, testEveryFieldIsStoredAndRead) }

func testEveryFieldIsStoredAndRead(t *testing.T, open dbtest.Backend) {
	w := setUp(t, open, "item 1\n")
	if _, err := w.Add(t.Context(), w.client, w.anna, w.overlay, []steam.ID{"1"}, workshop.Items, nil); err != nil {
		t.Fatal(err)
	}
	said := steam.Item{SteamID: "1", Result: 1, ConsumerAppID: steam.AppID, Title: "a", Filename: "a.vpk", FileURL: "https://a.example/a", PreviewURL: "https://a.example/p", FileSize: 1, TimeUpdated: 1}
	other := steam.Item{Title: "b", Filename: "b.vpk", FileURL: "https://a.example/b", PreviewURL: "https://a.example/q", FileSize: 2, TimeUpdated: 2}
	save := func() workshop.Item {
		t.Helper()
		if _, err := w.Save(t.Context(), w.db, []steam.Item{said}); err != nil {
			t.Fatal(err)
		}
		return w.row(t, "1")
	}
	for i, field := range reflect.VisibleFields(reflect.TypeFor[steam.Item]()) {
		if slices.Contains([]string{"SteamID", "Missing", "Result", "ConsumerAppID"}, field.Name) {
			continue // the key, and what decides whether there is anything to store
		}
		before := save()
		next := reflect.ValueOf(other).Field(i)
		if next.IsZero() {
			t.Errorf("this test has no values for steam.Item.%s", field.Name)
		}
		reflect.ValueOf(&said).Elem().Field(i).Set(next)
		if after := save(); reflect.DeepEqual(after, before) {
			t.Errorf("another %s of Steam's is not stored, or not read", field.Name)
		}
	}
	if err := w.Downloaded(t.Context(), w.row(t, "1"), "here"); err != nil {
		t.Fatal(err)
	}
	if err := w.Link(t.Context(), w.db, w.overlay.ID, "here", map[int64]int64{w.row(t, "1").ID: 7}); err != nil {
		t.Fatal(err)
	}
	w.exec(t, `UPDATE overlay_workshop_items SET pinned = 7`)
	w.exec(t, `INSERT INTO overlay_link_names VALUES (?, ?, 'holdout')`, w.overlay.ID, w.row(t, "1").ID)
	if _, _, err := w.Disable(t.Context(), w.anna, w.overlay, []int64{w.row(t, "1").ID}, true); err != nil {
		t.Fatal(err)
	}
	w.exec(t, `UPDATE workshop_items SET lost_at = 5`)
	dbtest.Filled(t, w.row(t, "1"), "LastError", "Content") // no error, and only List reads the content
}
