// Package dbfile treats an embedded database as what it is on the disk: it copies one while it is in use, looks whether a
// file is a sound one, and puts another one in its place (SQLite's "How To Corrupt An SQLite Database File" says what must
// not happen on the way).
//
// It knows no table, nor what a backup is for: localrun/backup does.
package dbfile

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"left4me/shared/db"
	"left4me/shared/durable"
)

// Copy writes what the database in the file at from holds at one moment into the empty file at to, durably. It may be in use:
// readers and writers are not kept waiting. The copy is compact and a file of its own, without a write-ahead log.
func Copy(ctx context.Context, from, to string) error {
	d, err := db.Open(db.FileURL(from), "")
	if err != nil {
		return err
	}
	_, err = d.ExecContext(ctx, `VACUUM INTO :to`, sql.Named("to", to))
	if err = errors.Join(err, d.Close()); err != nil {
		return fmt.Errorf("copy the database: %w", err)
	}
	return durable.Sync(to)
}

// header begins every SQLite file (https://www.sqlite.org/fileformat.html, The Database Header).
const header = "SQLite format 3\x00"

// ErrNoDatabase says that a file is no SQLite database.
var ErrNoDatabase = errors.New("not an SQLite database")

// DamagedError says what is wrong with a file that looks like an SQLite database.
type DamagedError struct {
	What string
}

func (e *DamagedError) Error() string { return "damaged or cut short: " + e.What }

// Check looks at every page, index, constraint and foreign key of the database in the file at path, which nobody else may
// have open. The error is ErrNoDatabase, a *DamagedError, or that of reading the file.
func Check(ctx context.Context, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := recognize(f); err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	d, err := db.OpenReadOnly(db.FileURL(path), "")
	if err != nil {
		return err
	}
	return errors.Join(check(ctx, d, info.Size()), d.Close())
}

// recognize returns nil or ErrNoDatabase, by the first bytes.
func recognize(f *os.File) error {
	head := make([]byte, len(header))
	n, err := f.ReadAt(head, 0)
	if err != nil && err != io.EOF {
		return err
	}
	if string(head[:n]) != header {
		return ErrNoDatabase
	}
	return nil
}

func check(ctx context.Context, d *db.DB, size int64) error {
	var verdict string
	if err := d.QueryRowContext(ctx, `PRAGMA integrity_check(1)`).Scan(&verdict); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		verdict = err.Error()
	}
	if verdict != "ok" {
		return &DamagedError{What: verdict}
	}
	var page int64
	if err := d.QueryRowContext(ctx, `PRAGMA page_size`).Scan(&page); err != nil {
		return fmt.Errorf("ask for the size of pages: %w", err)
	}
	// The end of the last page may be one that SQLite has no need to look at.
	if size%page != 0 {
		return &DamagedError{What: fmt.Sprintf("%d bytes are no whole number of pages of %d", size, page)}
	}
	var table string
	var broken int
	err := d.QueryRowContext(ctx, `SELECT COALESCE(MIN("table"), ''), COUNT(*) FROM pragma_foreign_key_check`).Scan(&table, &broken)
	if err != nil {
		return fmt.Errorf("check foreign keys: %w", err)
	}
	if broken > 0 {
		return &DamagedError{What: fmt.Sprintf("%d rows refer to rows that are not there, such as in %s", broken, table)}
	}
	return nil
}

// The files that SQLite keeps beside a database. Those of beside may hold what has been committed; memory does not outlive its
// users.
var beside = []string{"-wal", "-journal"}

const memory = "-shm"

// Remove removes the database in the file at path, if it is there, with everything that belongs to it.
func Remove(path string) error {
	var errs []error
	for _, suffix := range append([]string{"", memory}, beside...) {
		if err := os.Remove(path + suffix); !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// Alone reports whether the file at path holds all of its database, and nothing beside it.
func Alone(path string) (bool, error) {
	for _, suffix := range beside {
		info, err := os.Stat(path + suffix)
		if err == nil && info.Size() > 0 {
			return false, nil
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return false, err
		}
	}
	return true, nil
}
