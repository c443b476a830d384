package account_test

import (
	"net/http"
	"testing"
	"time"

	"left4me/shared/account"
	"left4me/shared/db"
	"left4me/shared/db/dbtest"
	"left4me/shared/db/migrations"
	"left4me/shared/problem"
)

func TestTokens(t *testing.T) {
	d := dbtest.New(t)
	if _, err := migrations.Up(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 3, 14, 18, 0, 0, 0, time.UTC)
	s := account.NewStore(d, func() time.Time { return now })
	anna, err := s.Create(t.Context(), "anna", "a password", false)
	if err != nil {
		t.Fatal(err)
	}
	token, err := s.CreateToken(t.Context(), anna, " backup ", 7, false)
	if err != nil {
		t.Fatal(err)
	}
	known := func(when string, want bool) account.Token {
		t.Helper()
		u, of, err := s.ByToken(t.Context(), token)
		if err != nil || (u.ID == anna.ID) != want || want && (of.Name != "backup" || of.Writes) {
			t.Errorf("%s: %+v, %+v, %v", when, u, of, err)
		}
		return of
	}
	if stored, err := db.Row(t.Context(), d, db.Value[int], `SELECT COUNT(*) FROM api_tokens WHERE instr(token_hash, ?) > 0`, token[4:]); err != nil || stored != 0 {
		t.Errorf("the token itself is stored: %v", err)
	}
	used := known("new", true)
	for _, c := range []struct{ after, stored time.Duration }{{0, 0}, {time.Minute, 0}, {2 * time.Hour, 2*time.Hour + time.Minute}} {
		begun := time.Date(2026, 3, 14, 18, 0, 0, 0, time.UTC)
		now = now.Add(c.after)
		if err := s.TokenUsed(t.Context(), used); err != nil {
			t.Error(err)
		}
		if used = known("used", true); !used.LastUsedAt.Equal(begun.Add(c.stored)) {
			t.Errorf("after %s it was last used at %s", c.after, used.LastUsedAt)
		}
	}
	now = used.ExpiresAt
	known("expired", false)

	if token, err = s.CreateToken(t.Context(), anna, "backup", 7, false); err != nil {
		t.Fatal(err)
	}
	if n, err := db.Row(t.Context(), d, db.Value[int], `SELECT COUNT(*) FROM api_tokens`); err != nil || n != 1 {
		t.Errorf("%d tokens are stored, with those that have expired: %v", n, err)
	}
	if _, err := s.Create(t.Context(), "root", "a password", true); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Disable(t.Context(), anna.ID); err != nil {
		t.Fatal(err)
	}
	known("disabled", false)
	if _, err := s.Enable(t.Context(), anna.ID); err != nil {
		t.Fatal(err)
	}
	known("disabled and enabled again", false)
	for range 50 {
		if token, err = s.CreateToken(t.Context(), anna, "backup", 7, false); err != nil {
			t.Fatal(err)
		}
	}
	if p, ok := problem.As(func() error { _, err := s.CreateToken(t.Context(), anna, "x", 7, false); return err }()); !ok || p.Status != http.StatusConflict {
		t.Errorf("one token more: %v", p)
	}
}

// Wrong tokens are refused for a while after many, also right after a success; they do not keep people from signing in.
func TestWrongTokensAreThrottled(t *testing.T) {
	d := dbtest.New(t)
	if _, err := migrations.Up(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 3, 14, 18, 0, 0, 0, time.UTC)
	s := account.NewStore(d, func() time.Time { return now })
	if _, err := s.Create(t.Context(), "anna", "a password", false); err != nil {
		t.Fatal(err)
	}
	from := account.Client{Address: "192.0.2.1"}
	status := func() int {
		p, _ := problem.As(s.WrongToken(t.Context(), from))
		return p.Status
	}
	for n := range 20 {
		if got := status(); got != http.StatusUnauthorized {
			t.Fatalf("wrong token %d: %d", n+1, got)
		}
	}
	if got := status(); got != http.StatusTooManyRequests {
		t.Errorf("after many: %d", got)
	}
	if _, _, err := s.SignIn(t.Context(), "anna", "a password", from); err != nil {
		t.Errorf("signing in from there: %v", err)
	}
}
