package main_test

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/PuerkitoBio/goquery"

	"left4me/shared/db"
	"left4me/shared/route"
	"left4me/templates/assets"
)

// town is a left4me with people and what belongs to them.
type town struct {
	*system
	t      *testing.T
	db     *db.DB
	made   int
	people map[string]*visitor
}

// visitor is somebody with a browser: nobody has no name.
type visitor struct {
	town   *town
	name   string
	cookie *http.Cookie
	csrf   string
}

const (
	nobody   = ""
	stranger = "bert" // neither owns anything that requests are about, nor is an administrator
	owner    = "anna"
	root     = "root" // an administrator

	townPassword = "a long password"
)

func newTown(t *testing.T) *town {
	t.Helper()
	w := &town{system: startSystem(t), t: t, people: map[string]*visitor{}}
	for _, name := range []string{nobody, stranger, owner, root} {
		w.people[name] = &visitor{town: w, name: name}
		if name == nobody {
			continue
		}
		args := []string{"create-user", name, "--password-stdin"}
		if name == root {
			args = append(args, "--admin")
		}
		create := exec.Command(filepath.Join(bin, "localrun"), args...)
		create.Env = []string{"LEFT4ME_ROOT=" + w.root}
		create.Stdin = strings.NewReader(townPassword)
		if out, err := create.CombinedOutput(); err != nil {
			t.Fatalf("create %s: %v\n%s", name, err, out)
		}
	}
	d, err := db.Open(db.FileURL(filepath.Join(w.root, "left4me.db")), "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	w.db = d
	return w
}

type answer struct {
	status   int
	location string
	page     *goquery.Document
	cookies  []*http.Cookie
}

// send makes one request with what the visitor has, and keeps nothing of the answer.
func (v *visitor) send(method, path string, form url.Values, header http.Header) answer {
	t := v.town.t
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, v.town.url+path, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	maps.Copy(r.Header, header)
	if v.cookie != nil {
		r.AddCookie(v.cookie)
	}
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	page, err := goquery.NewDocumentFromReader(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header.Get("Location"), page, resp.Cookies()}
}

// settle gives the visitor a session that is valid, and its token; nobody gets the cookie that the sign-in form brings.
func (v *visitor) settle() {
	t := v.town.t
	t.Helper()
	const where = "/account"
	if v.cookie != nil && (v.name == nobody || v.send("GET", where, nil, nil).status == http.StatusOK) {
		return
	}
	v.cookie = nil
	form := v.send("GET", "/login", nil, nil)
	v.cookie, v.csrf = form.cookies[0], token(form)
	if v.name == nobody {
		return
	}
	in := v.signIn(where)
	if in.status != http.StatusSeeOther {
		t.Fatalf("%s cannot sign in: %d", v.name, in.status)
	}
	for _, c := range in.cookies {
		if c.Value != "" {
			v.cookie = c
		}
	}
	v.csrf = token(v.send("GET", where, nil, nil))
}

func (v *visitor) signIn(next string) answer {
	v.town.t.Helper()
	name := v.name
	if name == nobody {
		name = root
	}
	return v.send("POST", "/login", url.Values{"csrf_token": {v.csrf}, "name": {name}, "password": {townPassword}, "next": {next}}, nil)
}

func token(a answer) string { return a.page.Find("input[name=csrf_token]").AttrOr("value", "") }

// do makes a request as a browser would.
func (v *visitor) do(method, path string, form url.Values) answer {
	v.town.t.Helper()
	v.settle()
	if method == http.MethodPost {
		form = maps.Clone(form)
		form.Set("csrf_token", v.csrf)
	}
	return v.send(method, path, form, nil)
}

// name is one that nothing has yet.
func (w *town) name() string {
	w.made++
	return fmt.Sprintf("made-%d", w.made)
}

var digits = regexp.MustCompile(`[0-9]+$`)

// overlay makes an overlay of that type for that person, and returns its id.
func (w *town) overlay(who, typ string) string {
	w.t.Helper()
	got := w.people[who].do("POST", "/overlays", url.Values{"name": {w.name()}, "type": {typ}})
	if got.status != http.StatusSeeOther {
		w.t.Fatalf("%s makes a %s overlay: %d", who, typ, got.status)
	}
	return digits.FindString(got.location)
}

// withItem makes an overlay of the owner's that holds one item, the first of all.
func (w *town) withItem() string {
	w.t.Helper()
	id := w.overlay(owner, "workshop")
	if got := w.people[owner].do("POST", "/overlays/"+id+"/items", url.Values{"input": {"102"}}); got.status != http.StatusSeeOther {
		w.t.Fatalf("%s adds an item: %d", owner, got.status)
	}
	return id
}

// build has a build of an overlay asked for by that person, and returns its job.
func (w *town) build(who, overlay string) string {
	w.t.Helper()
	got := w.people[who].do("POST", "/overlays/"+overlay+"/build", url.Values{})
	if got.status != http.StatusSeeOther {
		w.t.Fatalf("%s builds overlay %s: %d", who, overlay, got.status)
	}
	return digits.FindString(got.location)
}

// person makes an account and returns its id.
func (w *town) person() string {
	w.t.Helper()
	name := w.name()
	if got := w.people[root].do("POST", "/admin/users", url.Values{"name": {name}, "password": {townPassword}}); got.status != http.StatusSeeOther {
		w.t.Fatalf("make %s: %d", name, got.status)
	}
	var id string
	if err := w.db.QueryRowContext(w.t.Context(), `SELECT id FROM users WHERE name = ?`, name).Scan(&id); err != nil {
		w.t.Fatal(err)
	}
	return id
}

// standing is what no refused request may change.
func (w *town) standing() string {
	w.t.Helper()
	var said string
	if err := w.db.QueryRowContext(w.t.Context(), `SELECT json_array(
		(SELECT json_group_array(json_array(id, name, type, user_id)) FROM (SELECT * FROM overlays WHERE deleted_at IS NULL ORDER BY id)),
		(SELECT COUNT(*) FROM overlay_workshop_items i JOIN overlays o ON o.id = i.overlay_id WHERE o.deleted_at IS NULL),
		(SELECT COUNT(*) FROM jobs),
		(SELECT json_group_array(json_array(name, is_admin, is_disabled, password_hash)) FROM (SELECT * FROM users ORDER BY id)))`).Scan(&said); err != nil {
		w.t.Fatal(err)
	}
	return said
}

const (
	okay     = http.StatusOK
	leads    = http.StatusSeeOther
	refused  = http.StatusForbidden
	notFound = http.StatusNotFound
	invalid  = http.StatusBadRequest
)

// use is one thing that requests of a route can be about.
type use struct {
	about string
	// path makes it, and returns the path of a request about it.
	path func(*town) string
	form func(*town) url.Values
	// status is the answer to whom the route is for; stranger and owner are the answers to those two, where what it is about
	// decides otherwise.
	status, stranger, owner int
}

func at(path string) func(*town) string { return func(*town) string { return path } }

func fields(pairs ...string) func(*town) url.Values {
	return func(*town) url.Values {
		form := url.Values{}
		for i := 0; i+1 < len(pairs); i += 2 {
			form.Set(pairs[i], pairs[i+1])
		}
		return form
	}
}

func named(pairs ...string) func(*town) url.Values {
	return func(w *town) url.Values {
		form := fields(pairs...)(w)
		form.Set("name", w.name())
		return form
	}
}

func mine(r route.Route) func(*town) string {
	return func(w *town) string { return r.URL(w.overlay(owner, "workshop")) }
}

func external(r route.Route) func(*town) string {
	return func(w *town) string { return r.URL(w.overlay(root, "external")) }
}

// uses say what ownership decides, route by route (P3, P7, P8, P38). Who may ask at all is the route table's word.
var uses = map[string][]use{
	route.Home.Name:        {{path: at("/"), status: leads}},
	route.Asset.Name:       {{path: at(assets.URL(assets.Stylesheet)), status: okay}},
	route.Health.Name:      {{path: at("/healthz"), status: okay}},
	route.LoginForm.Name:   {{about: "signed in", path: at("/login"), status: leads}},
	route.Login.Name:       {{path: at("/login"), form: fields("name", owner, "password", townPassword), status: leads}},
	route.Logout.Name:      {{path: at("/logout"), status: leads}},
	route.OverlayList.Name: {{path: at("/overlays"), status: okay}},
	route.OverlayCreate.Name: {
		{about: "workshop", path: at("/overlays"), form: named("type", "workshop"), status: leads},
		{about: "external", path: at("/overlays"), form: named("type", "external"), status: leads, stranger: refused, owner: refused},
		{about: "an unknown type", path: at("/overlays"), form: named("type", "torrent"), status: invalid},
	},
	route.OverlayShow.Name: {
		{about: "workshop", path: mine(route.OverlayShow), status: okay, stranger: refused},
		{about: "external", path: external(route.OverlayShow), status: okay},
		{about: "none", path: at("/overlays/999999"), status: notFound},
	},
	route.OverlayRename.Name: {
		{about: "workshop", path: mine(route.OverlayRename), form: named(), status: leads, stranger: refused},
		{about: "external", path: external(route.OverlayRename), form: named(), status: leads, stranger: refused, owner: refused},
		{about: "none", path: at("/overlays/999999"), form: named(), status: notFound},
	},
	route.OverlayDelete.Name: {
		{about: "workshop", path: mine(route.OverlayDelete), form: fields("confirm", "yes"), status: leads, stranger: refused},
		{about: "external", path: external(route.OverlayDelete), form: fields("confirm", "yes"), status: leads, stranger: refused, owner: refused},
		{about: "none", path: at("/overlays/999999/delete"), form: fields("confirm", "yes"), status: notFound},
	},
	route.OverlayBuild.Name: {
		{about: "workshop", path: mine(route.OverlayBuild), status: leads, stranger: refused},
		{about: "external", path: external(route.OverlayBuild), status: leads, stranger: refused, owner: refused},
		{about: "none", path: at("/overlays/999999/build"), status: notFound},
	},
	route.OverlayRefresh.Name: {
		{about: "workshop", path: func(w *town) string { return route.OverlayRefresh.URL(w.withItem()) }, status: leads, stranger: refused},
		{about: "external", path: external(route.OverlayRefresh), status: invalid, stranger: refused, owner: refused},
		{about: "none", path: at("/overlays/999999/refresh"), status: notFound},
	},
	route.ItemAdd.Name: {
		{about: "workshop", path: mine(route.ItemAdd), form: fields("input", "102"), status: leads, stranger: refused},
		{about: "external", path: external(route.ItemAdd), form: fields("input", "102"), status: invalid, stranger: refused, owner: refused},
		{about: "none", path: at("/overlays/999999/items"), form: fields("input", "102"), status: notFound},
	},
	route.ItemRemove.Name: {
		{about: "workshop", path: func(w *town) string { return route.ItemRemove.URL(w.withItem(), 1) }, status: leads, stranger: refused},
		{about: "external", path: func(w *town) string { return route.ItemRemove.URL(w.overlay(root, "external"), 1) }, status: notFound, stranger: refused, owner: refused},
	},
	route.JobList.Name: {{path: at("/jobs"), status: okay}},
	route.JobShow.Name: {
		{about: "her build", path: func(w *town) string { return route.JobShow.URL(w.build(owner, w.overlay(owner, "workshop"))) }, status: okay, stranger: refused},
		{about: "an administrator's build of her overlay", path: func(w *town) string { return route.JobShow.URL(w.build(root, w.overlay(owner, "workshop"))) }, status: okay, stranger: refused},
		{about: "an administrator's job", path: func(w *town) string { return route.JobShow.URL(w.build(root, w.overlay(root, "external"))) }, status: okay, stranger: refused, owner: refused},
		{about: "none", path: at("/jobs/999999"), status: notFound},
	},
	route.JobCancel.Name: {
		{about: "her build", path: func(w *town) string { return route.JobCancel.URL(w.build(owner, w.overlay(owner, "workshop"))) }, status: leads, stranger: refused},
		{about: "an administrator's build of her overlay", path: func(w *town) string { return route.JobCancel.URL(w.build(root, w.overlay(owner, "workshop"))) }, status: leads, stranger: refused},
		{about: "an administrator's job", path: func(w *town) string { return route.JobCancel.URL(w.build(root, w.overlay(root, "external"))) }, status: leads, stranger: refused, owner: refused},
		{about: "none", path: at("/jobs/999999/cancel"), status: notFound},
	},
	route.Account.Name: {{path: at("/account"), status: okay}},
	route.PasswordChange.Name: {
		{path: at("/account/password"), form: fields("current", townPassword, "new", "another password", "again", "a third one"), status: invalid},
	},
	route.SessionEnd.Name:   {{path: at("/account/sessions"), form: fields("session", "1000000"), status: leads}},
	route.AdminHome.Name:    {{path: at("/admin"), status: okay}},
	route.AdminJobs.Name:    {{path: at("/admin/jobs"), status: okay}},
	route.AdminRefresh.Name: {{path: at("/admin/workshop/refresh"), status: leads}},
	route.AdminGC.Name:      {{path: at("/admin/gc"), status: leads}},
	route.AdminUsers.Name:   {{path: at("/admin/users"), status: okay}},
	route.UserCreate.Name:   {{path: at("/admin/users"), form: named("password", townPassword), status: leads}},
	route.UserChange.Name: {
		{about: "promote", path: func(w *town) string { return route.UserChange.URL(w.person()) }, form: fields("action", "promote"), status: leads},
		{about: "disable", path: func(w *town) string { return route.UserChange.URL(w.person()) }, form: fields("action", "disable"), status: leads},
	},
}

// want is the answer that who gets.
func (u use) want(r route.Route, who string) int {
	switch {
	case r.Name == route.LoginForm.Name && who == nobody:
		return okay
	case r.Who == route.Anyone:
		return u.status
	case who == nobody && r.Method == http.MethodPost:
		return http.StatusUnauthorized
	case who == nobody:
		return leads
	case r.Who == route.Administrator && who != root:
		return refused
	case who == stranger && u.stranger != 0:
		return u.stranger
	case who == owner && u.owner != 0:
		return u.owner
	}
	return u.status
}

// Every route is asked by everybody, through the gateway and the real programs.
//
// shows: P3 P7 P8 P38 P39 P40 P41
func TestWhoMayDoWhat(t *testing.T) {
	t.Parallel()
	w := newTown(t)
	for _, r := range route.All() {
		if len(uses[r.Name]) == 0 {
			t.Errorf("route %s has no row in uses: decide what ownership means for it", r.Name)
		}
		for _, u := range uses[r.Name] {
			if r.Method == http.MethodPost && u.form == nil {
				u.form = fields()
			}
			for _, who := range []string{nobody, stranger, owner, root} {
				w.ask(r, u, who)
			}
			if r.Method == http.MethodPost {
				w.forge(r, u)
			}
		}
	}
	for name := range uses {
		if !slices.ContainsFunc(route.All(), func(r route.Route) bool { return r.Name == name }) {
			t.Errorf("uses has a row for %s, which is no route", name)
		}
	}
}

// ask makes the request of u as who, and checks that nothing happened if it was refused.
func (w *town) ask(r route.Route, u use, who string) {
	t := w.t
	t.Helper()
	v := w.people[who]
	v.settle()
	path, form := u.make(w)
	before := w.standing()
	got := v.do(r.Method, path, form)
	what := fmt.Sprintf("%q, %s %s (%s)", who, r.Method, path, u.about)
	want := u.want(r, who)
	if got.status != want {
		t.Errorf("%s: %d, want %d: %s", what, got.status, want, strings.Join(strings.Fields(got.page.Find("main").Text()), " "))
	}
	if want >= 400 && w.standing() != before {
		t.Errorf("%s: refused, and yet something happened", what)
	}
	if want >= 400 && got.page.Find("#error, .field-error:not(:empty)").Length() == 0 {
		t.Errorf("%s: refused without a sentence", what)
	}
	if who == nobody && r.Who != route.Anyone && r.Method == http.MethodGet {
		// To the sign-in form, and back.
		to, err := url.Parse(got.location)
		if err != nil || to.Path != "/login" || to.Query().Get("next") != path {
			t.Errorf("%s: leads to %q", what, got.location)
		}
		if back := v.signIn(path); back.status != leads || back.location != path {
			t.Errorf("%s: signing in answers %d and leads to %q", what, back.status, back.location)
		}
	}
}

// forge makes the request of u as somebody who may, but in a way that only another site would.
func (w *town) forge(r route.Route, u use) {
	t := w.t
	t.Helper()
	v := w.people[root]
	v.settle()
	path, form := u.make(w)
	with := maps.Clone(form)
	with.Set("csrf_token", v.csrf)
	wrong := maps.Clone(form)
	wrong.Set("csrf_token", w.people[stranger].csrf)
	before := w.standing()
	for how, got := range map[string]answer{
		"without a token":                   v.send(r.Method, path, form, nil),
		"with somebody else's token":        v.send(r.Method, path, wrong, nil),
		"with a wrong token in the header":  v.send(r.Method, path, form, http.Header{"X-Csrf-Token": {"x"}}),
		"from another origin":               v.send(r.Method, path, with, http.Header{"Origin": {"https://evil.example"}}),
		"from another site, says a browser": v.send(r.Method, path, with, http.Header{"Sec-Fetch-Site": {"cross-site"}}),
	} {
		if got.status != refused || got.page.Find("#error").Length() == 0 {
			t.Errorf("%s %s (%s) %s: %d, want 403", r.Method, path, u.about, how, got.status)
		}
	}
	if w.standing() != before {
		t.Errorf("%s %s (%s): a forged request did something", r.Method, path, u.about)
	}
	// The header does as well as the field.
	if got := v.send(r.Method, path, form, http.Header{"X-Csrf-Token": {v.csrf}, "Origin": {w.url}, "Sec-Fetch-Site": {"same-origin"}}); got.status != u.status {
		t.Errorf("%s %s (%s) with the token in the header: %d, want %d", r.Method, path, u.about, got.status, u.status)
	}
}

func (u use) make(w *town) (string, url.Values) {
	if u.form == nil {
		return u.path(w), nil
	}
	return u.path(w), u.form(w)
}

// Nothing that the contract names may be missing from the table.
//
// shows: P39
func TestRoutesOfTheContract(t *testing.T) {
	have := map[string]bool{}
	for _, r := range route.All() {
		have[r.Method+" "+r.Pattern] = true
	}
	for _, want := range []string{
		"GET /login", "GET /overlays", "GET /overlays/{id}", "GET /jobs", "GET /jobs/{id}", "GET /admin", "GET /admin/jobs",
		"GET /admin/users", "GET /account", "GET /{$}", "POST /logout", "POST /jobs/{id}/cancel", "POST /overlays", "POST /overlays/{id}",
		"POST /overlays/{id}/delete", "POST /overlays/{id}/items", "POST /overlays/{id}/items/{item_id}/delete",
		"POST /overlays/{id}/build", "POST /overlays/{id}/refresh", "POST /admin/workshop/refresh", "GET /healthz",
	} {
		if !have[want] {
			t.Errorf("no route is %s", want)
		}
	}
}
