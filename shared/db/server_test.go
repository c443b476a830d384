package db_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"left4me/shared/db"
	"left4me/shared/db/dbtest"
)

// served is a server with a table t, a database that uses it, and a direct connection to its file.
type served struct {
	*dbtest.Server
	db     *db.DB
	direct *db.DB
	ahead  *atomic.Int64 // the server's clock, in ns
}

func serve(t *testing.T, set ...func(*dbtest.Server)) served {
	t.Helper()
	ahead := new(atomic.Int64)
	s := dbtest.ServeEmpty(t, append(set, func(s *dbtest.Server) {
		s.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	})...)
	direct := dbtest.Open(t, db.FileURL(s.File()))
	if _, err := direct.ExecContext(t.Context(), "CREATE TABLE t (a INTEGER)"); err != nil {
		t.Fatal(err)
	}
	return served{Server: s, db: s.Open(t), direct: direct, ahead: ahead}
}

func (s served) insert(ctx context.Context, q db.Querier, a int) error {
	_, err := q.ExecContext(ctx, fmt.Sprintf("INSERT INTO t VALUES (%d)", a))
	return err
}

// two inserts the rows 1 and 2 in one transaction.
func (s served) two(ctx context.Context) error {
	return s.db.InTx(ctx, func(ctx context.Context, q db.Querier) error {
		if err := s.insert(ctx, q, 1); err != nil {
			return err
		}
		return s.insert(ctx, q, 2)
	})
}

// sent counts the statements that the server was sent.
func (s served) sent(text string) (n int) {
	for _, asked := range s.Received() {
		if strings.Contains(asked, text) {
			n++
		}
	}
	return n
}

// What is known about a statement after a failure.
const (
	notRun  = "not run"   // and it may be sent again
	refused = "refused"   // not run, and not retried
	unknown = "who knows" // it may have run
)

var failures = []struct {
	name  string
	fault dbtest.Fault
	says  string
}{
	{"dropped before it ran", dbtest.Fault{Drop: true}, unknown},
	{"dropped after it ran", dbtest.Fault{Drop: true, After: true}, unknown},
	{"500", dbtest.Fault{Status: 500, Body: `{"error":"Internal Error: disk"}`}, unknown},
	{"500 after it ran", dbtest.Fault{Status: 500, Body: `{"error":"Internal Error: disk"}`, After: true}, unknown},
	{"a page of a proxy", dbtest.Fault{Status: 502}, unknown},
	{"a page of a proxy after it ran", dbtest.Fault{Status: 504, After: true}, unknown},
	{"half an answer", dbtest.Fault{Status: 200, Body: `{"baton":null,"results":[{"type":"ok","respo`, After: true}, unknown},
	{"an empty answer", dbtest.Fault{Status: 200, Body: `{}`, After: true}, unknown},
	{"a used baton", dbtest.Fault{Status: 400, Body: "Received a baton that has already been used", After: true}, unknown},
	{"expired, by a newer server", dbtest.Fault{Status: 500, Body: `{"message":"The stream has expired due to inactivity","code":"STREAM_EXPIRED"}`}, unknown},
	{"429", dbtest.Fault{Status: 429, Body: `{"error":"Too many concurrent requests"}`}, notRun},
	{"429 of a proxy", dbtest.Fault{Status: 429}, notRun},
	{"busy", dbtest.Fault{Status: 200, Body: `{"baton":null,"results":[{"type":"error","error":{"message":"Server cannot handle additional transactions","code":"TRANSACTION_BUSY"}}]}`}, notRun},
	{"expired", dbtest.Fault{Status: 400, Body: `{"message":"The stream has expired due to inactivity","code":"STREAM_EXPIRED"}`}, notRun},
	{"stream not found", dbtest.Fault{Status: 404, Body: `{"error":"stream not found: 1"}`}, notRun},
	{"an invalid baton", dbtest.Fault{Status: 400, Body: "Received an invalid baton"}, notRun},
	{"401", dbtest.Fault{Status: 401, Body: "{\"error\":\"Unauthorized: `The JWT has expired`\"}"}, refused},
	{"403", dbtest.Fault{Status: 403}, refused},
	{"no such database", dbtest.Fault{Status: 404, Body: "{\"error\":\"Namespace `left4me` doesn't exist\"}"}, refused},
	{"no such database, by an older server", dbtest.Fault{Status: 400, Body: "{\"error\":\"Namespace `left4me` doesn't exist\"}"}, refused},
}

// once makes the next statement that contains text fail.
func (s served) once(f dbtest.Fault, text string) {
	f.Match, f.Times = text, 1
	if f.After || f.Status == 200 {
		f.Hit = s.EndTransactions // not to wait for the one that its client has no baton for
	}
	s.Fail(f)
}

func eachFailure(t *testing.T, test func(t *testing.T, s served, f dbtest.Fault, says string)) {
	for _, f := range failures {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			s := serve(t)
			test(t, s, f.fault, f.says)
			if err := s.two(t.Context()); err != nil {
				t.Errorf("afterwards: %v", err)
			}
		})
	}
}

// wantError checks an error's class and that its text has the advice.
func wantError(t *testing.T, err error, doubt, away bool, advice string) {
	t.Helper()
	if err == nil || errors.Is(err, db.ErrInDoubt) != doubt || db.IsAway(err) != away || !strings.Contains(err.Error(), advice) {
		t.Errorf("got %v, want an error: in doubt %v, away %v, with %q", err, doubt, away, advice)
	}
}

func TestAFailingReadIsRepeated(t *testing.T) {
	t.Parallel()
	eachFailure(t, func(t *testing.T, s served, f dbtest.Fault, says string) {
		s.once(f, "SELECT COUNT")
		var n int
		err := s.db.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM t").Scan(&n)
		want := 2
		if says == refused {
			wantError(t, err, false, false, "DATABASE_")
			want = 1
		} else if err != nil {
			t.Error(err)
		}
		if sent := s.sent("SELECT"); sent != want {
			t.Errorf("sent %d times, want %d", sent, want)
		}
	})
}

// database/sql retries after driver.ErrBadConn, and HTTP clients after some failures. Neither may retry a write that may have run.
func TestAFailingWriteIsRepeatedOnlyIfItHasNotRun(t *testing.T) {
	t.Parallel()
	run := map[string]func(s served, ctx context.Context) error{
		"exec": func(s served, ctx context.Context) error { return s.insert(ctx, s.db, 1) },
		"query": func(s served, ctx context.Context) error {
			var a int
			return s.db.QueryRowContext(ctx, "INSERT INTO t VALUES (1) RETURNING a").Scan(&a)
		},
		"prepared": func(s served, ctx context.Context) error {
			stmt, err := s.db.PrepareContext(ctx, "INSERT INTO t VALUES (?)")
			if err != nil {
				return err
			}
			defer stmt.Close()
			_, err = stmt.ExecContext(ctx, 1)
			return err
		},
		"on a held connection": func(s served, ctx context.Context) error {
			conn, err := s.db.Conn(ctx)
			if err != nil {
				return err
			}
			defer conn.Close()
			var one int
			if err := conn.QueryRowContext(ctx, "SELECT 1").Scan(&one); err != nil {
				return err
			}
			return s.insert(ctx, conn, 1)
		},
		"in a transaction of database/sql": func(s served, ctx context.Context) error {
			tx, err := s.db.BeginTx(ctx, nil)
			if err != nil {
				return err
			}
			defer tx.Rollback()
			if _, err := tx.ExecContext(ctx, "INSERT INTO t VALUES (1)"); err != nil {
				return err
			}
			return tx.Commit()
		},
	}
	for name, write := range run {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachFailure(t, func(t *testing.T, s served, f dbtest.Fault, says string) {
				s.once(f, "INSERT")
				err := write(s, t.Context())
				rows, sends := 0, 1
				switch says {
				case refused:
					wantError(t, err, false, false, "DATABASE_")
				case unknown:
					wantError(t, err, true, true, "")
					if f.After {
						rows = 1
					}
				default:
					rows, sends = 1, 2
					if err != nil {
						t.Error(err)
					}
				}
				if n := count(t, s.direct); n != rows {
					t.Errorf("%d rows, want %d", n, rows)
				}
				if sent := s.sent("INSERT"); sent != sends {
					t.Errorf("sent %d times, want %d", sent, sends)
				}
			})
		})
	}
}

func TestATransactionHappensOnceOrIsInDoubt(t *testing.T) {
	t.Parallel()
	for _, statement := range []string{"BEGIN", "VALUES (1)", "VALUES (2)", "COMMIT"} {
		t.Run(statement, func(t *testing.T) {
			t.Parallel()
			eachFailure(t, func(t *testing.T, s served, f dbtest.Fault, says string) {
				s.once(f, statement)
				err := s.two(t.Context())
				rows := 2
				switch {
				case says == refused:
					wantError(t, err, false, false, "DATABASE_")
					rows = 0
				case says == unknown && statement == "COMMIT":
					wantError(t, err, true, true, "")
					if !f.After {
						rows = 0
					}
				case err != nil:
					t.Error(err)
				}
				if n := count(t, s.direct); n != rows {
					t.Errorf("%d rows, want %d", n, rows)
				}
			})
		})
	}
}

// After a rollback of its own, a server fails one statement, and runs later ones outside of a transaction.
func TestALostTransactionIsRunAgainAsAWhole(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(served){
		"timed out": func(s served) { s.EndTransactions() },
		"expired":   func(s served) { s.ExpireStreams() },
		"too old":   func(s served) { s.ahead.Add(int64(s.TxTimeout)) },
	} {
		for _, at := range []int{2, 3} {
			for _, careless := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s before %d, careless %v", name, at, careless), func(t *testing.T) {
					t.Parallel()
					s := serve(t)
					runs := 0
					err := s.db.InTx(t.Context(), func(ctx context.Context, q db.Querier) error {
						runs++
						for i := 1; i <= 3; i++ {
							if runs == 1 && i == at {
								lose(s)
							}
							if err := s.insert(ctx, q, i); err != nil && !careless {
								return err
							}
						}
						return nil
					})
					if err != nil || runs != 2 {
						t.Errorf("%v after %d runs", err, runs)
					}
					if n := count(t, s.direct); n != 3 {
						t.Errorf("%d rows, want 3", n)
					}
				})
			}
		}
	}
	t.Run("before the commit", func(t *testing.T) {
		s := serve(t)
		runs := 0
		err := s.db.InTx(t.Context(), func(ctx context.Context, q db.Querier) error {
			if runs++; runs == 1 {
				defer s.EndTransactions()
			}
			return s.insert(ctx, q, 1)
		})
		if n := count(t, s.direct); err != nil || n != 1 || runs != 2 {
			t.Errorf("%v, %d rows after %d runs", err, n, runs)
		}
	})
}

// A transaction whose BEGIN was not answered holds the lock until the server ends it.
func TestALockOfALostTransactionIsWaitedFor(t *testing.T) {
	t.Parallel()
	s := serve(t, func(s *dbtest.Server) { s.TxTimeout = 300 * time.Millisecond })
	s.Tell(t, "drop after times=1 sql=BEGIN")
	if err := s.two(t.Context()); err != nil || count(t, s.direct) != 2 {
		t.Errorf("%v, %d rows", err, count(t, s.direct))
	}
}

// As goose uses them.
func TestATransactionOfDatabaseSQLIsOneRequest(t *testing.T) {
	t.Parallel()
	s := serve(t)
	run := func(end func(*sql.Tx) error, statements ...string) error {
		t.Helper()
		s.Received()
		tx, err := s.db.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		for n, statement := range statements {
			if _, err := tx.ExecContext(t.Context(), statement, n); err != nil {
				t.Error(err)
			}
		}
		if rows, err := tx.QueryContext(t.Context(), "SELECT a FROM t"); err == nil {
			rows.Close()
			t.Error("it can read, although its writes have not been sent")
		}
		if sent := s.Received(); len(sent) != 0 {
			t.Errorf("sent before the end: %q", sent)
		}
		return end(tx)
	}
	if err := run((*sql.Tx).Rollback, "INSERT INTO t VALUES (?)"); err != nil {
		t.Error(err)
	}
	wantError(t, run((*sql.Tx).Commit, "INSERT INTO t VALUES (?)", "INSERT INTO absent VALUES (?)", "INSERT INTO t VALUES (?)"),
		false, false, "no such table: absent")
	if n := count(t, s.direct); n != 0 {
		t.Errorf("%d rows", n)
	}
	err := run((*sql.Tx).Commit, "INSERT INTO t VALUES (?); -- the first", "INSERT INTO t VALUES (?)")
	if n, sent := count(t, s.direct), s.Received(); err != nil || n != 2 || len(sent) != 1 {
		t.Errorf("%v, %d rows, sent %q", err, n, sent)
	}
	if values, err := db.Rows(t.Context(), s.db, db.Value[int], "SELECT a FROM t ORDER BY rowid"); err != nil || !slices.Equal(values, []int{0, 1}) {
		t.Errorf("%v, %v", values, err)
	}
}

func TestSQLErrorsAreNotRetried(t *testing.T) {
	t.Parallel()
	s := serve(t)
	for query, want := range map[string]string{
		"SELECT b FROM t":               "no such column: b",
		"INSERT INTO absent VALUES (1)": "no such table: absent",
		"SELEC 1":                       "SELEC",
		"PRAGMA journal_mode = DELETE":  "unsupported statement",
		"SELECT ?":                      "Arguments do not match",
	} {
		_, err := s.db.ExecContext(t.Context(), query)
		wantError(t, err, false, false, want)
	}
	// A transaction fails with it, even if the function hides it.
	err := s.db.InTx(t.Context(), func(ctx context.Context, q db.Querier) error {
		if _, err := q.ExecContext(ctx, "INSERT INTO absent VALUES (1)"); err == nil {
			t.Error("there is a table called absent")
		}
		_ = s.insert(ctx, q, 1)
		return nil
	})
	wantError(t, err, false, false, "no such table: absent")
	if n := count(t, s.direct); n != 0 {
		t.Errorf("%d rows", n)
	}
}

func TestAServerThatIsAwayIsAskedAFewTimes(t *testing.T) {
	t.Parallel()
	s := serve(t)
	s.Tell(t, "status=502")
	var n int
	wantError(t, s.db.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM t").Scan(&n), false, true, "could not be reached or did not answer properly")
	if sent := s.sent("SELECT"); sent != 6 {
		t.Errorf("sent %d times", sent)
	}
	wantError(t, s.two(t.Context()), false, true, "502")
	if sent := s.sent("BEGIN"); sent != 6 {
		t.Errorf("sent %d times", sent)
	}
	s.Tell(t, "heal\nstatus=503 sql=VALUES (2)")
	wantError(t, s.two(t.Context()), false, true, "lost the transaction")
	s.Heal()
	if err := s.two(t.Context()); err != nil || count(t, s.direct) != 2 {
		t.Errorf("afterwards: %v, %d rows", err, count(t, s.direct))
	}
}

func TestNoServerAtTheAddress(t *testing.T) {
	t.Parallel()
	web := httptest.NewServer(nil)
	web.Close()
	d := dbtest.Open(t, web.URL)
	_, err := d.ExecContext(t.Context(), "INSERT INTO t VALUES (1)")
	wantError(t, err, false, true, "connection refused") // and so not in doubt
}

func TestWhatAStatementWaitsForIsSaidOnce(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fault dbtest.Fault
		says  string
	}{
		"failing": {dbtest.Fault{Status: http.StatusBadGateway}, "502"},
		"silent":  {dbtest.Fault{Stall: true}, "it has not answered yet"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t)
			s.Fail(c.fault)
			said := make(chan error, 10)
			ctx, stop := context.WithCancel(db.WithWaits(t.Context(), func(err error) { said <- err }))
			defer stop()
			done := make(chan error)
			go func() { done <- s.db.QueryRowContext(ctx, "SELECT 1").Scan(new(int)) }()
			wantError(t, <-said, false, false, c.says)
			if c.fault.Stall { // otherwise it ends after a few tries
				stop()
			}
			<-done
			if len(said) > 0 {
				t.Errorf("again: %v", <-said)
			}
		})
	}
}

func TestTheTokenIsSentAndAWrongOneExplained(t *testing.T) {
	t.Parallel()
	s := serve(t, func(s *dbtest.Server) { s.Token = "secret" })
	if n := count(t, s.Open(t)); n != 0 {
		t.Errorf("%d rows", n)
	}
	wrong, err := db.Open(s.URL, "secre")
	if err != nil {
		t.Fatal(err)
	}
	defer wrong.Close()
	without := dbtest.Open(t, s.URL)
	for _, d := range []*db.DB{wrong, without} {
		wantError(t, d.QueryRowContext(t.Context(), "SELECT 1").Scan(new(int)), false, false, "DATABASE_AUTH_TOKEN is missing, expired or not for this database")
		wantError(t, d.InTx(t.Context(), func(context.Context, db.Querier) error { return nil }), false, false, "DATABASE_AUTH_TOKEN")
	}
}

func TestACancelledStatementIsNotAway(t *testing.T) {
	t.Parallel()
	for _, after := range []bool{false, true} {
		for statement, doubt := range map[string]bool{"SELECT": false, "INSERT": true, "BEGIN": false, "COMMIT": true} {
			t.Run(fmt.Sprint(statement, after), func(t *testing.T) {
				t.Parallel()
				s := serve(t)
				ctx, cancel := context.WithCancel(t.Context())
				s.Fail(dbtest.Fault{Match: statement, Stall: true, After: after, Hit: cancel})
				var err error
				switch statement {
				case "SELECT":
					err = s.db.QueryRowContext(ctx, "SELECT COUNT(*) FROM t").Scan(new(int))
				case "INSERT":
					err = s.insert(ctx, s.db, 1)
				default:
					err = s.db.InTx(ctx, func(ctx context.Context, q db.Querier) error { return s.insert(ctx, q, 1) })
				}
				if !errors.Is(err, context.Canceled) || errors.Is(err, db.ErrInDoubt) != doubt {
					t.Errorf("got %v", err)
				}
				if sent := s.sent(statement); sent != 1 {
					t.Errorf("sent %d times", sent)
				}
			})
		}
	}
}

// A connection returns to the pool without its stream and transaction.
func TestStreamsAreNotReused(t *testing.T) {
	t.Parallel()
	s := serve(t)
	s.db.SetMaxOpenConns(1)
	for range 3 {
		if n := count(t, s.db); n != 0 {
			t.Fatal(n)
		}
		s.ExpireStreams()
	}
	conn, err := s.db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.ExecContext(t.Context(), "BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
	if err := s.insert(t.Context(), conn, 1); err != nil {
		t.Fatal(err)
	}
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	s.Tell(t, "drop times=1 sql=SELECT")
	if n := count(t, s.db); n != 0 { // in a transaction, the read would not have been repeated
		t.Errorf("%d rows", n)
	}
}
