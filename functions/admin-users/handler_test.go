package main

import (
	"maps"
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
