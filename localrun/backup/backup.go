// Package backup writes left4me's embedded database to a file, and restores such a file so that the database and the game
// host's disk agree again.
//
// Overlays and the cache are not part of a backup: builds create links and cached files again, and the files in external
// overlays are for their owners to back up.
package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"left4me/shared/db"
	"left4me/shared/db/dbfile"
	"left4me/shared/durable"
)

// Contents counts what is in a backup.
type Contents struct {
	// Bytes is the size of the file.
	Bytes                   int64
	People, Overlays, Items int
}

// ErrNothing means that there is no database to back up: none of left4me's commands has created one yet.
var ErrNothing = errors.New("there is no database yet")

// ToFile writes the database in the file at path to a new file (0600), which replaces an existing one only with force. There is
// never an incomplete or unchecked backup of that name.
func ToFile(ctx context.Context, path, file string, force bool) (Contents, error) {
	if err := distinct(path, file); err != nil {
		return Contents{}, err
	}
	exists := fmt.Errorf("%s is there already; choose another name, or say --force to replace it", file)
	if _, err := os.Lstat(file); err == nil && !force {
		return Contents{}, exists
	}
	var c Contents
	err := snapshot(ctx, path, file, func(temp *os.File) (err error) {
		if c, err = contents(ctx, temp); err != nil {
			return err
		}
		if force {
			return durable.Rename(temp.Name(), file)
		}
		if err = durable.RenameNew(temp.Name(), file); errors.Is(err, fs.ErrExist) {
			return exists
		}
		return err
	})
	return c, err
}

// To writes the database in the file at path to w, after checking it.
func To(ctx context.Context, path string, w io.Writer) (Contents, error) {
	var c Contents
	err := snapshot(ctx, path, path, func(temp *os.File) (err error) {
		if c, err = contents(ctx, temp); err != nil {
			return err
		}
		// The open file is enough, and nothing is left if this process is killed while w blocks.
		if err := os.Remove(temp.Name()); err != nil {
			return err
		}
		_, err = io.Copy(w, temp)
		return err
	})
	return c, err
}

// snapshot copies the database into a file in the directory of the file beside, checks it, and calls use with it. use may
// rename or remove it.
func snapshot(ctx context.Context, path, beside string, use func(temp *os.File) error) (err error) {
	if info, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) || err == nil && info.Size() == 0 {
		return ErrNothing
	} else if err != nil {
		return err
	}
	removeLeft(filepath.Dir(beside))
	temp, err := create(filepath.Dir(beside))
	if err != nil {
		return err
	}
	defer func() {
		if rerr := dbfile.Remove(temp.Name()); rerr != nil && err == nil {
			err = rerr
		}
		temp.Close()
	}()
	if err := dbfile.Copy(ctx, path, temp.Name()); err != nil {
		return err
	}
	if err := dbfile.Check(ctx, temp.Name()); err != nil {
		return fmt.Errorf("%s is %w; this needs a look, and an older backup", path, err)
	}
	return use(temp)
}

// partialPrefix is the name prefix, before a number, of unfinished backups. Each file is locked while it is being written.
const partialPrefix = ".left4me-backup-"

// create makes a locked file for a backup in dir.
func create(dir string) (*os.File, error) {
	for {
		f, err := os.CreateTemp(dir, partialPrefix+"*")
		if err != nil {
			return nil, err
		}
		// On a file system without locks, removeLeft removes nothing.
		locked := !errors.Is(unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB), unix.EWOULDBLOCK)
		mine, err := f.Stat()
		if err != nil {
			f.Close()
			return nil, err
		}
		if there, err := os.Lstat(f.Name()); locked && err == nil && os.SameFile(mine, there) {
			return f, nil
		}
		f.Close() // removeLeft of another backup has removed it before it was locked
	}
}

// removeLeft removes unfinished backups of killed processes from dir. Errors are ignored, because they must not prevent a
// backup.
func removeLeft(dir string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		number, found := strings.CutPrefix(e.Name(), partialPrefix)
		if _, err := strconv.ParseUint(number, 10, 64); !found || err != nil || !e.Type().IsRegular() {
			continue
		}
		path := filepath.Join(dir, e.Name())
		f, err := os.OpenFile(path, os.O_RDWR|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
		if err != nil {
			continue
		}
		if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
			_ = dbfile.Remove(path)
		}
		f.Close()
	}
}

// contents counts what is in a copy of the database. It uses only tables and columns that every version of the schema has.
func contents(ctx context.Context, copied *os.File) (c Contents, err error) {
	info, err := copied.Stat()
	if err != nil {
		return c, err
	}
	c.Bytes = info.Size()
	d, err := db.OpenReadOnly(db.FileURL(copied.Name()), "")
	if err != nil {
		return c, err
	}
	defer d.Close()
	ours, err := left4mes(ctx, d)
	if err != nil {
		return c, err
	}
	if !ours {
		return c, ErrNothing
	}
	err = d.QueryRowContext(ctx, `SELECT (SELECT COUNT(*) FROM users), (SELECT COUNT(*) FROM overlays WHERE deleted_at IS NULL),
		(SELECT COUNT(*) FROM workshop_items)`).Scan(&c.People, &c.Overlays, &c.Items)
	if err != nil {
		return c, fmt.Errorf("count what is in the backup: %w", err)
	}
	return c, nil
}

// left4mes reports whether the database has the tables of left4me's first migration.
func left4mes(ctx context.Context, d *db.DB) (bool, error) {
	var tables int
	err := d.QueryRowContext(ctx, `SELECT COUNT(*) FROM sqlite_schema WHERE type = 'table'
		AND name IN ('goose_db_version', 'users', 'overlays', 'workshop_items', 'jobs')`).Scan(&tables)
	if err != nil {
		return false, fmt.Errorf("look what is in the database: %w", err)
	}
	return tables == 5, nil
}

// distinct returns an error when file is the database itself or one of its files.
func distinct(path, file string) error {
	given, err := os.Stat(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if given.IsDir() {
		return fmt.Errorf("%s is a directory; name a file", file)
	}
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if own, err := os.Stat(path + suffix); err == nil && os.SameFile(own, given) {
			return fmt.Errorf("%s is the database itself; name another file", file)
		}
	}
	return nil
}
