package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"left4me/shared/account"
	"left4me/shared/jobstore"
	"left4me/shared/overlay"
	"left4me/templates/fntest"
)

// lines is a report that records all lines.
type lines []string

func (l *lines) Infof(format string, args ...any) { *l = append(*l, fmt.Sprintf(format, args...)) }
func (l *lines) Warnf(format string, args ...any) { l.Infof(format, args...) }
func (*lines) Progress(jobstore.Progress)         {}

func setUp(t *testing.T) (*fntest.Site, runner, string) {
	t.Helper()
	s := fntest.New(t)
	o := s.Overlay(s.Person("anna", false), "maps", overlay.Workshop) // 1
	r := runner{overlays: overlay.NewStore(s.Env.DB, s.Env.Now, s.Env.Jobs), overlaysDir: s.Env.Settings.OverlaysDir()}
	dir := filepath.Join(r.overlaysDir, "1")
	marker := fmt.Sprintf("This directory belongs to left4me's overlay 1.\n%s\n", o.UID)
	if err := errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, ".left4me-overlay"), []byte(marker), 0o644)); err != nil {
		t.Fatal(err)
	}
	return s, r, dir
}

func TestOnlyADeletedOverlayIsRemoved(t *testing.T) {
	s, r, dir := setUp(t)
	var report lines
	for _, id := range []int64{1, 2} {
		if err := r.remove(t.Context(), id, "here", &report); err == nil || !strings.Contains(err.Error(), "has not been deleted") {
			t.Errorf("overlay %d: %v", id, err)
		}
	}
	if _, err := os.Stat(dir); err != nil {
		t.Error(err)
	}
	if _, err := r.overlays.Delete(t.Context(), account.User{}, 1); err != nil {
		t.Fatal(err)
	}
	if err := r.remove(t.Context(), 1, "here", &report); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the directory is still there (%v): %q", err, report)
	}
	// The row is deleted only when the job ends.
	if n := s.Count(`SELECT COUNT(*) FROM overlays`); n != 1 {
		t.Errorf("%d rows", n)
	}
}

func TestWithoutADatabaseNothingIsRemoved(t *testing.T) {
	s, r, dir := setUp(t)
	s.Break()
	if err := r.remove(t.Context(), 1, "here", &lines{}); err == nil {
		t.Error("no error")
	}
	if _, err := os.Stat(dir); err != nil {
		t.Error(err)
	}
}
