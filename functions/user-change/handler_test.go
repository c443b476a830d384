package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"left4me/shared/account"
	"left4me/shared/route"
	"left4me/templates/fntest"
)

func path(u account.User) string { return fmt.Sprintf("/admin/users/%d", u.ID) }

func TestEachAction(t *testing.T) {
	s := fntest.New(t)
	anna, root := s.Person("anna", false), s.Visitor(s.Person("root", true), route.UserChange, build)
	for _, c := range []struct{ action, want string }{
		{"promote", `is_admin = 1 AND is_disabled = 0`},
		{"demote", `is_admin = 0 AND is_disabled = 0`},
		{"disable", `is_disabled = 1`},
		{"enable", `is_disabled = 0`},
	} {
		got := root.Post(path(anna), "action", c.action)
		if got.StatusCode != http.StatusSeeOther || got.Header.Get("Location") != "/admin/users" {
			t.Errorf("%s: %d to %q", c.action, got.StatusCode, got.Header.Get("Location"))
		}
		if s.Count(`SELECT COUNT(*) FROM users WHERE id = ? AND `+c.want, anna.ID) != 1 {
			t.Errorf("%s has not changed the person", c.action)
		}
	}
}

func TestANewPasswordIsShownOnceAndEndsSessions(t *testing.T) {
	s := fntest.New(t)
	anna, root := s.Person("anna", false), s.Visitor(s.Person("root", true), route.UserChange, build)
	s.Visitor(anna, route.UserChange, build) // signs in
	got := root.Post(path(anna), "action", "password")
	password := got.Page().Find(".secret").Text()
	if got.StatusCode != http.StatusOK || len(password) != 16 {
		t.Fatalf("%d with the password %q", got.StatusCode, password)
	}
	if n := s.Count(`SELECT COUNT(*) FROM sessions WHERE user_id = ?`, anna.ID); n != 0 {
		t.Errorf("anna has %d sessions", n)
	}
	if _, _, err := account.NewStore(s.Env.DB, s.Env.Now).SignIn(t.Context(), "anna", password, account.Client{Address: "192.0.2.7"}); err != nil {
		t.Error(err)
	}
	for _, c := range got.Cookies() {
		if strings.Contains(c.Value, password) {
			t.Errorf("the password is in the cookie %s", c.Name)
		}
	}
}

func TestTheLastAdministratorStays(t *testing.T) {
	s := fntest.New(t)
	root := s.Person("root", true)
	v := s.Visitor(root, route.UserChange, build)
	for _, action := range []string{"demote", "disable"} {
		got := v.Post(path(root), "action", action)
		if got.StatusCode != http.StatusConflict || !strings.Contains(got.Page().Find("[role=alert]").Text(), "root is the last administrator") {
			t.Errorf("%s: %d", action, got.StatusCode)
		}
	}
	if n := s.Count(`SELECT COUNT(*) FROM users WHERE is_admin = 1 AND is_disabled = 0`); n != 1 {
		t.Error("no administrator is left")
	}
	// With a second administrator, the first may give up the role, and is redirected to a page that they may still see.
	s.Person("anna", true)
	got := v.Post(path(root), "action", "demote")
	if got.StatusCode != http.StatusSeeOther || got.Header.Get("Location") != "/" {
		t.Errorf("demoting oneself: %d to %q", got.StatusCode, got.Header.Get("Location"))
	}
	if got := v.Post(path(root), "action", "promote"); got.StatusCode != http.StatusForbidden {
		t.Errorf("promoting oneself again: %d", got.StatusCode)
	}
}

func TestUnknownPeopleAndActionsAreRefused(t *testing.T) {
	s := fntest.New(t)
	root := s.Person("root", true)
	v := s.Visitor(root, route.UserChange, build)
	for path, want := range map[string]int{"/admin/users/99": http.StatusNotFound, "/admin/users/x": http.StatusNotFound} {
		if got := v.Post(path, "action", "disable"); got.StatusCode != want {
			t.Errorf("%s: %d, want %d", path, got.StatusCode, want)
		}
	}
	for _, action := range []string{"", "delete"} {
		if got := v.Post(path(root), "action", action); got.StatusCode != http.StatusBadRequest {
			t.Errorf("action %q: %d", action, got.StatusCode)
		}
	}
}
