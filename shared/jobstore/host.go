package jobstore

import (
	"context"
	"database/sql"
	"fmt"

	"left4me/shared/db"
)

const (
	// Jobs that have not ended, need a disk and have no host yet. A job needs a disk if it locks a resource of a host, which in
	// jobs.locks ends in @.
	takeWaitingSQL = `UPDATE jobs SET host_id = :host WHERE host_id IS NULL AND finished_at IS NULL AND instr(locks, '@"') > 0`

	endOfHostSQL = `
UPDATE jobs SET state = CASE WHEN state = 'running' AND lease_until > 0 THEN 'failed' ELSE 'cancelled' END,
	error = 'its host was removed', finished_at = :now, lease_until = NULL, current = ''
WHERE host_id = :host AND finished_at IS NULL`
)

// TakeWaiting gives the jobs that wait for the first host to that host, in the transaction q.
func (s *Store) TakeWaiting(ctx context.Context, q db.Querier, host string) error {
	s.enqueued.Store(true)
	if err := db.Later(ctx, q, takeWaitingSQL, sql.Named("host", host)); err != nil {
		return fmt.Errorf("take the jobs that wait for a host: %w", err)
	}
	return nil
}

// EndOfHost ends the jobs of a host that is gone for good, in the transaction q: those that had a worker fail, the others are cancelled.
func (s *Store) EndOfHost(ctx context.Context, q db.Querier, host string) error {
	if err := db.Later(ctx, q, endOfHostSQL, sql.Named("host", host), sql.Named("now", s.millis())); err != nil {
		return fmt.Errorf("end the jobs of host %s: %w", host, err)
	}
	return nil
}
