package account_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"left4me/shared/account"
	"left4me/shared/db"
	"left4me/shared/db/dbtest"
	"left4me/shared/problem"
)

// clock is a clock that tests set.
type clock struct{ at time.Time }

func (c *clock) now() time.Time          { return c.at }
func (c *clock) forward(d time.Duration) { c.at = c.at.Add(d) }

func setUp(t *testing.T, open dbtest.Backend) (*account.Store, *clock, *db.DB) {
	t.Helper()
	c := &clock{at: time.Unix(1_790_000_000, 0)}
	d := open(t)
	return account.NewStore(d, c.now), c, d
}

var home = account.Client{Address: "192.0.2.1", UserAgent: "test"}

const password = "correct horse"

func status(err error) int {
	if p, ok := problem.As(err); ok {
		return p.Status
	}
	return 0
}

func TestSignInStartsASessionThatExpires(t *testing.T) {
	dbtest.Each(t, testSignInStartsASessionThatExpires)
}

func testSignInStartsASessionThatExpires(t *testing.T, open dbtest.Backend) {
	s, c, d := setUp(t, open)
	made, err := s.Create(t.Context(), "Coach", password, true)
	if err != nil {
		t.Fatal(err)
	}
	u, tokens, err := s.SignIn(t.Context(), "coach", password, home) // names do not depend on case
	if err != nil || u != made {
		t.Fatalf("SignIn = %v, %v, want %v", u, err, made)
	}
	if got, err := s.BySession(t.Context(), tokens.Session); err != nil || got != made {
		t.Errorf("BySession = %v, %v", got, err)
	}
	var stored string
	if err := d.QueryRowContext(t.Context(), `SELECT token_hash || (SELECT password_hash FROM users) FROM sessions`).Scan(&stored); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(stored, tokens.Session) || strings.Contains(stored, password) || !strings.Contains(stored, "$argon2id$") {
		t.Errorf("the database holds %q", stored)
	}

	c.forward(account.SessionLife + time.Second)
	if got, err := s.BySession(t.Context(), tokens.Session); err != nil || got.ID != 0 {
		t.Errorf("an expired session is still %v, %v", got, err)
	}
	_, tokens, err = s.SignIn(t.Context(), "Coach", password, home)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.SignOut(t.Context(), tokens.Session); err != nil {
		t.Fatal(err)
	}
	if got, err := s.BySession(t.Context(), tokens.Session); err != nil || got.ID != 0 {
		t.Errorf("a revoked session is still %v, %v", got, err)
	}
	if n := count(t, d, "sessions"); n != 0 {
		t.Errorf("%d sessions are left, also expired ones", n)
	}
}

func TestDisablingEndsSessionsAtOnce(t *testing.T) { dbtest.Each(t, testDisablingEndsSessionsAtOnce) }

func testDisablingEndsSessionsAtOnce(t *testing.T, open dbtest.Backend) {
	s, _, d := setUp(t, open)
	if _, err := s.Create(t.Context(), "ellis", password, false); err != nil {
		t.Fatal(err)
	}
	_, tokens, err := s.SignIn(t.Context(), "ellis", password, home)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.ExecContext(t.Context(), `UPDATE users SET is_disabled = 1`); err != nil {
		t.Fatal(err)
	}
	if u, err := s.BySession(t.Context(), tokens.Session); err != nil || u.ID != 0 {
		t.Errorf("a disabled account's session is still %v, %v", u, err)
	}
	if _, _, err := s.SignIn(t.Context(), "ellis", password, home); status(err) != http.StatusUnauthorized {
		t.Errorf("SignIn of a disabled account = %v, want 401", err)
	}
}

func TestValidUserNames(t *testing.T) {
	for name, fine := range map[string]bool{
		"a": true, "7": true, "a.b-c_d": true, "é٣": true, strings.Repeat("é", 64): true,
		"": false, ".a": false, "-": false, "a b": false, "a\n": false, "a/b": false, "\xffa": false, "a\xff": false, strings.Repeat("a", 65): false,
	} {
		if err := account.CheckName(name); (err == nil) != fine {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestUnknownNamesAndWrongPasswordsGetTheSameAnswer(t *testing.T) {
	s, _, _ := setUp(t, dbtest.New)
	if _, err := s.Create(t.Context(), "nick", password, false); err != nil {
		t.Fatal(err)
	}
	_, _, wrong := s.SignIn(t.Context(), "nick", "not his", home)
	_, _, unknown := s.SignIn(t.Context(), "nobody", "not his", home)
	if status(wrong) != http.StatusUnauthorized || wrong.Error() != unknown.Error() {
		t.Errorf("wrong password: %v; unknown name: %v", wrong, unknown)
	}
}

func TestFailuresDelayTheNameAtThatAddress(t *testing.T) {
	dbtest.Each(t, testFailuresDelayTheNameAtThatAddress)
}

func testFailuresDelayTheNameAtThatAddress(t *testing.T, open dbtest.Backend) {
	s, c, _ := setUp(t, open)
	if _, err := s.Create(t.Context(), "nick", password, false); err != nil {
		t.Fatal(err)
	}
	var waits []time.Duration
	for i := range 9 {
		_, _, err := s.SignIn(t.Context(), "nick", "wrong", home)
		if p, ok := problem.As(err); ok && p.Status == http.StatusTooManyRequests {
			if _, _, err := s.SignIn(t.Context(), "NICK", password, home); status(err) != http.StatusTooManyRequests {
				t.Fatalf("the correct password was checked during the delay: %v", err)
			}
			waits = append(waits, p.RetryAfter)
			c.forward(p.RetryAfter - 500*time.Millisecond)
			if _, _, err := s.SignIn(t.Context(), "nick", password, home); err == nil || !strings.Contains(err.Error(), "Please wait 1 second and") {
				t.Errorf("in the last second: %v", err)
			}
			c.forward(500 * time.Millisecond)
			_, _, err = s.SignIn(t.Context(), "nick", "wrong", home)
		}
		if status(err) != http.StatusUnauthorized {
			t.Fatalf("attempt %d: %v", i, err)
		}
	}
	if len(waits) < 3 || waits[0] >= waits[1] || waits[1] >= waits[2] {
		t.Errorf("waits = %v, want growing ones", waits)
	}
	if _, _, err := s.SignIn(t.Context(), "nick", password, account.Client{Address: "192.0.2.99"}); err != nil {
		t.Errorf("at another address the right password gives %v", err)
	}
	c.forward(15*time.Minute + time.Second)
	if _, _, err := s.SignIn(t.Context(), "nick", password, home); err != nil {
		t.Errorf("after the longest delay the correct password gives %v", err)
	}
	if _, _, err := s.SignIn(t.Context(), "nick", "wrong", home); status(err) != http.StatusUnauthorized {
		t.Errorf("a success did not reset the failures: %v", err)
	}
}

func TestFailuresDelayTheAddressForAllNames(t *testing.T) {
	dbtest.Each(t, testFailuresDelayTheAddressForAllNames)
}

func testFailuresDelayTheAddressForAllNames(t *testing.T, open dbtest.Backend) {
	s, _, _ := setUp(t, open)
	if _, err := s.Create(t.Context(), "rochelle", password, false); err != nil {
		t.Fatal(err)
	}
	var last error
	for i := range 30 {
		// A subscriber has all addresses of a /64.
		from := account.Client{Address: fmt.Sprintf("2001:db8::%x:%x", i, i)}
		if i%10 == 9 { // knowing one password must not give unlimited guesses at others
			_, _, _ = s.SignIn(t.Context(), "rochelle", password, from)
		}
		_, _, last = s.SignIn(t.Context(), "guess"+string(rune('a'+i)), "wrong", from)
	}
	if status(last) != http.StatusTooManyRequests {
		t.Errorf("the 30th guess from one network: %v, want 429", last)
	}
	for _, other := range []string{"2001:db8:0:1::1", "192.0.2.99"} {
		if _, _, err := s.SignIn(t.Context(), "rochelle", password, account.Client{Address: other}); err != nil {
			t.Errorf("%s is delayed, too: %v", other, err)
		}
	}
}

// Ten strangers who guess as fast as they may for hours delay nobody who signs in elsewhere.
func TestAFewStrangersLockNobodyOut(t *testing.T) { dbtest.Each(t, testAFewStrangersLockNobodyOut) }

func testAFewStrangersLockNobodyOut(t *testing.T, open dbtest.Backend) {
	s, c, d := setUp(t, open)
	create(t, s, "nick", false)
	for range 3 { // the failures that ten addresses may cause in an hour
		for i := range 10 {
			from := account.Client{Address: fmt.Sprintf("192.0.2.%d", 10+i)}
			if _, _, err := s.SignIn(t.Context(), "nick", "wrong", from); status(err) != http.StatusUnauthorized {
				t.Fatal(err)
			}
		}
		if _, err := d.ExecContext(t.Context(), `UPDATE sign_in_failures SET failures = failures + 140 WHERE subject = 'name:nick'`); err != nil {
			t.Fatal(err)
		}
		if _, _, err := s.SignIn(t.Context(), "nick", "wrong", home); status(err) != http.StatusUnauthorized {
			t.Errorf("a sign-in from elsewhere: %v", err)
		}
		c.forward(59 * time.Minute)
	}
}

func TestADeviceThatHasSignedInIsNotDelayedByStrangers(t *testing.T) {
	dbtest.Each(t, testADeviceThatHasSignedInIsNotDelayedByStrangers)
}

func testADeviceThatHasSignedInIsNotDelayedByStrangers(t *testing.T, open dbtest.Backend) {
	s, _, d := setUp(t, open)
	nick := create(t, s, "nick", false)
	create(t, s, "ellis", false)
	_, tokens, err := s.SignIn(t.Context(), "nick", password, home)
	if err != nil {
		t.Fatal(err)
	}
	// Strangers have failed with both names, and from the same address.
	for _, name := range []string{"nick", "ellis"} {
		if _, _, err := s.SignIn(t.Context(), name, "wrong", home); status(err) != http.StatusUnauthorized {
			t.Fatal(err)
		}
	}
	if _, err := d.ExecContext(t.Context(), `UPDATE sign_in_failures SET failures = 300, retry_at = 4000000000000`); err != nil {
		t.Fatal(err)
	}
	at := func(device string) account.Client { return account.Client{Address: home.Address, Device: device} }
	id, mac, _ := strings.Cut(tokens.Device, ".")
	for name, c := range map[string]struct {
		name, password, device string
		status                 int
	}{
		"no device":         {"nick", password, "", http.StatusTooManyRequests},
		"another id":        {"nick", password, id + "A." + mac, http.StatusTooManyRequests},
		"another signature": {"nick", password, id + "." + strings.Repeat("A", len(mac)), http.StatusTooManyRequests},
		"no signature":      {"nick", password, id, http.StatusTooManyRequests},
		"nothing signed":    {"nick", password, ".", http.StatusTooManyRequests},
		"somebody else":     {"ellis", password, tokens.Device, http.StatusTooManyRequests},
		"nobody":            {"nobody", password, tokens.Device, http.StatusTooManyRequests},
		"a wrong password":  {"nick", "wrong", tokens.Device, http.StatusUnauthorized},
		"the device":        {"NICK", password, tokens.Device, 0},
	} {
		if _, _, err := s.SignIn(t.Context(), c.name, c.password, at(c.device)); status(err) != c.status || c.status == 0 && err != nil {
			t.Errorf("%s: %v, want %d", name, err, c.status)
		}
	}
	// A device may not guess without a limit either.
	forgetDevices := func() {
		t.Helper()
		if _, err := d.ExecContext(t.Context(), `DELETE FROM sign_in_failures WHERE subject LIKE 'device:%'`); err != nil {
			t.Fatal(err)
		}
	}
	forgetDevices()
	for i := range 6 {
		want := http.StatusUnauthorized
		if i == 5 {
			want = http.StatusTooManyRequests
		}
		if _, _, err := s.SignIn(t.Context(), "nick", "wrong", at(tokens.Device)); status(err) != want {
			t.Errorf("guess %d from the device: %v, want %d", i, err, want)
		}
	}
	forgetDevices()
	if err := s.ChangePassword(t.Context(), nick, stored(t, s, tokens.Session), tokens.Session, password, "another one", at(tokens.Device)); err != nil {
		t.Errorf("changing the password on the device: %v", err)
	}
	if _, _, err := s.SignIn(t.Context(), "nick", "another one", at(tokens.Device)); status(err) != http.StatusTooManyRequests {
		t.Errorf("a device of before the change of the password: %v", err)
	}
}

func TestSimultaneousGuessesAllCount(t *testing.T) { dbtest.Each(t, testSimultaneousGuessesAllCount) }

func testSimultaneousGuessesAllCount(t *testing.T, open dbtest.Backend) {
	s, _, _ := setUp(t, open)
	var wg sync.WaitGroup
	errs := make(chan error, 20)
	for range 20 {
		wg.Go(func() {
			_, _, err := s.SignIn(t.Context(), "nick", "wrong", home)
			errs <- err
		})
	}
	wg.Wait()
	close(errs)
	looked := 0
	for err := range errs {
		switch status(err) {
		case http.StatusUnauthorized:
			looked++
		case http.StatusTooManyRequests:
		default:
			t.Error(err)
		}
	}
	if looked != 5 {
		t.Errorf("%d of 20 simultaneous guesses were checked, want the 5 free ones", looked)
	}
}

func TestCreateRefuses(t *testing.T) { dbtest.Each(t, testCreateRefuses) }

func testCreateRefuses(t *testing.T, open dbtest.Backend) {
	s, _, _ := setUp(t, open)
	if _, err := s.Create(t.Context(), "francis", password, false); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, password string
		status         int
	}{
		{"FRANCIS", password, http.StatusConflict},
		{"", password, http.StatusBadRequest},
		{"-f", password, http.StatusBadRequest},
		{"a b", password, http.StatusBadRequest},
		{"a\nb", password, http.StatusBadRequest},
		{strings.Repeat("x", 65), password, http.StatusBadRequest},
		{"louis", "short", http.StatusBadRequest},
		{"louis", strings.Repeat("x", account.MaxPassword+1), http.StatusBadRequest},
	} {
		if _, err := s.Create(t.Context(), c.name, c.password, false); status(err) != c.status {
			t.Errorf("Create(%q, …) = %v, want %d", c.name, err, c.status)
		}
	}
	if _, err := s.Create(t.Context(), "Zoë_7.x-y", password, false); err != nil {
		t.Error(err)
	}
}

func TestOnlyOneFirstAdministrator(t *testing.T) { dbtest.Each(t, testOnlyOneFirstAdministrator) }

func testOnlyOneFirstAdministrator(t *testing.T, open dbtest.Backend) {
	s, _, d := setUp(t, open)
	if any, err := s.Any(t.Context()); err != nil || any {
		t.Fatalf("Any = %v, %v", any, err)
	}
	var wg sync.WaitGroup
	created := make(chan bool, 4)
	for range 4 {
		wg.Go(func() {
			made, err := s.CreateFirst(t.Context(), "admin", account.RandomPassword())
			if err != nil {
				t.Error(err)
			}
			created <- made
		})
	}
	wg.Wait()
	close(created)
	n := 0
	for made := range created {
		if made {
			n++
		}
	}
	if n != 1 || count(t, d, "users") != 1 {
		t.Errorf("%d processes created %d first administrators", n, count(t, d, "users"))
	}
}

func TestPromote(t *testing.T) { dbtest.Each(t, testPromote) }

func testPromote(t *testing.T, open dbtest.Backend) {
	s, _, _ := setUp(t, open)
	if err := s.Promote(t.Context(), "bill"); !errors.Is(err, account.ErrNoUser) {
		t.Errorf("Promote of nobody = %v", err)
	}
	if _, err := s.Create(t.Context(), "bill", password, false); err != nil {
		t.Fatal(err)
	}
	if err := s.Promote(t.Context(), "bill"); err != nil {
		t.Fatal(err)
	}
	if u, _, err := s.SignIn(t.Context(), "bill", password, home); err != nil || !u.Admin {
		t.Errorf("after Promote: %v, %v", u, err)
	}
}

func count(t *testing.T, d *db.DB, table string) (n int) {
	t.Helper()
	if err := d.QueryRowContext(t.Context(), `SELECT COUNT(*) FROM `+table).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}
