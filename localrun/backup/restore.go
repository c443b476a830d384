package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"left4me/shared/account"
	"left4me/shared/builder"
	"left4me/shared/db"
	"left4me/shared/db/dbfile"
	"left4me/shared/db/migrations"
	"left4me/shared/durable"
	"left4me/shared/jobstore"
	"left4me/shared/overlay"
)

// Restore is one restoring of a backup.
type Restore struct {
	// Path is the database's file, whether it is there or not; its directory is.
	Path string
	// OverlaysDir is LEFT4ME_ROOT/overlays.
	OverlaysDir string
	Now         func() time.Time
}

// Restored says what a Restore has done.
type Restored struct {
	Contents
	// Migrations were applied to the backup's schema.
	Migrations []migrations.Step
	// Previous is the file that the database of before is in now; empty when there was none.
	Previous string
	// Sessions were ended, Jobs were at work when the backup was made and go on, and Builds are waiting.
	Sessions, Jobs, Builds int
	// Unknown are the overlays' directories that belong to no overlay of the backup. They are as they were.
	Unknown []string
}

// From puts the backup that r gives, which errors call name, in the place of the database. All is done to a copy beside it
// that is renamed at last: until then, and after any error, the database is as it was. While left4me has it open, the error
// is a *dbfile.InUseError.
//
// Afterwards ids go on above all that there ever were: those of the database of before, if it can be read, and the
// directories of overlays. Everybody has to sign in again, because the backup may have sessions that were ended since. Jobs that
// were at work go on, and every overlay waits for a build, which brings its links and files in line with its rows.
func (r Restore) From(ctx context.Context, backup io.Reader, name string) (done Restored, err error) {
	if target, err := filepath.EvalSymlinks(r.Path); err == nil {
		r.Path = target
	}
	dir, err := os.Open(filepath.Dir(r.Path))
	if err != nil {
		return done, err
	}
	defer dir.Close()
	if err := unix.Flock(int(dir.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return done, fmt.Errorf("lock %s: %w; is another `localrun restore` at work?", dir.Name(), err)
	}
	fresh := r.Path + ".restoring"
	// What a restore that was killed has left.
	if err := dbfile.Remove(fresh); err != nil {
		return done, err
	}
	defer func() { err = errors.Join(err, dbfile.Remove(fresh)) }()
	if err := receive(backup, fresh); err != nil {
		return done, fmt.Errorf("copy %s: %w", name, err)
	}
	if err := dbfile.Check(ctx, fresh); err != nil {
		return done, fmt.Errorf("%s is %w; nothing was changed", name, err)
	}
	if err := r.prepare(ctx, fresh, name, &done); err != nil {
		return done, err
	}
	_, err = os.Lstat(r.Path)
	if err == nil {
		done.Previous = r.Path + ".before-restore-" + r.Now().UTC().Format("20060102T150405.000Z")
	} else if !errors.Is(err, fs.ErrNotExist) {
		return done, err
	}
	return done, dbfile.Replace(ctx, r.Path, fresh, done.Previous)
}

func receive(backup io.Reader, path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, backup)
	return errors.Join(err, f.Close())
}

// prepare makes the copy of a backup what the database is to be, in one file.
func (r Restore) prepare(ctx context.Context, path, name string, done *Restored) error {
	directories, err := builder.Directories(r.OverlaysDir)
	if err != nil {
		return err
	}
	used := sequences(ctx, r.Path)
	for _, d := range directories {
		used["overlays"] = max(used["overlays"], d.OverlayID)
	}
	d, err := db.Open(db.FileURL(path), "")
	if err != nil {
		return err
	}
	err = r.change(ctx, d, name, used, done)
	var known map[int64]bool
	if err == nil {
		known, err = overlay.NewStore(d, r.Now).IDs(ctx)
	}
	if err = errors.Join(err, d.Close()); err != nil {
		return err
	}
	for _, d := range directories {
		if !known[d.OverlayID] {
			done.Unknown = append(done.Unknown, d.Name)
		}
	}
	// Whoever closes a database last brings its log into its file.
	if alone, err := dbfile.Alone(path); err != nil {
		return err
	} else if !alone {
		return fmt.Errorf("%s was not written completely", path)
	}
	if err := durable.Sync(path); err != nil {
		return err
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	done.Contents, err = contents(ctx, f)
	return err
}

func (r Restore) change(ctx context.Context, d *db.DB, name string, used map[string]int64, done *Restored) error {
	ours, err := left4mes(ctx, d)
	if err != nil {
		return err
	}
	if !ours {
		return fmt.Errorf("%s is no database of left4me's; nothing was changed", name)
	}
	_, newer, err := migrations.Pending(ctx, d)
	if err != nil {
		return err
	}
	if newer {
		return fmt.Errorf("%s is of a newer left4me than this one; install that version, and restore with it. Nothing was changed", name)
	}
	if done.Migrations, err = migrations.Up(ctx, d); err != nil {
		return err
	}
	overlays, jobs := overlay.NewStore(d, r.Now), jobstore.NewStore(d, r.Now)
	all, err := overlays.List(ctx, account.User{Admin: true})
	if err != nil {
		return err
	}
	var ids []int64
	for _, o := range all {
		ids = append(ids, o.ID)
	}
	done.Builds = len(ids)
	return d.InTx(ctx, func(ctx context.Context, q db.Querier) (err error) {
		if err := raise(ctx, q, used); err != nil {
			return err
		}
		if done.Sessions, err = account.EndAllSessions(ctx, q); err != nil {
			return err
		}
		if done.Jobs, err = jobs.HandBackAll(ctx, q, "left4me was restored from a backup that was made while this ran"); err != nil {
			return err
		}
		if err := overlay.Changed(ctx, q, ids...); err != nil {
			return err
		}
		_, err = jobs.EnqueueBuilds(ctx, q, ids, 0)
		return err
	})
}

// sequences returns the highest id that each table of the database at path has ever had; none when it cannot be read, which
// may be why a backup is restored.
func sequences(ctx context.Context, path string) map[string]int64 {
	highest := map[string]int64{}
	if _, err := os.Stat(path); err != nil {
		return highest
	}
	d, err := db.OpenReadOnly(db.FileURL(path), "")
	if err != nil {
		return highest
	}
	defer d.Close()
	rows, err := d.QueryContext(ctx, `SELECT name, seq FROM sqlite_sequence`)
	if err != nil {
		return highest
	}
	defer rows.Close()
	for rows.Next() {
		var table string
		var id int64
		if rows.Scan(&table, &id) == nil {
			highest[table] = id
		}
	}
	return highest
}

// raise makes the next id of each table a higher one than used says.
func raise(ctx context.Context, q db.Querier, used map[string]int64) error {
	for table, id := range used {
		for _, statement := range []string{
			`INSERT INTO sqlite_sequence (name, seq) SELECT ?1, 0 WHERE EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?1)
				AND NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = ?1)`,
			`UPDATE sqlite_sequence SET seq = MAX(seq, ?2) WHERE name = ?1`,
		} {
			if _, err := q.ExecContext(ctx, statement, table, id); err != nil {
				return fmt.Errorf("raise the ids of %s: %w", table, err)
			}
		}
	}
	return nil
}
