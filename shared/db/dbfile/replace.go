package dbfile

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"left4me/shared/db"
	"left4me/shared/durable"
)

// InUseError means that another process has the database open.
type InUseError struct {
	// Who describes the process, as far as it is known: `localrun agent, process 123`.
	Who string
}

func (e *InUseError) Error() string { return "the database is in use by " + e.Who }

// steps are the file operations of Replace. Tests replace them to inject errors.
type steps struct {
	link   func(from, to string) error
	remove func(path string) error
	rename func(from, to string) error
}

var onDisk = steps{link: os.Link, remove: os.Remove, rename: os.Rename}

// Replace replaces the database at path, if there is one, by the complete and synced file at with, and keeps the old one under
// the name previous in the same directory. The new file gets the owner and the mode of the old one; without an old one, the
// owner of the directory.
//
// While another process has the old one open, the error is an *InUseError and nothing was changed. After an error or a crash
// there is a complete database at path: the old one, or the new one with the old one at previous.
func Replace(ctx context.Context, path, with, previous string) error {
	return onDisk.replace(ctx, path, with, previous)
}

func (s steps) replace(ctx context.Context, path, with, previous string) error {
	old, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		if err := inherit(with, filepath.Dir(path), 0o600); err != nil {
			return err
		}
		// Files beside a database that is gone must not be used with the new one.
		if err := Remove(path); err != nil {
			return err
		}
		return s.put(with, path)
	}
	if err != nil {
		return err
	}
	// Closing this file, or any other one of this process on the same database, releases the lock.
	defer old.Close()
	if err := inherit(with, path, 0); err != nil {
		return err
	}
	// SQLite would delete the log of a file that it does not recognize.
	if recognize(old) == nil {
		settle(ctx, path)
	}
	if err := lock(old); err != nil {
		return err
	}
	for _, suffix := range append([]string{""}, beside...) {
		if err := s.link(path+suffix, previous+suffix); err != nil && (suffix == "" || !errors.Is(err, fs.ErrNotExist)) {
			return err
		}
	}
	if err := durable.Sync(filepath.Dir(path)); err != nil {
		return err
	}
	// SQLite would use an old log with the new database.
	for _, suffix := range append([]string{memory}, beside...) {
		if err := s.remove(path + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return s.put(with, path)
}

func (s steps) put(with, path string) error {
	if err := s.rename(with, path); err != nil {
		return err
	}
	return durable.Sync(filepath.Dir(path))
}

// settle moves the write-ahead log of a database that nobody uses into its file. If that fails, the log stays. It does no harm
// to a database that is in use.
func settle(ctx context.Context, path string) {
	d, err := db.Open(db.FileURL(path), "")
	if err != nil {
		return
	}
	_, _ = d.ExecContext(ctx, `PRAGMA wal_checkpoint(TRUNCATE)`)
	_ = d.Close() // the last connection to close removes the log
}

// SQLite locks these bytes of the file (https://www.sqlite.org/fileformat.html, The Lock-Byte Page): every connection in WAL
// mode holds a read lock on some of them.
const (
	lockByte  = 0x40000000
	lockBytes = 512
)

// lock keeps other processes from using the database. It also works on a damaged one.
func lock(f *os.File) error {
	want := unix.Flock_t{Type: unix.F_WRLCK, Start: lockByte, Len: lockBytes}
	err := unix.FcntlFlock(f.Fd(), unix.F_SETLK, &want)
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) {
		if err := unix.FcntlFlock(f.Fd(), unix.F_GETLK, &want); err != nil || want.Type == unix.F_UNLCK {
			want.Pid = 0
		}
		return &InUseError{Who: process(int(want.Pid))}
	}
	if err != nil {
		return fmt.Errorf("lock the database: %w", err)
	}
	return nil
}

// process describes a process by its program, its first argument and its id.
func process(pid int) string {
	if pid <= 0 {
		return "another process"
	}
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	words := strings.Split(strings.TrimRight(string(line), "\x00"), "\x00")
	if err != nil || words[0] == "" {
		return fmt.Sprintf("process %d", pid)
	}
	words[0] = filepath.Base(words[0])
	return fmt.Sprintf("%s, process %d", strings.Join(words[:min(len(words), 2)], " "), pid)
}

// inherit gives the file at path the owner of the file at from, and the given mode, or from's if mode is 0.
func inherit(path, from string, mode fs.FileMode) error {
	var have, want unix.Stat_t
	if err := unix.Stat(path, &have); err != nil {
		return &fs.PathError{Op: "stat", Path: path, Err: err}
	}
	if err := unix.Stat(from, &want); err != nil {
		return &fs.PathError{Op: "stat", Path: from, Err: err}
	}
	if have.Uid != want.Uid || have.Gid != want.Gid {
		if err := os.Chown(path, int(want.Uid), int(want.Gid)); err != nil {
			return fmt.Errorf("give the new database the owner of %s: %w; be that user, or root", from, err)
		}
	}
	if mode == 0 {
		mode = fs.FileMode(want.Mode).Perm()
	}
	return os.Chmod(path, mode)
}
