package migrations_test

import (
	"path/filepath"
	"slices"
	"testing"

	"left4me/shared/db"
	"left4me/shared/db/dbtest"
	"left4me/shared/db/migrations"
)

func TestUpDownUpLeadsToTheSameSchema(t *testing.T) {
	d := dbtest.Open(t, db.FileURL(filepath.Join(t.TempDir(), "left4me.db")))
	steps, err := migrations.Up(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	if len(steps) == 0 {
		t.Fatal("no migration ran")
	}
	first := schema(t, d)
	if again, err := migrations.Up(t.Context(), d); err != nil || len(again) != 0 {
		t.Errorf("a second Up ran %v, %v", again, err)
	}
	for range steps {
		if _, err := migrations.Down(t.Context(), d); err != nil {
			t.Fatal(err)
		}
	}
	if left := schema(t, d); len(left) != 0 {
		t.Errorf("after all the way down there is still %v", left)
	}
	list, err := migrations.List(t.Context(), d)
	if err != nil || len(list) != len(steps) || !list[0].AppliedAt.IsZero() {
		t.Errorf("status = %v, %v", list, err)
	}
	if _, err := migrations.Up(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	if second := schema(t, d); !slices.Equal(first, second) {
		t.Errorf("the schema differs after down and up:\n%v\n%v", first, second)
	}
}

func TestPendingLooksAndTouchesNothing(t *testing.T) {
	d := dbtest.Open(t, db.FileURL(filepath.Join(t.TempDir(), "left4me.db")))
	pending := func() int {
		t.Helper()
		files, newer, err := migrations.Pending(t.Context(), d)
		if err != nil || newer {
			t.Fatal(newer, err)
		}
		return len(files)
	}
	all := pending()
	var tables int
	if err := d.QueryRowContext(t.Context(), `SELECT COUNT(*) FROM sqlite_schema`).Scan(&tables); err != nil || tables != 0 || all == 0 {
		t.Errorf("an empty database lacks %d migrations and then has %d tables (%v)", all, tables, err)
	}
	if _, err := migrations.Up(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	if n := pending(); n != 0 {
		t.Errorf("a current database lacks %d", n)
	}
	if _, err := migrations.Down(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	if n := pending(); n != 1 {
		t.Errorf("after one step back it lacks %d", n)
	}
	if _, err := d.ExecContext(t.Context(), `INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, 1)`); err != nil {
		t.Fatal(err)
	}
	if _, newer, err := migrations.Pending(t.Context(), d); err != nil || !newer {
		t.Errorf("a newer database: %t, %v", newer, err)
	}
}

// schema lists what left4me made: goose's and SQLite's own tables stay.
func schema(t *testing.T, d *db.DB) []string {
	t.Helper()
	rows, err := d.QueryContext(t.Context(), `SELECT type || ' ' || name || ' ' || sql FROM sqlite_schema
		WHERE sql IS NOT NULL AND tbl_name NOT LIKE 'goose%' AND name NOT LIKE 'sqlite_%' ORDER BY 1`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var all []string
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}
