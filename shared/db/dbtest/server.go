package dbtest

import (
	"context"
	"crypto/rand"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"left4me/shared/db"
)

// Server is a libSQL server: Hrana over HTTP, versions 2 and 3 in JSON, without cursors. Each stream is a connection to one
// SQLite file. To a client it behaves like libsql-server, including the error texts; faults can be added with Fail. It serves
// /v2, /v3, /v2/pipeline and /v3/pipeline. /control takes commands for Do.
//
// Do not change the fields while it runs.
type Server struct {
	// URL is the server's DATABASE_URL, set by Serve.
	URL string
	// Token is required in every request, unless it is empty.
	Token string
	// A stream expires after StreamTimeout without use. A transaction that has been open for TxTimeout is rolled back at the
	// next request of any client.
	StreamTimeout, TxTimeout time.Duration
	// Now is the clock for both timeouts.
	Now func() time.Time

	file   string
	db     *sql.DB
	anchor *sql.Conn // stays open, because the last connection to close deletes SQLite's log

	mu       sync.Mutex
	streams  map[string]*stream
	faults   []*Fault
	received [][]string    // the statements of each request
	changed  chan struct{} // closed and replaced when a lock may have become free
}

type stream struct {
	id   string
	conn *sql.Conn // nil if expired or closed
	seq  int       // number of the next baton
	busy bool      // a request is using the stream
	used time.Time
	sqls map[int32]string

	pragma     bool      // a pragma may have changed a setting of the connection
	total      int64     // sqlite3_total_changes so far
	begun      time.Time // start of the open transaction, or zero
	rolledBack bool      // the server has rolled back the transaction, and the client does not know yet
}

const (
	maxSQLs    = 50
	maxSQLSize = 5000
	// forgetAfter is how long the server remembers an expired stream.
	forgetAfter = 5 * time.Minute
	// pollLock is how long a statement waits for a change before it tries a lock again.
	pollLock = 20 * time.Millisecond
	// maxIdle is how many connections of closed streams are kept for new ones: opening one reads the whole schema.
	maxIdle = 8
)

// NewServer returns a server for the SQLite file, which it creates if necessary.
func NewServer(file string) (*Server, error) {
	// The server itself waits for locks, not SQLite. Test files need not survive a power cut.
	pool, err := sql.Open("sqlite", db.FileURL(file)+"?_pragma=busy_timeout(0)&_pragma=synchronous(OFF)&_pragma=foreign_keys(1)")
	if err != nil {
		return nil, err
	}
	pool.SetMaxIdleConns(maxIdle)
	anchor, err := pool.Conn(context.Background())
	if err == nil {
		// Only a connection that has read holds the lock that keeps SQLite from deleting the log.
		_, err = anchor.ExecContext(context.Background(), "PRAGMA journal_mode = WAL; SELECT COUNT(*) FROM sqlite_schema")
	}
	if err != nil {
		pool.Close()
		return nil, fmt.Errorf("open %s: %w", file, err)
	}
	return &Server{
		StreamTimeout: 10 * time.Second, TxTimeout: 5 * time.Second, Now: time.Now,
		file: file, db: pool, anchor: anchor, streams: map[string]*stream{}, changed: make(chan struct{}),
	}, nil
}

// File is the path of the database file, for tests that open it directly.
func (s *Server) File() string { return s.file }

// Close closes all streams. No request may be running.
func (s *Server) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, st := range s.streams {
		st.close()
	}
	clear(s.streams)
	s.anchor.Close()
	return s.db.Close()
}

func (st *stream) close() {
	if st.conn == nil {
		return
	}
	if st.pragma || !st.begun.IsZero() {
		_ = st.conn.Raw(func(any) error { return driver.ErrBadConn }) // not for another stream
	}
	st.conn.Close()
	st.conn = nil
}

// protocolError is an error that closes the stream and is answered as plain text.
type protocolError string

func (e protocolError) Error() string { return string(e) }

func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	version := 2
	switch r.Method + " " + r.URL.Path {
	case "GET /v2", "GET /v3":
		fmt.Fprintf(w, "Hello, this is HTTP API %s (Hrana over HTTP)", r.URL.Path[1:])
		return
	case "POST /control":
		s.control(w, r)
		return
	case "POST /v3/pipeline":
		version = 3
	case "POST /v2/pipeline":
	default:
		http.NotFound(w, r)
		return
	}
	var request pipelineRequest
	if err := json.NewDecoder(r.Body).Decode(&request); err != nil {
		textError(w, "Cannot deserialize client message from JSON: "+err.Error())
		return
	}
	fault := s.record(request)
	if fault != nil && !fault.After {
		fault.apply(w, r)
		if fault.Delay == 0 {
			return
		}
	}
	if s.Token != "" && r.Header.Get("Authorization") != "Bearer "+s.Token {
		jsonError(w, http.StatusUnauthorized, map[string]string{"error": "Unauthorized: `The JWT is invalid`"})
		return
	}
	answer, err := s.pipeline(r.Context(), request, version)
	if fault != nil && fault.After {
		fault.apply(w, r)
		if fault.Delay == 0 {
			return
		}
	}
	var protocol protocolError
	switch {
	case err == nil:
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(answer) // fails if the client is gone
	case errors.Is(err, errExpired):
		jsonError(w, http.StatusBadRequest, &fail{Message: errExpired.Error(), Code: "STREAM_EXPIRED"})
	case errors.As(err, &protocol):
		textError(w, protocol.Error())
	default:
		jsonError(w, http.StatusInternalServerError, map[string]string{"error": err.Error()})
	}
}

func jsonError(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

func textError(w http.ResponseWriter, message string) {
	w.Header().Set("Content-Type", "text/plain")
	w.WriteHeader(http.StatusBadRequest)
	_, _ = io.WriteString(w, message)
}

var (
	errExpired = errors.New("The stream has expired due to inactivity")
	errTimeout = &fail{"Transaction timed out", "TRANSACTION_TIMEOUT"}
)

// pipeline runs the requests in order on their stream. A protocolError closes the stream.
func (s *Server) pipeline(ctx context.Context, request pipelineRequest, version int) (*pipelineResponse, error) {
	st, err := s.acquire(ctx, request.Baton)
	if err != nil {
		return nil, err
	}
	answer := &pipelineResponse{Results: []streamResult{}}
	closed := false
	for _, r := range request.Requests {
		if closed {
			err = protocolError("Stream for this baton was closed")
			break
		}
		var response any
		response, err = s.request(ctx, st, r, version)
		closed = closed || r.Type == "close"
		if f, ok := errors.AsType[*fail](err); ok {
			answer.Results = append(answer.Results, streamResult{Type: "error", Error: f})
			err = nil
			continue
		}
		if err != nil {
			break
		}
		answer.Results = append(answer.Results, streamResult{Type: "ok", Response: response})
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	st.busy, st.used = false, s.Now()
	if closed || err != nil {
		st.close()
		delete(s.streams, st.id)
		s.notify()
		return answer, err
	}
	st.seq++
	baton := st.id + "." + strconv.Itoa(st.seq)
	answer.Baton = &baton
	return answer, nil
}

// acquire returns the stream of the baton, or a new one.
func (s *Server) acquire(ctx context.Context, baton *string) (*stream, error) {
	s.reap()
	if baton == nil {
		conn, err := s.db.Conn(ctx)
		if err != nil {
			return nil, err
		}
		st := &stream{id: rand.Text(), conn: conn, busy: true, sqls: map[int32]string{}}
		if err := conn.QueryRowContext(ctx, "SELECT total_changes()").Scan(&st.total); err != nil {
			conn.Close()
			return nil, err
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.streams[st.id] = st
		return st, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	id, seq, _ := strings.Cut(*baton, ".")
	st := s.streams[id]
	switch {
	case st == nil:
		return nil, protocolError("Received an invalid baton")
	case st.conn == nil:
		return nil, errExpired
	case st.busy || seq != strconv.Itoa(st.seq):
		return nil, protocolError("Received a baton that has already been used")
	}
	st.busy = true
	return st, nil
}

// reap applies the timeouts to streams and transactions.
func (s *Server) reap() {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.Now()
	for id, st := range s.streams {
		switch {
		case st.busy:
		case st.conn == nil && now.Sub(st.used) >= forgetAfter:
			delete(s.streams, id)
		case st.conn != nil && now.Sub(st.used) >= s.StreamTimeout:
			st.close()
			s.notify()
		case st.conn != nil && !st.begun.IsZero() && now.Sub(st.begun) >= s.TxTimeout:
			s.rollBack(st)
		}
	}
}

// rollBack rolls back st's transaction. The caller holds s.mu, and st is not busy.
func (s *Server) rollBack(st *stream) {
	_, _ = st.conn.ExecContext(context.Background(), "ROLLBACK")
	st.begun, st.rolledBack = time.Time{}, true
	s.notify()
}

// notify wakes the statements that wait for a lock. The caller holds s.mu.
func (s *Server) notify() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// ExpireStreams expires all streams that are not busy.
func (s *Server) ExpireStreams() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, st := range s.streams {
		if !st.busy {
			st.close()
		}
	}
	s.notify()
}

// EndTransactions rolls back the transactions of all streams that are not busy, as after TxTimeout.
func (s *Server) EndTransactions() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, st := range s.streams {
		if !st.busy && st.conn != nil && !st.begun.IsZero() {
			s.rollBack(st)
		}
	}
}

// Streams returns the number of open streams.
func (s *Server) Streams() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, st := range s.streams {
		if st.conn != nil {
			n++
		}
	}
	return n
}

func (s *Server) request(ctx context.Context, st *stream, r streamRequest, version int) (any, error) {
	answer := map[string]any{"type": r.Type}
	var err error
	switch r.Type {
	case "close":
	case "execute":
		if r.Stmt == nil {
			return nil, protocolError("Either `sql` or `sql_id` are required")
		}
		answer["result"], err = s.execute(ctx, st, *r.Stmt)
	case "batch":
		if r.Batch == nil {
			return nil, protocolError("a batch is required")
		}
		answer["result"], err = s.batch(ctx, st, *r.Batch, version)
	case "sequence":
		var text string
		if text, err = st.text(r.sqlText); err == nil {
			st.pragma = true // perhaps one of many statements
			_, err = s.run(ctx, st, func(ctx context.Context) (*stmtResult, error) {
				_, err := st.conn.ExecContext(ctx, text)
				return nil, err
			})
		}
	case "describe":
		var text string
		if text, err = st.text(r.sqlText); err == nil {
			answer["result"], err = st.describe(text)
		}
	case "store_sql":
		if r.SQL == nil || r.SQLID == nil {
			return nil, protocolError("Either `sql` or `sql_id` are required")
		}
		switch _, known := st.sqls[*r.SQLID]; {
		case known:
			return nil, protocolError(fmt.Sprintf("SQL text %d already exists", *r.SQLID))
		case len(st.sqls) >= maxSQLs:
			return nil, &fail{fmt.Sprintf("The server already stores %d SQL texts, it cannot store more", len(st.sqls)), "SQL_STORE_TOO_MANY"}
		case len(*r.SQL) > maxSQLSize:
			return nil, &fail{"The statement is too large to be stored", "SQL_STORE_TOO_LARGE"}
		}
		st.sqls[*r.SQLID] = *r.SQL
	case "close_sql":
		if r.SQLID != nil {
			delete(st.sqls, *r.SQLID)
		}
	case "get_autocommit":
		if version < 3 {
			return nil, protocolError("The `get_autocommit` request is only supported in protocol version hrana3 and higher")
		}
		answer["is_autocommit"] = st.autocommit()
	default:
		return nil, protocolError("StreamRequest type not recognized")
	}
	return answer, err
}

func (st *stream) text(t sqlText) (string, error) {
	switch {
	case (t.SQL == nil) == (t.SQLID == nil):
		return "", protocolError("Either `sql` or `sql_id` are required, but not both")
	case t.SQL != nil:
		return *t.SQL, nil
	}
	text, ok := st.sqls[*t.SQLID]
	if !ok {
		return "", protocolError(fmt.Sprintf("SQL text %d not found", *t.SQLID))
	}
	return text, nil
}

func (s *Server) batch(ctx context.Context, st *stream, b batch, version int) (*batchResult, error) {
	result := &batchResult{StepResults: make([]*stmtResult, len(b.Steps)), StepErrors: make([]*fail, len(b.Steps))}
	for i, step := range b.Steps {
		if step.Condition != nil {
			holds, err := st.holds(*step.Condition, result, i, version)
			if err != nil {
				return nil, err
			}
			if !holds {
				continue
			}
		}
		r, err := s.execute(ctx, st, step.Stmt)
		if f, ok := errors.AsType[*fail](err); ok {
			result.StepErrors[i] = f
			continue
		}
		if err != nil {
			return nil, err
		}
		result.StepResults[i] = r
	}
	return result, nil
}

// holds evaluates the condition of step number.
func (st *stream) holds(c condition, sofar *batchResult, number, version int) (bool, error) {
	switch c.Type {
	case "ok", "error":
		if c.Step == nil || *c.Step < 0 || *c.Step >= number {
			return false, protocolError("Invalid reference to step in a batch condition")
		}
		if c.Type == "ok" {
			return sofar.StepResults[*c.Step] != nil, nil
		}
		return sofar.StepErrors[*c.Step] != nil, nil
	case "not":
		if c.Cond == nil {
			return false, protocolError("BatchCond type not recognized")
		}
		holds, err := st.holds(*c.Cond, sofar, number, version)
		return !holds, err
	case "and", "or":
		for _, each := range c.Conds {
			holds, err := st.holds(each, sofar, number, version)
			if err != nil || holds != (c.Type == "and") {
				return holds, err
			}
		}
		return c.Type == "and", nil
	case "is_autocommit":
		if version < 3 {
			return false, protocolError("BatchCond of type `is_autocommit` is only supported in protocol version hrana3 and higher")
		}
		return st.autocommit(), nil
	}
	return false, protocolError("BatchCond type not recognized")
}

func (s *Server) execute(ctx context.Context, st *stream, q stmt) (*stmtResult, error) {
	text, err := st.text(q.sqlText)
	if err != nil {
		return nil, err
	}
	known := scan(text)
	switch {
	case known.statements == 0:
		return nil, &fail{"SQL string does not contain any statement", "SQL_NO_STATEMENT"}
	case known.statements > 1:
		return nil, &fail{"SQL string contains more than one statement", "SQL_MANY_STATEMENTS"}
	case !supported(text, known):
		return nil, &fail{"SQL string could not be parsed: unsupported statement: " + text, "SQL_PARSE_ERROR"}
	case len(q.Args) > 0 && len(q.NamedArgs) > 0:
		return nil, &fail{"Specifying both positional and named arguments is not supported", "ARGS_BOTH_POSITIONAL_AND_NAMED"}
	case max(len(q.Args), len(q.NamedArgs)) > len(known.params):
		return nil, argsInvalid(fmt.Sprintf("too many parameters, expected %d", len(known.params)))
	}
	var args []any
	for _, a := range q.Args {
		args = append(args, a.v)
	}
	for _, a := range q.NamedArgs {
		args = append(args, sql.Named(strings.TrimLeft(a.Name, ":@$"), a.Value.v))
	}
	st.pragma = st.pragma || known.verb() == "PRAGMA"
	return s.run(ctx, st, func(ctx context.Context) (*stmtResult, error) {
		return st.query(ctx, text, known.verb(), args, q.WantRows == nil || *q.WantRows)
	})
}

func argsInvalid(why string) *fail {
	return &fail{"Arguments do not match SQL parameters: " + why, "ARGS_INVALID"}
}

// run calls do, which runs SQL on the stream's connection, until no other stream holds a lock that it needs.
func (s *Server) run(ctx context.Context, st *stream, do func(context.Context) (*stmtResult, error)) (*stmtResult, error) {
	for {
		s.mu.Lock()
		changed := s.changed
		rolledBack := st.rolledBack
		st.rolledBack = false
		s.mu.Unlock()
		if rolledBack {
			return nil, errTimeout
		}
		result, err := do(context.WithoutCancel(ctx))
		// Not the extended code of a transaction whose snapshot is outdated: waiting does not help it.
		e, ok := errors.AsType[*sqlite.Error](err)
		locked := ok && e.Code() == sqlite3.SQLITE_BUSY
		open := !st.autocommit()
		s.mu.Lock()
		switch {
		case open && st.begun.IsZero():
			st.begun = s.Now()
		case !open && !locked:
			st.begun = time.Time{}
			s.notify()
		}
		s.mu.Unlock()
		if !locked {
			return result, failure(err)
		}
		select {
		case <-ctx.Done():
			return nil, failure(err)
		case <-changed:
		case <-time.After(pollLock):
			s.reap()
		}
	}
}

// query runs one statement.
func (st *stream) query(ctx context.Context, text, verb string, args []any, wantRows bool) (*stmtResult, error) {
	rows, err := st.conn.QueryContext(ctx, text, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	result := &stmtResult{Cols: []column{}, Rows: [][]value{}}
	types, err := rows.ColumnTypes()
	if err != nil {
		return nil, err
	}
	for _, t := range types {
		name, c := t.Name(), column{}
		c.Name = &name
		if declared := t.DatabaseTypeName(); declared != "" {
			c.Decltype = &declared
		}
		result.Cols = append(result.Cols, c)
	}
	for rows.Next() {
		row := make([]value, len(types))
		dest := make([]any, len(types))
		for i := range row {
			dest[i] = &row[i].v
		}
		if err := rows.Scan(dest...); err != nil {
			return nil, err
		}
		if wantRows {
			result.Rows = append(result.Rows, row)
		}
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	if err := rows.Close(); err != nil {
		return nil, err
	}
	var changes, total, inserted int64
	if err := st.conn.QueryRowContext(ctx, "SELECT changes(), total_changes(), last_insert_rowid()").Scan(&changes, &total, &inserted); err != nil {
		return nil, err
	}
	if total != st.total {
		result.AffectedRowCount, st.total = changes, total
	}
	if verb == "INSERT" || verb == "REPLACE" {
		id := strconv.FormatInt(inserted, 10)
		result.LastInsertRowid = &id
	}
	return result, nil
}

// autocommit reports whether no transaction is open. The driver offers no other way than to try.
func (st *stream) autocommit() bool {
	if _, err := st.conn.ExecContext(context.Background(), "BEGIN"); err != nil {
		return false
	}
	_, _ = st.conn.ExecContext(context.Background(), "ROLLBACK")
	return true
}

func (st *stream) describe(text string) (*describeResult, error) {
	known := scan(text)
	result := &describeResult{Params: []column{}, Cols: []column{}, IsExplain: known.verb() == "EXPLAIN"}
	result.IsReadonly = result.IsExplain || known.verb() == "SELECT" || known.verb() == "VALUES" ||
		known.verb() == "WITH" && !slices.ContainsFunc(known.words, func(w string) bool { return w == "INSERT" || w == "UPDATE" || w == "DELETE" })
	for _, p := range known.params {
		if p == "?" {
			result.Params = append(result.Params, column{})
			continue
		}
		result.Params = append(result.Params, column{Name: &p})
	}
	err := st.conn.Raw(func(conn any) error {
		infos, err := conn.(interface {
			ColumnInfo(string) ([]sqlite.ColumnInfo, error)
		}).ColumnInfo(text)
		for _, info := range infos {
			c := column{Name: &info.Name}
			if info.DeclType != "" {
				c.Decltype = &info.DeclType
			}
			result.Cols = append(result.Cols, c)
		}
		return err
	})
	return result, failure(err)
}

// failure converts an error of the embedded driver into the server's error.
func failure(err error) error {
	if err == nil {
		return nil
	}
	e, ok := errors.AsType[*sqlite.Error](err)
	if !ok {
		if why := err.Error(); strings.HasPrefix(why, "missing ") {
			return argsInvalid(why)
		}
		return err
	}
	// `constraint failed: UNIQUE constraint failed: t.a (2067)`: the code's text, SQLite's message, the code.
	message := e.Error()
	if i := strings.LastIndex(message, " ("+strconv.Itoa(e.Code())+")"); i >= 0 {
		message = message[:i]
	}
	if _, after, ok := strings.Cut(message, ": "); ok {
		message = after
	}
	code := "SQLITE_UNKNOWN"
	switch e.Code() & 0xff {
	case sqlite3.SQLITE_BUSY:
		code = "SQLITE_BUSY"
	case sqlite3.SQLITE_CONSTRAINT:
		code = "SQLITE_CONSTRAINT"
	}
	return &fail{"SQLite error: " + message, code}
}

// supported reports whether a server accepts the statement. It refuses those that concern files or one connection only.
func supported(text string, known scanned) bool {
	second := ""
	if len(known.words) > 1 {
		second = known.words[1]
	}
	switch known.verb() {
	case "SELECT", "VALUES", "WITH", "INSERT", "REPLACE", "UPDATE", "DELETE", "DROP", "ALTER", "EXPLAIN",
		"BEGIN", "COMMIT", "END", "ROLLBACK", "SAVEPOINT", "RELEASE":
		return true
	case "CREATE":
		return second != "TEMP" && second != "TEMPORARY"
	case "PRAGMA":
		name := strings.ToLower(second)
		return slices.Contains(pragmas, name) || slices.Contains(readPragmas, name) && !strings.ContainsAny(text, "=(")
	}
	return false
}

// A server accepts pragmas in any form, and readPragmas only without a value.
var (
	pragmas = strings.Fields(`table_list index_list table_info table_xinfo index_xinfo pragma_list compile_options database_list
		function_list module_list encoding defer_foreign_keys foreign_keys foreign_key_list foreign_key_check collation_list
		data_version freelist_count integrity_check legacy_file_format page_count quick_check stats user_version`)
	readPragmas = strings.Fields(`analysis_limit application_id auto_vacuum automatic_index busy_timeout cache_size cache_spill
		cell_size_check checkpoint_fullfsync fullfsync hard_heap_limit journal_mode journal_size_limit legacy_alter_table
		locking_mode max_page_count mmap_size page_size query_only read_uncommitted recursive_triggers
		reverse_unordered_selects schema_version secure_delete soft_heap_limit synchronous temp_store threads
		trusted_schema wal_autocheckpoint`)
)
