package builder_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"left4me/shared/builder"
	"left4me/shared/db"
	"left4me/shared/overlay"
)

// deleted returns a fixture with an overlay that was built, got further files by hand and was deleted.
func deleted(t *testing.T) *fixture {
	t.Helper()
	w := setUp(t, "item 1\nitem 2\n", "1", "2")
	if _, err := w.build(t.Context(), t, nil); err != nil {
		t.Fatal(err)
	}
	w.overlay = w.get(t, w.overlay.ID)
	_, err := w.host.Overlays.Delete(t.Context(), w.admin, w.overlay.ID)
	if err := errors.Join(
		err,
		os.MkdirAll(filepath.Join(w.dir(), "left4dead2", "maps", "deep"), 0o755),
		os.WriteFile(filepath.Join(w.dir(), "left4dead2", "maps", "deep", "a.bsp"), []byte("a"), 0o600),
		os.Symlink(w.root, filepath.Join(w.dir(), "up")),
	); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *fixture) dir() string { return filepath.Join(w.host.OverlaysDir, w.overlay.Path()) }
func (w *fixture) gone() string {
	return filepath.Join(w.host.OverlaysDir, ".deleted-"+w.overlay.Path())
}

func (w *fixture) remove(ctx context.Context, t *testing.T) (*report, error) {
	t.Helper()
	o, err := w.host.Overlays.Deleted(t.Context(), w.overlay.ID)
	if err != nil {
		t.Fatal(err)
	}
	r := &report{}
	at, err := w.host.Overlays.DirectoryAt(t.Context(), o.ID, w.host.HostID)
	if err != nil {
		t.Fatal(err)
	}
	return r, builder.Directory(w.host.OverlaysDir, o).Remove(ctx, !at.IsZero(), r)
}

func (w *fixture) entries(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(w.root, dir))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestRemoveRemovesOnlyTheDirectory(t *testing.T) {
	w := deleted(t)
	other := w.make(t, "other", overlay.Workshop)
	w.overlay, other = other, w.overlay
	if _, err := w.build(t.Context(), t, nil); err != nil {
		t.Fatal(err)
	}
	w.overlay = other
	r, err := w.remove(t.Context(), t)
	if err != nil {
		t.Fatal(err)
	}
	if got := w.entries(t, "overlays"); !slices.Equal(got, []string{"2"}) {
		t.Errorf("overlays holds %v", got)
	}
	for _, id := range []string{"1", "2"} {
		if !slices.Contains(w.entries(t, "workshop_cache"), id+".vpk") {
			t.Errorf("item %s is gone from the cache", id)
		}
	}
	if got, want := r.out[len(r.out)-1], "overlay 'maps': removed with 4 files and links in 4 folders; the cache is as it was"; got != want {
		t.Errorf("last line %q, want %q", got, want)
	}
	// Again, as after a crash before the row was deleted.
	if r, err := w.remove(t.Context(), t); err != nil || !strings.Contains(r.out[0], "not there; nothing to remove") {
		t.Errorf("%v, %q", err, r.out)
	}
}

// A build that is killed while it makes the directory leaves it under another name, perhaps without its marker.
func TestRemoveCompletesAKilledBuild(t *testing.T) {
	w := setUp(t, "")
	if _, err := w.host.Overlays.Delete(t.Context(), w.admin, w.overlay.ID); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(w.host.OverlaysDir, ".new-"+w.overlay.Path(), "rest"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := w.remove(t.Context(), t); err != nil {
		t.Fatal(err)
	}
	if got := w.entries(t, "overlays"); len(got) > 0 {
		t.Errorf("overlays holds %v", got)
	}
}

// replaceMarker puts something of that type in place of the marker of a directory: a link leads to the marker, and a file
// has 8 GiB.
func replaceMarker(dir string, kind uint32) error {
	path := filepath.Join(dir, ".left4me-overlay")
	if err := os.Rename(path, path+".real"); err != nil {
		return err
	}
	switch kind {
	case unix.S_IFLNK:
		return os.Symlink(filepath.Base(path)+".real", path)
	case unix.S_IFREG:
		return errors.Join(os.WriteFile(path, nil, 0o644), os.Truncate(path, 8<<30))
	}
	return unix.Mknod(path, kind|0o644, 0)
}

func TestRemoveRefusesForeignDirectories(t *testing.T) {
	const disagree = "disk and database disagree; nothing was removed"
	mark := func(dir, text string) error {
		return os.WriteFile(filepath.Join(dir, ".left4me-overlay"), []byte(text), 0o644)
	}
	for name, c := range map[string]struct {
		before func(w *fixture) error
		keeps  string // a file in overlays that must stay
	}{
		"no marker": {func(w *fixture) error { return os.Remove(filepath.Join(w.dir(), ".left4me-overlay")) }, "1/left4dead2/maps/deep/a.bsp"},
		"another database's": {func(w *fixture) error {
			return mark(w.dir(), "This directory belongs to left4me's overlay 1.\nother\n")
		}, "1/left4dead2/maps/deep/a.bsp"},
		"another overlay's": {func(w *fixture) error {
			return mark(w.dir(), "This directory belongs to left4me's overlay 2.\n"+w.overlay.UID+"\n")
		}, "1/left4dead2/maps/deep/a.bsp"},
		"a FIFO as its marker":        {func(w *fixture) error { return replaceMarker(w.dir(), unix.S_IFIFO) }, "1/.left4me-overlay"},
		"a socket as its marker":      {func(w *fixture) error { return replaceMarker(w.dir(), unix.S_IFSOCK) }, "1/.left4me-overlay"},
		"a link as its marker":        {func(w *fixture) error { return replaceMarker(w.dir(), unix.S_IFLNK) }, "1/.left4me-overlay"},
		"a very large file as marker": {func(w *fixture) error { return replaceMarker(w.dir(), unix.S_IFREG) }, "1/.left4me-overlay"},
		"a link to another's": {func(w *fixture) error {
			return errors.Join(os.Rename(w.dir(), filepath.Join(w.host.OverlaysDir, "mine")), os.Symlink("mine", w.dir()))
		}, "mine/left4dead2/maps/deep/a.bsp"},
		"a file": {func(w *fixture) error {
			return errors.Join(os.Rename(w.dir(), filepath.Join(w.host.OverlaysDir, "mine")), os.WriteFile(w.dir(), nil, 0o644))
		}, "1"},
		"an empty directory": {func(w *fixture) error { return errors.Join(os.RemoveAll(w.dir()), os.Mkdir(w.dir(), 0o755)) }, "1"},
		"somebody's files under the name for removing": {func(w *fixture) error {
			return errors.Join(os.Mkdir(w.gone(), 0o755), os.WriteFile(filepath.Join(w.gone(), "b"), nil, 0o644))
		}, ".deleted-1/b"},
		"a link under the name for removing": {func(w *fixture) error { return os.Symlink("1", w.gone()) }, "1/left4dead2/maps/deep/a.bsp"},
	} {
		t.Run(name, func(t *testing.T) {
			w := deleted(t)
			if err := c.before(w); err != nil {
				t.Fatal(err)
			}
			if _, err := w.remove(t.Context(), t); err == nil || !strings.Contains(err.Error(), disagree) {
				t.Errorf("remove = %v, want %q", err, disagree)
			}
			if _, err := os.Lstat(filepath.Join(w.host.OverlaysDir, c.keeps)); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestRemoveOfAMissingDirectory(t *testing.T) {
	w := deleted(t)
	if err := os.RemoveAll(w.dir()); err != nil {
		t.Fatal(err)
	}
	if _, err := w.remove(t.Context(), t); err != nil {
		t.Errorf("removed by hand before: %v", err)
	}
	if err := os.RemoveAll(w.host.OverlaysDir); err != nil {
		t.Fatal(err)
	}
	if _, err := w.remove(t.Context(), t); err == nil || !strings.Contains(err.Error(), "is its disk mounted?") {
		t.Errorf("without the folder of all overlays: %v", err)
	}
	if _, err := w.db.ExecContext(t.Context(), `UPDATE overlay_hosts SET directory_at = NULL`); err != nil {
		t.Fatal(err)
	}
	if _, err := w.remove(t.Context(), t); err != nil {
		t.Errorf("never built: %v", err)
	}
}

// steps is a context that ends at the n-th call of Err, which a removal makes before each step.
type steps struct {
	context.Context
	left int
}

func (s *steps) Err() error {
	if s.left--; s.left < 0 {
		return context.Canceled
	}
	return nil
}

func TestRemoveStoppedAtAnyStepIsCompletedByTheNext(t *testing.T) {
	finished := false
	for n := 0; !finished; n++ {
		w := deleted(t)
		_, err := w.remove(&steps{t.Context(), n}, t)
		if finished = err == nil; !finished && !errors.Is(err, context.Canceled) {
			t.Fatalf("stopped at step %d: %v", n, err)
		}
		if _, err := w.remove(t.Context(), t); err != nil {
			t.Fatalf("after a stop at step %d: %v", n, err)
		}
		if left := w.entries(t, "overlays"); len(left) != 0 {
			t.Errorf("after a stop at step %d: overlays holds %v", n, left)
		}
		if finished && n < 5 {
			t.Errorf("only %d steps", n)
		}
	}
	// Killed after the removal of the marker, before that of the directory.
	w := deleted(t)
	if err := errors.Join(os.RemoveAll(w.dir()), os.Mkdir(w.gone(), 0o755)); err != nil {
		t.Fatal(err)
	}
	if _, err := w.remove(t.Context(), t); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(w.gone()); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

func TestPurgingADeletedOverlayKeepsItsItems(t *testing.T) {
	w := deleted(t)
	count := func(query string) (n int) {
		t.Helper()
		if err := w.db.QueryRowContext(t.Context(), query).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	if n := count(`SELECT COUNT(*) FROM overlay_links`); n != 2 {
		t.Fatalf("%d links are recorded, want 2", n)
	}
	if err := w.db.InTx(t.Context(), func(ctx context.Context, q db.Querier) error {
		return w.host.Overlays.Removed(ctx, q, w.overlay.ID, "here")
	}); err != nil {
		t.Fatal(err)
	}
	for table, want := range map[string]int{"overlays": 0, "overlay_workshop_items": 0, "overlay_links": 0, "workshop_items": 2} {
		if n := count(`SELECT COUNT(*) FROM ` + table); n != want {
			t.Errorf("%s has %d rows, want %d", table, n, want)
		}
	}
}
