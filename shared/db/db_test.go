package db_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"left4me/shared/db"
	"left4me/shared/db/dbtest"
)

func TestOpenReadOnlyChangesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "left4me.db")
	w, err := db.Open(db.FileURL(path), "")
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if _, err := w.ExecContext(t.Context(), `CREATE TABLE t (a)`); err != nil {
		t.Fatal(err)
	}
	d, err := db.OpenReadOnly(db.FileURL(path), "")
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	var n int
	if err := d.QueryRowContext(t.Context(), `SELECT COUNT(*) FROM t`).Scan(&n); err != nil {
		t.Error(err)
	}
	if _, err := d.ExecContext(t.Context(), `INSERT INTO t VALUES (1)`); err == nil {
		t.Error("a write went through")
	}
}

func TestCheckURLSaysWhatIsWrong(t *testing.T) {
	for url, want := range map[string]string{
		"file:/srv/left4me.db":        "",
		"file:///srv/left4me.db":      "",
		"file:/srv/with%20space/a.db": "",
		"libsql://db.example.com":     "",
		"http://127.0.0.1:8080":       "",
		"file:left4me.db":             "not absolute",
		"file://srv/left4me.db":       "two slashes",
		"file::memory:":               "names no file",
		"file:":                       "names no file",
		"file:/a.db?mode=ro":          "query part",
		"libsql://":                   "names no host",
		"libsql://h?authToken=x":      "DATABASE_AUTH_TOKEN",
		"postgres://h/db":             "starts with none of",
		"left4me.db":                  "starts with none of",
		"":                            "starts with none of",
		"file:/%zz":                   "not a",
	} {
		err := db.CheckURL(url)
		if want == "" && err != nil {
			t.Errorf("CheckURL(%q) = %v, want nil", url, err)
		}
		if want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("CheckURL(%q) = %v, want an error with %q", url, err, want)
		}
	}
}

func TestFileURLSurvivesOddPaths(t *testing.T) {
	for _, name := range []string{"plain.db", "with space.db", "a%20b.db", "q?x#y.db", "ünï.db"} {
		path := filepath.Join(t.TempDir(), name)
		if got := db.FilePath(db.FileURL(path)); got != path {
			t.Errorf("FilePath(FileURL(%q)) = %q", path, got)
		}
		d := dbtest.Open(t, db.FileURL(path))
		if _, err := d.ExecContext(t.Context(), "CREATE TABLE t (a)"); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var file string
		if err := d.QueryRowContext(t.Context(), "SELECT file FROM pragma_database_list").Scan(&file); err != nil || filepath.Base(file) != name {
			t.Errorf("%s: the database is in %q, %v", name, file, err)
		}
	}
}

func TestConnectionsEnforceForeignKeysAndWAL(t *testing.T) {
	d := dbtest.New(t)
	for pragma, want := range map[string]string{"foreign_keys": "1", "journal_mode": "wal", "synchronous": "1", "busy_timeout": "5000"} {
		var got string
		if err := d.QueryRowContext(t.Context(), "PRAGMA "+pragma).Scan(&got); err != nil || got != want {
			t.Errorf("%s = %q, %v, want %q", pragma, got, err, want)
		}
	}
	_, err := d.ExecContext(t.Context(), "INSERT INTO sessions (token_hash, user_id, created_at, expires_at) VALUES (?, 99, 0, 0)", strings.Repeat("0", 64))
	if err == nil || !strings.Contains(err.Error(), "FOREIGN KEY constraint failed") {
		t.Errorf("a session of nobody: %v, want a foreign key error", err)
	}
}

func TestInTxLeavesNothingBehindAnError(t *testing.T) {
	dbtest.Each(t, testInTxLeavesNothingBehindAnError)
}

func testInTxLeavesNothingBehindAnError(t *testing.T, open dbtest.Backend) {
	d := open(t)
	if _, err := d.ExecContext(t.Context(), "CREATE TABLE t (a INTEGER UNIQUE)"); err != nil {
		t.Fatal(err)
	}
	mine := errors.New("mine")
	err := d.InTx(t.Context(), func(ctx context.Context, q db.Querier) error {
		if _, err := q.ExecContext(ctx, "INSERT INTO t VALUES (1)"); err != nil {
			return err
		}
		return mine
	})
	if !errors.Is(err, mine) {
		t.Errorf("InTx = %v, want the function's own error", err)
	}
	if n := count(t, d); n != 0 {
		t.Errorf("%d rows after a failed transaction", n)
	}

	ctx, cancel := context.WithCancel(t.Context())
	err = d.InTx(ctx, func(ctx context.Context, q db.Querier) error {
		if _, err := q.ExecContext(ctx, "INSERT INTO t VALUES (1)"); err != nil {
			return err
		}
		cancel()
		return ctx.Err()
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("InTx = %v, want Canceled", err)
	}
	err = d.InTx(t.Context(), func(ctx context.Context, q db.Querier) error {
		for range 2 {
			if _, err := q.ExecContext(ctx, "INSERT INTO t VALUES (2)"); err != nil {
				return err
			}
		}
		return nil
	})
	if !db.IsUnique(err) {
		t.Errorf("InTx = %v, want a unique error", err)
	}
	if n := count(t, d); n != 0 {
		t.Errorf("%d rows after three failed transactions", n)
	}
}

// A deferred transaction that reads and then writes fails as busy at once if another one has written in between.
func TestManyReadThenWriteTransactionsAllSucceed(t *testing.T) {
	dbtest.Each(t, testManyReadThenWriteTransactionsAllSucceed)
}

func testManyReadThenWriteTransactionsAllSucceed(t *testing.T, open dbtest.Backend) {
	d := open(t)
	if _, err := d.ExecContext(t.Context(), "CREATE TABLE t (a INTEGER UNIQUE)"); err != nil {
		t.Fatal(err)
	}
	const workers, each = 8, 25
	errs := make(chan error, workers*each)
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for range each {
				errs <- d.InTx(t.Context(), func(ctx context.Context, q db.Querier) error {
					next, err := db.Row(ctx, q, db.Value[int], "SELECT COALESCE(MAX(a), 0) + 1 FROM t")
					if err != nil {
						return err
					}
					_, err = q.ExecContext(ctx, "INSERT INTO t VALUES (:a)", sql.Named("a", next))
					return err
				})
			}
		})
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			t.Error(err)
		}
	}
	if n := count(t, d); n != workers*each {
		t.Errorf("%d rows, want %d", n, workers*each)
	}
}

func TestErrorClassesKnowServerMessages(t *testing.T) {
	for _, c := range []struct {
		class func(error) bool
		text  string
	}{
		{db.IsUnique, "failed to execute SQL: INSERT…\nSQLite error: UNIQUE constraint failed: t.a"},
		{db.IsBusy, "SQLite error: database is locked"},
		{db.IsFull, "SQLite error: database or disk is full"},
		{db.IsReadOnly, "SQLite error: attempt to write a readonly database"},
	} {
		if !c.class(fmt.Errorf("save: %w", errors.New(c.text))) {
			t.Errorf("not recognised: %s", c.text)
		}
		if c.class(nil) || c.class(errors.New("error code 400: no such table")) {
			t.Errorf("the class of %q takes anything", c.text)
		}
	}
}

func count(t *testing.T, d *db.DB) (n int) {
	t.Helper()
	if err := d.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM t").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}
