package dbfile

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"left4me/shared/db"
)

// write creates a database at path with the rows and closes it properly.
func write(t *testing.T, path string, rows ...string) {
	t.Helper()
	d, err := db.Open(db.FileURL(path), "")
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if _, err := d.ExecContext(t.Context(), `CREATE TABLE IF NOT EXISTS t (v TEXT)`); err != nil {
		t.Fatal(err)
	}
	for _, row := range rows {
		if _, err := d.ExecContext(t.Context(), `INSERT INTO t (v) VALUES (?)`, row); err != nil {
			t.Fatal(err)
		}
	}
}

// read returns the rows of the database at path.
func read(t *testing.T, path string) string {
	t.Helper()
	if err := Check(t.Context(), path); err != nil {
		t.Fatalf("%s: %v", filepath.Base(path), err)
	}
	d, err := db.Open(db.FileURL(path), "")
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	var all string
	if err := d.QueryRowContext(t.Context(), `SELECT group_concat(v, ' ') FROM t`).Scan(&all); err != nil {
		t.Fatalf("%s: %v", filepath.Base(path), err)
	}
	return all
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}

// killed creates the files of a killed process: the last rows are only in the log.
func killed(t *testing.T, path string, rows ...string) {
	t.Helper()
	elsewhere := filepath.Join(t.TempDir(), "live.db")
	write(t, elsewhere, rows[:len(rows)-1]...)
	d, err := db.Open(db.FileURL(elsewhere), "")
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if _, err := d.ExecContext(t.Context(), `INSERT INTO t (v) VALUES (?)`, rows[len(rows)-1]); err != nil {
		t.Fatal(err)
	}
	for _, suffix := range []string{"", "-wal"} {
		content, err := os.ReadFile(elsewhere + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path+suffix, content, 0o640); err != nil {
			t.Fatal(err)
		}
	}
}

func TestReplaceKeepsRowsThatAreOnlyInTheLog(t *testing.T) {
	dir := t.TempDir()
	path, with, previous := filepath.Join(dir, "a.db"), filepath.Join(dir, "b.db"), filepath.Join(dir, "old.db")
	killed(t, path, "one", "two")
	write(t, with, "new")
	if err := Replace(t.Context(), path, with, previous); err != nil {
		t.Fatal(err)
	}
	if got, want := names(t, dir), []string{"a.db", "old.db"}; !slices.Equal(got, want) {
		t.Errorf("left: %q", got)
	}
	if now, before := read(t, path), read(t, previous); now != "new" || before != "one two" {
		t.Errorf("now %q, before %q", now, before)
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o640 {
		t.Errorf("%v, %v: not the rights of before", info.Mode(), err)
	}
}

// A database that is too damaged for SQLite is kept with its log.
func TestReplaceKeepsTheLogOfADamagedDatabase(t *testing.T) {
	dir := t.TempDir()
	path, with, previous := filepath.Join(dir, "a.db"), filepath.Join(dir, "b.db"), filepath.Join(dir, "old.db")
	killed(t, path, "one", "two")
	if err := os.WriteFile(path, []byte(strings.Repeat("rubbish ", 1024)), 0o600); err != nil {
		t.Fatal(err)
	}
	write(t, with, "new")
	if err := Replace(t.Context(), path, with, previous); err != nil {
		t.Fatal(err)
	}
	if got, want := names(t, dir), []string{"a.db", "old.db", "old.db-wal"}; !slices.Equal(got, want) {
		t.Errorf("left: %q", got)
	}
	if now := read(t, path); now != "new" {
		t.Errorf("now %q", now)
	}
}

// A log without its database must not be used with the new one.
func TestReplaceOfNothing(t *testing.T) {
	dir := t.TempDir()
	path, with := filepath.Join(dir, "a.db"), filepath.Join(dir, "b.db")
	killed(t, path, "one", "two")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	write(t, with, "new")
	if err := Replace(t.Context(), path, with, ""); err != nil {
		t.Fatal(err)
	}
	if got := names(t, dir); !slices.Equal(got, []string{"a.db"}) || read(t, path) != "new" {
		t.Errorf("left: %q", got)
	}
}

// Each operation on the disk fails, before or after it has happened. There is always a complete database at path.
func TestReplaceWithFailuresAtEachStep(t *testing.T) {
	for at := 0; ; at++ {
		for _, happened := range []bool{false, true} {
			dir := t.TempDir()
			path, with, previous := filepath.Join(dir, "a.db"), filepath.Join(dir, "b.db"), filepath.Join(dir, "old.db")
			killed(t, path, "one", "two")
			write(t, with, "new")
			n, what := 0, ""
			failing := func(name string, do func() error) error {
				n++
				if n-1 != at {
					return do()
				}
				what = name
				if happened {
					_ = do()
				}
				return errors.New("injected")
			}
			err := steps{
				link: func(from, to string) error {
					return failing("link "+filepath.Base(from), func() error { return os.Link(from, to) })
				},
				remove: func(path string) error {
					return failing("remove "+filepath.Base(path), func() error { return os.Remove(path) })
				},
				rename: func(from, to string) error {
					return failing("rename "+filepath.Base(from), func() error { return os.Rename(from, to) })
				},
			}.replace(t.Context(), path, with, previous)
			if what == "" {
				if err != nil || at < 7 {
					t.Errorf("%d steps, %v", at, err)
				}
				return
			}
			if err == nil {
				t.Errorf("%s: no error", what)
			}
			now := read(t, path)
			if renamed := happened && strings.HasPrefix(what, "rename"); now != map[bool]string{false: "one two", true: "new"}[renamed] {
				t.Errorf("%s failed (happened: %t): now %q", what, happened, now)
			} else if renamed && read(t, previous) != "one two" {
				t.Errorf("%s: the database of before is gone", what)
			}
		}
	}
}

func TestCopyDuringWrites(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.db")
	write(t, path, "0")
	ctx, stop := context.WithCancel(t.Context())
	written := make(chan error)
	d, err := db.Open(db.FileURL(path), "")
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	// Each transaction writes two rows. A copy must have both or none.
	go func() {
		for i := 1; ctx.Err() == nil; i++ {
			err := d.InTx(t.Context(), func(ctx context.Context, q db.Querier) error {
				for range 2 {
					if _, err := q.ExecContext(ctx, `INSERT INTO t (v) VALUES (?)`, fmt.Sprint(i)); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				written <- err
				return
			}
		}
		written <- nil
	}()
	for i := range 20 {
		to := filepath.Join(dir, fmt.Sprint("copy", i))
		if err := os.WriteFile(to, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := Copy(t.Context(), path, to); err != nil {
			t.Fatal(err)
		}
		rows := strings.Fields(read(t, to))
		if len(rows)%2 != 1 {
			t.Errorf("%d rows", len(rows))
		}
		if info, err := os.Stat(to); err != nil || info.Mode() != 0o600 {
			t.Errorf("%v, %v", info.Mode(), err)
		}
	}
	stop()
	if err := <-written; err != nil {
		t.Error(err)
	}
}

func TestCopyIsCancelled(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.db")
	write(t, path, "one")
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if err := Copy(ctx, path, filepath.Join(dir, "copy")); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}
