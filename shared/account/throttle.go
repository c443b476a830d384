package account

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"left4me/shared/db"
	"left4me/shared/problem"
)

// limit says how long failed attempts delay the next one.
type limit struct {
	// free is the number of failures without a delay.
	free int
	// longest is the maximum delay.
	longest time.Duration
	// forget is the time in which one failure is forgotten.
	forget time.Duration
}

var (
	// sourceLimit is for one name from one address, and for one known device.
	sourceLimit  = limit{free: 5, longest: 15 * time.Minute, forget: forgetAfter}
	addressLimit = limit{free: 20, longest: 15 * time.Minute, forget: forgetAfter}
	// nameLimit is for one name from all addresses. Anybody can fail with somebody else's name, so it delays only after more
	// failures than a few addresses can cause within their own limits, and not for long.
	nameLimit = limit{free: 200, longest: time.Minute, forget: forgetAfter / 200}
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

// subjects returns what an attempt counts for, with the limits. u is the user of that name, or the zero User if nobody has it. An
// attempt from a device on which u has signed in before counts only for that device, so that nobody else can delay it.
func subjects(name string, from Client, u User, passwordHash string) map[string]limit {
	if id, _, ok := strings.Cut(from.Device, "."); ok && u.ID != 0 && hmac.Equal([]byte(from.Device), []byte(deviceToken(id, u, passwordHash))) {
		return map[string]limit{"device:" + id: sourceLimit}
	}
	if name = strings.ToLower(name); CheckName(name) != nil {
		name = "" // all names that nobody can have count as one
	}
	address := network(from.Address)
	return map[string]limit{"name:" + name: nameLimit, "address:" + address: addressLimit, "both:" + address + " " + name: sourceLimit}
}

// deviceToken returns the token that proves that u has signed in on the device with that id. Its key is the hash of u's
// password, which only the database has, so another password makes it invalid.
func deviceToken(id string, u User, passwordHash string) string {
	mac := hmac.New(sha256.New, []byte(passwordHash))
	fmt.Fprintf(mac, "left4me device %s of user %d", id, u.ID)
	return id + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
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

// countAttempt refuses an attempt that comes too early for one of its subjects. It counts any other attempt as a failure before
// the password is checked, so that many attempts at once cannot all pass; after a success forgiveAttempt undoes that.
func (s *Store) countAttempt(ctx context.Context, subjects map[string]limit) error {
	now := s.now()
	err := s.db.InTx(ctx, func(ctx context.Context, q db.Querier) error {
		if err := db.Later(ctx, q, `DELETE FROM sign_in_failures WHERE last_at <= :before`, sql.Named("before", db.Millis(now.Add(-forgetAfter)))); err != nil {
			return err
		}
		rows, err := db.Rows(ctx, q, scanFailures, `SELECT subject, failures, last_at, retry_at FROM sign_in_failures WHERE subject IN `+subjectsSQL, subjectsArg(subjects))
		if err != nil {
			return err
		}
		earlier := map[string]failures{}
		for _, f := range rows {
			earlier[f.subject] = f
		}
		var counted []failureRow
		for subject, limit := range subjects {
			f := earlier[subject]
			if wait := f.retryAt.Sub(now); wait > 0 {
				return tooEarly(wait, "Too many failed attempts.")
			}
			n := max(0, f.count-int(now.Sub(f.lastAt)/limit.forget)) + 1
			counted = append(counted, failureRow{subject, n, db.Millis(now.Add(limit.wait(n)))})
		}
		list, err := json.Marshal(counted)
		if err != nil {
			return err
		}
		return db.Later(ctx, q, `INSERT INTO sign_in_failures (subject, failures, last_at, retry_at)
			SELECT value ->> 'subject', value ->> 'failures', :now, value ->> 'retry_at' FROM json_each(:rows) WHERE true
			ON CONFLICT (subject) DO UPDATE SET failures = excluded.failures, last_at = excluded.last_at, retry_at = excluded.retry_at`,
			sql.Named("now", db.Millis(now)), sql.Named("rows", string(list)))
	})
	return problem.Wrap(err, "count sign-in attempts")
}

// tooEarly returns the problem (429) of a request that may be sent again after wait, with what is wrong as a sentence.
func tooEarly(wait time.Duration, sentence string) error {
	seconds := int((wait + time.Second - 1) / time.Second)
	pause := "1 second"
	if seconds > 1 {
		pause = strconv.Itoa(seconds) + " seconds"
	}
	return problem.TooMany(time.Duration(seconds)*time.Second, "%s Please wait %s and try again.", sentence, pause)
}

// Check returns an error if the database cannot be read and written. It writes a row, and removes it in the same transaction.
func (s *Store) Check(ctx context.Context) error {
	subject := sql.Named("subject", "check")
	err := s.db.InTx(ctx, func(ctx context.Context, q db.Querier) error {
		if err := db.Later(ctx, q, `INSERT INTO sign_in_failures (subject, failures, last_at, retry_at) VALUES (:subject, 1, :now, 0)`, subject, s.nowArg()); err != nil {
			return err
		}
		return db.Later(ctx, q, `DELETE FROM sign_in_failures WHERE subject = :subject`, subject)
	})
	if err != nil {
		return fmt.Errorf("check the database: %w", err)
	}
	return nil
}

// failures are the failed attempts of one subject.
type failures struct {
	subject         string
	count           int
	lastAt, retryAt time.Time
}

func scanFailures(row db.Scanner) (failures, error) {
	var f failures
	err := row.Scan(&f.subject, &f.count, db.Moment(&f.lastAt), db.Moment(&f.retryAt))
	return f, err
}

// failureRow is what countAttempt writes for one subject.
type failureRow struct {
	Subject  string `json:"subject"`
	Failures int    `json:"failures"`
	RetryAt  int64  `json:"retry_at"`
}

// subjectsSQL is the list in the parameter of subjectsArg.
const subjectsSQL = `(SELECT value FROM json_each(:subjects))`

func subjectsArg(subjects map[string]limit) sql.NamedArg {
	list, _ := json.Marshal(slices.Collect(maps.Keys(subjects))) // strings always encode
	return sql.Named("subjects", string(list))
}

// forgiveAttempt forgets all failures of the subjects, but of an address only this one attempt: somebody who knows one password
// must not get unlimited guesses at others.
func forgiveAttempt(ctx context.Context, q db.Querier, subjects map[string]limit) error {
	arg := subjectsArg(subjects)
	if err := db.Later(ctx, q, `DELETE FROM sign_in_failures WHERE subject IN `+subjectsSQL+` AND (subject NOT LIKE 'address:%' OR failures = 1)`, arg); err != nil {
		return err
	}
	return db.Later(ctx, q, `UPDATE sign_in_failures SET failures = failures - 1, retry_at = last_at WHERE subject IN `+subjectsSQL, arg)
}
