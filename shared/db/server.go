package db

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/sethvargo/go-retry"
)

const (
	// serverTimeout bounds a statement on a libSQL server with all its repetitions: a write waits there for up to 5 s for
	// each transaction before it. A read, which waits for nobody, is asked for again after a third of that.
	serverTimeout = 15 * time.Second
	serverTries   = 6
	firstPause    = 50 * time.Millisecond // and twice that after each try
)

// boundDefaultClient keeps what the driver does in the background, ending streams, from waiting for ever: it uses
// http.DefaultClient without a context.
var boundDefaultClient = sync.OnceFunc(func() { http.DefaultClient.Timeout = serverTimeout })

// serverConnector makes the driver's connections to a libSQL server robust.
//
// A statement that fails on the way to the server and back may have run or not. What is known not to have run, and what may
// run twice, is repeated on a new stream; any other write fails with ErrInDoubt. Nothing is repeated inside a transaction:
// there the whole transaction is lost, and its connection refuses everything from then on, so that no later statement of
// it runs, and is committed, by itself. (A server that has ended a transaction after its 5 s says so only once.)
type serverConnector struct {
	driver.Connector
	timeout time.Duration
}

func (c *serverConnector) Connect(ctx context.Context) (driver.Conn, error) {
	inner, err := c.Connector.Connect(ctx) // no word to the server before the first statement
	if err != nil {
		return nil, err
	}
	return &serverConn{connector: c, inner: inner}, nil
}

// serverConn is one stream of statements; it is used by one goroutine at a time.
type serverConn struct {
	connector *serverConnector
	inner     driver.Conn
	inTx      bool
	broken    error // with what it answers everything
}

// fate is what is known about a statement that was sent.
type fate int

const (
	answered fate = iota // by the database itself, with a result or an error
	notRun               // and may be sent again
	refused              // not run, and sending it again is pointless
	unknown
)

// What a server says is told apart by plain words: compiling regular expressions would cost the start of every program.

// dbErrors begin what the database, and not the way to it, has to say: the texts of libsql-server's hrana::stmt::StmtError.
var dbErrors = []string{"SQLite ", "SQL ", "Arguments do not match", "Specifying both", "Transaction timed",
	"Operation was blocked", "Response is too large"}

// streamGone reports whether a server says that it has forgotten the stream. (Of a baton that "has already been used",
// somebody in between may have used it for us.)
func streamGone(said string) bool {
	said = strings.ToLower(said)
	_, stream, _ := strings.Cut(said, "stream")
	return strings.Contains(stream, " expired") || strings.Contains(stream, " closed") || strings.Contains(stream, " not found") ||
		strings.Contains(said, "invalid baton")
}

// fateOf reads the driver's error, which for everything that the server has sent is a text.
func fateOf(err error) fate {
	if err == nil {
		return answered
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" || errors.Is(err, driver.ErrBadConn) {
		return notRun // nothing was sent
	}
	text := strings.TrimPrefix(err.Error(), "failed to execute SQL:\n")
	if slices.ContainsFunc(dbErrors, func(begins string) bool { return strings.HasPrefix(text, begins) }) {
		return answered
	}
	if strings.HasPrefix(text, "Server cannot handle additional transactions") {
		return notRun
	}
	text, isStatus := strings.CutPrefix(text, "error code ")
	code, said, _ := strings.Cut(text, ":")
	said = strings.TrimSpace(said)
	switch {
	case !isStatus:
		return unknown
	case code == "408" || code == "429":
		return notRun
	case code == "400" && said == "": // the driver drops the text of {"message": "The stream has expired…", "code": "STREAM_EXPIRED"}
		return notRun
	case (code == "400" || code == "404") && streamGone(said):
		return notRun
	case strings.Contains(said, "already been used"):
		return unknown
	case len(code) == 3 && code[0] == '4':
		return refused
	}
	return unknown
}

// explain says what a person can do about an error of fate refused.
func explain(err error) error {
	switch {
	case contains(err, "error code 401", "error code 403"):
		return fmt.Errorf("%w: DATABASE_AUTH_TOKEN is missing, expired or not for this database: %w", errRefused, err)
	case contains(err, "error code 404", "namespace", "Namespace"):
		return fmt.Errorf("%w: it does not know this database; is DATABASE_URL right? %w", errRefused, err)
	}
	return fmt.Errorf("%w: %w", errRefused, err)
}

// verbOf returns the first word of a statement, in capitals.
func verbOf(query string) string {
	query = strings.TrimSpace(query)
	for strings.HasPrefix(query, "--") {
		_, query, _ = strings.Cut(query, "\n")
		query = strings.TrimSpace(query)
	}
	word := strings.IndexFunc(query, func(r rune) bool { return r != '_' && !unicode.IsLetter(r) })
	if word < 0 {
		word = len(query)
	}
	return strings.ToUpper(query[:word])
}

// run lets do send the query, on c.inner.
func (c *serverConn) run(ctx context.Context, query string, do func(context.Context) error) error {
	if c.broken != nil {
		return c.broken
	}
	caller := ctx
	ctx, stop := context.WithTimeout(ctx, c.connector.timeout)
	defer stop()
	verb := verbOf(query)
	if c.inTx {
		return c.runInTx(ctx, verb, do)
	}
	twice := verb == "SELECT" || verb == "BEGIN" // may run twice
	var last fate
	backoff := retry.WithMaxRetries(serverTries-1, retry.WithJitterPercent(50, retry.NewExponential(firstPause)))
	err := retry.Do(ctx, backoff, func(ctx context.Context) error {
		if c.broken != nil { // by the try before
			inner, err := c.connector.Connector.Connect(ctx)
			if err != nil {
				return err
			}
			_ = c.inner.Close()
			c.inner, c.broken = inner, nil
		}
		if verb == "SELECT" {
			var stop context.CancelFunc
			ctx, stop = context.WithTimeout(ctx, c.connector.timeout/3)
			defer stop()
		}
		err := do(ctx)
		if last = fateOf(err); last == answered {
			return err
		}
		c.broken = plain(err)
		if last == notRun || last == unknown && twice {
			return retry.RetryableError(c.broken)
		}
		return c.broken
	})
	if c.broken == nil {
		c.inTx = verb == "BEGIN" && err == nil
		return err
	}
	switch {
	case last == refused:
		c.broken = explain(c.broken)
		return c.broken
	case caller.Err() == nil: // else it is our caller who was away
		c.broken = fmt.Errorf("%w: %w", errAway, c.broken)
	}
	if last == unknown && !twice {
		c.broken = fmt.Errorf("%w: %w", ErrInDoubt, c.broken)
	}
	return c.broken
}

func (c *serverConn) runInTx(ctx context.Context, verb string, do func(context.Context) error) error {
	ends := verb == "COMMIT" || verb == "END" || verb == "ROLLBACK"
	err := ctx.Err()
	if err != nil {
		c.broken = fmt.Errorf("%w: %w", errTxLost, err) // not sent
		return c.broken
	}
	err = do(ctx)
	switch fate := fateOf(err); {
	case fate == answered && contains(err, "Transaction timed", "no transaction is active"):
		c.broken = fmt.Errorf("%w: %w", errTxLost, err)
	case fate == answered:
		if ends && err == nil {
			c.inTx = false
		}
		return err
	case fate == refused:
		c.broken = explain(plain(err))
	case fate == unknown && (verb == "COMMIT" || verb == "END"):
		c.broken = fmt.Errorf("%w: %w: %w", ErrInDoubt, errAway, plain(err))
	default:
		c.broken = fmt.Errorf("%w: %w", errTxLost, plain(err))
	}
	return c.broken
}

// plain keeps database/sql, which repeats what fails with driver.ErrBadConn, from doing so: that is decided here.
func plain(err error) error {
	if errors.Is(err, driver.ErrBadConn) {
		return errors.New(err.Error())
	}
	return err
}

// noPanic makes an error of the driver's panics, of which there is one for an answer without results.
func noPanic(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("the answer cannot be read: %v", p)
	}
}

func (c *serverConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (result driver.Result, err error) {
	err = c.run(ctx, query, func(ctx context.Context) (err error) {
		defer noPanic(&err)
		result, err = c.inner.(driver.ExecerContext).ExecContext(ctx, query, args)
		return err
	})
	return result, err
}

// QueryContext returns rows that are all here: the driver reads the whole answer.
func (c *serverConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (rows driver.Rows, err error) {
	err = c.run(ctx, query, func(ctx context.Context) (err error) {
		defer noPanic(&err)
		rows, err = c.inner.(driver.QueryerContext).QueryContext(ctx, query, args)
		return err
	})
	return rows, err
}

func (c *serverConn) Ping(ctx context.Context) error {
	return c.run(ctx, "SELECT", func(ctx context.Context) error { return c.inner.(driver.Pinger).Ping(ctx) })
}

// ResetSession comes before each use but the first. The driver begins a new stream then.
func (c *serverConn) ResetSession(ctx context.Context) error {
	return c.inner.(driver.SessionResetter).ResetSession(ctx)
}

// IsValid reports whether the next user may have the connection.
func (c *serverConn) IsValid() bool { return c.broken == nil && !c.inTx }

func (c *serverConn) Close() error { return c.inner.Close() }

func (c *serverConn) Begin() (driver.Tx, error) {
	return c.BeginTx(context.Background(), driver.TxOptions{})
}

// BeginTx begins an immediate transaction. SQLite has one level of isolation.
func (c *serverConn) BeginTx(ctx context.Context, options driver.TxOptions) (driver.Tx, error) {
	if options.ReadOnly {
		return nil, errors.New("there are no read-only transactions")
	}
	if _, err := c.ExecContext(ctx, "BEGIN IMMEDIATE", nil); err != nil {
		return nil, err
	}
	return serverTx{c, context.WithoutCancel(ctx)}, nil
}

type serverTx struct {
	conn *serverConn
	ctx  context.Context
}

func (t serverTx) Commit() error {
	_, err := t.conn.ExecContext(t.ctx, "COMMIT", nil)
	return err
}

func (t serverTx) Rollback() error {
	_, err := t.conn.ExecContext(t.ctx, "ROLLBACK", nil)
	return err
}

func (c *serverConn) Prepare(query string) (driver.Stmt, error) {
	return &serverStmt{c, query}, nil
}

// serverStmt is a statement that is sent whole each time, as the driver does it, too.
type serverStmt struct {
	conn  *serverConn
	query string
}

func (s *serverStmt) Close() error  { return nil }
func (s *serverStmt) NumInput() int { return -1 }

func (s *serverStmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	return s.conn.ExecContext(ctx, s.query, args)
}

func (s *serverStmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	return s.conn.QueryContext(ctx, s.query, args)
}

var errNoContext = errors.New("statements are run with a context")

func (s *serverStmt) Exec([]driver.Value) (driver.Result, error) { return nil, errNoContext }
func (s *serverStmt) Query([]driver.Value) (driver.Rows, error)  { return nil, errNoContext }
