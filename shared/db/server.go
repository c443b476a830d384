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
	// serverTimeout limits a statement on a libSQL server, including all retries. A write waits up to 5 s there for each
	// earlier transaction. A read does not wait, so it is retried after a third of the limit.
	serverTimeout = 15 * time.Second
	serverTries   = 6
	firstPause    = 50 * time.Millisecond // doubled after each try
)

// limitDefaultClient sets the timeout of http.DefaultClient, which the driver uses without a context to close streams in the
// background.
var limitDefaultClient = sync.OnceFunc(func() { http.DefaultClient.Timeout = serverTimeout })

// slow is how long an answer may take before the function of WithWaits is told.
const slow = time.Second

type waitsKey struct{}

// WithWaits returns a context with which waits is called, once, with the reason, if a statement outside of a transaction has to wait
// for a libSQL server: because the server cannot be reached, or because its answer takes more than a second.
func WithWaits(ctx context.Context, waits func(error)) context.Context {
	var once sync.Once
	return context.WithValue(ctx, waitsKey{}, func(err error) { once.Do(func() { waits(err) }) })
}

// serverConnector makes the driver's connections to a libSQL server robust.
//
// If the connection fails during a statement, the statement may have run or not. It is retried on a new stream if it certainly
// did not run or if it may run twice. Any other write fails with ErrInDoubt. Inside a transaction nothing is retried: the
// transaction is lost, and its connection refuses all later statements, which would otherwise run and be committed outside of
// it. (A server that has ended a transaction after its 5 s says so only once.)
type serverConnector struct {
	driver.Connector
	timeout time.Duration
}

func (c *serverConnector) Connect(ctx context.Context) (driver.Conn, error) {
	inner, err := c.Connector.Connect(ctx) // contacts no server before the first statement
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
	tx        *serverTx // database/sql's open transaction
	broken    error     // if set, the error of every later statement
}

// outcome is what we know about a statement that was sent.
type outcome int

const (
	answered outcome = iota // the database returned a result or an error
	notRun                  // the statement did not run and may be sent again
	refused                 // the statement did not run, and a retry would be refused, too
	unknown
)

// Errors of a server are classified without regular expressions, because compiling them slows down the start of every program.

// dbErrors are the prefixes of the database's own errors: the texts of libsql-server's hrana::stmt::StmtError.
var dbErrors = []string{"SQLite ", "SQL ", "Arguments do not match", "Specifying both", "Transaction timed",
	"Operation was blocked", "Response is too large"}

// streamGone reports whether message says that the server has dropped the stream. It does not accept "has already been used":
// a proxy may have used the baton for our request.
func streamGone(message string) bool {
	message = strings.ToLower(message)
	_, stream, _ := strings.Cut(message, "stream")
	return strings.Contains(stream, " expired") || strings.Contains(stream, " closed") || strings.Contains(stream, " not found") ||
		strings.Contains(message, "invalid baton")
}

// withoutPrefix returns the text of an error of the driver without the driver's own line.
func withoutPrefix(err error) string {
	return strings.TrimPrefix(err.Error(), "failed to execute SQL:\n")
}

// outcomeOf classifies an error of the driver, which passes on the server's errors only as text.
func outcomeOf(err error) outcome {
	if err == nil {
		return answered
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" || errors.Is(err, driver.ErrBadConn) {
		return notRun // nothing was sent
	}
	text := withoutPrefix(err)
	if slices.ContainsFunc(dbErrors, func(begins string) bool { return strings.HasPrefix(text, begins) }) {
		return answered
	}
	if strings.HasPrefix(text, "Server cannot handle additional transactions") {
		return notRun
	}
	text, isStatus := strings.CutPrefix(text, "error code ")
	code, message, _ := strings.Cut(text, ":")
	message = strings.TrimSpace(message)
	switch {
	case !isStatus:
		return unknown
	case code == "408" || code == "429":
		return notRun
	case code == "400" && message == "": // the driver drops the text of {"message": "The stream has expired…", "code": "STREAM_EXPIRED"}
		return notRun
	case (code == "400" || code == "404") && streamGone(message):
		return notRun
	case strings.Contains(message, "already been used"):
		return unknown
	case len(code) == 3 && code[0] == '4':
		return refused
	}
	return unknown
}

// explain adds to an error with the outcome refused what an operator can do about it.
func explain(err error) error {
	switch {
	case contains(err, "error code 401", "error code 403"):
		return fmt.Errorf("%w: DATABASE_AUTH_TOKEN is missing, expired or not for this database: %w", errRefused, err)
	case contains(err, "error code 404", "namespace", "Namespace"):
		return fmt.Errorf("%w: it does not know this database; is DATABASE_URL right? %w", errRefused, err)
	}
	return fmt.Errorf("%w: %w", errRefused, err)
}

// verbOf returns the first word of a statement in capitals, or verbOfBatch's.
func verbOf(query string) string {
	if strings.HasPrefix(query, batchPrefix) {
		return verbOfBatch(query)
	}
	query = strings.TrimSpace(query)
	for strings.HasPrefix(query, "--") {
		_, query, _ = strings.Cut(query, "\n")
		query = strings.TrimSpace(query)
	}
	end := strings.IndexFunc(query, func(r rune) bool { return r != '_' && !unicode.IsLetter(r) })
	if end < 0 {
		end = len(query)
	}
	return strings.ToUpper(query[:end])
}

// run calls send, which sends a statement with that verb on c.inner, once or several times as serverConnector describes.
func (c *serverConn) run(ctx context.Context, verb string, send func(context.Context) error) error {
	if c.broken != nil {
		return c.broken
	}
	caller := ctx
	ctx, stop := context.WithTimeout(ctx, c.connector.timeout)
	defer stop()
	if c.inTx {
		return c.runInTx(ctx, verb, send)
	}
	repeatable := verb == "SELECT" || verb == "BEGIN"
	var last outcome
	backoff := retry.WithMaxRetries(serverTries-1, retry.WithJitterPercent(50, retry.NewExponential(firstPause)))
	waits, _ := ctx.Value(waitsKey{}).(func(error))
	if waits != nil {
		defer time.AfterFunc(slow, func() { waits(errors.New("it has not answered yet")) }).Stop()
	}
	err := retry.Do(ctx, backoff, func(ctx context.Context) error {
		if c.broken != nil { // by the previous try
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
		err := send(ctx)
		if last = outcomeOf(err); last == answered {
			return err
		}
		c.broken = hideBadConn(err)
		if last == notRun || last == unknown && repeatable {
			if waits != nil {
				waits(errors.New(withoutPrefix(c.broken)))
			}
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
	case caller.Err() == nil: // otherwise the caller gave up
		c.broken = fmt.Errorf("%w: %w", errAway, c.broken)
	}
	if last == unknown && !repeatable {
		c.broken = fmt.Errorf("%w: %w", ErrInDoubt, c.broken)
	}
	return c.broken
}

func (c *serverConn) runInTx(ctx context.Context, verb string, send func(context.Context) error) error {
	commits := verb == "COMMIT" || verb == "END"
	if err := ctx.Err(); err != nil {
		c.broken = fmt.Errorf("%w: %w", errTxLost, err)
		return c.broken
	}
	err := send(ctx)
	switch result := outcomeOf(err); {
	case result == answered && contains(err, "Transaction timed", "no transaction is active"):
		c.broken = fmt.Errorf("%w: %w", errTxLost, err)
	case result == answered:
		if err == nil && (commits || verb == "ROLLBACK") {
			c.inTx = false
		}
		return err
	case result == refused:
		c.broken = explain(hideBadConn(err))
	case result == unknown && commits:
		c.broken = fmt.Errorf("%w: %w: %w", ErrInDoubt, errAway, hideBadConn(err))
	default:
		c.broken = fmt.Errorf("%w: %w", errTxLost, hideBadConn(err))
	}
	return c.broken
}

// hideBadConn returns an error that is not driver.ErrBadConn, after which database/sql would retry on its own.
func hideBadConn(err error) error {
	if errors.Is(err, driver.ErrBadConn) {
		return errors.New(err.Error())
	}
	return err
}

// recoverTo turns a panic of the driver into *err. The driver panics when an answer has no results.
func recoverTo(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("the answer cannot be read: %v", p)
	}
}

func (c *serverConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (result driver.Result, err error) {
	if c.tx != nil {
		c.tx.add(query, args)
		return driver.ResultNoRows, nil
	}
	err = c.run(ctx, verbOf(query), func(ctx context.Context) (err error) {
		defer recoverTo(&err)
		result, err = c.inner.(driver.ExecerContext).ExecContext(ctx, query, args)
		return err
	})
	return result, err
}

// QueryContext returns rows that cannot fail later, because the driver has read the whole answer.
func (c *serverConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (rows driver.Rows, err error) {
	if c.tx != nil {
		return nil, errors.New("a transaction of database/sql cannot read from a database server")
	}
	err = c.run(ctx, verbOf(query), func(ctx context.Context) (err error) {
		defer recoverTo(&err)
		rows, err = c.inner.(driver.QueryerContext).QueryContext(ctx, query, args)
		return err
	})
	return rows, err
}

// verbOfBatch returns a verb for several statements in one request: SELECT if they only read, BEGIN if they begin a transaction that
// stays open, COMMIT if they end one that was open, and otherwise another one.
func verbOfBatch(query string) string {
	begins, commits := strings.HasPrefix(query, batchPrefix+beginSQL), strings.HasSuffix(query, ";"+commitSQL)
	switch {
	case begins && commits:
		return "BATCH"
	case begins:
		return "BEGIN"
	case commits:
		return commitSQL
	}
	return "SELECT"
}

func (c *serverConn) Ping(ctx context.Context) error {
	return c.run(ctx, "SELECT", func(ctx context.Context) error { return c.inner.(driver.Pinger).Ping(ctx) })
}

// ResetSession is called before each use except the first. The driver then begins a new stream.
func (c *serverConn) ResetSession(ctx context.Context) error {
	return c.inner.(driver.SessionResetter).ResetSession(ctx)
}

// IsValid reports whether the connection may be used again.
func (c *serverConn) IsValid() bool { return c.broken == nil && !c.inTx }

func (c *serverConn) Close() error { return c.inner.Close() }

func (c *serverConn) Begin() (driver.Tx, error) {
	return c.BeginTx(context.Background(), driver.TxOptions{})
}

// BeginTx begins an immediate transaction. It ignores the isolation level: SQLite has only one.
func (c *serverConn) BeginTx(ctx context.Context, options driver.TxOptions) (driver.Tx, error) {
	if options.ReadOnly {
		return nil, errors.New("there are no read-only transactions")
	}
	c.tx = &serverTx{conn: c, ctx: context.WithoutCancel(ctx), queries: []string{beginSQL}}
	return c.tx, nil
}

// serverTx is a transaction of database/sql, as goose uses them. Its statements have no results, and are sent together by Commit,
// which returns their errors: a server would end a transaction that takes many round trips.
type serverTx struct {
	conn    *serverConn
	ctx     context.Context
	queries []string
	args    []driver.NamedValue
}

func (t *serverTx) add(query string, args []driver.NamedValue) {
	t.queries = append(t.queries, query)
	for _, a := range args {
		a.Ordinal = len(t.args) + 1
		t.args = append(t.args, a)
	}
}

func (t *serverTx) Commit() error {
	t.conn.tx = nil
	_, err := t.conn.ExecContext(t.ctx, batchText(append(t.queries, commitSQL)), t.args)
	return err
}

func (t *serverTx) Rollback() error {
	t.conn.tx = nil
	return nil
}

func (c *serverConn) Prepare(query string) (driver.Stmt, error) {
	return &serverStmt{c, query}, nil
}

// serverStmt is a statement whose text is sent each time, as the driver does.
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
