package account_test

import (
	"errors"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"left4me/shared/account"
	"left4me/shared/db/dbtest"
	"left4me/shared/list"
)

func create(t *testing.T, s *account.Store, name string, admin bool) account.User {
	t.Helper()
	u, err := s.Create(t.Context(), name, password, admin)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func signIn(t *testing.T, s *account.Store, name, password string) string {
	t.Helper()
	_, tokens, err := s.SignIn(t.Context(), name, password, home)
	if err != nil {
		t.Fatal(err)
	}
	return tokens.Session
}

func TestPeople(t *testing.T) { dbtest.Each(t, testPeople) }

func testPeople(t *testing.T, open dbtest.Backend) {
	s, c, _ := setUp(t, open)
	zoey, bill := create(t, s, "zoey", true), create(t, s, "Bill", false)
	if _, err := s.Disable(t.Context(), bill.ID); err != nil {
		t.Fatal(err)
	}
	created := c.at
	c.forward(time.Hour)
	signIn(t, s, "zoey", password)
	page, err := s.People(t.Context(), list.Query{})
	people := page.Rows
	if err != nil || len(people) != 2 {
		t.Fatalf("People = %v, %v", people, err)
	}
	if want := (account.Person{User: bill, Disabled: true, CreatedAt: created}); people[0] != want {
		t.Errorf("%+v, want %+v", people[0], want)
	}
	if want := (account.Person{User: zoey, Last: true, CreatedAt: created, LastSignIn: c.at}); people[1] != want {
		t.Errorf("%+v, want %+v", people[1], want)
	}
	if n, err := s.Count(t.Context()); err != nil || n != (account.Counts{People: 1, Administrators: 1, Disabled: 1}) {
		t.Errorf("Count = %+v, %v", n, err)
	}
}

func TestChangesByAdministratorsTakeEffectAtOnce(t *testing.T) {
	dbtest.Each(t, testChangesByAdministratorsTakeEffectAtOnce)
}

func testChangesByAdministratorsTakeEffectAtOnce(t *testing.T, open dbtest.Backend) {
	s, _, _ := setUp(t, open)
	create(t, s, "root", true)
	nick := create(t, s, "nick", false)
	token := signIn(t, s, "nick", password)
	session := func() account.User {
		t.Helper()
		u, err := s.BySession(t.Context(), token)
		if err != nil {
			t.Fatal(err)
		}
		return u
	}
	for _, admin := range []bool{true, true, false, false} { // twice is as good as once
		p, err := s.SetAdmin(t.Context(), nick.ID, admin)
		if err != nil || p.Admin != admin || p.Name != "nick" || session().Admin != admin {
			t.Errorf("SetAdmin(%t) = %+v, %v; the session says %+v", admin, p, err, session())
		}
	}

	if p, err := s.Disable(t.Context(), nick.ID); err != nil || !p.Disabled || session().ID != 0 {
		t.Errorf("Disable = %+v, %v; the session is %+v", p, err, session())
	}
	if _, _, err := s.SignIn(t.Context(), "nick", password, home); status(err) != http.StatusUnauthorized {
		t.Errorf("SignIn of a disabled person = %v", err)
	}
	if p, err := s.Enable(t.Context(), nick.ID); err != nil || p.Disabled || session().ID != 0 {
		t.Errorf("Enable = %+v, %v; the old session is %+v", p, err, session())
	}

	token = signIn(t, s, "nick", password)
	_, fresh, err := s.ResetPassword(t.Context(), nick.ID)
	if err != nil || session().ID != 0 {
		t.Errorf("ResetPassword: %v; the session is %+v", err, session())
	}
	if _, _, err := s.SignIn(t.Context(), "nick", password, home); status(err) != http.StatusUnauthorized {
		t.Errorf("SignIn with the old password = %v", err)
	}
	token = signIn(t, s, "nick", fresh)
	if p, err := s.SetPassword(t.Context(), "Nick", "a third password"); err != nil || p.Name != "nick" || session().ID != 0 {
		t.Errorf("SetPassword = %+v, %v; the session is %+v", p, err, session())
	}
	if _, err := s.SetPassword(t.Context(), "nick", "short"); status(err) != http.StatusBadRequest {
		t.Errorf("SetPassword, too short: %v", err)
	}
	signIn(t, s, "nick", "a third password")

	for name, do := range map[string]func() (account.Person, error){
		"SetAdmin": func() (account.Person, error) { return s.SetAdmin(t.Context(), 99, false) },
		"Disable":  func() (account.Person, error) { return s.Disable(t.Context(), 99) },
		"Enable":   func() (account.Person, error) { return s.Enable(t.Context(), 99) },
		"ResetPassword": func() (account.Person, error) {
			p, _, err := s.ResetPassword(t.Context(), 99)
			return p, err
		},
	} {
		if _, err := do(); status(err) != http.StatusNotFound {
			t.Errorf("%s of nobody = %v, want 404", name, err)
		}
	}
	if _, err := s.SetPassword(t.Context(), "nobody", "a password"); !errors.Is(err, account.ErrNoUser) {
		t.Errorf("SetPassword of nobody = %v", err)
	}
}

func TestTheLastAdministratorStays(t *testing.T) { dbtest.Each(t, testTheLastAdministratorStays) }

func testTheLastAdministratorStays(t *testing.T, open dbtest.Backend) {
	s, _, _ := setUp(t, open)
	root, bill := create(t, s, "root", true), create(t, s, "bill", true)
	// An administrator who cannot sign in does not count.
	if _, err := s.Disable(t.Context(), bill.ID); err != nil {
		t.Fatal(err)
	}
	for name, do := range map[string]func() (account.Person, error){
		"demote":  func() (account.Person, error) { return s.SetAdmin(t.Context(), root.ID, false) },
		"disable": func() (account.Person, error) { return s.Disable(t.Context(), root.ID) },
	} {
		if _, err := do(); status(err) != http.StatusConflict || !strings.Contains(err.Error(), "root is the last administrator") {
			t.Errorf("%s the last one: %v", name, err)
		}
	}
	if _, err := s.SetAdmin(t.Context(), root.ID, true); err != nil {
		t.Errorf("promoting an administrator: %v", err)
	}
	if _, err := s.SetAdmin(t.Context(), bill.ID, false); err != nil {
		t.Errorf("a disabled administrator cannot be demoted: %v", err)
	}
}

func TestAdministratorsWhoRemoveEachOtherAtOnceLeaveOne(t *testing.T) {
	dbtest.Each(t, testAdministratorsWhoRemoveEachOtherAtOnceLeaveOne)
}

func testAdministratorsWhoRemoveEachOtherAtOnceLeaveOne(t *testing.T, open dbtest.Backend) {
	s, _, _ := setUp(t, open)
	var all []account.User
	for _, name := range []string{"bill", "francis", "louis", "zoey"} {
		all = append(all, create(t, s, name, true))
	}
	for round := range 5 {
		for _, u := range all {
			if _, err := s.SetAdmin(t.Context(), u.ID, true); err != nil {
				t.Fatal(err)
			}
			if _, err := s.Enable(t.Context(), u.ID); err != nil {
				t.Fatal(err)
			}
		}
		var wg sync.WaitGroup
		start := make(chan struct{})
		errs := make([]error, len(all))
		for i, u := range all {
			wg.Go(func() {
				<-start
				if i%2 == 0 {
					_, errs[i] = s.SetAdmin(t.Context(), u.ID, false)
				} else {
					_, errs[i] = s.Disable(t.Context(), u.ID)
				}
			})
		}
		close(start)
		wg.Wait()
		refused := 0
		for _, err := range errs {
			if err != nil && status(err) != http.StatusConflict {
				t.Error(err)
			}
			if err != nil {
				refused++
			}
		}
		if n, err := s.Count(t.Context()); err != nil || n.Administrators != 1 || refused != 1 {
			t.Errorf("round %d: %d administrators are left (%v), %d were refused", round, n.Administrators, err, refused)
		}
	}
}

func TestASignInDuringDisablingLeavesNoSession(t *testing.T) {
	dbtest.Each(t, testASignInDuringDisablingLeavesNoSession)
}

func testASignInDuringDisablingLeavesNoSession(t *testing.T, open dbtest.Backend) {
	s, _, d := setUp(t, open)
	nick := create(t, s, "nick", false)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if _, _, err := s.SignIn(t.Context(), "nick", password, home); err != nil && status(err) != http.StatusUnauthorized {
				t.Error(err)
			}
		})
	}
	for count(t, d, "sign_in_failures") == 0 { // each counts itself before it looks at the password
		runtime.Gosched()
	}
	if _, err := s.Disable(t.Context(), nick.ID); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	if n := count(t, d, "sessions"); n != 0 {
		t.Errorf("%d sessions are left for when the account is enabled again", n)
	}
}

func stored(t *testing.T, s *account.Store, token string) account.Password {
	t.Helper()
	p, err := s.Password(t.Context(), token)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestChangePassword(t *testing.T) { dbtest.Each(t, testChangePassword) }

func testChangePassword(t *testing.T, open dbtest.Backend) {
	s, c, d := setUp(t, open)
	nick := create(t, s, "nick", false)
	create(t, s, "ellis", false)
	here, there, other := signIn(t, s, "nick", password), signIn(t, s, "nick", password), signIn(t, s, "ellis", password)
	change := func(current, fresh string) error {
		return s.ChangePassword(t.Context(), nick, stored(t, s, here), here, current, fresh, home)
	}
	if err := change(password, "short"); status(err) != http.StatusBadRequest {
		t.Errorf("a short password: %v", err)
	}
	if err := change("wrong", "another one"); status(err) != http.StatusForbidden || count(t, d, "sessions") != 3 {
		t.Errorf("a wrong current password: %v, %d sessions", err, count(t, d, "sessions"))
	}
	if err := change(password, "another one"); err != nil {
		t.Fatal(err)
	}
	for token, want := range map[string]string{here: "nick", there: "", other: "ellis"} {
		if u, err := s.BySession(t.Context(), token); err != nil || u.Name != want {
			t.Errorf("the session of %q is now %q, %v", want, u.Name, err)
		}
	}
	if n := count(t, d, "sign_in_failures WHERE subject = 'name:nick'"); n != 0 {
		t.Error("the change did not reset the failures")
	}
	signIn(t, s, "nick", "another one")

	var last error
	for range 6 {
		last = change("wrong", "yet another")
	}
	if status(last) != http.StatusTooManyRequests {
		t.Errorf("after several guesses: %v", last)
	}
	if err := change("another one", "yet another"); status(err) != http.StatusTooManyRequests {
		t.Errorf("the correct password was checked during the delay: %v", err)
	}
	c.forward(2 * time.Minute)
	if err := change("another one", "yet another"); err != nil {
		t.Error(err)
	}
}

func TestSessionsOfOnePerson(t *testing.T) { dbtest.Each(t, testSessionsOfOnePerson) }

func testSessionsOfOnePerson(t *testing.T, open dbtest.Backend) {
	s, c, d := setUp(t, open)
	nick, ellis := create(t, s, "nick", false), create(t, s, "ellis", false)
	first := c.at
	signIn(t, s, "nick", password)
	c.forward(time.Hour)
	token := signIn(t, s, "nick", password)
	elsewhere := signIn(t, s, "ellis", password)

	own, err := s.Sessions(t.Context(), nick.ID, token)
	if err != nil || len(own) != 2 {
		t.Fatalf("Sessions = %v, %v", own, err)
	}
	old := own[1]
	if !own[0].Current || old.Current || !old.CreatedAt.Equal(first) || !old.ExpiresAt.Equal(first.Add(account.SessionLife)) || old.From != home {
		t.Errorf("Sessions = %+v", own)
	}
	// A session of somebody else is not ended.
	if ended, err := s.EndSession(t.Context(), ellis.ID, old.ID); ended || err != nil {
		t.Errorf("ellis ends a session of nick's: %t, %v", ended, err)
	}
	if own, _ = s.Sessions(t.Context(), nick.ID, token); len(own) != 2 {
		t.Errorf("ellis ended a session of nick's")
	}
	if ended, err := s.EndSession(t.Context(), nick.ID, old.ID); !ended || err != nil {
		t.Errorf("nick ends a session of his own: %t, %v", ended, err)
	}
	if own, _ = s.Sessions(t.Context(), nick.ID, token); len(own) != 1 || !own[0].Current {
		t.Errorf("after ending one: %+v", own)
	}
	signIn(t, s, "nick", password)
	if err := s.EndOtherSessions(t.Context(), nick.ID, token); err != nil {
		t.Fatal(err)
	}
	if own, _ = s.Sessions(t.Context(), nick.ID, token); len(own) != 1 || !own[0].Current {
		t.Errorf("after ending the others: %+v", own)
	}
	if u, err := s.BySession(t.Context(), elsewhere); err != nil || u != ellis {
		t.Errorf("ellis is %v, %v", u, err)
	}
	c.forward(account.SessionLife)
	if own, err = s.Sessions(t.Context(), nick.ID, token); err != nil || len(own) != 0 {
		t.Errorf("expired sessions are listed: %v, %v", own, err)
	}
	token = signIn(t, s, "ellis", password)
	if n, err := account.EndAllSessions(t.Context(), d); n == 0 || err != nil {
		t.Errorf("%d ended, %v", n, err)
	}
	if own, err = s.Sessions(t.Context(), ellis.ID, token); err != nil || len(own) != 0 {
		t.Errorf("after ending all: %v, %v", own, err)
	}
}
