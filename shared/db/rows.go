package db

import (
	"context"
	"database/sql"
	"errors"
	"time"
)

// Scanner is one row of an answer: Scan copies its columns into dest.
type Scanner interface{ Scan(dest ...any) error }

// querier is the part of Querier that asks.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// Rows runs query and returns what scan makes of each row, in order.
func Rows[T any](ctx context.Context, q querier, scan func(Scanner) (T, error), query string, args ...any) ([]T, error) {
	var all []T
	err := read(ctx, q, statement{query: query, args: args, read: func(rows *sql.Rows) (err error) {
		all, err = scanAll(rows, scan)
		return err
	}})
	if err != nil {
		return nil, err
	}
	return all, nil
}

// scanAll returns what scan makes of each row of a result.
func scanAll[T any](rows *sql.Rows, scan func(Scanner) (T, error)) ([]T, error) {
	var all []T
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	return all, nil
}

// errManyRows means that a query that identifies one row gave more.
var errManyRows = errors.New("the query gave more than one row")

// Row runs query, which gives at most one row, and returns what scan makes of it, or sql.ErrNoRows. It reads the answer to
// its end, where the embedded database commits an INSERT … RETURNING and reports when it could not.
func Row[T any](ctx context.Context, q querier, scan func(Scanner) (T, error), query string, args ...any) (T, error) {
	var none T
	all, err := Rows(ctx, q, scan, query, args...)
	switch {
	case err != nil:
		return none, err
	case len(all) == 0:
		return none, sql.ErrNoRows
	case len(all) > 1:
		return none, errManyRows
	}
	return all[0], nil
}

// Value scans a row of one column, for Rows and Row.
func Value[T any](row Scanner) (T, error) {
	var v T
	err := row.Scan(&v)
	return v, err
}

// Moment is a destination for Scan that stores a moment's Unix milliseconds in t as a time, and NULL as the zero time.
func Moment(t *time.Time) sql.Scanner { return (*moment)(t) }

type moment time.Time

func (m *moment) Scan(value any) error {
	var millis sql.NullInt64
	if err := millis.Scan(value); err != nil {
		return err
	}
	*m = moment{}
	if millis.Valid {
		*m = moment(time.UnixMilli(millis.Int64))
	}
	return nil
}

// Exec runs a statement and returns how many rows it changed.
func Exec(ctx context.Context, q Querier, query string, args ...any) (int64, error) {
	result, err := q.ExecContext(ctx, query, args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}
