package builder_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"left4me/shared/overlay"
	"left4me/shared/steam"
	"left4me/shared/workshop"
)

const conflicting = `item 1 campaign=Harbour maps=h1_docks files=scripts/a.nut,sound/x.wav,materials/poster.jpg
item 2 maps=h1_docks files=sound/x.wav
item 3 files=scripts/a.nut,materials/poster.jpg
item 4 garbled
item 5 files=models/5.mdl
`

// words says what conflicts, such as `0: 1 2: maps/a.bsp sound/b.wav`; an origin in another overlay than the first is preceded by @ and its id.
func words(c workshop.Comparison) (all []string) {
	for _, conflict := range c.Conflicts {
		line := fmt.Sprintf("%d:", conflict.Rank)
		for _, o := range conflict.Between {
			line += " "
			if o.OverlayID != c.OverlayID {
				line += fmt.Sprintf("@%d ", o.OverlayID)
			}
			switch {
			case o.SteamID != "":
				line += string(o.SteamID)
			case o.File != "":
				line += o.File
			default:
				line += "its directory"
			}
		}
		all = append(all, line+": "+strings.Join(conflict.Paths, " "))
	}
	return all
}

func (w *fixture) wantConflicts(t *testing.T, want ...string) {
	t.Helper()
	c, err := w.host.Items.Conflicts(t.Context(), w.overlay.ID)
	if got := words(c); err != nil || !slices.Equal(got, want) {
		t.Errorf("overlay %d has the conflicts %q, %v, want %q", w.overlay.ID, got, err, want)
	}
}

func (w *fixture) wantBetween(t *testing.T, want ...string) {
	t.Helper()
	all, err := workshop.ConflictsBetween(t.Context(), w.db, []int64{2, 1})
	var got []string
	for _, c := range all {
		got = append(got, words(c)...)
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("between the overlays: %q, %v, want %q", got, err, want)
	}
}

// shows: P72
func TestConflictsOfItems(t *testing.T) {
	w := setUp(t, conflicting, "1", "2", "3", "4", "5")
	r, err := w.build(t.Context(), t, nil)
	if err != nil {
		t.Fatal(err)
	}
	all := []string{"0: 1 2: maps/h1_docks.bsp sound/x.wav", "1: 1 3: scripts/a.nut"}
	w.wantConflicts(t, all...)
	if want := "3 files are in several items with different content; the overlay's page lists them"; r.out[len(r.out)-2] != want {
		t.Errorf("the log says %q", r.out)
	}

	// Nothing has changed: nothing is read.
	if _, err := w.db.ExecContext(t.Context(), `UPDATE overlay_conflicts SET paths = 99`); err != nil {
		t.Fatal(err)
	}
	if _, err := w.build(t.Context(), t, nil); err != nil {
		t.Fatal(err)
	}
	if c, err := w.host.Items.Conflicts(t.Context(), w.overlay.ID); err != nil || c.Paths != 99 {
		t.Errorf("the same files were compared again: %+v, %v", c, err)
	}

	// An item that goes, and one that has another version.
	if _, _, err := w.host.Items.Remove(t.Context(), w.admin, w.get(t, w.overlay.ID), []int64{w.item(t, "2").ID}); err != nil {
		t.Fatal(err)
	}
	w.wantConflicts(t, all...)
	if _, err := w.build(t.Context(), t, nil); err != nil {
		t.Fatal(err)
	}
	w.wantConflicts(t, all[1])
	w.steam.Tell(t, "update 3 files=scripts/b.nut")
	if _, err := w.host.Items.RefreshOverlay(t.Context(), w.client, w.admin, w.get(t, w.overlay.ID)); err != nil {
		t.Fatal(err)
	}
	r, err = w.build(t.Context(), t, nil)
	if err != nil || strings.Contains(strings.Join(r.out, "\n"), "different content") {
		t.Errorf("%q, %v", r.out, err)
	}
	w.wantConflicts(t)
}

// What is in one overlay is compared with what is in others of the same blueprints, also with what lies outside add-ons.
func TestConflictsOfOverlays(t *testing.T) {
	w := setUp(t, conflicting, "1", "5")
	external := w.make(t, "by hand", overlay.External) // 2
	both := func() {
		t.Helper()
		first := w.overlay
		for _, o := range []overlay.Overlay{external, first} {
			w.overlay = o
			if _, err := w.build(t.Context(), t, nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	write := func(name, content string) {
		t.Helper()
		path := filepath.Join(w.root, "overlays", "2", filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	both()
	cached, err := os.ReadFile(filepath.Join(w.root, "workshop_cache", "1.vpk"))
	if err != nil {
		t.Fatal(err)
	}
	write("left4dead2/Scripts/A.nut", "other")
	write("left4dead2/models/5.mdl", "// models/5.mdl of item 5, revision 0\n") // the same
	write("left4dead2/addons/poster.jpg", "a picture")
	both()
	w.wantBetween(t) // no blueprint has both
	if _, err := w.db.ExecContext(t.Context(), `INSERT INTO blueprints (id, name, settings, created_at) VALUES (1, 'friday', '{}', 0);
		INSERT INTO blueprint_overlays VALUES (1, 1, 1), (1, 2, 2)`); err != nil {
		t.Fatal(err)
	}
	both()
	w.wantBetween(t, "1: 1 @2 its directory: scripts/a.nut")

	// A copy of an item's file has no conflict with it.
	write("left4dead2/scripts/a.nut", "one more of that name")
	for _, name := range []string{"Scripts/A.nut", "scripts/a.nut"} {
		if err := os.Remove(filepath.Join(w.root, "overlays", "2", "left4dead2", name)); err != nil {
			t.Fatal(err)
		}
	}
	write("left4dead2/addons/copy.vpk", string(cached))
	both()
	w.wantBetween(t)
	broken := slices.Clone(cached)
	broken[len(broken)-1]++
	write("left4dead2/addons/broken.vpk", string(broken[:100]))
	if err := os.Symlink("/etc/passwd", filepath.Join(w.root, "overlays", "2", "left4dead2", "addons", "link.vpk")); err != nil {
		t.Fatal(err)
	}
	both()
	w.wantBetween(t)

	// With an overlay, its conflicts go.
	if _, err := w.db.ExecContext(t.Context(), `DELETE FROM blueprint_overlays; DELETE FROM overlays WHERE id = 2`); err != nil {
		t.Fatal(err)
	}
	var left int
	if err := w.db.QueryRowContext(t.Context(), `SELECT COUNT(*) FROM overlay_conflicts WHERE other_id = 2`).Scan(&left); err != nil || left != 0 {
		t.Errorf("%d are left, %v", left, err)
	}
}

// A build that is cancelled while it compares records nothing, and the next one finds everything.
func TestComparisonsCanBeCancelled(t *testing.T) {
	w := setUp(t, conflicting, "1", "2")
	cancelled := 0
	for n := 0; ; n++ {
		_, err := w.build(&steps{t.Context(), n}, t, nil)
		if err == nil {
			break
		}
		if !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		cancelled++
		w.wantConflicts(t)
	}
	w.wantConflicts(t, "0: 1 2: maps/h1_docks.bsp sound/x.wav")
	if cancelled < 5 {
		t.Errorf("only %d steps", cancelled)
	}
}

// The conflicts of an item that several overlays have are those with the others' other items.
func TestAnItemOfSeveralOverlays(t *testing.T) {
	w := setUp(t, conflicting, "1", "2")
	other := w.make(t, "other", overlay.Workshop) // 2
	if _, err := w.host.Items.Add(t.Context(), w.client, w.admin, other, []steam.ID{"1", "5"}, workshop.Items, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := w.db.ExecContext(t.Context(), `INSERT INTO blueprints (id, name, settings, created_at) VALUES (1, 'friday', '{}', 0);
		INSERT INTO blueprint_overlays VALUES (1, 1, 1), (1, 2, 2)`); err != nil {
		t.Fatal(err)
	}
	for _, o := range []overlay.Overlay{w.overlay, other} {
		w.overlay = o
		if _, err := w.build(t.Context(), t, nil); err != nil {
			t.Fatal(err)
		}
	}
	w.wantConflicts(t)
	w.wantBetween(t, "0: 2 @2 1: maps/h1_docks.bsp sound/x.wav")
}
