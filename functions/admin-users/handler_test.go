package main

import (
	"maps"
	"net/http"
	"strings"
	"testing"

	"github.com/PuerkitoBio/goquery"

	"left4me/shared/account"
	"left4me/shared/route"
	"left4me/templates/fntest"
)

func TestButtons(t *testing.T) {
	s := fntest.New(t)
	s.Person("anna", false)
	bert := s.Person("bert", true)
	root := s.Person("root", true)
	v := s.Visitor(root, route.AdminUsers, build)
	buttons := func() map[string]string {
		page, shown := v.Get("/admin/users").Page(), map[string]string{}
		for _, name := range []string{"anna", "bert", "root"} {
			row := page.Find("table.people tbody tr").FilterFunction(func(_ int, s *goquery.Selection) bool { return s.Find("th bdi").Text() == name })
			var all []string
			row.Find("button, a.button").Each(func(_ int, b *goquery.Selection) {
				_, asks, _ := strings.Cut(b.AttrOr("href", ""), "?action=") // a link to the question
				all = append(all, b.AttrOr("value", asks))
			})
			shown[name] = strings.Join(all, " ")
		}
		return shown
	}
	want := map[string]string{"anna": "promote disable password", "bert": "demote disable password", "root": "demote disable"}
	if got := buttons(); !maps.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if _, err := account.NewStore(s.Env.DB, s.Env.Now).Disable(t.Context(), bert.ID); err != nil {
		t.Fatal(err)
	}
	want["bert"], want["root"] = "demote enable password", ""
	if got := buttons(); !maps.Equal(got, want) {
		t.Errorf("with one administrator left: %v, want %v", got, want)
	}
}

// An answer may have at most 6 MiB.
func TestAnswersAreSmallWithManyPeople(t *testing.T) {
	s := fntest.New(t)
	root := s.Person("root", true)
	if _, err := s.Env.DB.ExecContext(t.Context(), `INSERT INTO users (name, password_hash, created_at)
		WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) SELECT 'a person with a long name and number ' || i, '', i FROM n`); err != nil {
		t.Fatal(err)
	}
	v := s.Visitor(root, route.AdminUsers, build)
	for path, says := range map[string]string{
		"/admin/users":                        "20,001 people, page 1 of 101",
		"/admin/users?page=101":               "page 101 of 101",
		"/admin/users?q=ROOT":                 "the last one",
		"/admin/users?show=disabled":          "Nothing was found. Show all people",
		"/admin/users?sort=-created&page=999": "There is no page 999.",
	} {
		if got := v.Get(path); got.StatusCode != http.StatusOK || len(got.Body) > 1<<20 || !strings.Contains(got.Text("#people"), says) {
			t.Errorf("%s: %d with %d bytes, says %.300q", path, got.StatusCode, len(got.Body), got.Text("#people"))
		}
	}
}
