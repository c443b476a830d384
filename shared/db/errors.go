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

// IsNull reports whether err says that a statement gave no value to a column, such as `users.name`, that must have one.
func IsNull(err error, column string) bool {
	return contains(err, "NOT NULL constraint failed: "+column)
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

// IsFull reports whether err says that the disk with the embedded database is full. SQLite reports that differently if it is the
// index of the write-ahead log that does not fit (SQLITE_IOERR_SHMSIZE).
func IsFull(err error) bool {
	return contains(err, "database or disk is full", "disk I/O error (4874)")
}

// IsReadOnly reports whether err says that the database can only be read.
func IsReadOnly(err error) bool {
	return contains(err, "attempt to write a readonly database")
}

// Unavailable returns a sentence for people, with what to do, if err says that the database cannot do now what it could do before:
// its disk is full, it can only be read, or it is busy or away. For any other error it returns "".
func Unavailable(err error) string {
	var sentence string
	switch {
	case IsFull(err):
		sentence = "The disk with left4me's database is full. Please make room on it, such as with `localrun gc`, and try again."
	case IsReadOnly(err):
		sentence = "left4me's database can only be read. Please make its disk and its file writable, and try again."
	case IsBusy(err):
		sentence = "left4me's database is busy with other changes. Please try again in a moment."
	case IsAway(err):
		sentence = "left4me's database cannot be reached. Please try again in a moment."
	}
	if sentence != "" && errors.Is(err, ErrInDoubt) {
		sentence += " This may have been done all the same, so look first."
	}
	return sentence
}

// Reason returns err's text for people: the sentence of Unavailable, or err's own.
func Reason(err error) string {
	if sentence := Unavailable(err); sentence != "" {
		return sentence
	}
	return err.Error()
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
