package vpkcache

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"left4me/shared/steam"
)

func (c *Cache) put(t *testing.T, name string, size int) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(c.Dir(), name), make([]byte, size), 0o644); err != nil {
		t.Fatal(err)
	}
}

func names(t *testing.T, c *Cache) (all []string) {
	t.Helper()
	stored, err := c.List()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range stored {
		all = append(all, s.Name())
	}
	return all
}

func TestListLeavesOutForeignFiles(t *testing.T) {
	c := New(filepath.Join(t.TempDir(), "workshop_cache"), nil, Options{})
	if got := names(t, c); len(got) != 0 {
		t.Errorf("before there is a cache: %q", got)
	}
	if err := os.Mkdir(c.Dir(), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"10.vpk", "9.vpk", "9.vpk.partial", "9.vpk.partial.partial", "x9.vpk", "9.VPK", ".vpk", ".partial", "9", "-9.vpk",
		"9.vpk.old", "123456789012345678901.vpk", "notes.txt", ".9.vpk.partial"} {
		c.put(t, name, 3)
	}
	if err := errors.Join(
		os.Mkdir(filepath.Join(c.Dir(), "11.vpk"), 0o755),
		os.Symlink("9.vpk", filepath.Join(c.Dir(), "12.vpk")),
		os.Symlink("9.vpk", filepath.Join(c.Dir(), "12.vpk.partial")),
	); err != nil {
		t.Fatal(err)
	}
	if got, want := names(t, c), []string{"9.vpk.partial", "9.vpk", "10.vpk"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestBytesOfAPartialFileAreThoseOnTheDisk(t *testing.T) {
	c := New(t.TempDir(), nil, Options{})
	c.put(t, "9.vpk", 5000)
	c.put(t, "9.vpk.partial", 10)
	if err := os.Truncate(filepath.Join(c.Dir(), "9.vpk.partial"), 1<<30); err != nil {
		t.Fatal(err)
	}
	stored, err := c.List()
	if err != nil {
		t.Fatal(err)
	}
	if partial, whole := stored[0].Bytes(), stored[1].Bytes(); whole != 5000 || partial > 1<<20 {
		t.Errorf("%d and %d bytes", partial, whole)
	}
}

func TestRemoveKeepsReplacedFilesAndRunningDownloads(t *testing.T) {
	c := New(t.TempDir(), nil, Options{})
	for _, name := range []string{"7.vpk", "7.vpk.partial", "8.vpk", "9.vpk"} {
		c.put(t, name, 3)
	}
	stored, err := c.List()
	if err != nil {
		t.Fatal(err)
	}
	held, err := os.Open(filepath.Join(c.Dir(), "7.vpk.partial"))
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Flock(int(held.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	// 8.vpk was replaced and 9.vpk removed.
	if err := os.Rename(filepath.Join(c.Dir(), "9.vpk"), filepath.Join(c.Dir(), "8.vpk")); err != nil {
		t.Fatal(err)
	}
	for i, want := range []error{ErrBusy, ErrBusy, nil, nil} {
		if err := c.Remove(stored[i]); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", stored[i].Name(), err, want)
		}
	}
	if got, want := names(t, c), []string{"7.vpk.partial", "7.vpk", "8.vpk"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	held.Close()
	for i := range 2 {
		if err := c.Remove(stored[i]); err != nil {
			t.Errorf("%s: %v", stored[i].Name(), err)
		}
	}
	if got, want := names(t, c), []string{"8.vpk"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestOpenOnlyOpensTheExpectedFile(t *testing.T) {
	c := New(t.TempDir(), nil, Options{})
	c.put(t, "9.vpk", 3)
	if err := errors.Join(
		os.Chtimes(c.Path("9"), time.Time{}, time.Unix(updated, 0)),
		os.Mkdir(c.Path("11"), 0o755),
		os.Symlink("9.vpk", c.Path("12")),
		unix.Mkfifo(c.Path("13"), 0o644),
	); err != nil {
		t.Fatal(err)
	}
	file, err := c.Open("9", 3, updated)
	if err != nil {
		t.Fatal(err)
	}
	file.Close()
	for about, open := range map[string]func() (*os.File, error){
		"another size": func() (*os.File, error) { return c.Open("9", 4, updated) },
		"another time": func() (*os.File, error) { return c.Open("9", 3, updated+1) },
		"no file":      func() (*os.File, error) { return c.Open("10", 3, updated) },
	} {
		if _, err := open(); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v", about, err)
		}
	}
	for _, id := range []steam.ID{"11", "12", "13"} {
		if _, err := c.Open(id, 3, updated); err == nil || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v", c.Path(id), err)
		}
	}
}
