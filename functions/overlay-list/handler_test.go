package main

import (
	"net/http"
	"slices"
	"testing"

	"github.com/PuerkitoBio/goquery"

	"left4me/shared/account"
	"left4me/shared/overlay"
	"left4me/shared/route"
	"left4me/templates/fntest"
)

func TestPeopleSeeTheirOwnOverlays(t *testing.T) {
	s := fntest.New(t)
	anna, bert, root := s.Person("anna", false), s.Person("bert", false), s.Person("root", true)
	s.Overlay(anna, "annas", overlay.Workshop)
	s.Overlay(bert, "berts", overlay.Workshop)
	s.Overlay(root, "shared", overlay.External)
	for _, c := range []struct {
		user  account.User
		names []string
	}{
		{anna, []string{"annas", "shared"}},
		{bert, []string{"berts", "shared"}},
		{root, []string{"annas", "berts", "shared"}},
	} {
		got := s.Visitor(c.user, route.OverlayList, build).Get("/overlays")
		if got.StatusCode != http.StatusOK {
			t.Fatalf("%s: %d", c.user.Name, got.StatusCode)
		}
		page := got.Page()
		text := func(_ int, sel *goquery.Selection) string { return sel.Text() }
		if names := page.Find("table.overlays tbody th a").Map(text); !slices.Equal(names, c.names) {
			t.Errorf("%s sees %v, want %v", c.user.Name, names, c.names)
		}
		var offered []string
		for _, o := range overlay.Types(root) {
			if c.user.Admin || !o.System {
				offered = append(offered, o.Name)
			}
		}
		value := func(_ int, sel *goquery.Selection) string { return sel.AttrOr("value", "") }
		if types := page.Find("select[name=type] option").Map(value); !slices.Equal(types, offered) {
			t.Errorf("%s is offered %v, want %v", c.user.Name, types, offered)
		}
	}
}
