package vpkcache

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestDiscardKeepsThePartialFileOfARunningDownload(t *testing.T) {
	c := New(t.TempDir(), nil, Options{})
	path := filepath.Join(c.Dir(), "7.vpk.partial")
	if err := c.Discard("7"); err != nil {
		t.Errorf("nothing there: %v", err)
	}
	held, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Flock(int(held.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	if err := c.Discard("7"); err != nil {
		t.Errorf("somebody is downloading it: %v", err)
	}
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("somebody's download is gone: %v", err)
	}
	held.Close()
	if err := c.Discard("7"); err != nil {
		t.Errorf("a leftover: %v", err)
	}
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Errorf("the leftover is still there: %v", err)
	}
}

func TestDiscardBeforeTakesOldLeftoversOnly(t *testing.T) {
	c := New(t.TempDir(), nil, Options{})
	limit := time.Unix(updated, 0)
	for _, name := range []string{"1.vpk", "1.vpk.partial", "2.vpk.partial", "3.vpk.partial", "notes.partial"} {
		c.put(t, name, 10)
		if err := os.Chtimes(filepath.Join(c.Dir(), name), time.Time{}, limit.Add(-time.Second)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chtimes(c.partialPath("2"), time.Time{}, limit); err != nil {
		t.Fatal(err)
	}
	held, err := os.Open(c.partialPath("3"))
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	if err := unix.Flock(int(held.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	if err := c.DiscardBefore(limit); err != nil {
		t.Error(err)
	}
	if got, want := names(t, c), []string{"2.vpk.partial", "3.vpk.partial", "1.vpk"}; !slices.Equal(got, want) {
		t.Errorf("%q are left, want %q", got, want)
	}
	if _, err := os.Lstat(filepath.Join(c.Dir(), "notes.partial")); err != nil {
		t.Error(err)
	}
}
