// Package dbtest gives each test its own migrated database: an embedded file, or a libSQL server. The server is the package's
// own (Server), and a test can make it fail.
//
// The server has one database, and no replicas, websockets, cursors or protobuf.
package dbtest

import (
	"net/http/httptest"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
	"time"

	"left4me/shared/db"
	"left4me/shared/db/migrations"
)

// Open opens databaseURL until the end of the test.
func Open(t testing.TB, databaseURL string) *db.DB {
	t.Helper()
	return open(t, databaseURL, "")
}

func open(t testing.TB, databaseURL, token string) *db.DB {
	t.Helper()
	d, err := db.Open(databaseURL, token)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// New returns a migrated embedded database in a temporary file.
func New(t testing.TB) *db.DB {
	t.Helper()
	d := Open(t, db.FileURL(filepath.Join(t.TempDir(), "left4me.db")))
	migrate(t, d)
	return d
}

func migrate(t testing.TB, d *db.DB) {
	t.Helper()
	if _, err := migrations.Up(t.Context(), d); err != nil {
		t.Fatal(err)
	}
}

// Plan returns the steps of EXPLAIN QUERY PLAN for a statement.
func Plan(t testing.TB, d *db.DB, query string, args ...any) []string {
	t.Helper()
	steps, err := db.Rows(t.Context(), d, func(row db.Scanner) (step string, err error) {
		var id, parent, unused int
		err = row.Scan(&id, &parent, &unused, &step)
		return step, err
	}, "EXPLAIN QUERY PLAN "+query, args...)
	if err != nil {
		t.Fatalf("%v: %s", err, query)
	}
	return steps
}

// Backend opens a new, migrated database of one kind.
type Backend func(testing.TB) *db.DB

// Each runs the test once for each kind of database that left4me supports.
func Each(t *testing.T, test func(t *testing.T, open Backend)) {
	t.Run("file", func(t *testing.T) { test(t, New) })
	t.Run("server", func(t *testing.T) {
		test(t, func(t testing.TB) *db.DB { return Serve(t).Open(t) })
	})
}

// Serve returns a server with a migrated database, which runs until the end of the test. The functions in set may change the
// server's fields before it starts.
func Serve(t testing.TB, set ...func(*Server)) *Server {
	t.Helper()
	file := filepath.Join(t.TempDir(), "left4me.db")
	d, err := db.Open(db.FileURL(file), "") // faster than a request to the server for each statement
	if err != nil {
		t.Fatal(err)
	}
	migrate(t, d)
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	return serve(t, file, set)
}

// ServeEmpty is Serve without the tables.
func ServeEmpty(t testing.TB, set ...func(*Server)) *Server {
	t.Helper()
	return serve(t, filepath.Join(t.TempDir(), "left4me.db"), set)
}

func serve(t testing.TB, file string, set []func(*Server)) *Server {
	t.Helper()
	s, err := NewServer(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range set {
		f(s)
	}
	web := httptest.NewServer(s)
	s.URL = web.URL
	t.Cleanup(func() {
		web.Close()
		s.Close()
	})
	return s
}

// Open opens the server's database until the end of the test.
func (s *Server) Open(t testing.TB) *db.DB {
	t.Helper()
	return open(t, s.URL, s.Token)
}

// Filled reports the fields of a struct that are zero, except those named: for a row whose columns all have values, they are
// the fields that no select reads.
func Filled(t testing.TB, row any, except ...string) {
	t.Helper()
	for _, f := range reflect.VisibleFields(reflect.TypeOf(row)) {
		if reflect.ValueOf(row).FieldByIndex(f.Index).IsZero() && !slices.Contains(except, f.Name) {
			t.Errorf("%T.%s is not read, or has no value in this test", row, f.Name)
		}
	}
}

// AddHost adds a host with that id, whose name is the id and whose agent has reported at seenAt.
func AddHost(t testing.TB, d *db.DB, id string, seenAt time.Time) {
	t.Helper()
	if _, err := d.ExecContext(t.Context(), `INSERT INTO hosts (id, name, disk, command, version, seen_at, disk_total, disk_free)
		VALUES (?, ?, ?, 'agent', '1', ?, 0, 0)`, id, id, id, db.Millis(seenAt)); err != nil {
		t.Fatal(err)
	}
}
