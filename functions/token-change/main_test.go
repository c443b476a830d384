package main

import (
	"net/http"
	"strings"
	"testing"

	"left4me/shared/account"
	"left4me/shared/route"
	"left4me/templates/fntest"
)

func TestATokenIsShownOnceAndRevokedAtOnce(t *testing.T) {
	s := fntest.New(t)
	anna, bert := s.Person("anna", false), s.Person("bert", false)
	accounts := account.NewStore(s.Env.DB, s.Env.Now)
	v := s.Visitor(anna, route.TokenChange, build)
	got := v.Post("/account/tokens", "name", "backup", "days", "30", "writes", "yes")
	token := got.Text("#new-token")
	if u, of, err := accounts.ByToken(t.Context(), token); got.StatusCode != http.StatusOK || err != nil || u.ID != anna.ID || !of.Writes || of.Name != "backup" {
		t.Fatalf("%d, token %q: %+v, %+v, %v", got.StatusCode, token, u, of, err)
	}
	if again := v.Post("/account/tokens", "name", "reader", "days", "1"); strings.Contains(again.Body, token) {
		t.Error("the token is shown a second time")
	}
	for _, c := range []struct {
		who    account.User
		notice string
		left   int
	}{
		{bert, "not one of your tokens", 2},
		{anna, "is revoked", 1},
	} {
		got := s.Visitor(c.who, route.TokenChange, build).Post("/account/tokens", "revoke", "1")
		if n := s.Count(`SELECT COUNT(*) FROM api_tokens`); got.StatusCode != http.StatusSeeOther || !strings.Contains(got.Notice(), c.notice) || n != c.left {
			t.Errorf("%s revokes the token: %d, %q, %d are left", c.who.Name, got.StatusCode, got.Notice(), n)
		}
	}
	if u, _, err := accounts.ByToken(t.Context(), token); err != nil || u.ID != 0 {
		t.Errorf("the revoked token: %+v, %v", u, err)
	}
}

func TestRefusedFormsKeepWhatWasTyped(t *testing.T) {
	s := fntest.New(t)
	v := s.Visitor(s.Person("anna", false), route.TokenChange, build)
	for what, c := range map[string]struct{ name, days, says string }{
		"no name":       {" ", "7", "name of 1 to 64"},
		"a long name":   {strings.Repeat("é", 65), "7", "name of 1 to 64"},
		"no days":       {"x", "soon", "1 to 365 days"},
		"too many days": {"x", "366", "1 to 365 days"},
	} {
		got := v.Post("/account/tokens", "name", c.name, "days", c.days)
		if got.StatusCode != http.StatusBadRequest || !strings.Contains(got.Text("#token-error"), c.says) || got.Page().Find("#token-name").AttrOr("value", "") != c.name {
			t.Errorf("%s: %d, %q", what, got.StatusCode, got.Text("#token-error"))
		}
	}
	if got := v.Post("/account/tokens", "revoke", "x"); got.StatusCode != http.StatusBadRequest {
		t.Errorf("no id: %d", got.StatusCode)
	}
	if n := s.Count(`SELECT COUNT(*) FROM api_tokens`); n != 0 {
		t.Errorf("%d tokens were made", n)
	}
}
