package main_test

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"testing"

	"left4me/shared/db/dbtest"
	"left4me/shared/route"
	"left4me/templates/webtest"
)

// maxTrips is how many requests to a libSQL server, one after another, a request of route r may need.
func maxTrips(r route.Route) int {
	if r.Method == http.MethodPost {
		return 3
	}
	return 2
}

// moreTrips are the routes that need more than maxTrips, each with the reason.
var moreTrips = map[string]int{
	// The session; the action, counted before Steam is asked; what is known of the items; and the changes that Steam's answer makes to it.
	route.ItemAdd.Name:        4,
	route.OverlayRefresh.Name: 4,
}

// Each request to a libSQL server takes a round trip. The successful uses of every route are counted: as a page, as a fragment for
// htmx, and as the polls of the page; the first time and again.
func TestRoundTripsToAServer(t *testing.T) {
	t.Parallel()
	server := dbtest.Serve(t)
	f := newFixture(t, server.URL)
	for _, r := range route.All() {
		most := 0
		for _, u := range uses[r.Name] {
			for _, who := range []string{nobody, owner, root} {
				if u.want(r, who) >= http.StatusBadRequest || who == nobody && r.Who != route.Anyone {
					continue
				}
				page, htmx, poll := f.countTrips(server, r, u, who)
				t.Logf("page %2d, htmx %2d, poll %2d: %s (%s) as %q", page, htmx, poll, r.Name, u.about, who)
				most = max(most, page, htmx, poll)
			}
		}
		allowed := maxTrips(r)
		if more, found := moreTrips[r.Name]; found {
			if most < more || more <= allowed {
				t.Errorf("route %s needs %d round trips: lower or remove its %d in moreTrips", r.Name, most, more)
			}
			allowed = more
		}
		if most > allowed {
			t.Errorf("route %s needs %d round trips to a database server, want at most %d", r.Name, most, allowed)
		}
	}
	for name := range moreTrips {
		if !slices.ContainsFunc(route.All(), func(r route.Route) bool { return r.Name == name }) {
			t.Errorf("moreTrips has a row for %s, which is no route", name)
		}
	}
}

// countTrips returns how many requests the database server gets at most when who makes the requests of u.
func (f *fixture) countTrips(server *dbtest.Server, r route.Route, u use, who string) (page, htmx, poll int) {
	f.t.Helper()
	fragment := http.Header{"Hx-Request": {"true"}}
	count := func(most *int, path string, form url.Values, header http.Header) webtest.Answer {
		f.t.Helper()
		server.Received()
		got := f.send(who, r.Method, path, form, header)
		*most = max(*most, len(server.Received()))
		if got.StatusCode >= http.StatusBadRequest {
			f.t.Errorf("%s %s (%s) as %q, %v: %d: %s", r.Method, path, u.about, who, header, got.StatusCode, got.Text("main"))
		}
		return got
	}
	prepare := func() (string, url.Values) {
		f.t.Helper()
		f.settle(who)
		path, form := u.make(f)
		if r.Method == http.MethodPost && form == nil {
			form = url.Values{}
		}
		return path, f.withToken(who, maps.Clone(form))
	}
	for range 2 {
		path, form := prepare()
		shown := count(&page, path, form, nil)
		if r.Method == http.MethodGet {
			for _, e := range shown.Page().Find("[hx-get]").EachIter() {
				count(&poll, e.AttrOr("hx-get", ""), nil, fragment)
			}
		}
		path, form = prepare()
		count(&htmx, path, form, fragment)
	}
	return page, htmx, poll
}
