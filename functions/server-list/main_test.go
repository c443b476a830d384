package main

import (
	"strings"
	"testing"

	"left4me/shared/route"
	"left4me/templates/fntest"
)

func TestPeopleSeeTheirOwnServersAndAdministratorsAll(t *testing.T) {
	s := fntest.New(t)
	anna, bert, root := s.Person("anna", false), s.Person("bert", false), s.Person("root", true)
	for _, u := range []struct {
		name string
		form bool
	}{{"before there is a host", false}, {"with a host and blueprints", true}} {
		page := s.Visitor(root, route.ServerList, build).Get("/servers").Page()
		if (page.Find("#create-name").Length() == 1) != u.form {
			t.Errorf("%s: %s", u.name, page.Find("main").Text())
		}
		if !u.form {
			s.Server(anna, "annas", 27015)
			s.Server(bert, "berts", 27016)
		}
	}
	for name, c := range map[string]struct{ page, sees, not string }{
		"anna": {s.Visitor(anna, route.ServerList, build).Get("/servers").Body, "annas", "berts"},
		"root": {s.Visitor(root, route.ServerList, build).Get("/servers").Body, "berts", "nothing of the sort"},
	} {
		if !strings.Contains(c.page, c.sees) || strings.Contains(c.page, c.not) {
			t.Errorf("%s: %s", name, c.page)
		}
	}
	if text := s.Visitor(bert, route.ServerList, build).Get("/servers?show=crashed").Page().Find("main").Text(); !strings.Contains(text, "Nothing was found") {
		t.Error(text)
	}
}
