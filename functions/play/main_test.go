package main

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"left4me/shared/account"
	"left4me/shared/db/dbtest"
	"left4me/shared/route"
	"left4me/templates/fntest"
)

// The page is everybody's, so that it may be kept on its way: it reads no session, and sets no cookie. A database server is asked once.
func TestThePageIsTheSameForEverybody(t *testing.T) {
	database := dbtest.Serve(t)
	s := fntest.New(t, "DATABASE_URL", database.URL)
	anna := s.Person("anna", true)
	s.Server(anna, "one", 27015)
	if _, err := s.Env.DB.ExecContext(t.Context(), `UPDATE servers SET is_public = 1`); err != nil {
		t.Fatal(err)
	}
	now := s.Env.Now()
	s.Env.Now = func() time.Time { return now }
	pages := map[string]string{}
	for _, u := range []account.User{{}, anna} {
		v := s.Visitor(u, route.Play, build)
		database.Received()
		got := v.Get("/play/1")
		if asked := database.Received(); len(asked) != 1 || strings.Contains(asked[0], "sessions") {
			t.Errorf("%q: the statements are %q", u.Name, asked)
		}
		if kept := got.Header.Get("Cache-Control"); got.StatusCode != http.StatusOK || kept != "public, max-age=15" || len(got.Cookies()) != 0 {
			t.Errorf("%q: %d, Cache-Control %q, cookies %v", u.Name, got.StatusCode, kept, got.Cookies())
		}
		pages[got.Body] = u.Name
	}
	if len(pages) != 1 {
		t.Error("the pages differ")
	}
}

func TestWhatIsNotPublicIsNotThere(t *testing.T) {
	s := fntest.New(t)
	anna := s.Person("anna", true)
	s.Server(anna, "one", 27015)
	v := s.Visitor(anna, route.Play, build)
	said := map[string]bool{}
	for _, path := range []string{"/play/1", "/play/2"} {
		got := v.Get(path)
		if got.StatusCode != http.StatusNotFound || got.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %d, Cache-Control %q", path, got.StatusCode, got.Header.Get("Cache-Control"))
		}
		said[got.Text("#error")] = true
	}
	if len(said) != 1 || said[""] {
		t.Errorf("the answers differ: %v", said)
	}
}
