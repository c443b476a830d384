// Package dbfile copies, checks and replaces the files of embedded databases. SQLite's "How To Corrupt An SQLite Database
// File" explains what must not happen.
//
// It knows no tables and no backups: localrun/backup does.
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

// Copy writes a consistent state of the database in the file at from into the empty file at to, and syncs it. The database may
// be in use; readers and writers do not wait. The copy is compact and has no write-ahead log.
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

// header is the beginning of every SQLite file (https://www.sqlite.org/fileformat.html, The Database Header).
const header = "SQLite format 3\x00"

// ErrNoDatabase means that a file is not an SQLite database.
var ErrNoDatabase = errors.New("not an SQLite database")

// DamagedError is a fault in an SQLite database.
type DamagedError struct {
	What string
}

func (e *DamagedError) Error() string { return "damaged or cut short: " + e.What }

// Check checks every page, index, constraint and foreign key of the database in the file at path, which no other process may
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

// recognize returns ErrNoDatabase if the file does not begin like an SQLite database.
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
	// The integrity check may not need the end of the last page.
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

// Suffixes of the files that SQLite keeps beside a database. Those of beside may contain committed data; memory is only shared
// memory.
var beside = []string{"-wal", "-journal"}

const memory = "-shm"

// Remove removes the database in the file at path and the files beside it, as far as they exist.
func Remove(path string) error {
	var errs []error
	for _, suffix := range append([]string{"", memory}, beside...) {
		if err := os.Remove(path + suffix); !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// Alone reports whether all data of the database is in the file at path, and none in files beside it.
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
