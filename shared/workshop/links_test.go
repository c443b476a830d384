package workshop_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"left4me/shared/db/dbtest"
	"left4me/shared/workshop"
)

// What waits is what is neither ready nor lost, a last copy without a link, and what was removed but is still linked.
func TestWaitingAgreesWithState(t *testing.T) { dbtest.Each(t, testWaitingAgreesWithState) }

func testWaitingAgreesWithState(t *testing.T, open dbtest.Backend) {
	w := setUp(t, open, "item 1")
	other := w.make(t, "other")
	id := 0
	for _, url := range []string{"", "https://cdn.example/f"} {
		lastErrors := []string{"", "steam result 9"}
		if url != "" { // Save replaces both together
			lastErrors = append(lastErrors, "download failed: status 503")
		}
		for _, lastError := range lastErrors {
			for _, downloaded := range []any{nil, 5} {
				for _, size := range []int{0, 9} {
					for _, linked := range []bool{false, true} {
						id++
						w.exec(t, `INSERT INTO workshop_items (id, steam_id, file_url, last_error, last_downloaded_at, file_size, downloaded_file_size, created_at)
							VALUES (?, ?, ?, ?, ?, 9, ?, 0)`, id, id, url, lastError, downloaded, size)
						w.exec(t, `INSERT INTO overlay_workshop_items (overlay_id, workshop_item_id, added_at) VALUES (?, ?, 0)`, w.overlay.ID, id)
						w.exec(t, `INSERT INTO overlay_workshop_items (overlay_id, workshop_item_id, added_at) VALUES (?, ?, 0)`, other.ID, id)
						if linked {
							w.exec(t, `INSERT INTO overlay_links (overlay_id, workshop_item_id, host_id) VALUES (?, ?, 'here')`, w.overlay.ID, id)
						}
					}
				}
			}
		}
	}
	w.exec(t, `INSERT INTO workshop_items (id, steam_id, created_at) VALUES (100, '100', 0)`)
	w.exec(t, `INSERT INTO overlay_links (overlay_id, workshop_item_id, host_id) VALUES (?, 100, 'here')`, w.overlay.ID)
	w.exec(t, `INSERT INTO overlay_links (overlay_id, workshop_item_id, host_id) VALUES (?, 100, 'here')`, other.ID)

	items, err := w.OfOverlay(t.Context(), w.overlay.ID)
	if err != nil {
		t.Fatal(err)
	}
	changes := 1 // the removed item
	failed := map[int64]workshop.Item{}
	for _, i := range items {
		i.AddedAt, i.Versions = time.Time{}, nil // which Waiting does not read
		if strings.HasPrefix(i.LastError, "download failed: ") {
			failed[i.ID] = i
		}
		if i.FileURL == "" && !i.DownloadedAt.IsZero() && !i.Linked || i.FileURL != "" && i.State() != workshop.Ready {
			changes++
		}
	}
	got, err := w.Waiting(t.Context(), w.overlay.ID)
	if err != nil || got.Changes != changes || len(got.Failed) != len(failed) || len(got.Removed) != 1 || got.Removed[0].ID != 100 || !got.Removed[0].Linked {
		t.Fatalf("%d changes, %d failed, %d removed, %v; want %d changes, %d failed", got.Changes, len(got.Failed), len(got.Removed), err, changes, len(failed))
	}
	for _, i := range got.Failed {
		if !reflect.DeepEqual(i, failed[i.ID]) || i.FailedBecause() != "status 503" {
			t.Errorf("%+v, want %+v", i, failed[i.ID])
		}
	}
	w.exec(t, `UPDATE workshop_items SET last_error = ''`)
	w.exec(t, `DELETE FROM overlay_links WHERE workshop_item_id = 100`)
	if got, err := w.Waiting(t.Context(), w.overlay.ID); err != nil || got.Changes == 0 || len(got.Failed)+len(got.Removed) != 0 {
		t.Errorf("without failed and removed items: %+v, %v", got, err)
	}
	w.exec(t, `UPDATE overlays SET last_build_status = 'ok'`)
	if got, err := w.Waiting(t.Context(), w.overlay.ID); err != nil || got.Changes != 0 {
		t.Errorf("after a good build: %+v, %v", got, err)
	}
}

func TestLinksAreRecorded(t *testing.T) { dbtest.Each(t, testLinksAreRecorded) }

func testLinksAreRecorded(t *testing.T, open dbtest.Backend) {
	w := setUp(t, open, "item 1\nitem 2\nitem 3\n")
	w.holds(t, w.overlay, "1", "2", "3")
	one, two, three := w.row(t, "1").ID, w.row(t, "2").ID, w.row(t, "3").ID
	expect := func(want ...int64) {
		t.Helper()
		got, err := w.Links(t.Context(), w.overlay.ID, "here")
		if err != nil || len(got) != len(want) {
			t.Errorf("%v, %v, want %v", got, err, want)
		}
		for _, id := range want {
			if _, linked := got[id]; !linked {
				t.Errorf("%v, want %v", got, want)
			}
		}
	}
	link := func(ids ...int64) {
		t.Helper()
		links := map[int64]int64{}
		for _, id := range ids {
			links[id] = 0
		}
		if err := w.Link(t.Context(), w.db, w.overlay.ID, "here", links); err != nil {
			t.Fatal(err)
		}
	}
	link(one, two)
	link(two, three) // the answer to the first attempt was lost
	expect(one, two, three)
	if err := w.Unlink(t.Context(), w.overlay.ID, "here", []int64{one, three}); err != nil {
		t.Fatal(err)
	}
	expect(two)
	w.exec(t, `DELETE FROM overlays`)
	link(one)
	expect()
}
