package db

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// A libSQL server gets several statements in one request where possible: each request takes a round trip. The embedded database
// gets them one by one, as they come.

// statement is one that waits for others, to be sent together with them.
type statement struct {
	query string
	args  []any
	read  func(*sql.Rows) error // nil: the result is not needed
}

// batchPrefix begins the text of several statements, and tells it from that of one.
const batchPrefix = "SELECT 'batch';"

const (
	beginSQL  = "BEGIN IMMEDIATE"
	commitSQL = "COMMIT"
)

// batchText is the text of several statements.
func batchText(queries []string) string { return batchPrefix + strings.Join(queries, "\n;") }

// send runs statements in one request, and calls read of each. If one fails, those after it do not run, and an open transaction
// is rolled back.
func send(ctx context.Context, q querier, statements []statement) error {
	if len(statements) == 1 {
		return ask(ctx, q, statements[0])
	}
	queries := make([]string, len(statements))
	var args []any
	for n, s := range statements {
		suffix := "_" + strconv.Itoa(n)
		queries[n] = renameParameters(s.query, suffix)
		for _, a := range s.args {
			named, ok := a.(sql.NamedArg)
			if !ok {
				return errors.New("a statement without named parameters cannot be sent together with others")
			}
			named.Name += suffix
			args = append(args, named)
		}
	}
	rows, err := q.QueryContext(ctx, batchText(queries), args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for _, s := range statements {
		if !rows.NextResultSet() {
			return errors.Join(errors.New("the answer has too few results"), rows.Err())
		}
		if s.read != nil {
			if err := s.read(rows); err != nil {
				return err
			}
		}
	}
	return nil
}

func ask(ctx context.Context, q querier, s statement) error {
	rows, err := q.QueryContext(ctx, s.query, s.args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	if s.read == nil {
		return nil
	}
	return s.read(rows)
}

// renameParameters adds suffix to the names of a query's parameters, such as :id.
func renameParameters(query, suffix string) string {
	var b strings.Builder
	for len(query) > 0 {
		switch {
		case query[0] == '\'' || query[0] == '"':
			end := strings.IndexByte(query[1:], query[0]) + 2
			if end < 2 {
				end = len(query)
			}
			b.WriteString(query[:end])
			query = query[end:]
		case strings.HasPrefix(query, "--"):
			_, query, _ = strings.Cut(query, "\n")
			b.WriteByte('\n')
		case query[0] == ':':
			end := 1
			for end < len(query) && (query[end] == '_' || '0' <= query[end] && query[end] <= '9' || 'a' <= query[end]|0x20 && query[end]|0x20 <= 'z') {
				end++
			}
			b.WriteString(query[:end] + suffix)
			query = query[end:]
		default:
			end := strings.IndexAny(query[1:], `'":-`) + 1
			if end < 1 {
				end = len(query)
			}
			b.WriteString(query[:end])
			query = query[end:]
		}
	}
	return b.String()
}

// Later runs a statement of a transaction whose result is not needed, at the latest when the transaction is committed. An error
// is that of the statement, or of an earlier one.
func Later(ctx context.Context, q Querier, query string, args ...any) error {
	if t, ok := q.(*remoteTx); ok {
		return t.later(statement{query: query, args: args})
	}
	_, err := q.ExecContext(ctx, query, args...)
	return err
}

// RowsLater is Rows in a transaction whose result is only needed after the commit, or after Flush: then use is called with it. In the
// embedded database, and outside of a transaction, use is called at once.
func RowsLater[T any](ctx context.Context, q Querier, use func([]T), scan func(Scanner) (T, error), query string, args ...any) error {
	s := statement{query: query, args: args, read: func(rows *sql.Rows) error {
		all, err := scanAll(rows, scan)
		if err == nil {
			use(all)
		}
		return err
	}}
	if t, ok := q.(*remoteTx); ok {
		return t.later(s)
	}
	return read(ctx, q, s)
}

// Flush runs what waits in a transaction, so that the results of RowsLater are there.
func Flush(ctx context.Context, q Querier) error {
	if t, ok := q.(*remoteTx); ok {
		return t.flush(ctx)
	}
	return nil
}

// remoteTx is a transaction on a libSQL server. Its BEGIN waits for the first statement whose result is needed, or for the COMMIT.
// After an error, it has no effect.
type remoteTx struct {
	conn    *sql.Conn
	waiting []statement
	open    bool // on the server
	failed  error
}

func (t *remoteTx) later(s statement) error {
	if t.failed == nil {
		t.waiting = append(t.waiting, s)
	}
	return t.failed
}

// flush sends what waits, followed by more.
func (t *remoteTx) flush(ctx context.Context, more ...statement) error {
	if t.failed != nil {
		return t.failed
	}
	all := append(t.waiting, more...)
	if t.waiting = nil; len(all) == 0 {
		return nil
	}
	t.failed = send(ctx, t.conn, all)
	// When one of several statements fails, the server rolls back.
	t.open = t.failed == nil || len(all) == 1
	return t.failed
}

func (t *remoteTx) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	if err := t.flush(ctx); err != nil {
		return nil, err
	}
	return t.conn.QueryContext(ctx, query, args...)
}

func (t *remoteTx) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	if len(t.waiting) == 0 {
		var r sql.Result
		if t.failed == nil {
			r, t.failed = t.conn.ExecContext(ctx, query, args...)
		}
		return r, t.failed
	}
	var changed result
	err := t.flush(ctx, statement{query: query, args: args}, statement{query: `SELECT changes()`, read: func(rows *sql.Rows) error {
		all, err := scanAll(rows, Value[result])
		if err == nil {
			changed = all[0]
		}
		return err
	}})
	return changed, err
}

// result is the number of rows that a statement has changed.
type result int64

func (n result) RowsAffected() (int64, error) { return int64(n), nil }
func (n result) LastInsertId() (int64, error) { return 0, errors.New("use RETURNING") }

// tryRemoteTx is tryTx on a connection to a server. What the functions of Then wait for is sent with the COMMIT.
func tryRemoteTx(ctx context.Context, conn *sql.Conn, fn func(ctx context.Context, q Querier) error) error {
	t := &remoteTx{conn: conn, waiting: []statement{{query: beginSQL}}}
	err := fn(ctx, t)
	if err == nil {
		var last []statement
		g, isThen := ctx.Value(thenKey{}).(*group)
		if isThen {
			last = g.wait()
		}
		// The error of the connection already is ErrInDoubt if needed.
		if err = t.flush(ctx, append(last, statement{query: commitSQL})...); err == nil {
			if isThen {
				g.mu.Lock()
				defer g.mu.Unlock()
				g.answer(nil)
			}
			return nil
		}
		err = fmt.Errorf("commit: %w", err)
	}
	if t.open {
		rollback(ctx, conn)
	}
	return err
}

// Together runs functions that read the database d with their ctx, by Rows and Row. What they wait for at the same time is read in
// one request, in the order of the functions. The embedded database runs one function after the other. A function may itself call
// Together. The error is that of the first function that fails.
func Together(ctx context.Context, d *DB, functions ...func(context.Context) error) error {
	if m, ok := ctx.Value(groupKey{}).(*member); ok && m.db == d {
		return m.run(ctx, m.order, functions)
	}
	if d.embedded || len(functions) == 1 {
		for _, f := range functions {
			if err := f(ctx); err != nil {
				return err
			}
		}
		return nil
	}
	return newGroup(d, 1).run(ctx, nil, functions)
}

// Then runs write, which changes the database d in one transaction, and then functions that read what it has left, as Together does.
// A server gets what they wait for first in one request with the COMMIT. The functions must not depend on what write returns. The
// error is that of write, after which the functions read nothing, or of the first function that fails.
func Then(ctx context.Context, d *DB, write func(context.Context) error, functions ...func(context.Context) error) error {
	if d.embedded {
		if err := write(ctx); err != nil {
			return err
		}
		return Together(ctx, d, functions...)
	}
	g := newGroup(d, 2)
	var readErr error
	var reads sync.WaitGroup
	reads.Go(func() {
		defer g.done(ctx)
		readErr = g.run(ctx, nil, functions)
	})
	err := write(context.WithValue(ctx, thenKey{}, g))
	g.mu.Lock()
	g.failed = err
	g.mu.Unlock()
	g.done(ctx)
	reads.Wait()
	return cmp.Or(err, readErr)
}

// Into returns a function for Together that stores what read returns in dest.
func Into[T any](dest *T, read func(context.Context) (T, error)) func(context.Context) error {
	return func(ctx context.Context) (err error) {
		*dest, err = read(ctx)
		return err
	}
}

type (
	groupKey struct{} // of the member that a function of Together is
	thenKey  struct{} // of the group whose reads follow a transaction
)

// group is the functions of one call of Together or Then, with those of the calls that they make.
type group struct {
	db      *DB
	mu      sync.Mutex
	changed *sync.Cond // running
	running int        // functions, with the write of Then, that do not wait for a result
	waiting []question
	failed  error // of the write of Then
}

func newGroup(d *DB, running int) *group {
	g := &group{db: d, running: running}
	g.changed = sync.NewCond(&g.mu)
	return g
}

// question is what one function waits for.
type question struct {
	order []int
	statement
	answer chan error
}

// member is a function of a group.
type member struct {
	*group
	order []int // its index, after that of the function that called Together
}

// run runs functions, in the place of the one caller that waits for them.
func (g *group) run(ctx context.Context, order []int, functions []func(context.Context) error) error {
	g.mu.Lock()
	g.running += len(functions) - 1
	left := len(functions)
	g.mu.Unlock()
	errs := make([]error, len(functions))
	var wg sync.WaitGroup
	for n, f := range functions {
		wg.Go(func() {
			errs[n] = f(context.WithValue(ctx, groupKey{}, &member{g, append(slices.Clip(order), n)}))
			g.mu.Lock()
			left--
			last := left == 0
			g.mu.Unlock()
			if !last { // otherwise the caller goes on
				g.done(ctx)
			}
		})
	}
	wg.Wait()
	return cmp.Or(errs...)
}

// read runs s together with what the other functions ask for.
func (m *member) read(ctx context.Context, s statement) error {
	answer := make(chan error, 1)
	m.mu.Lock()
	m.waiting = append(m.waiting, question{m.order, s, answer})
	m.mu.Unlock()
	m.done(ctx)
	return <-answer
}

// done notes that a function waits or has ended. The last one sends what all wait for.
func (g *group) done(ctx context.Context) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.running--
	g.changed.Broadcast()
	if g.running > 0 || len(g.waiting) == 0 {
		return
	}
	err := g.failed
	if err == nil {
		err = send(ctx, g.db.DB, g.statements())
	}
	g.answer(err)
}

// wait returns, for the write of Then, what all functions wait for, once none runs.
func (g *group) wait() []statement {
	g.mu.Lock()
	defer g.mu.Unlock()
	for g.running > 1 {
		g.changed.Wait()
	}
	return g.statements()
}

// statements needs mu.
func (g *group) statements() []statement {
	slices.SortFunc(g.waiting, func(a, b question) int { return slices.Compare(a.order, b.order) })
	all := make([]statement, len(g.waiting))
	for n, q := range g.waiting {
		all[n] = q.statement
	}
	return all
}

// answer lets the functions that wait go on. It needs mu.
func (g *group) answer(err error) {
	g.running += len(g.waiting)
	for _, q := range g.waiting {
		q.answer <- err
	}
	g.waiting = nil
}

// read runs s on q, with others if it is part of a group or of a transaction on a server.
func read(ctx context.Context, q querier, s statement) error {
	switch q := q.(type) {
	case *remoteTx:
		return q.flush(ctx, s)
	case *DB:
		if m, ok := ctx.Value(groupKey{}).(*member); ok && m.db == q {
			return m.read(ctx, s)
		}
	}
	return ask(ctx, q, s)
}
