package workshop_test

import (
	"reflect"
	"slices"
	"testing"

	"left4me/shared/db/dbtest"
	"left4me/shared/list"
	"left4me/shared/workshop"
)

// The counts on the administrators' page, and what lists are limited to, must agree with the states of linked items on the overlays' pages.
func TestCountAndListAgreeWithState(t *testing.T) { dbtest.Each(t, testCountAndListAgreeWithState) }

func testCountAndListAgreeWithState(t *testing.T, open dbtest.Backend) {
	w := setUp(t, open, "item 101")
	var want workshop.Counts
	id := 0
	for _, url := range []string{"", "https://cdn.example/f"} {
		for _, lastError := range []string{"", "steam result 9", "download failed: status 503"} {
			for _, downloaded := range []any{nil, 5} {
				for _, of := range []int{0, 7} {
					for _, size := range []int{0, 9} {
						id++
						if _, err := w.db.ExecContext(t.Context(), `INSERT INTO workshop_items
							(id, steam_id, file_url, last_error, last_downloaded_at, time_updated, downloaded_time_updated, file_size, downloaded_file_size, created_at)
							VALUES (?, ?, ?, ?, ?, 7, ?, 9, ?, 0)`, id, id, url, lastError, downloaded, of, size); err != nil {
							t.Fatal(err)
						}
						if _, err := w.db.ExecContext(t.Context(), `INSERT INTO overlay_workshop_items (overlay_id, workshop_item_id, added_at) VALUES (?, ?, 0)`, w.overlay.ID, id); err != nil {
							t.Fatal(err)
						}
					}
				}
			}
		}
	}
	// An item in no overlay, which State does not know.
	if _, err := w.db.ExecContext(t.Context(), `INSERT INTO workshop_items (steam_id, file_url, created_at) VALUES (999, 'https://cdn.example/f', 0)`); err != nil {
		t.Fatal(err)
	}
	want.Unused = 1
	// inStates returns the items by the state to which the list can be limited, and checks that the list agrees.
	inStates := func() map[string][]workshop.Item {
		t.Helper()
		items, err := w.OfOverlay(t.Context(), w.overlay.ID)
		if err != nil {
			t.Fatal(err)
		}
		in := map[string][]workshop.Item{}
		for _, i := range items {
			state := map[string]string{
				"ready": "ready", "waiting for download": "waiting", "update waiting": "waiting", "downloaded, not linked yet": "waiting",
				"download failed: status 503": "failed",
			}[i.State()]
			if state == "" {
				state = "no download"
			}
			in[state] = append(in[state], i)
		}
		for _, state := range workshop.Listing.States {
			if page, err := w.List(t.Context(), w.overlay.ID, list.Query{State: state}); err != nil || !slices.EqualFunc(page.Rows, in[state], func(a, b workshop.Item) bool { return reflect.DeepEqual(a, b) }) {
				t.Errorf("%s: %+v, %v, want %+v", state, page.Rows, err, in[state])
			}
		}
		return in
	}
	if ready := inStates()["ready"]; len(ready) > 0 {
		t.Errorf("ready without a link: %+v", ready)
	}
	w.exec(t, `INSERT INTO overlay_links (overlay_id, workshop_item_id, host_id) SELECT overlay_id, workshop_item_id, 'here' FROM overlay_workshop_items`)
	in := inStates()
	want.Ready, want.Waiting, want.Failing = len(in["ready"]), len(in["waiting"]), len(in["failed"])+len(in["no download"])
	if got, err := w.Count(t.Context()); err != nil || got != want || want.Ready == 0 || want.Waiting == 0 || want.Failing == 0 {
		t.Errorf("Count = %+v, %v, want %+v", got, err, want)
	}
}
