// Package dbtest gives tests a real, migrated database of their own.
package dbtest

import (
	"path/filepath"
	"testing"

	"left4me/shared/db"
	"left4me/shared/db/migrations"
)

// New returns a migrated embedded database in a file that goes with the test.
func New(t testing.TB) *db.DB {
	t.Helper()
	d := Open(t, db.FileURL(filepath.Join(t.TempDir(), "left4me.db")))
	if _, err := migrations.Up(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	return d
}

// Open opens databaseURL for the time of the test.
func Open(t testing.TB, databaseURL string) *db.DB {
	t.Helper()
	d, err := db.Open(databaseURL, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}
