package db

import (
	"database/sql/driver"
	"errors"
	"strings"
)

// ErrInDoubt means that a write or a commit failed, and that the database may have written it or not.
var ErrInDoubt = errors.New("it is not known whether the database has written this")

var (
	errBad = driver.ErrBadConn
	// errAway means that a server failed, and that a later try may succeed.
	errAway = errors.New("the database server could not be reached or did not answer properly")
	// errTxLost means that the server has dropped a transaction and committed nothing of it.
	errTxLost = errors.New("the database server has lost the transaction")
	// errRefused means that a server refuses statements until somebody changes a setting.
	errRefused = errors.New("the database server refuses to answer")
)

// The embedded driver has typed errors and a server sends only text. Both use SQLite's messages, so one check serves both. The
// phrases are those of sqlite3_errstr and of the constraint messages in SQLite's vdbe.c.

// IsUnique reports whether err is the violation of a UNIQUE constraint or primary key.
func IsUnique(err error) bool {
	return contains(err, "UNIQUE constraint failed")
}

// IsOtherSchema reports whether err says that the database has the schema of an older or newer left4me than this program, as for
// a moment during an upgrade.
func IsOtherSchema(err error) bool {
	return contains(err, "no such column", "has no column named", "no such table")
}

// IsBusy reports whether err says that another process was writing for too long. Nothing was changed.
func IsBusy(err error) bool {
	return contains(err, "database is locked", "database table is locked", "SQLITE_BUSY", "cannot handle additional transactions")
}

// IsAway reports whether err says that the database server could not be reached, was overloaded or failed. A later try may
// succeed. Unless err is also ErrInDoubt, nothing was written.
func IsAway(err error) bool {
	return errors.Is(err, errAway) || errors.Is(err, errTxLost)
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
