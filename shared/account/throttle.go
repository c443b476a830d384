package account

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"left4me/shared/db"
	"left4me/shared/problem"
)

// limit says how long failed attempts delay the next one. In the database's JSON, durations are nanoseconds.
type limit struct {
	// Free is the number of failures without a delay. The next one delays by 2 s, and each further one by twice as much.
	Free int `json:"free"`
	// Longest is the maximum delay.
	Longest time.Duration `json:"longest"`
	// Forget is the time in which one failure is forgotten.
	Forget time.Duration `json:"forget"`
}

var (
	// sourceLimit is for one name from one address, and for one known device.
	sourceLimit  = limit{5, 15 * time.Minute, forgetAfter}
	addressLimit = limit{20, 15 * time.Minute, forgetAfter}
	// nameLimit is for one name from all addresses. Anybody can fail with somebody else's name, so it delays only after more
	// failures than a few addresses can cause within their own limits, and not for long.
	nameLimit = limit{200, time.Minute, forgetAfter / 200}
)

// forgetAfter is how long a failure counts after the last attempt.
const forgetAfter = time.Hour

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
	now, of := s.now(), subjectsArg(subjects)
	nowArg := sql.Named("now", db.Millis(now))
	var wait int64 // ms
	err := s.db.InTx(ctx, func(ctx context.Context, q db.Querier) error {
		if err := db.Later(ctx, q, `DELETE FROM sign_in_failures WHERE last_at <= :before`, sql.Named("before", db.Millis(now.Add(-forgetAfter)))); err != nil {
			return err
		}
		if err := db.RowsLater(ctx, q, func(waits []int64) { wait = waits[0] }, db.Value[int64],
			`SELECT COALESCE(MAX(retry_at - :now), 0) FROM sign_in_failures WHERE subject IN `+subjectsSQL, nowArg, of); err != nil {
			return err
		}
		return db.Later(ctx, q, countAttemptSQL, nowArg, of)
	})
	if err == nil && wait > 0 {
		err = tooEarly(time.Duration(wait)*time.Millisecond, "Too many failed attempts.")
	}
	return problem.Wrap(err, "count sign-in attempts")
}

const countAttemptSQL = `
WITH counted (subject, failures, free, longest) AS (
	SELECT s.key, MAX(0, COALESCE(f.failures - (:now - f.last_at) / (s.value ->> 'forget' / 1000000), 0)) + 1, s.value ->> 'free', s.value ->> 'longest' / 1000000
	FROM json_each(:subjects) s LEFT JOIN sign_in_failures f ON f.subject = s.key
	WHERE NOT EXISTS (SELECT 1 FROM sign_in_failures WHERE subject IN ` + subjectsSQL + ` AND retry_at > :now))
INSERT INTO sign_in_failures (subject, failures, last_at, retry_at)
SELECT subject, failures, :now, :now + CASE WHEN failures < free THEN 0 ELSE MIN(2000 << MIN(failures - free, 20), longest) END
FROM counted WHERE true
ON CONFLICT (subject) DO UPDATE SET failures = excluded.failures, last_at = excluded.last_at, retry_at = excluded.retry_at`

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

// subjectsSQL is the subjects in the parameter of subjectsArg.
const subjectsSQL = `(SELECT key FROM json_each(:subjects))`

func subjectsArg(subjects map[string]limit) sql.NamedArg {
	object, _ := json.Marshal(subjects) // strings and numbers always encode
	return sql.Named("subjects", string(object))
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
