// Package db opens left4me's database, an embedded file or a libSQL server, runs queries and transactions, and classifies
// errors. It is the only package that uses the driver, so that the driver can be replaced in one place.
//
// It knows no tables: each noun's package has its SQL, and shared/db/migrations the schema.
package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"time"

	"github.com/sethvargo/go-retry"
	"github.com/tursodatabase/libsql-client-go/libsql"
)

const (
	// busyTimeout is how long a statement waits for another process's write to the embedded file.
	busyTimeout = 5 * time.Second
	txTries     = 5
)

// DB is an open database. It is safe for concurrent use.
type DB struct {
	*sql.DB
	embedded bool
}

// Querier runs statements: a DB, or a transaction of InTx.
type Querier interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// CheckURL returns an error, one sentence, if a DATABASE_URL is invalid.
func CheckURL(databaseURL string) error {
	u, err := url.Parse(databaseURL)
	if err != nil {
		return fmt.Errorf("%q is not a URL", databaseURL)
	}
	switch u.Scheme {
	case "file":
		path, err := filePath(u)
		if err != nil {
			return err
		}
		if !filepath.IsAbs(path) {
			return fmt.Errorf("the path in %q is not absolute", databaseURL)
		}
		if !embeddedDriver {
			return fmt.Errorf("%q is a file, and this program was built for AWS Lambda, without the embedded database; it needs a libSQL server (libsql://…)", databaseURL)
		}
		return nil
	case "libsql", "https", "http":
		if u.Host == "" {
			return fmt.Errorf("%q names no host", databaseURL)
		}
		if u.RawQuery != "" {
			return fmt.Errorf("%q has a query part; the token belongs into DATABASE_AUTH_TOKEN", databaseURL)
		}
		return nil
	}
	return fmt.Errorf("%q starts with none of file:, libsql://, https:// and http://", databaseURL)
}

func filePath(u *url.URL) (string, error) {
	path := u.Path
	if u.Opaque != "" {
		unescaped, err := url.PathUnescape(u.Opaque)
		if err != nil {
			return "", fmt.Errorf("%q is not a file URL", u)
		}
		path = unescaped
	}
	switch {
	case u.Host != "":
		return "", fmt.Errorf("%q has two slashes after file:; write file:/path", u)
	case u.RawQuery != "":
		return "", fmt.Errorf("%q has a query part, which left4me sets itself", u)
	case path == "" || path == ":memory:":
		return "", fmt.Errorf("%q names no file", u)
	}
	return path, nil
}

// FilePath returns the path of an embedded database's file, or "" for a server's URL or a faulty one.
func FilePath(databaseURL string) string {
	u, err := url.Parse(databaseURL)
	if err != nil || u.Scheme != "file" {
		return ""
	}
	path, err := filePath(u)
	if err != nil {
		return ""
	}
	return path
}

// FileURL returns the DATABASE_URL of the embedded database in the file at path.
func FileURL(path string) string {
	return (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath()}).String()
}

// Open prepares connections to databaseURL; authToken may be empty. Nothing is contacted or created before the first
// statement. The error is CheckURL's, or the driver's.
func Open(databaseURL, authToken string) (*DB, error) {
	// WAL lets pages be read while a job writes; NORMAL is what WAL needs to stay consistent.
	return open(databaseURL, authToken, "journal_mode(WAL)", "synchronous(NORMAL)", "foreign_keys(1)")
}

// OpenReadOnly is Open for reading only: an embedded database refuses every write, and its journal mode stays as it is. A
// server is opened as by Open.
func OpenReadOnly(databaseURL, authToken string) (*DB, error) {
	return open(databaseURL, authToken, "query_only(1)")
}

func open(databaseURL, authToken string, pragmas ...string) (*DB, error) {
	if err := CheckURL(databaseURL); err != nil {
		return nil, err
	}
	path := FilePath(databaseURL)
	dsn := databaseURL
	var options []libsql.Option
	if path != "" {
		// A deferred transaction that turns into a write fails busy without waiting, hence immediate ones.
		dsn = FileURL(path) + "?" + url.Values{
			"_pragma": append([]string{fmt.Sprintf("busy_timeout(%d)", busyTimeout.Milliseconds())}, pragmas...),
			"_txlock": {"immediate"},
		}.Encode()
	} else if authToken != "" {
		options = append(options, libsql.WithAuthToken(authToken))
	}
	connector, err := libsql.NewConnector(dsn, options...)
	if err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	if path == "" {
		limitDefaultClient()
		connector = &serverConnector{Connector: connector, timeout: serverTimeout}
	}
	pool := sql.OpenDB(connector)
	pool.SetMaxOpenConns(8)
	pool.SetMaxIdleConns(4)
	if path == "" {
		// An idle connection keeps a stream open on the server.
		pool.SetConnMaxIdleTime(5 * time.Second)
	}
	return &DB{DB: pool, embedded: path != ""}, nil
}

// Embedded reports whether the database is a file on this machine, where a query takes microseconds.
func (d *DB) Embedded() bool { return d.embedded }

type conditionKey struct{}

// OnlyIf returns a context with which ExecContext and InTx of a DB write only if check, called in the same transaction before anything is
// written, returns nil. Else they return its error as it is.
func OnlyIf(ctx context.Context, check func(ctx context.Context, q Querier) error) context.Context {
	return context.WithValue(ctx, conditionKey{}, check)
}

// ExecContext runs a statement, under the condition of OnlyIf.
func (d *DB) ExecContext(ctx context.Context, query string, args ...any) (result sql.Result, err error) {
	if ctx.Value(conditionKey{}) == nil {
		return d.DB.ExecContext(ctx, query, args...)
	}
	err = d.InTx(ctx, func(ctx context.Context, q Querier) (err error) {
		result, err = q.ExecContext(ctx, query, args...)
		return err
	})
	return result, err
}

// InTx runs fn in an immediate transaction and commits it when fn returns nil. It runs fn again, a few times, when the database
// was busy, or when the transaction was lost with the connection to a server and nothing was committed. Therefore fn must
// have no effects except on q, and must return all errors of q. After an error of fn, the transaction is rolled back and the error
// returned as it is. When it is not known whether a commit happened, the error is ErrInDoubt.
func (d *DB) InTx(ctx context.Context, fn func(ctx context.Context, q Querier) error) error {
	if check, ok := ctx.Value(conditionKey{}).(func(context.Context, Querier) error); ok {
		write := fn
		fn = func(ctx context.Context, q Querier) error {
			if err := check(ctx, q); err != nil {
				return err
			}
			return write(ctx, q)
		}
	}
	backoff := retry.WithMaxRetries(txTries-1, retry.WithJitterPercent(50, retry.NewExponential(10*time.Millisecond)))
	if d.embedded { // each try has waited by itself
		backoff = retry.WithMaxDuration(2*busyTimeout, backoff)
	}
	return retry.Do(ctx, backoff, func(ctx context.Context) error {
		err := d.tryTx(ctx, fn)
		if !errors.Is(err, ErrInDoubt) && (IsBusy(err) || errors.Is(err, errTxLost)) {
			return retry.RetryableError(err)
		}
		return err
	})
}

func (d *DB) tryTx(ctx context.Context, fn func(ctx context.Context, q Querier) error) error {
	conn, err := d.Conn(ctx)
	if err != nil {
		return fmt.Errorf("connect to database: %w", err)
	}
	defer conn.Close()
	if !d.embedded {
		return tryRemoteTx(ctx, conn, fn)
	}
	if _, err := conn.ExecContext(ctx, beginSQL); err != nil {
		discard(conn)
		return fmt.Errorf("begin transaction: %w", err)
	}
	if err := fn(ctx, conn); err != nil {
		rollback(ctx, conn)
		return err
	}
	_, err = conn.ExecContext(ctx, commitSQL)
	switch {
	case err == nil:
		return nil
	case IsBusy(err): // nothing was committed, and SQLite keeps the transaction open
		rollback(ctx, conn)
		return fmt.Errorf("commit: %w", err)
	}
	discard(conn)
	return fmt.Errorf("commit: %w: %w", ErrInDoubt, err)
}

// rollback rolls back conn's transaction even when ctx has ended, so that a cancelled job does not keep the file locked.
func rollback(ctx context.Context, conn *sql.Conn) {
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), busyTimeout)
	defer stop()
	if _, err := conn.ExecContext(ctx, "ROLLBACK"); err != nil {
		discard(conn)
	}
}

// discard makes the pool close conn, which may have an open transaction, instead of reusing it.
func discard(conn *sql.Conn) {
	_ = conn.Raw(func(any) error { return errBad })
}

// Millis returns the stored form of a time: Unix milliseconds.
func Millis(t time.Time) int64 { return t.UnixMilli() }

// Time is the moment of a stored value.
func Time(millis int64) time.Time { return time.UnixMilli(millis) }
