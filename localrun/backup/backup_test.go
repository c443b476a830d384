package backup_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"left4me/localrun/backup"
)

func TestABackupRemovesWhatKilledOnesHaveLeft(t *testing.T) {
	h := host{t, t.TempDir()}
	h.close(h.database())
	to := t.TempDir()
	for _, name := range []string{".left4me-backup-1", ".left4me-backup-2", ".left4me-backup-2-journal", ".left4me-backup-3", ".left4me-backup-3-journal", ".left4me-backup-notes", "mine.db.partial-1"} {
		if err := os.WriteFile(filepath.Join(to, name), []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(to, ".left4me-backup-4"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("mine.db.partial-1", filepath.Join(to, ".left4me-backup-5")); err != nil {
		t.Fatal(err)
	}
	// Another backup is at work on one of them.
	atWork, err := os.Open(filepath.Join(to, ".left4me-backup-3"))
	if err != nil {
		t.Fatal(err)
	}
	defer atWork.Close()
	if err := unix.Flock(int(atWork.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}

	if _, err := backup.ToFile(t.Context(), h.path(), filepath.Join(to, "today.db"), false); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(to)
	if err != nil {
		t.Fatal(err)
	}
	var left []string
	for _, e := range entries {
		left = append(left, e.Name())
	}
	want := []string{".left4me-backup-3", ".left4me-backup-3-journal", ".left4me-backup-4", ".left4me-backup-5", ".left4me-backup-notes", "mine.db.partial-1", "today.db"}
	if !slices.Equal(left, want) {
		t.Errorf("left: %s, want %s", strings.Join(left, " "), strings.Join(want, " "))
	}
}

// While a backup is written, another one into the same directory does not take it for one that was left.
func TestBackupsIntoOneDirectoryAtOnce(t *testing.T) {
	h := host{t, t.TempDir()}
	h.close(h.database())
	to := t.TempDir()
	ended := make(chan error)
	const at, each = 4, 8
	for i := range at {
		go func() {
			for n := range each {
				_, err := backup.ToFile(t.Context(), h.path(), filepath.Join(to, fmt.Sprint(i, n)), false)
				ended <- err
			}
		}()
	}
	for range at * each {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	if left, err := filepath.Glob(filepath.Join(to, ".left4me-backup-*")); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}
