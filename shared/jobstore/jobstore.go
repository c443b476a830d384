// Package jobstore keeps left4me's jobs in the database: enqueueing, claiming, renewing, finishing, cancelling, their logs
// and their progress (product.md P31 to P37).
//
// A claim is one statement, and so is every write of an owner apart from the last; each of those names the job, its fencing
// number (attempt) and a lease that is not over. Any number of processes may compete. Repeating a write, because nobody
// knows whether it happened, does no harm.
//
// Leases are compared with the clock of the process that asks, so machines that share a database need clocks that agree to
// within a second or two.
//
// Which operations there are and what they lock is shared/job's; running them is localrun's and shared/fn's; who may see or
// cancel a job (P38) is for callers to check, with Job.Concerns and Scope.
package jobstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"left4me/shared/db"
)

// Errors that callers tell apart.
var (
	// ErrLost says that the job is not, or no longer, this owner's: its lease is over, or somebody else has claimed it. An
	// owner that reads it stops at once and writes nothing more.
	ErrLost = errors.New("the job is not ours any more")
	// ErrCancelled is the cause of a job's context that ended because somebody asked for it.
	ErrCancelled = errors.New("cancelled")
	// ErrNotFound says that there is no job with that id.
	ErrNotFound = errors.New("no such job")
)

// workerLost is the error of a job that was ended because its process was not heard of.
const workerLost = "worker lost"

// Store is the jobs of one database. It is safe for concurrent use.
type Store struct {
	DB *db.DB
	// Now is the clock, for what is stored and for leases.
	Now func() time.Time

	enqueued atomic.Bool // a new job, since TakeEnqueued
	mu       sync.Mutex
	prepared map[string]*sql.Stmt // by their text; they end with DB
}

// NewStore returns the store of d that takes the time from now.
func NewStore(d *db.DB, now func() time.Time) *Store {
	return &Store{DB: d, Now: now}
}

// TakeEnqueued reports whether the store has added a job since the last call, whether or not its transaction was committed.
func (s *Store) TakeEnqueued() bool { return s.enqueued.Swap(false) }

func (s *Store) now() int64 { return db.Millis(s.Now()) }

// row runs a statement that gives one row or none, and scans it. It reads to the end of the answer, which is where the
// embedded database commits a write and reports that it could not.
func row(ctx context.Context, q db.Querier, query string, args []any, dest ...any) (found bool, err error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return false, err
	}
	return one(rows, dest...)
}

func one(rows *sql.Rows, dest ...any) (found bool, err error) {
	defer rows.Close()
	if rows.Next() {
		found = true
		if err := rows.Scan(dest...); err != nil {
			return false, err
		}
		if rows.Next() {
			return false, errors.New("the statement gave more than one row")
		}
	}
	return found, rows.Err()
}

// prepare returns a statement that takes the embedded database longer to read than to run.
func (s *Store) prepare(ctx context.Context, query string) (*sql.Stmt, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if stmt := s.prepared[query]; stmt != nil {
		return stmt, nil
	}
	stmt, err := s.DB.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	if s.prepared == nil {
		s.prepared = map[string]*sql.Stmt{}
	}
	s.prepared[query] = stmt
	return stmt, nil
}

// affected runs a statement and returns how many rows it changed.
func affected(ctx context.Context, q db.Querier, query string, args ...any) (int64, error) {
	result, err := q.ExecContext(ctx, query, args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

func jobError(what string, id int64, err error) error {
	return fmt.Errorf("%s job %d: %w", what, id, err)
}
