package overlay_test

import (
	"slices"
	"testing"

	"left4me/shared/db/dbtest"
	"left4me/shared/overlay"
)

func TestCountLeavesOutDeletedOverlays(t *testing.T) {
	dbtest.Each(t, testCountLeavesOutDeletedOverlays)
}

func testCountLeavesOutDeletedOverlays(t *testing.T, open dbtest.Backend) {
	w := setUp(t, open)
	w.make(t, w.anna, "one", overlay.Workshop)
	w.make(t, w.anna, "two", overlay.Workshop)
	gone := w.make(t, w.admin, "three", overlay.External)
	w.make(t, w.admin, "four", overlay.External)
	if _, err := w.db.ExecContext(t.Context(), `UPDATE overlays SET deleted_at = 1 WHERE id = ?`, gone.ID); err != nil {
		t.Fatal(err)
	}
	got, err := w.Count(t.Context())
	if want := []overlay.TypeCount{{Type: overlay.External, Overlays: 1}, {Type: overlay.Workshop, Overlays: 2}}; err != nil || !slices.Equal(got, want) {
		t.Errorf("Count = %v, %v, want %v", got, err, want)
	}
}
