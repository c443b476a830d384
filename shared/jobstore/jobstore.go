// Package jobstore keeps left4me's jobs in the database: enqueueing, claiming, renewing, finishing, cancelling, their logs and
// their progress (product.md P31 to P37).
//
// A claim is one statement. So is every write of a job's owner except the last; each names the job, its fencing token (attempt)
// and requires that the lease has not ended. Any number of processes may compete. Every write can be repeated without harm when
// it is not known whether it happened.
//
// Leases are compared with the clock of the process that asks, so the clocks of machines that share a database must agree to
// within a second or two.
//
// shared/job owns the table of operations, localrun and shared/fn run them. Who may see or cancel a job (P38) is for callers to
// check, with Job.Concerns and Scope.
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

// Errors that callers distinguish.
var (
	// ErrLost says that the caller does not own the job any more: the lease has ended, or another worker has claimed the job. An
	// owner that gets it stops at once and writes nothing more.
	ErrLost = errors.New("the job is not ours any more")
	// ErrCancelled is the cause of a job's context that ended because the job was cancelled.
	ErrCancelled = errors.New("cancelled")
	// ErrNotFound says that there is no job with that id.
	ErrNotFound = errors.New("no such job")
)

// HostSilentAfter is the age of a host's last report (hosts.seen_at) from which its agent counts as silent.
const HostSilentAfter = 3 * time.Minute

// workerLost is the error of a job that has lost too many workers.
const workerLost = "worker lost"

// Store is the jobs of one database. It is safe for concurrent use.
type Store struct {
	db  *db.DB
	now func() time.Time

	enqueued atomic.Bool // a job was added since TakeEnqueued
	mu       sync.Mutex
	prepared map[string]*sql.Stmt // by query; the pool closes them with the database
}

// NewStore returns the store of d that takes the time from now, for leases and for what is stored.
func NewStore(d *db.DB, now func() time.Time) *Store {
	return &Store{db: d, now: now}
}

// WakeAgents has TakeEnqueued report true, for what an agent does without a job.
func (s *Store) WakeAgents() { s.enqueued.Store(true) }

// TakeEnqueued reports whether the store has added a job since the last call, whether or not its transaction was committed.
func (s *Store) TakeEnqueued() bool { return s.enqueued.Swap(false) }

func (s *Store) millis() int64 { return db.Millis(s.now()) }

// orLost makes the missing row of a statement by a job's owner ErrLost.
func orLost(err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return ErrLost
	}
	return err
}

// prepare returns query as a prepared statement. Parsing a claim takes the embedded database longer than running it.
func (s *Store) prepare(ctx context.Context, query string) (*sql.Stmt, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if stmt := s.prepared[query]; stmt != nil {
		return stmt, nil
	}
	stmt, err := s.db.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	if s.prepared == nil {
		s.prepared = map[string]*sql.Stmt{}
	}
	s.prepared[query] = stmt
	return stmt, nil
}

func jobError(what string, id int64, err error) error {
	return fmt.Errorf("%s job %d: %w", what, id, err)
}
