package durable_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"left4me/shared/durable"
)

// names returns the names in a directory.
func names(t *testing.T, dir string) (all []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}

func mustHold(t *testing.T, path, want string) {
	t.Helper()
	if got, err := os.ReadFile(path); err != nil || string(got) != want {
		t.Errorf("%s holds %q, %v, want %q", filepath.Base(path), got, err, want)
	}
}

func TestWriteNew(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "marker")
	if err := os.WriteFile(path+".new", []byte("from a crash, and longer than the new content"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := durable.WriteNew(path, "first"); err != nil {
		t.Fatal(err)
	}
	mustHold(t, path, "first")
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o644 {
		t.Errorf("rights %v, %v", info.Mode(), err)
	}
	if err := durable.WriteNew(path, "second"); !errors.Is(err, fs.ErrExist) {
		t.Errorf("writing it again: %v, want fs.ErrExist", err)
	}
	mustHold(t, path, "first")
	if got := names(t, dir); !slices.Equal(got, []string{"marker"}) {
		t.Errorf("the directory holds %v", got)
	}
	if err := durable.WriteNew(filepath.Join(dir, "missing", "marker"), ""); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("in a directory that does not exist: %v", err)
	}
}

func TestWriteNewDoesNotFollowALink(t *testing.T) {
	dir := t.TempDir()
	victim := filepath.Join(t.TempDir(), "victim")
	if err := errors.Join(os.WriteFile(victim, []byte("precious"), 0o644), os.Symlink(victim, filepath.Join(dir, "marker.new"))); err != nil {
		t.Fatal(err)
	}
	if err := durable.WriteNew(filepath.Join(dir, "marker"), "ours"); err != nil {
		t.Fatal(err)
	}
	mustHold(t, victim, "precious")
	mustHold(t, filepath.Join(dir, "marker"), "ours")
}

func TestRename(t *testing.T) {
	dir := t.TempDir()
	a, b, c := filepath.Join(dir, "a"), filepath.Join(dir, "b"), filepath.Join(dir, "c")
	if err := errors.Join(os.WriteFile(a, []byte("a"), 0o644), os.WriteFile(b, []byte("b"), 0o644)); err != nil {
		t.Fatal(err)
	}
	if err := durable.RenameNew(a, b); !errors.Is(err, fs.ErrExist) {
		t.Errorf("RenameNew to a name in use: %v, want fs.ErrExist", err)
	}
	mustHold(t, b, "b")
	if err := durable.Rename(a, b); err != nil {
		t.Fatal(err)
	}
	mustHold(t, b, "a")
	if err := durable.RenameNew(b, c); err != nil {
		t.Fatal(err)
	}
	mustHold(t, c, "a")
	if err := durable.Rename(a, c); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Rename of what does not exist: %v", err)
	}
}

func TestSync(t *testing.T) {
	dir := t.TempDir()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{".", "file"} {
		if err := errors.Join(durable.Sync(filepath.Join(dir, name)), durable.SyncIn(root, name)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := durable.Sync(filepath.Join(dir, "missing")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Sync: %v", err)
	}
	if err := durable.SyncIn(root, "missing"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("SyncIn: %v", err)
	}
}
