package main

import (
	"net/http"
	"strings"
	"testing"

	"left4me/shared/account"
	"left4me/shared/route"
	"left4me/templates/fntest"
)

func TestSuccessMakesAPersonWhoCanSignIn(t *testing.T) {
	s := fntest.New(t)
	root := s.Visitor(s.Person("root", true), route.UserCreate, build)
	accounts := account.NewStore(s.Env.DB, s.Env.Now)
	signIn := func(name, password string) account.User {
		t.Helper()
		u, _, err := accounts.SignIn(t.Context(), name, password, account.Client{Address: "192.0.2.7"})
		if err != nil {
			t.Error(err)
		}
		return u
	}

	got := root.Post("/admin/users", "name", " anna ", "password", "typed by root")
	if got.StatusCode != http.StatusSeeOther || got.Header.Get("Location") != "/admin/users" {
		t.Errorf("%d to %q", got.StatusCode, got.Header.Get("Location"))
	}
	if u := signIn("anna", "typed by root"); u.Admin {
		t.Error("anna is an administrator")
	}

	got = root.Post("/admin/users", "name", "bert", "password", "", "administrator", "yes")
	password := got.Page().Find(".secret").Text()
	if got.StatusCode != http.StatusOK || len(password) != 16 {
		t.Errorf("%d with the password %q", got.StatusCode, password)
	}
	if u := signIn("bert", password); !u.Admin {
		t.Error("bert is no administrator")
	}
	for _, c := range got.Cookies() {
		if strings.Contains(c.Value, password) {
			t.Errorf("the password is in the cookie %s", c.Name)
		}
	}
}

func TestAnInvalidFormIsShownAgainWithAnError(t *testing.T) {
	s := fntest.New(t)
	root := s.Visitor(s.Person("root", true), route.UserCreate, build)
	for what, c := range map[string]struct {
		name, password string
		status         int
		says           string
	}{
		"a taken name":     {"ROOT", "long enough", http.StatusConflict, "already a user named ROOT"},
		"no name":          {" ", "long enough", http.StatusBadRequest, "A user name has"},
		"a short password": {"anna", "short", http.StatusBadRequest, "at least 8"},
	} {
		got := root.Post("/admin/users", "name", c.name, "password", c.password, "administrator", "yes")
		page := got.Page()
		_, ticked := page.Find("#administrator").Attr("checked")
		if got.StatusCode != c.status || !strings.Contains(page.Find("#create-error").Text(), c.says) ||
			page.Find("#name").AttrOr("value", "") != strings.TrimSpace(c.name) || !ticked || page.Find("#password").AttrOr("value", "") != "" {
			t.Errorf("%s: %d, %s", what, got.StatusCode, page.Find("main form").First().Text())
		}
	}
	if n := s.Count(`SELECT COUNT(*) FROM users`); n != 1 {
		t.Errorf("%d people", n)
	}
}
