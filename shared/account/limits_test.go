package account_test

import (
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"left4me/shared/account"
	"left4me/shared/db/dbtest"
	"left4me/shared/problem"
)

func TestActionsAreLimited(t *testing.T) { dbtest.Each(t, testActionsAreLimited) }

func testActionsAreLimited(t *testing.T, open dbtest.Backend) {
	s, c, d := setUp(t, open)
	nick, zoey := create(t, s, "nick", false), create(t, s, "zoey", false)
	nick.Limits = &account.Limits{ActionsPerMinute: 6}
	zoey.Limits = nick.Limits
	act := func(u account.User) error { return u.Refused(account.CountAction(t.Context(), d, c.at, u)) }
	allowed := func(want int) {
		t.Helper()
		for n := 0; ; n++ {
			err := act(nick)
			if err == nil && n < want {
				continue
			}
			if p, ok := problem.As(err); n != want || !ok || p.Status != http.StatusTooManyRequests || p.RetryAfter != 10*time.Second {
				t.Errorf("after %d actions, want %d: %v", n, want, err)
			}
			return
		}
	}
	allowed(6)
	c.forward(10 * time.Second)
	allowed(1)
	c.forward(25 * time.Second)
	allowed(2)
	if err := act(zoey); err != nil {
		t.Errorf("somebody else: %v", err)
	}
	c.forward(time.Hour)
	allowed(6)
	c.forward(-24 * time.Hour) // the clock was wrong
	allowed(6)

	nick.Limits = nil
	for range 100 {
		if err := act(nick); err != nil {
			t.Fatalf("without limits: %v", err)
		}
	}
}

func TestActionsAtOnceAreLimited(t *testing.T) { dbtest.Each(t, testActionsAtOnceAreLimited) }

func testActionsAtOnceAreLimited(t *testing.T, open dbtest.Backend) {
	s, c, d := setUp(t, open)
	nick := create(t, s, "nick", false)
	nick.Limits = &account.Limits{ActionsPerMinute: 5}
	var passed atomic.Int32
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			err := nick.Refused(account.CountAction(t.Context(), d, c.at, nick))
			if err == nil {
				passed.Add(1)
			} else if status(err) != http.StatusTooManyRequests {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if passed.Load() != 5 {
		t.Errorf("%d actions passed, want 5", passed.Load())
	}
}
