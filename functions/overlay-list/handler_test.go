package main

import (
	"net/http"
	"slices"
	"strings"
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

// An answer may have at most 6 MiB.
func TestAnswersAreSmallWithManyOverlays(t *testing.T) {
	s := fntest.New(t)
	root := s.Person("root", true)
	if _, err := s.Env.DB.ExecContext(t.Context(), `INSERT INTO overlays (name, type, user_id, uid, created_at)
		WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
		SELECT 'An overlay with a long name, of many letters, and number ' || i, 'workshop', ?, i, 0 FROM n`, root.ID); err != nil {
		t.Fatal(err)
	}
	v := s.Visitor(root, route.OverlayList, build)
	for path, says := range map[string]string{
		"/overlays":                               "20,000 overlays, page 1 of 100",
		"/overlays?page=100&sort=-state":          "page 100 of 100",
		"/overlays?page=101":                      "There is no page 101. This is the last one, page 100.",
		"/overlays?show=not+up+to+date&sort=size": "20,000 overlays, page 1 of 100",
		"/overlays?q=NUMBER+1999":                 "",
	} {
		got := v.Get(path)
		if got.StatusCode != http.StatusOK || len(got.Body) > 1<<20 || !strings.Contains(got.Text("#overlays"), says) || got.Page().Find("#overlays tbody tr").Length() == 0 {
			t.Errorf("%s: %d with %d bytes, says %.200q", path, got.StatusCode, len(got.Body), got.Text("#overlays .pages"))
		}
	}
	for path, says := range map[string]string{
		"/overlays?sort=colour":  "cannot be sorted by “colour”",
		"/overlays?show=strange": "no rows in a state “strange”",
		"/overlays?page=-1":      "“-1” is not the number of a page",
	} {
		if got := v.Get(path); got.StatusCode != http.StatusBadRequest || !strings.Contains(got.Text("#error"), says) {
			t.Errorf("%s: %d, %q, want 400 with %q", path, got.StatusCode, got.Text("#error"), says)
		}
	}
}
