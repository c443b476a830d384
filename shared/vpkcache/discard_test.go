package vpkcache

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func TestDiscardTakesOnlyWhatNobodyIsDownloading(t *testing.T) {
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
