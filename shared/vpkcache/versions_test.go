package vpkcache

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// The version that a download replaces is kept beside the newest file, and counts in Usage; the newest can be kept, too, without more space.
func TestAReplacedVersionIsKept(t *testing.T) {
	h := newHost(t)
	first, second := vpkOf(1, 5000), vpkOf(2, 7000)
	c := h.cache(t)
	for n, content := range [][]byte{first, second} {
		f := h.serve("123", content)
		f.Updated += int64(n)
		mustFetch(t, c, f)
	}
	if got, err := os.ReadFile(c.VersionPath("123", updated)); err != nil || !bytes.Equal(got, first) {
		t.Errorf("the first version has %d bytes, %v", len(got), err)
	}
	for version, want := range map[int64]bool{updated: true, updated + 1: true, updated + 2: false} {
		if kept, err := c.Keep("123", version); err != nil || kept != want {
			t.Errorf("version %d is kept: %t, %v", version, kept, err)
		}
	}
	if files, bytes, err := c.Usage(); files != 1 || bytes != 12_000 || err != nil {
		t.Errorf("%d files, %d bytes, %v", files, bytes, err)
	}
	for path, want := range map[string]bool{
		c.Path("123"): true, c.VersionPath("123", updated): true, filepath.Join(c.dir, "x.vpk"): false, filepath.Join(c.dir, "versions", "1", "x.vpk"): false,
		filepath.Join(c.dir, "versions", "123.vpk"): false, filepath.Join(c.dir, "1", "123.vpk"): false, "/123.vpk": false,
	} {
		if id, ok := IDOf(c.dir, path); ok != want || ok && id != "123" {
			t.Errorf("%s is of %q, %t", path, id, ok)
		}
	}
	all, err := c.Versions()
	if err != nil || len(all) != 2 {
		t.Fatal(all, err)
	}
	for _, v := range all {
		if err := c.Remove(v); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat(filepath.Dir(c.VersionPath("123", 0))); !os.IsNotExist(err) {
		t.Errorf("the versions' directory: %v", err)
	}
	if _, err := os.Stat(c.Path("123")); err != nil {
		t.Error(err)
	}
}
