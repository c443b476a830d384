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
)

// limit says how failed sign-ins of one kind of subject slow down the next.
type limit struct {
	// free is how many failures cost nothing.
	free int
	// longest caps the wait. For a name it is short: anybody can fail in somebody else's name.
	longest time.Duration
}

var (
	nameLimit    = limit{free: 5, longest: time.Minute}
	addressLimit = limit{free: 20, longest: 15 * time.Minute}
)

// forgetAfter is how long a failure counts.
const forgetAfter = time.Hour

// wait is how long after its last failure a subject with so many of them has to wait: 2 s, doubling.
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

func subjects(name, address string) map[string]limit {
	return map[string]limit{"name:" + truncate(strings.ToLower(name), 128): nameLimit, "address:" + network(address): addressLimit}
}

// network is what one subscriber has: an IPv4 address, or the /64 of an IPv6 one, whose other 64 bits they choose as often
// as they like (RFC 4291, 2.5.1; RFC 6177). What is no address is itself.
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

// countAttempt refuses an attempt that comes too early and counts any other as a failure before the password is looked
// at, so that many at once cannot pass together. forgiveAttempt takes it back after a success.
func (s *Store) countAttempt(ctx context.Context, name, address string) error {
	now := s.now()
	err := s.db.InTx(ctx, func(ctx context.Context, q db.Querier) error {
		if _, err := q.ExecContext(ctx, `DELETE FROM sign_in_failures WHERE last_at <= ?`, db.Millis(now.Add(-forgetAfter))); err != nil {
			return err
		}
		for subject, limit := range subjects(name, address) {
			var failures int
			var retryAt int64
			err := q.QueryRowContext(ctx, `SELECT failures, retry_at FROM sign_in_failures WHERE subject = ?`, subject).Scan(&failures, &retryAt)
			if err != nil && !errors.Is(err, sql.ErrNoRows) {
				return err
			}
			if wait := db.Time(retryAt).Sub(now); wait > 0 && failures > 0 {
				seconds := int(wait/time.Second) + 1
				return problem.TooMany(time.Duration(seconds)*time.Second, "Too many failed attempts. Please wait %d seconds and try again.", seconds)
			}
			failures++
			_, err = q.ExecContext(ctx, `INSERT INTO sign_in_failures (subject, failures, last_at, retry_at) VALUES (?, ?, ?, ?)
				ON CONFLICT (subject) DO UPDATE SET failures = excluded.failures, last_at = excluded.last_at, retry_at = excluded.retry_at`,
				subject, failures, db.Millis(now), db.Millis(now.Add(limit.wait(failures))))
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

// forgiveAttempt clears the name and takes back this one attempt of the address: whoever knows one password must not get
// unlimited guesses at others.
func forgiveAttempt(ctx context.Context, q db.Querier, name, address string) error {
	for subject, limit := range subjects(name, address) {
		if limit == nameLimit {
			if _, err := q.ExecContext(ctx, `DELETE FROM sign_in_failures WHERE subject = ?`, subject); err != nil {
				return err
			}
			continue
		}
		if _, err := q.ExecContext(ctx, `DELETE FROM sign_in_failures WHERE subject = ? AND failures = 1`, subject); err != nil {
			return err
		}
		if _, err := q.ExecContext(ctx, `UPDATE sign_in_failures SET failures = failures - 1, retry_at = last_at WHERE subject = ?`, subject); err != nil {
			return err
		}
	}
	return nil
}
