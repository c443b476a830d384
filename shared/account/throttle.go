package account

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"left4me/shared/db"
	"left4me/shared/problem"
	"left4me/shared/text"
)

// limit says how long failed sign-ins with a name, or from an address, delay the next one.
type limit struct {
	// free is the number of failures without a delay.
	free int
	// longest is the maximum delay. It is short for names, since anybody can fail with somebody else's name.
	longest time.Duration
}

var (
	nameLimit    = limit{free: 5, longest: time.Minute}
	addressLimit = limit{free: 20, longest: 15 * time.Minute}
)

// forgetAfter is how long a failure counts after the last attempt.
const forgetAfter = time.Hour

// wait returns the delay after so many failures: 2 s after the first one that is not free, then doubling.
func (l limit) wait(failures int) time.Duration {
	over := failures - l.free
	if over < 0 {
		return 0
	}
	if over > 20 {
		return l.longest
	}
	return min(2*time.Second<<over, l.longest)
}

// subjects returns the limits for an attempt by sign_in_failures.subject.
func subjects(name, address string) map[string]limit {
	return map[string]limit{"name:" + text.Truncate(strings.ToLower(name), 128): nameLimit, "address:" + network(address): addressLimit}
}

// network returns the part of an address that identifies a subscriber: a whole IPv4 address, and the /64 of an IPv6 address,
// whose other 64 bits the subscriber may choose freely (RFC 4291, 2.5.1; RFC 6177). Text that is no address is returned
// unchanged.
func network(address string) string {
	a, err := netip.ParseAddr(address)
	if err != nil {
		return address
	}
	if a = a.Unmap(); a.Is6() {
		return netip.PrefixFrom(a.WithZone(""), 64).Masked().String()
	}
	return a.String()
}

// countAttempt refuses an attempt that comes too early. It counts any other attempt as a failure before the password is
// checked, so that many attempts at once cannot all pass; after a success forgiveAttempt undoes that.
func (s *Store) countAttempt(ctx context.Context, name, address string) error {
	now := s.now()
	err := s.db.InTx(ctx, func(ctx context.Context, q db.Querier) error {
		if _, err := q.ExecContext(ctx, `DELETE FROM sign_in_failures WHERE last_at <= :before`, sql.Named("before", db.Millis(now.Add(-forgetAfter)))); err != nil {
			return err
		}
		for subject, limit := range subjects(name, address) {
			var failures int
			var retryAt time.Time
			err := q.QueryRowContext(ctx, `SELECT failures, retry_at FROM sign_in_failures WHERE subject = :subject`,
				sql.Named("subject", subject)).Scan(&failures, db.Moment(&retryAt))
			if err != nil && !errors.Is(err, sql.ErrNoRows) {
				return err
			}
			if wait := retryAt.Sub(now); wait > 0 && failures > 0 {
				seconds := int(wait/time.Second) + 1
				return problem.TooMany(time.Duration(seconds)*time.Second, "Too many failed attempts. Please wait %d seconds and try again.", seconds)
			}
			failures++
			_, err = q.ExecContext(ctx, `INSERT INTO sign_in_failures (subject, failures, last_at, retry_at) VALUES (:subject, :failures, :now, :retry)
				ON CONFLICT (subject) DO UPDATE SET failures = excluded.failures, last_at = excluded.last_at, retry_at = excluded.retry_at`,
				sql.Named("subject", subject), sql.Named("failures", failures), sql.Named("now", db.Millis(now)),
				sql.Named("retry", db.Millis(now.Add(limit.wait(failures)))))
			if err != nil {
				return err
			}
		}
		return nil
	})
	if _, isProblem := problem.As(err); err != nil && !isProblem {
		return fmt.Errorf("count sign-in attempts: %w", err)
	}
	return err
}

// forgiveAttempt deletes all failures of the name, but only this one attempt of the address: otherwise somebody who knows one
// password could guess others without limit.
func forgiveAttempt(ctx context.Context, q db.Querier, name, address string) error {
	for subject, limit := range subjects(name, address) {
		arg := sql.Named("subject", subject)
		if _, err := q.ExecContext(ctx, `DELETE FROM sign_in_failures WHERE subject = :subject AND (:all OR failures = 1)`,
			arg, sql.Named("all", limit == nameLimit)); err != nil {
			return err
		}
		if _, err := q.ExecContext(ctx, `UPDATE sign_in_failures SET failures = failures - 1, retry_at = last_at WHERE subject = :subject`, arg); err != nil {
			return err
		}
	}
	return nil
}
