package main

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"left4me/shared/db/dbtest"
	"left4me/shared/overlay"
	"left4me/shared/route"
	"left4me/templates/fntest"
)

// The page says what removing the host does, and its form asks for just that.
func TestTheQuestion(t *testing.T) {
	s := fntest.New(t)
	root := s.Person("root", true)
	v := s.Visitor(root, route.HostAsk, build)
	dbtest.AddHost(t, s.Env.DB, "attic", s.Env.Now().Add(-time.Hour))
	dbtest.AddHost(t, s.Env.DB, "cellar", s.Env.Now())
	got := v.Get("/admin/hosts/attic/delete")
	form := got.Page().Find(`main form[method=post][action="/admin/hosts/attic/delete"]`)
	if got.StatusCode != http.StatusOK || got.Text("h1") != "Remove the host attic?" || form.Find("button").Length() != 1 || strings.Contains(got.Text("main"), "job") {
		t.Errorf("%d %s", got.StatusCode, got.Text("main"))
	}
	if _, err := overlay.NewStore(s.Env.DB, s.Env.Now, s.Env.Jobs).Create(t.Context(), root, "maps", "workshop"); err != nil {
		t.Fatal(err)
	}
	if text := v.Get("/admin/hosts/attic/delete").Text("main"); !strings.Contains(text, "1 waiting job of this host will be cancelled.") {
		t.Error(text)
	}
	for path, want := range map[string]int{"/admin/hosts/cellar/delete": http.StatusConflict, "/admin/hosts/nobody/delete": http.StatusNotFound} {
		if got := v.Get(path); got.StatusCode != want || got.Text("#error") == "" {
			t.Errorf("%s: %d, want %d", path, got.StatusCode, want)
		}
	}
}
