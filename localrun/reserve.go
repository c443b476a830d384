package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"left4me/localrun/heartbeat"
	"left4me/shared/db"
	"left4me/shared/settings"
)

// reserveBytes is the size of the reserve, a file beside the embedded database. On a full disk `localrun gc` removes it, so that
// the database can store the job that makes room.
const reserveBytes = 4 << 20

// reservePath returns the path of the reserve, or "" if the database is on a server.
func reservePath(s settings.Settings) string {
	if path := db.FilePath(s.DatabaseURL); path != "" {
		return strings.TrimSuffix(path, ".db") + ".reserve"
	}
	return ""
}

// keepReserve creates the reserve if it is missing.
func keepReserve(s settings.Settings) error {
	path := reservePath(s)
	if path == "" {
		return nil
	}
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil // another agent has just created it
	}
	if err == nil {
		// Random bytes, because a file system may store zeros without using space.
		_, err = io.CopyN(f, rand.Reader, reserveBytes)
		if err = errors.Join(err, f.Close()); err != nil {
			err = errors.Join(err, os.Remove(path))
		}
	}
	if err != nil {
		return fmt.Errorf("keep space for `localrun gc`: %w", err)
	}
	return nil
}

// useReserve removes the reserve if the disk with the database is full, and reports whether it did.
func useReserve(s settings.Settings) (bool, error) {
	path := reservePath(s)
	if path == "" {
		return false, nil
	}
	if _, free, err := heartbeat.DiskSpace(filepath.Dir(path)); err != nil || free >= reserveBytes {
		return false, nil // if there is a problem, opening the database reports it
	}
	err := os.Remove(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}
