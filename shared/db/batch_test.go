package db_test

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"

	"left4me/shared/db"
	"left4me/shared/db/dbtest"
)

const listSQL = `SELECT value FROM json_each(:list) WHERE value <> ':list' -- :not a parameter
	ORDER BY value`

func TestTogether(t *testing.T) { dbtest.Each(t, testTogether) }

func testTogether(t *testing.T, open dbtest.Backend) {
	d := open(t)
	list := func(ctx context.Context, list string) ([]int, error) {
		return db.Rows(ctx, d, db.Value[int], listSQL, sql.Named("list", list))
	}
	var a, b, c []int
	err := db.Together(t.Context(), d,
		func(ctx context.Context) (err error) { a, err = list(ctx, "[2,1]"); return err },
		func(context.Context) error { return nil },
		func(ctx context.Context) (err error) {
			if b, err = list(ctx, "[3]"); err == nil {
				c, err = list(ctx, "[5,4]")
			}
			return err
		})
	if err != nil || !slices.Equal(a, []int{1, 2}) || !slices.Equal(b, []int{3}) || !slices.Equal(c, []int{4, 5}) {
		t.Errorf("%v, %v, %v, %v", a, b, c, err)
	}
	mine := errors.New("mine")
	if err := db.Together(t.Context(), d,
		func(ctx context.Context) error { _, err := list(ctx, "[1]"); return err },
		func(context.Context) error { return mine }); !errors.Is(err, mine) {
		t.Errorf("got %v, want the function's error", err)
	}
	err = db.Together(t.Context(), d,
		func(ctx context.Context) error { _, err := list(ctx, "[1]"); return err },
		func(ctx context.Context) error { _, err := list(ctx, "no list"); return err })
	if err == nil || !strings.Contains(err.Error(), "malformed JSON") {
		t.Errorf("got %v, want SQLite's error", err)
	}
}

func TestTogetherAsksAServerOnce(t *testing.T) {
	s := dbtest.Serve(t)
	d := s.Open(t)
	read := func(ctx context.Context) error {
		_, err := db.Row(ctx, d, db.Value[int], `SELECT :n`, sql.Named("n", 1))
		return err
	}
	s.Received()
	nested := func(ctx context.Context) error { return errors.Join(db.Together(ctx, d, read, read), read(ctx)) }
	if err := db.Together(t.Context(), d, read, read, nested); err != nil {
		t.Fatal(err)
	}
	if got := s.Received(); len(got) != 2 {
		t.Errorf("%d requests: %q", len(got), got)
	}
}

func TestThenReadsWhatWasWritten(t *testing.T) { dbtest.Each(t, testThenReadsWhatWasWritten) }

func testThenReadsWhatWasWritten(t *testing.T, open dbtest.Backend) {
	d := open(t)
	if _, err := d.ExecContext(t.Context(), "CREATE TABLE t (a INTEGER UNIQUE)"); err != nil {
		t.Fatal(err)
	}
	insert := func(ctx context.Context) error {
		return d.InTx(ctx, func(ctx context.Context, q db.Querier) error {
			n, err := db.Row(ctx, q, db.Value[int], `SELECT COUNT(*) FROM t`)
			if err != nil {
				return err
			}
			return db.Later(ctx, q, `INSERT INTO t VALUES (:a)`, sql.Named("a", n+1))
		})
	}
	var a, b int
	count := func(dest *int) func(context.Context) error {
		return db.Into(dest, func(ctx context.Context) (int, error) {
			return db.Row(ctx, d, db.Value[int], `SELECT COUNT(*) FROM t WHERE a > :a`, sql.Named("a", 0))
		})
	}
	both := func(ctx context.Context) error { return errors.Join(count(&a)(ctx), count(&b)(ctx)) }
	if err := db.Then(t.Context(), d, insert, both); err != nil || a != 1 || b != 1 {
		t.Errorf("%d and %d rows, %v", a, b, err)
	}
	if err := db.Then(t.Context(), d, func(context.Context) error { return nil }, both); err != nil || a != 1 || b != 1 {
		t.Errorf("after nothing was written: %d and %d rows, %v", a, b, err)
	}
	mine := errors.New("mine")
	a = 0
	err := db.Then(t.Context(), d, func(ctx context.Context) error {
		return d.InTx(ctx, func(ctx context.Context, q db.Querier) error {
			return errors.Join(db.Later(ctx, q, `INSERT INTO t VALUES (:a)`, sql.Named("a", 9)), mine)
		})
	}, count(&a))
	if !errors.Is(err, mine) || a != 0 {
		t.Errorf("after a failed write: %d rows, %v", a, err)
	}
	err = db.Then(t.Context(), d, insert, count(&a), func(context.Context) error { return mine })
	if !errors.Is(err, mine) || a != 2 {
		t.Errorf("with a failed read: %d rows, %v", a, err)
	}
}

// What the functions of Then wait for goes to a server with the COMMIT, and again if the transaction is lost and run again.
func TestThenNeedsNoRequestOfItsOwn(t *testing.T) {
	s := dbtest.Serve(t)
	d := s.Open(t)
	var n [2]int
	count := func(ctx context.Context) (int, error) {
		return db.Row(ctx, d, db.Value[int], `SELECT COUNT(*) FROM sign_in_failures WHERE failures = :n`, sql.Named("n", 1))
	}
	runs, lost := 0, false
	add := func(ctx context.Context) error {
		return d.InTx(ctx, func(ctx context.Context, q db.Querier) error {
			if runs++; lost && runs == 1 {
				defer s.EndTransactions()
			}
			n, err := db.Row(ctx, q, db.Value[int], `SELECT COUNT(*) FROM sign_in_failures`)
			if err != nil {
				return err
			}
			return db.Later(ctx, q, `INSERT INTO sign_in_failures VALUES (:subject, 1, 0, 0)`, sql.Named("subject", strconv.Itoa(n)))
		})
	}
	s.Received()
	if err := db.Then(t.Context(), d, add, db.Into(&n[0], count), db.Into(&n[1], count)); err != nil || n != [2]int{1, 1} {
		t.Errorf("%d, %v", n, err)
	}
	if got := s.Received(); len(got) != 2 || runs != 1 {
		t.Errorf("%d requests of %d runs: %q", len(got), runs, got)
	}
	runs, lost = 0, true
	if err := db.Then(t.Context(), d, add, db.Into(&n[0], count), db.Into(&n[1], count)); err != nil || n != [2]int{2, 2} || runs != 2 {
		t.Errorf("a lost transaction: %d after %d runs, %v", n, runs, err)
	}
}

func TestLaterIsPartOfTheTransaction(t *testing.T) { dbtest.Each(t, testLaterIsPartOfTheTransaction) }

func testLaterIsPartOfTheTransaction(t *testing.T, open dbtest.Backend) {
	d := open(t)
	if _, err := d.ExecContext(t.Context(), "CREATE TABLE t (a INTEGER UNIQUE)"); err != nil {
		t.Fatal(err)
	}
	const insertSQL = `INSERT INTO t VALUES (:a)`
	one := sql.Named("a", 1)
	var later []int
	err := d.InTx(t.Context(), func(ctx context.Context, q db.Querier) error {
		if err := db.Later(ctx, q, insertSQL, one); err != nil {
			return err
		}
		if n, err := db.Exec(ctx, q, `INSERT INTO t VALUES (:a), (:b)`, sql.Named("a", 2), sql.Named("b", 3)); err != nil || n != 2 {
			t.Errorf("%d rows inserted, %v", n, err)
		}
		seen, err := db.Row(ctx, q, db.Value[int], `SELECT COUNT(*) FROM t`)
		if err != nil || seen != 3 {
			t.Errorf("%d rows seen, %v", seen, err)
		}
		return db.RowsLater(ctx, q, func(all []int) { later = all }, db.Value[int], `INSERT INTO t VALUES (:a) RETURNING a`, sql.Named("a", 4))
	})
	if n := count(t, d); err != nil || n != 4 || !slices.Equal(later, []int{4}) {
		t.Errorf("%d rows, %v, %v", n, later, err)
	}
	err = d.InTx(t.Context(), func(ctx context.Context, q db.Querier) error {
		if err := db.Later(ctx, q, insertSQL, sql.Named("a", 9)); err != nil {
			return err
		}
		return db.Later(ctx, q, insertSQL, one)
	})
	if n := count(t, d); !db.IsUnique(err) || n != 4 {
		t.Errorf("after a second 1: %d rows, %v", n, err)
	}
	mine := errors.New("mine")
	err = d.InTx(t.Context(), func(ctx context.Context, q db.Querier) error {
		if err := db.Later(ctx, q, insertSQL, sql.Named("a", 9)); err != nil {
			return err
		}
		return mine
	})
	if n := count(t, d); !errors.Is(err, mine) || n != 4 {
		t.Errorf("after the function's error: %d rows, %v", n, err)
	}
}

// What nobody waits for goes to a server with the first statement or the COMMIT.
func TestATransactionsRequests(t *testing.T) {
	s := dbtest.Serve(t)
	d := s.Open(t)
	const insertSQL = `INSERT INTO sign_in_failures VALUES (:subject, 1, 0, 0)`
	for name, c := range map[string]struct {
		run      func(context.Context, db.Querier) error
		requests int
	}{
		"only later": {func(ctx context.Context, q db.Querier) error {
			return errors.Join(db.Later(ctx, q, insertSQL, sql.Named("subject", "a")), db.Later(ctx, q, insertSQL, sql.Named("subject", "b")))
		}, 1},
		"a read between": {func(ctx context.Context, q db.Querier) error {
			err := db.Later(ctx, q, insertSQL, sql.Named("subject", "c"))
			if err == nil {
				_, err = db.Row(ctx, q, db.Value[int], `SELECT COUNT(*) FROM sign_in_failures`)
			}
			return errors.Join(err, db.Later(ctx, q, insertSQL, sql.Named("subject", "d")))
		}, 2},
	} {
		s.Received()
		if err := d.InTx(t.Context(), c.run); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got := s.Received(); len(got) != c.requests {
			t.Errorf("%s: %d requests, want %d: %q", name, len(got), c.requests, got)
		}
	}
}
