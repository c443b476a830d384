package backup

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"left4me/shared/account"
	"left4me/shared/db"
	"left4me/shared/db/dbfile"
	"left4me/shared/db/migrations"
	"left4me/shared/durable"
	"left4me/shared/game"
	"left4me/shared/game/launch"
	"left4me/shared/host"
	"left4me/shared/job"
	"left4me/shared/jobstore"
	"left4me/shared/overlay"
	"left4me/shared/owned"
	"left4me/shared/workshop"
)

// Restore replaces a database by a backup.
type Restore struct {
	// Path is the database's file. It need not exist; its directory must.
	Path string
	// Root is LEFT4ME_ROOT. It need not exist.
	Root string
	Now  func() time.Time
}

// Restored is the result of a Restore.
type Restored struct {
	Contents
	// Migrations are those that were applied to the backup.
	Migrations []migrations.Step
	// Previous is the file with the replaced database; empty when there was none.
	Previous string
	// Sessions is the number of ended sessions, Jobs of jobs that were running when the backup was made and will go on, and
	// Builds of enqueued builds.
	Sessions, Jobs, Builds int
	// Unknown are the directories of overlays and servers, below LEFT4ME_ROOT, that belong to none of the backup. They were not changed.
	Unknown []string
}

// From replaces the database by the backup that is read from backup; name is its name in errors. The backup is prepared in a
// copy that is renamed at the end: until then, and after any error, the database is unchanged. While left4me has the database
// open, the error is a *dbfile.InUseError.
//
// New ids will be higher than all ids of the replaced database, if it can be read, and of the directories below LEFT4ME_ROOT. All
// sessions are ended, because the backup may contain sessions that have been ended since. Running jobs will go on, and a build of
// every overlay is enqueued, which makes its links and files match its rows, and a look at the game's releases.
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
	// A restore that was killed may have left it.
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

// prepare changes the copy of a backup to what the database will be, in one file.
func (r Restore) prepare(ctx context.Context, path, name string, done *Restored) error {
	directories, err := r.directories()
	if err != nil {
		return err
	}
	used := sequences(ctx, r.Path)
	for _, d := range directories {
		used[d.table] = max(used[d.table], d.ID)
	}
	d, err := db.Open(db.FileURL(path), "")
	if err != nil {
		return err
	}
	err = r.change(ctx, d, name, used, done)
	if err == nil {
		done.Unknown, err = unknown(ctx, d, directories)
	}
	if err = errors.Join(err, d.Close()); err != nil {
		return err
	}
	// The last connection to close moves the write-ahead log into the file.
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

// directory is one whose name has the id of a row of table.
type directory struct {
	owned.Found
	table string
	// path is its path below LEFT4ME_ROOT.
	path string
}

// directories returns the directories of overlays and servers, and of the runs in those of servers.
func (r Restore) directories() (all []directory, err error) {
	add := func(table, parent string) {
		found, listErr := owned.List(filepath.Join(r.Root, parent))
		err = errors.Join(err, listErr)
		for _, f := range found {
			all = append(all, directory{f, table, filepath.Join(parent, f.Name)})
		}
	}
	add("overlays", "overlays")
	add("servers", launch.Servers)
	for _, d := range slices.Clone(all) {
		if d.table == "servers" {
			add("runs", filepath.Join(d.path, launch.Runs))
		}
	}
	return all, err
}

// unknown returns the paths of the directories of overlays and servers that have no row.
func unknown(ctx context.Context, d *db.DB, directories []directory) (paths []string, err error) {
	for _, dir := range directories {
		if dir.table == "runs" { // belongs to its server
			continue
		}
		rows, err := db.Row(ctx, d, db.Value[int], `SELECT COUNT(*) FROM `+dir.table+` WHERE id = :id`, sql.Named("id", dir.ID))
		if err != nil {
			return nil, fmt.Errorf("look for %s: %w", dir.path, err)
		}
		if rows == 0 {
			paths = append(paths, dir.path)
		}
	}
	return paths, nil
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
	jobs := jobstore.NewStore(d, r.Now)
	ids, err := overlay.NewStore(d, r.Now, jobs).Living(ctx)
	if err != nil {
		return err
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
		if err := host.Release(ctx, q); err != nil {
			return err
		}
		// The directories are as they were before the restore, or another host's.
		if err := game.Forget(ctx, q); err != nil {
			return err
		}
		if err := workshop.ForgetLinks(ctx, q); err != nil {
			return err
		}
		if err := overlay.Changed(ctx, q, ids...); err != nil {
			return err
		}
		// The look for a newer release also records those on the disk, without which no server starts.
		_, err = jobs.EnqueueAll(ctx, q, append(overlay.Builds(ids), jobstore.Request{Operation: job.CheckGame}))
		return err
	})
}

// sequences returns the highest id that each table of the database at path has ever had. It returns none when the database
// cannot be read, which may be why a backup is restored.
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
	type sequence struct {
		table string
		id    int64
	}
	all, err := db.Rows(ctx, d, func(row db.Scanner) (s sequence, err error) {
		err = row.Scan(&s.table, &s.id)
		return s, err
	}, `SELECT name, seq FROM sqlite_sequence`)
	if err != nil {
		return highest
	}
	for _, s := range all {
		highest[s.table] = s.id
	}
	return highest
}

// raise makes the next id of each table higher than its highest used one.
func raise(ctx context.Context, q db.Querier, used map[string]int64) error {
	for table, id := range used {
		for _, statement := range []string{
			`INSERT INTO sqlite_sequence (name, seq) SELECT :table, 0 WHERE EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = :table)
				AND NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = :table)`,
			`UPDATE sqlite_sequence SET seq = MAX(seq, :id) WHERE name = :table`,
		} {
			if _, err := q.ExecContext(ctx, statement, sql.Named("table", table), sql.Named("id", id)); err != nil {
				return fmt.Errorf("raise the ids of %s: %w", table, err)
			}
		}
	}
	return nil
}
