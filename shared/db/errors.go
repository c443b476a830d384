package db

import (
	"database/sql/driver"
	"errors"
	"strings"
)

// ErrInDoubt means that a commit failed in a way that leaves open whether it happened.
var ErrInDoubt = errors.New("it is not known whether the transaction was committed")

var errBad = driver.ErrBadConn

// The embedded driver has typed errors and a server sends only text, but both texts are SQLite's own, so one test
// serves both. The phrases are those of sqlite3_errstr and of the constraint messages in SQLite's vdbe.c.

// IsUnique reports whether err is the violation of a UNIQUE constraint or primary key.
func IsUnique(err error) bool {
	return contains(err, "UNIQUE constraint failed")
}

// IsForeignKey reports whether err is the violation of a foreign key.
func IsForeignKey(err error) bool {
	return contains(err, "FOREIGN KEY constraint failed")
}

// IsBusy reports whether err says that another process was writing for too long; nothing was changed.
func IsBusy(err error) bool {
	return contains(err, "database is locked", "database table is locked", "SQLITE_BUSY")
}

// IsStreamGone reports whether err says that a libSQL server has forgotten the connection, so that the statement did not
// run. An expired stream is `error code 400: ` with an empty text, or `stream not found`.
func IsStreamGone(err error) bool {
	if err == nil {
		return false
	}
	return contains(err, "stream not found", "STREAM_EXPIRED") || strings.HasSuffix(err.Error(), "error code 400: ")
}

func contains(err error, phrases ...string) bool {
	if err == nil {
		return false
	}
	for _, p := range phrases {
		if strings.Contains(err.Error(), p) {
			return true
		}
	}
	return false
}
