package db_test

import (
	"database/sql"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"left4me/shared/db"
	"left4me/shared/db/dbtest"
)

func TestRows(t *testing.T) { dbtest.Each(t, testRows) }

func testRows(t *testing.T, open dbtest.Backend) {
	d := open(t)
	const query = `SELECT value FROM json_each(:list) WHERE value > :above ORDER BY value`
	list := sql.Named("list", "[3,1,2]")
	got, err := db.Rows(t.Context(), d, db.Value[int], query, list, sql.Named("above", 1))
	if err != nil || !slices.Equal(got, []int{2, 3}) {
		t.Errorf("Rows = %v, %v, want 2 and 3", got, err)
	}
	if got, err := db.Rows(t.Context(), d, db.Value[int], query, list, sql.Named("above", 3)); err != nil || got != nil {
		t.Errorf("Rows without a match = %v, %v, want nothing", got, err)
	}
	if got, err := db.Rows(t.Context(), d, db.Value[int], `SELECT value FROM json_each('[1,"one"]')`); err == nil || got != nil {
		t.Errorf("Rows of a number and a word as numbers = %v, %v, want an error", got, err)
	}
	if _, err := db.Rows(t.Context(), d, db.Value[int], `SELECT nothing`); err == nil {
		t.Error("Rows of a column that does not exist: no error")
	}
}

func TestRow(t *testing.T) { dbtest.Each(t, testRow) }

func testRow(t *testing.T, open dbtest.Backend) {
	d := open(t)
	if got, err := db.Row(t.Context(), d, db.Value[string], `SELECT :name`, sql.Named("name", "anna")); err != nil || got != "anna" {
		t.Errorf("Row = %q, %v", got, err)
	}
	if _, err := db.Row(t.Context(), d, db.Value[int], `SELECT 1 WHERE 0`); !errors.Is(err, sql.ErrNoRows) {
		t.Errorf("Row of no rows: %v, want sql.ErrNoRows", err)
	}
	if _, err := db.Row(t.Context(), d, db.Value[int], `SELECT 1 UNION SELECT 2`); err == nil || !strings.Contains(err.Error(), "more than one row") {
		t.Errorf("Row of two rows: %v", err)
	}
}

// A deferred constraint is checked by the commit, after the statement has given its row.
func TestRowReportsThatAWriteWasNotCommitted(t *testing.T) {
	dbtest.Each(t, testRowReportsThatAWriteWasNotCommitted)
}

func testRowReportsThatAWriteWasNotCommitted(t *testing.T, open dbtest.Backend) {
	d := open(t)
	for _, statement := range []string{
		`CREATE TABLE parent (id INTEGER PRIMARY KEY)`,
		`CREATE TABLE t (parent INTEGER REFERENCES parent DEFERRABLE INITIALLY DEFERRED)`,
	} {
		if _, err := d.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	got, err := db.Row(t.Context(), d, db.Value[int], `INSERT INTO t VALUES (7) RETURNING parent`)
	if err == nil || !strings.Contains(err.Error(), "FOREIGN KEY constraint failed") {
		t.Errorf("Row = %d, %v, want a foreign key error", got, err)
	}
	if n := count(t, d); n != 0 {
		t.Errorf("%d rows were written", n)
	}
}

func TestMoment(t *testing.T) { dbtest.Each(t, testMoment) }

func testMoment(t *testing.T, open dbtest.Backend) {
	d := open(t)
	want := time.UnixMilli(1764320000123)
	for name, c := range map[string]struct {
		stored any
		want   time.Time
	}{"a time": {db.Millis(want), want}, "none": {nil, time.Time{}}} {
		got, err := db.Row(t.Context(), d, func(row db.Scanner) (time.Time, error) {
			at := time.Unix(1, 0)
			err := row.Scan(db.Moment(&at))
			return at, err
		}, `SELECT :at`, sql.Named("at", c.stored))
		if err != nil || got != c.want {
			t.Errorf("%s: %v, %v, want %v", name, got, err, c.want)
		}
	}
	_, err := db.Row(t.Context(), d, func(row db.Scanner) (time.Time, error) {
		var at time.Time
		err := row.Scan(db.Moment(&at))
		return at, err
	}, `SELECT 'yesterday'`)
	if err == nil {
		t.Error("a word was scanned as a time")
	}
}

func TestExecCountsTheChangedRows(t *testing.T) { dbtest.Each(t, testExecCountsTheChangedRows) }

func testExecCountsTheChangedRows(t *testing.T, open dbtest.Backend) {
	d := open(t)
	if _, err := d.ExecContext(t.Context(), `CREATE TABLE t (a)`); err != nil {
		t.Fatal(err)
	}
	if n, err := db.Exec(t.Context(), d, `INSERT INTO t SELECT value FROM json_each('[1,2]')`); err != nil || n != 2 {
		t.Errorf("Exec = %d, %v, want 2", n, err)
	}
	if _, err := db.Exec(t.Context(), d, `DELETE FROM nothing`); err == nil {
		t.Error("Exec on a table that does not exist: no error")
	}
}
