package main

import (
	"fmt"
	"net/http"
	"testing"

	"left4me/shared/account"
	"left4me/shared/route"
	"left4me/templates/fntest"
)

const path = "/account/sessions"

func TestPeopleEndOnlyTheirOwnSessions(t *testing.T) {
	s := fntest.New(t)
	anna, bert := s.Person("anna", false), s.Person("bert", false)
	s.Visitor(bert, route.SessionEnd, build)
	s.Visitor(anna, route.SessionEnd, build)
	s.Visitor(anna, route.SessionEnd, build)
	s.Visitor(anna, route.SessionEnd, build)
	v := s.Visitor(anna, route.SessionEnd, build)
	left := func(u account.User) int { return s.Count(`SELECT COUNT(*) FROM sessions WHERE user_id = ?`, u.ID) }

	annas, berts := s.Count(`SELECT MIN(id) FROM sessions WHERE user_id = ?`, anna.ID), s.Count(`SELECT MIN(id) FROM sessions WHERE user_id = ?`, bert.ID)
	const ended, none = "That session has ended.", "That is not one of your sessions, or it has already ended. Nothing was changed."
	for _, c := range []struct {
		which, says string
		id          int
	}{
		{"her own", ended, annas},
		{"the one that has ended", none, annas},
		{"somebody else's", none, berts}, // in the same words: ids of others' sessions stay unknown
	} {
		got := v.Post(path, "session", fmt.Sprint(c.id))
		if got.StatusCode != http.StatusSeeOther || got.Header.Get("Location") != "/account" || got.Notice() != c.says {
			t.Errorf("%s: %d to %q, which says %q", c.which, got.StatusCode, got.Header.Get("Location"), got.Notice())
		}
	}
	if left(anna) != 3 || left(bert) != 1 {
		t.Errorf("anna has %d sessions, bert %d", left(anna), left(bert))
	}
	for _, which := range []string{"", "all", "1 OR 1"} {
		if got := v.Post(path, "session", which); got.StatusCode != http.StatusBadRequest || left(anna) != 3 {
			t.Errorf("session %q: %d", which, got.StatusCode)
		}
	}
	if got := v.Post(path, "session", "others"); got.StatusCode != http.StatusSeeOther || left(anna) != 1 || left(bert) != 1 {
		t.Errorf("the others: %d, anna has %d sessions, bert %d", got.StatusCode, left(anna), left(bert))
	}
	if got := v.Post(path, "session", "others"); got.StatusCode != http.StatusSeeOther {
		t.Errorf("the current session has ended: %d", got.StatusCode)
	}
}
