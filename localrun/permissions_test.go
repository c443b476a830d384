package main_test

import (
	"database/sql"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"left4me/shared/account"
	"left4me/shared/db"
	"left4me/shared/db/dbtest"
	"left4me/shared/db/migrations"
	"left4me/shared/route"
	"left4me/templates/assets"
	"left4me/templates/webtest"
)

// fixture is a left4me with people and what belongs to them. No host agent runs its jobs.
type fixture struct {
	*system
	db     *db.DB
	made   int
	last   string // the server that path has made
	allSQL string // reads what standing returns
	people map[string]*webtest.Visitor
}

const (
	nobody   = ""
	stranger = "bert" // neither owns anything that requests are about, nor is an administrator
	owner    = "anna"
	root     = "root" // an administrator

	everyonesPassword = "a long password"
)

// newFixture serves pages with the database at databaseURL, or an embedded one if that is empty.
func newFixture(t *testing.T, databaseURL string) *fixture {
	t.Helper()
	f := &fixture{system: startSteam(t, "item 102\n"), people: map[string]*webtest.Visitor{}}
	if databaseURL == "" {
		databaseURL = db.FileURL(filepath.Join(f.root, "left4me.db"))
		if err := os.Mkdir(f.root, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	f.db = dbtest.Open(t, databaseURL)
	if _, err := migrations.Up(t.Context(), f.db); err != nil {
		t.Fatal(err)
	}
	f.env = append(f.env, "DATABASE_URL="+databaseURL, "MAX_OVERLAYS=1000000", "ACTIONS_PER_MINUTE=10000")
	f.serve("serve")
	for _, name := range []string{nobody, stranger, owner, root} {
		f.people[name] = webtest.New(t, http.DefaultTransport, f.url)
		if name == nobody {
			continue
		}
		if _, err := account.NewStore(f.db, time.Now).Create(t.Context(), name, everyonesPassword, name == root); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

// send makes one request as who, with form as it is.
func (f *fixture) send(who, method, path string, form url.Values, header http.Header) webtest.Answer {
	f.t.Helper()
	got, err := f.people[who].Ask(method, path, form, header)
	if err != nil {
		f.t.Fatal(err)
	}
	return got
}

// settle gives who a session that is valid, and its token; nobody gets the cookie that the sign-in form brings.
func (f *fixture) settle(who string) {
	f.t.Helper()
	const where = "/account"
	switch {
	case who == nobody:
		f.people[nobody].Forget()
		f.send(nobody, "GET", "/login", nil, nil)
	case f.send(who, "GET", where, nil, nil).StatusCode != http.StatusOK:
		if in := f.signIn(who, who, where); in.StatusCode != http.StatusSeeOther {
			f.t.Fatalf("%s cannot sign in: %d", who, in.StatusCode)
		}
		f.send(who, "GET", where, nil, nil)
	}
}

// signIn lets who, with a new browser, sign in under a name.
func (f *fixture) signIn(who, name, next string) webtest.Answer {
	f.t.Helper()
	got, err := f.people[who].SignIn(name, everyonesPassword, next)
	if err != nil {
		f.t.Fatal(err)
	}
	return got
}

// do makes a request as a browser would.
func (f *fixture) do(who, method, path string, form url.Values) webtest.Answer {
	f.t.Helper()
	f.settle(who)
	return f.send(who, method, path, f.withToken(who, form), nil)
}

// withToken is form with the token of who, if there is a form.
func (f *fixture) withToken(who string, form url.Values) url.Values {
	if form == nil {
		return nil
	}
	form = maps.Clone(form)
	form.Set("csrf_token", f.people[who].Token())
	return form
}

// name is one that nothing has yet.
func (f *fixture) name() string {
	f.made++
	return fmt.Sprintf("made-%d", f.made)
}

var digits = regexp.MustCompile(`[0-9]+$`)

// host adds a host whose agent reported so long ago, and returns its id.
func (f *fixture) host(ago time.Duration) string {
	f.t.Helper()
	id := f.name()
	dbtest.AddHost(f.t, f.db, id, time.Now().Add(-ago))
	return id
}

// overlay makes an overlay of that type for that person, and returns its id.
func (f *fixture) overlay(who, typ string) string {
	f.t.Helper()
	got := f.do(who, "POST", "/overlays", url.Values{"name": {f.name()}, "type": {typ}})
	if got.StatusCode != http.StatusSeeOther {
		f.t.Fatalf("%s makes a %s overlay: %d", who, typ, got.StatusCode)
	}
	return digits.FindString(got.Location())
}

// blueprint makes a blueprint of that person's, or of everybody's if that is root, with an overlay in its stack, and returns the ids of
// both.
func (f *fixture) blueprint(who string) (id, overlay string) {
	f.t.Helper()
	form, typ := url.Values{"name": {f.name()}}, "workshop"
	if who == root {
		form.Set("system", "yes")
		typ = "external"
	}
	got := f.do(who, "POST", "/blueprints", form)
	if got.StatusCode != http.StatusSeeOther {
		f.t.Fatalf("%s makes a blueprint: %d", who, got.StatusCode)
	}
	id, overlay = digits.FindString(got.Location()), f.overlay(who, typ)
	if got := f.do(who, "POST", "/blueprints/"+id+"/overlays", url.Values{"overlay_id": {overlay}}); got.StatusCode != http.StatusSeeOther {
		f.t.Fatalf("%s adds an overlay to a blueprint: %d", who, got.StatusCode)
	}
	return id, overlay
}

// withItem makes an overlay of the owner's that holds one item, the first of all.
func (f *fixture) withItem() string {
	f.t.Helper()
	id := f.overlay(owner, "workshop")
	if got := f.do(owner, "POST", "/overlays/"+id+"/items", url.Values{"input": {"102"}}); got.StatusCode != http.StatusSeeOther {
		f.t.Fatalf("%s adds an item: %d", owner, got.StatusCode)
	}
	return id
}

// job has a new job asked for by that person with the form at path, and returns it.
func (f *fixture) job(who, path string) string {
	f.t.Helper()
	// Else an older job could answer the request.
	if _, err := f.db.ExecContext(f.t.Context(), `UPDATE jobs SET state = 'cancelled', finished_at = 1 WHERE state = 'queued'`); err != nil {
		f.t.Fatal(err)
	}
	if got := f.do(who, "POST", path, url.Values{}); got.StatusCode != http.StatusSeeOther {
		f.t.Fatalf("%s posts to %s: %d", who, path, got.StatusCode)
	}
	id, err := db.Row(f.t.Context(), f.db, db.Value[string], `SELECT MAX(id) FROM jobs`)
	if err != nil {
		f.t.Fatal(err)
	}
	return id
}

// build has a build of an overlay asked for by that person, and returns its job.
func (f *fixture) build(who, overlay string) string {
	f.t.Helper()
	return f.job(who, "/overlays/"+overlay+"/build")
}

// failed ends a job as failed, with a line in its log, and returns it.
func (f *fixture) failed(job string) string {
	f.t.Helper()
	for _, query := range []string{
		`UPDATE jobs SET state = 'failed', attempt = 1, started_at = 1, finished_at = 1 WHERE id = :job`,
		`INSERT INTO job_logs (job_id, seq, stream, logged_at, line) VALUES (:job, 1, 'stderr', 1, 'the disk is full')`,
	} {
		if _, err := f.db.ExecContext(f.t.Context(), query, sql.Named("job", job)); err != nil {
			f.t.Fatal(err)
		}
	}
	return job
}

// person makes an account and returns its id.
func (f *fixture) person() string {
	f.t.Helper()
	name := f.name()
	if got := f.do(root, "POST", "/admin/users", url.Values{"name": {name}, "password": {everyonesPassword}}); got.StatusCode != http.StatusSeeOther {
		f.t.Fatalf("make %s: %d", name, got.StatusCode)
	}
	var id string
	if err := f.db.QueryRowContext(f.t.Context(), `SELECT id FROM users WHERE name = ?`, name).Scan(&id); err != nil {
		f.t.Fatal(err)
	}
	return id
}

// server makes a server of the owner's, with her own blueprint, and returns its id.
func (f *fixture) server() string {
	f.t.Helper()
	hosts, err := db.Row(f.t.Context(), f.db, db.Value[int], `SELECT COUNT(*) FROM hosts`)
	if err == nil && hosts == 0 {
		dbtest.AddHost(f.t, f.db, "here", time.Now())
	}
	var user string
	if err == nil {
		user, err = db.Row(f.t.Context(), f.db, db.Value[string], `SELECT id FROM users WHERE name = :owner`, sql.Named("owner", owner))
	}
	if err != nil {
		f.t.Fatal(err)
	}
	f.made++
	id, _ := f.blueprint(owner)
	form := url.Values{"name": {f.name()}, "host_id": {"here"}, "port": {fmt.Sprint(20_000 + f.made)}, "blueprint_id": {id}, "user_id": {user}}
	got := f.do(root, "POST", "/servers", form)
	if got.StatusCode != http.StatusSeeOther {
		f.t.Fatalf("make a server: %d", got.StatusCode)
	}
	return digits.FindString(got.Location())
}

// webhook makes a webhook about an overlay of the owner's, and returns its id.
func (f *fixture) webhook() string {
	f.t.Helper()
	form := url.Values{"overlay": {f.overlay(owner, "workshop")}, "url": {"https://hooks.example"}, "format": {"json"}, "event": {"build_failed"}}
	got := f.do(owner, "POST", "/webhooks", form)
	if got.StatusCode != http.StatusSeeOther {
		f.t.Fatalf("make a webhook: %d", got.StatusCode)
	}
	return digits.FindString(got.Location())
}

// blueprintOfServer is the id of the blueprint of a server.
func (f *fixture) blueprintOfServer(server string) string {
	f.t.Helper()
	id, err := db.Row(f.t.Context(), f.db, db.Value[string], `SELECT blueprint_id FROM servers WHERE id = :id`, sql.Named("id", server))
	if err != nil {
		f.t.Fatal(err)
	}
	return id
}

// standing is what no refused request may change: all tables, as JSON, except what signing in writes.
func (f *fixture) standing() string {
	f.t.Helper()
	if f.allSQL == "" {
		query, err := db.Row(f.t.Context(), f.db, db.Value[string], `SELECT 'SELECT json_object(' || group_concat(part) || ')' FROM (
			SELECT quote(t.name) || ', (SELECT json_group_array(json_array(' || group_concat('"' || c.name || '"') || ')) FROM ' || t.name || ')' AS part
			FROM sqlite_schema t, pragma_table_info(t.name) c
			WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite%' AND t.name NOT LIKE 'goose%'
				AND t.name NOT IN ('sessions', 'sign_in_failures') AND c.name <> 'last_sign_in_at'
			GROUP BY t.name)`)
		if err != nil {
			f.t.Fatal(err)
		}
		f.allSQL = query
	}
	all, err := db.Row(f.t.Context(), f.db, db.Value[string], f.allSQL)
	if err != nil {
		f.t.Fatal(err)
	}
	return all
}

// requests are what the stand-in for Steam was asked.
func (f *fixture) requests() string {
	f.t.Helper()
	resp, err := http.Get(f.steam + "/requests")
	if err != nil {
		f.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		f.t.Fatal(err)
	}
	return string(text)
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
	path func(*fixture) string
	form func(*fixture) url.Values
	// status is the answer to whom the route is for; stranger and owner are the answers to those two, where what it is about
	// decides otherwise.
	status, stranger, owner int
}

func at(path string) func(*fixture) string { return func(*fixture) string { return path } }

func fields(pairs ...string) func(*fixture) url.Values {
	return func(*fixture) url.Values {
		form := url.Values{}
		for i := 0; i+1 < len(pairs); i += 2 {
			form.Set(pairs[i], pairs[i+1])
		}
		return form
	}
}

func named(pairs ...string) func(*fixture) url.Values {
	return func(f *fixture) url.Values {
		form := fields(pairs...)(f)
		form.Set("name", f.name())
		return form
	}
}

func mine(r route.Route) func(*fixture) string {
	return func(f *fixture) string { return r.URL(f.overlay(owner, "workshop")) }
}

func hers(r route.Route) func(*fixture) string {
	return func(f *fixture) string { return r.URL(f.server()) }
}

// server are the uses of a button about a server.
func server(r route.Route) []use {
	confirmed := fields("confirm", "yes")
	return []use{
		{about: "hers", path: hers(r), form: confirmed, status: leads, stranger: refused},
		{about: "none", path: at(strings.ReplaceAll(r.Pattern, "{id}", "999999")), form: confirmed, status: notFound},
	}
}

func external(r route.Route) func(*fixture) string {
	return func(f *fixture) string { return r.URL(f.overlay(root, "external")) }
}

// blueprintOf returns the path of a request about a blueprint of who, or of everybody's if that is root. The route may be about the overlay
// in its stack.
func blueprintOf(who string, r route.Route) func(*fixture) string {
	return func(f *fixture) string {
		id, overlay := f.blueprint(who)
		if strings.Contains(r.Pattern, "{overlay_id}") {
			return r.URL(id, overlay)
		}
		return r.URL(id)
	}
}

// changes are the fields of a blueprint's form.
var changes = named("mode", "versus", "map", "c5m1_waterfront", "slots", "8", "region", "3")

// uses say what ownership decides, route by route (P3, P7, P8, P38). Who may ask at all is the route table's word.
var uses = map[string][]use{
	route.Home.Name:        {{path: at("/"), status: leads}},
	route.API.Name:         {{path: at("/api"), status: okay}},
	route.Asset.Name:       {{path: at(assets.URL(assets.Stylesheet)), status: okay}},
	route.Health.Name:      {{path: at("/healthz"), status: okay}},
	route.LoginForm.Name:   {{about: "signed in", path: at("/login"), status: leads}},
	route.Login.Name:       {{path: at("/login"), form: fields("name", owner, "password", everyonesPassword), status: leads}},
	route.Logout.Name:      {{path: at("/logout"), status: leads}},
	route.OverlayList.Name: {{path: at("/overlays"), status: okay}},
	route.OverlayCreate.Name: {
		{about: "workshop", path: at("/overlays"), form: named("type", "workshop"), status: leads},
		{about: "external", path: at("/overlays"), form: named("type", "external"), status: leads, stranger: refused, owner: refused},
		{about: "an unknown type", path: at("/overlays"), form: named("type", "torrent"), status: invalid},
	},
	route.OverlayShow.Name: {
		{about: "no number", path: at("/overlays/x"), status: notFound},
		{about: "workshop", path: mine(route.OverlayShow), status: okay, stranger: refused},
		{about: "external", path: external(route.OverlayShow), status: okay},
		{about: "workshop, and its build has ended since the page was shown", path: func(f *fixture) string {
			id := f.withItem()
			return route.OverlayShow.URL(id) + "?job=" + f.failed(f.build(owner, id)) + "&state=queued"
		}, status: okay, stranger: refused},
		{about: "none", path: at("/overlays/999999"), status: notFound},
	},
	route.OverlayUse.Name: {
		{about: "no number", path: at("/overlays/x/use"), status: notFound},
		{about: "workshop", path: mine(route.OverlayUse), status: okay, stranger: refused},
		{about: "external", path: external(route.OverlayUse), status: okay},
		{about: "none", path: at("/overlays/999999/use"), status: notFound},
	},
	route.OverlayRename.Name: {
		{about: "no number", path: at("/overlays/x"), form: named(), status: notFound},
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
		{about: "workshop", path: func(f *fixture) string { return route.OverlayRefresh.URL(f.withItem()) }, status: leads, stranger: refused},
		{about: "external", path: external(route.OverlayRefresh), status: invalid, stranger: refused, owner: refused},
		{about: "none", path: at("/overlays/999999/refresh"), status: notFound},
	},
	route.ItemAdd.Name: {
		{about: "workshop", path: mine(route.ItemAdd), form: fields("input", "102"), status: leads, stranger: refused},
		{about: "external", path: external(route.ItemAdd), form: fields("input", "102"), status: invalid, stranger: refused, owner: refused},
		{about: "none", path: at("/overlays/999999/items"), form: fields("input", "102"), status: notFound},
	},
	route.ItemChange.Name: {
		{about: "workshop", path: func(f *fixture) string { return route.ItemChange.URL(f.withItem(), 1) }, status: leads, stranger: refused},
		{about: "external", path: func(f *fixture) string { return route.ItemChange.URL(f.overlay(root, "external"), 1) }, status: notFound, stranger: refused, owner: refused},
		{about: "no such mutation", path: func(f *fixture) string { return route.ItemChange.URL(f.withItem(), 1) }, form: fields("link", "x"), status: invalid, stranger: refused},
		{about: "no number", path: func(f *fixture) string { return "/overlays/" + f.withItem() + "/items/x" }, status: notFound, stranger: refused},
		{about: "none", path: at("/overlays/999999/items/1"), status: notFound},
	},
	route.ItemRemove.Name: {
		{about: "workshop", path: func(f *fixture) string { return route.ItemRemove.URL(f.withItem(), 1) }, status: leads, stranger: refused},
		{about: "external", path: func(f *fixture) string { return route.ItemRemove.URL(f.overlay(root, "external"), 1) }, status: notFound, stranger: refused, owner: refused},
		{about: "an item that is not there", path: func(f *fixture) string { return route.ItemRemove.URL(f.withItem(), 999999) }, status: notFound, stranger: refused},
		{about: "no number", path: func(f *fixture) string { return "/overlays/" + f.withItem() + "/items/x/delete" }, status: notFound, stranger: refused},
		{about: "none", path: at("/overlays/999999/items/1/delete"), status: notFound},
	},
	route.ItemsRemove.Name: {
		{about: "workshop", path: func(f *fixture) string { return route.ItemsRemove.URL(f.withItem()) }, form: fields("item", "1"), status: leads, stranger: refused},
		{about: "external", path: external(route.ItemsRemove), form: fields("item", "1"), status: notFound, stranger: refused, owner: refused},
		{about: "an item that is not there", path: func(f *fixture) string { return route.ItemsRemove.URL(f.withItem()) }, form: fields("item", "999999"), status: notFound, stranger: refused},
		{about: "no item", path: func(f *fixture) string { return route.ItemsRemove.URL(f.withItem()) }, status: invalid, stranger: refused},
		{about: "no number", path: func(f *fixture) string { return route.ItemsRemove.URL(f.withItem()) }, form: fields("item", "x"), status: invalid, stranger: refused},
		{about: "none", path: at("/overlays/999999/items/delete"), form: fields("item", "1"), status: notFound},
	},
	route.ItemsCopy.Name: {
		{about: "workshop", path: func(f *fixture) string { return route.ItemsCopy.URL(f.withItem()) }, form: func(f *fixture) url.Values {
			return url.Values{"item": {"1"}, "to": {f.overlay(owner, "workshop")}}
		}, status: leads, stranger: refused},
		{about: "to somebody else's", path: func(f *fixture) string { return route.ItemsCopy.URL(f.withItem()) }, form: func(f *fixture) url.Values {
			return url.Values{"item": {"1"}, "to": {f.overlay(root, "workshop")}}
		}, status: leads, stranger: refused, owner: refused},
		{about: "external", path: external(route.ItemsCopy), form: fields("item", "1", "to", "1"), status: notFound, stranger: refused, owner: refused},
		{about: "no item", path: func(f *fixture) string { return route.ItemsCopy.URL(f.withItem()) }, form: func(f *fixture) url.Values {
			return url.Values{"to": {f.overlay(owner, "workshop")}}
		}, status: invalid, stranger: refused},
		{about: "none", path: at("/overlays/999999/items/copy"), form: fields("item", "1", "to", "1"), status: notFound},
	},
	route.ItemsChange.Name: {
		{about: "workshop", path: func(f *fixture) string { return route.ItemsChange.URL(f.withItem()) }, form: fields("change", "disable", "item", "1"), status: leads, stranger: refused},
		{about: "one of the rows", path: func(f *fixture) string { return route.ItemsChange.URL(f.withItem()) }, form: fields("change", "enable 1", "item", "999999"), status: leads, stranger: refused},
		{about: "unpinned", path: func(f *fixture) string { return route.ItemsChange.URL(f.withItem()) }, form: fields("change", "unpin 1"), status: leads, stranger: refused},
		{about: "pinned to a version that no host has", path: func(f *fixture) string { return route.ItemsChange.URL(f.withItem()) }, form: fields("change", "pin 1 5"), status: http.StatusConflict, stranger: refused},
		{about: "external", path: external(route.ItemsChange), form: fields("change", "disable", "item", "1"), status: notFound, stranger: refused, owner: refused},
		{about: "no item", path: func(f *fixture) string { return route.ItemsChange.URL(f.withItem()) }, form: fields("change", "disable"), status: invalid, stranger: refused},
		{about: "no number", path: func(f *fixture) string { return route.ItemsChange.URL(f.withItem()) }, form: fields("change", "disable x"), status: invalid, stranger: refused},
		{about: "an unknown change", path: func(f *fixture) string { return route.ItemsChange.URL(f.withItem()) }, form: fields("change", "paint", "item", "1"), status: invalid, stranger: refused},
		{about: "none", path: at("/overlays/999999/items/change"), form: fields("change", "disable", "item", "1"), status: notFound},
	},
	route.BlueprintList.Name: {{path: at("/blueprints"), status: okay}},
	route.BlueprintCreate.Name: {
		{about: "own", path: at("/blueprints"), form: named(), status: leads},
		{about: "everybody's", path: at("/blueprints"), form: named("system", "yes"), status: leads, stranger: refused, owner: refused},
		{about: "no name", path: at("/blueprints"), form: fields("name", " "), status: invalid},
	},
	route.BlueprintShow.Name: {
		{about: "own", path: blueprintOf(owner, route.BlueprintShow), status: okay, stranger: refused},
		{about: "everybody's", path: blueprintOf(root, route.BlueprintShow), status: okay},
		{about: "none", path: at("/blueprints/999999"), status: notFound},
		{about: "no number", path: at("/blueprints/x"), status: notFound},
	},
	route.BlueprintSave.Name: {
		{about: "own", path: blueprintOf(owner, route.BlueprintSave), form: changes, status: leads, stranger: refused},
		{about: "everybody's", path: blueprintOf(root, route.BlueprintSave), form: changes, status: leads, stranger: refused, owner: refused},
		{about: "launch arguments", path: blueprintOf(owner, route.BlueprintSave), form: named("mode", "coop", "map", "a", "slots", "8", "region", "3", "arguments", "-x"), status: leads, stranger: refused, owner: refused},
		{about: "nothing typed", path: blueprintOf(owner, route.BlueprintSave), form: named(), status: invalid, stranger: refused},
		{about: "none", path: at("/blueprints/999999"), form: changes, status: notFound},
	},
	route.BlueprintAdd.Name: {
		{about: "own", path: blueprintOf(owner, route.BlueprintAdd), form: func(f *fixture) url.Values {
			return url.Values{"overlay_id": {f.overlay(owner, "workshop")}}
		}, status: leads, stranger: refused},
		{about: "an overlay of another", path: blueprintOf(owner, route.BlueprintAdd), form: func(f *fixture) url.Values {
			return url.Values{"overlay_id": {f.overlay(stranger, "workshop")}}
		}, status: leads, stranger: refused, owner: notFound},
		{about: "everybody's", path: blueprintOf(root, route.BlueprintAdd), form: func(f *fixture) url.Values {
			return url.Values{"overlay_id": {f.overlay(root, "external")}}
		}, status: leads, stranger: refused, owner: refused},
		{about: "no overlay", path: blueprintOf(owner, route.BlueprintAdd), form: fields("overlay_id", "x"), status: invalid, stranger: refused},
		{about: "none", path: at("/blueprints/999999/overlays"), form: fields("overlay_id", "1"), status: notFound},
	},
	route.BlueprintMove.Name: {
		{about: "own", path: blueprintOf(owner, route.BlueprintMove), form: fields("to", "1"), status: leads, stranger: refused},
		{about: "everybody's", path: blueprintOf(root, route.BlueprintMove), form: fields("to", "1"), status: leads, stranger: refused, owner: refused},
		{about: "nowhere", path: blueprintOf(owner, route.BlueprintMove), form: fields("to", "up"), status: invalid, stranger: refused},
		{about: "an overlay that is not there", path: func(f *fixture) string {
			id, _ := f.blueprint(owner)
			return route.BlueprintMove.URL(id, 999999)
		}, form: fields("to", "1"), status: notFound, stranger: refused},
	},
	route.BlueprintRemove.Name: {
		{about: "own", path: blueprintOf(owner, route.BlueprintRemove), status: leads, stranger: refused},
		{about: "everybody's", path: blueprintOf(root, route.BlueprintRemove), status: leads, stranger: refused, owner: refused},
		{about: "an overlay that is not there", path: func(f *fixture) string {
			id, _ := f.blueprint(owner)
			return route.BlueprintRemove.URL(id, 999999)
		}, status: notFound, stranger: refused},
	},
	route.BlueprintDelete.Name: {
		{about: "own", path: blueprintOf(owner, route.BlueprintDelete), form: fields("confirm", "yes"), status: leads, stranger: refused},
		{about: "everybody's", path: blueprintOf(root, route.BlueprintDelete), form: fields("confirm", "yes"), status: leads, stranger: refused, owner: refused},
		{about: "not confirmed", path: blueprintOf(owner, route.BlueprintDelete), form: fields(), status: invalid, stranger: refused},
		{about: "none", path: at("/blueprints/999999/delete"), form: fields("confirm", "yes"), status: notFound},
	},
	route.JobList.Name:    {{path: at("/jobs"), status: okay}},
	route.ServerList.Name: {{path: at("/servers"), status: okay}},
	route.ServerCreate.Name: {
		{about: "a server", path: at("/servers"), form: func(f *fixture) url.Values {
			id := f.blueprintOfServer(f.server())
			f.made++
			return url.Values{"name": {f.name()}, "host_id": {"here"}, "port": {fmt.Sprint(20_000 + f.made)}, "blueprint_id": {id}}
		}, status: leads},
		{about: "no host", path: at("/servers"), form: named("host_id", "none", "port", "27015", "blueprint_id", "1"), status: invalid},
	},
	route.ServerShow.Name: {
		{about: "no number", path: at("/servers/x"), status: notFound},
		{about: "hers", path: hers(route.ServerShow), status: okay, stranger: refused},
		{about: "hers, and its job has ended since the page was shown", path: func(f *fixture) string {
			id := f.server()
			return route.ServerShow.URL(id) + "?job=" + f.failed(f.job(owner, route.ServerStop.URL(id))) + "&state=queued"
		}, status: okay, stranger: refused},
		{about: "none", path: at("/servers/999999"), status: notFound},
	},
	route.ServerChange.Name: {
		{about: "hers", path: func(f *fixture) string {
			f.last = f.server()
			return route.ServerChange.URL(f.last)
		}, form: func(f *fixture) url.Values {
			return url.Values{"name": {f.name()}, "port": {fmt.Sprint(20_000 + f.made)}, "blueprint_id": {f.blueprintOfServer(f.last)}}
		}, status: leads, stranger: refused},
		{about: "hers, with another restart policy", path: func(f *fixture) string {
			f.last = f.server()
			return route.ServerChange.URL(f.last)
		}, form: func(f *fixture) url.Values {
			return url.Values{"name": {f.name()}, "port": {fmt.Sprint(20_000 + f.made)}, "blueprint_id": {f.blueprintOfServer(f.last)}, "restart": {"at"}, "restart_time": {"05:30"}}
		}, status: leads, stranger: refused},
		{about: "none", path: at("/servers/999999"), form: named("blueprint_id", "1", "port", "27015"), status: notFound},
	},
	route.Play.Name: {
		{about: "a public one", path: func(f *fixture) string {
			id := f.server()
			f.do(root, "POST", route.ServerChange.URL(id), url.Values{"name": {f.name()}, "port": {fmt.Sprint(20_000 + f.made)}, "blueprint_id": {f.blueprintOfServer(id)}, "public": {"yes"}})
			return route.Play.URL(id)
		}, status: okay},
		{about: "one that is not public", path: hers(route.Play), status: notFound},
		{about: "none", path: at("/play/999999"), status: notFound},
	},
	route.ServerStart.Name:   server(route.ServerStart),
	route.ServerStop.Name:    server(route.ServerStop),
	route.ServerRestart.Name: server(route.ServerRestart),
	route.ServerReset.Name:   server(route.ServerReset),
	route.ServerDelete.Name:  server(route.ServerDelete),
	route.ServerCommand.Name: {
		{about: "hers, which does not run", path: hers(route.ServerCommand), form: fields("command", "status"), status: http.StatusConflict, stranger: refused},
		{about: "none", path: at("/servers/999999/command"), form: fields("command", "status"), status: notFound},
	},
	route.WebhookList.Name: {
		{path: at("/webhooks"), status: okay},
		{about: "her server's", path: func(f *fixture) string { return "/webhooks?server=" + f.server() }, status: okay, stranger: refused},
		{about: "no overlay's", path: at("/webhooks?overlay=999999"), status: notFound},
		{about: "nothing's", path: at("/webhooks?overlay=x"), status: invalid},
	},
	route.WebhookCreate.Name: {
		{about: "her overlay", path: at("/webhooks"), form: func(f *fixture) url.Values {
			return url.Values{"overlay": {f.overlay(owner, "workshop")}, "url": {"https://hooks.example"}, "format": {"json"}, "event": {"build_failed", "item_gone"}}
		}, status: leads, stranger: refused},
		{about: "an address that is not public", path: at("/webhooks"), form: func(f *fixture) url.Values {
			return url.Values{"overlay": {f.overlay(owner, "workshop")}, "url": {"https://hooks.example"}, "format": {"json"}, "event": {"item_gone"}, "private": {"yes"}}
		}, status: leads, stranger: refused, owner: refused},
		{about: "the panel", path: at("/webhooks"), form: fields("url", "https://hooks.example", "format", "discord", "event", "server_up"), status: leads, stranger: refused, owner: refused},
		{about: "no URL", path: at("/webhooks"), form: func(f *fixture) url.Values {
			return url.Values{"overlay": {f.overlay(owner, "workshop")}, "url": {"hooks"}, "format": {"json"}, "event": {"build_failed"}}
		}, status: invalid, stranger: refused},
	},
	route.WebhookShow.Name: {
		{about: "hers", path: func(f *fixture) string { return route.WebhookShow.URL(f.webhook()) }, status: okay, stranger: refused},
		{about: "none", path: at("/webhooks/999999"), status: notFound},
	},
	route.WebhookChange.Name: {
		{about: "a test of hers", path: func(f *fixture) string { return route.WebhookChange.URL(f.webhook()) }, form: fields("action", "test"), status: leads, stranger: refused},
		{about: "hers, to delete", path: func(f *fixture) string { return route.WebhookChange.URL(f.webhook()) }, form: fields("action", "delete"), status: leads, stranger: refused},
		{about: "none", path: at("/webhooks/999999"), form: fields("action", "test"), status: notFound},
	},
	route.JobList.Name: {{path: at("/jobs"), status: okay}},
	route.JobShow.Name: {
		{about: "her build", path: func(f *fixture) string { return route.JobShow.URL(f.build(owner, f.overlay(owner, "workshop"))) }, status: okay, stranger: refused},
		{about: "an administrator's build of her overlay", path: func(f *fixture) string { return route.JobShow.URL(f.build(root, f.overlay(owner, "workshop"))) }, status: okay, stranger: refused},
		{about: "an administrator's job", path: func(f *fixture) string { return route.JobShow.URL(f.build(root, f.overlay(root, "external"))) }, status: okay, stranger: refused, owner: refused},
		{about: "her build, which has ended since the page was shown", path: func(f *fixture) string {
			return route.JobShow.URL(f.failed(f.build(owner, f.overlay(owner, "workshop")))) + "?after=0&state=queued"
		}, status: okay, stranger: refused},
		{about: "none", path: at("/jobs/999999"), status: notFound},
	},
	route.JobCancel.Name: {
		{about: "her build", path: func(f *fixture) string { return route.JobCancel.URL(f.build(owner, f.overlay(owner, "workshop"))) }, status: leads, stranger: refused},
		{about: "an administrator's build of her overlay", path: func(f *fixture) string { return route.JobCancel.URL(f.build(root, f.overlay(owner, "workshop"))) }, status: leads, stranger: refused},
		{about: "an administrator's job", path: func(f *fixture) string { return route.JobCancel.URL(f.build(root, f.overlay(root, "external"))) }, status: leads, stranger: refused, owner: refused},
		{about: "none", path: at("/jobs/999999/cancel"), status: notFound},
	},
	route.Account.Name: {{path: at("/account"), status: okay}},
	route.PasswordChange.Name: {
		{about: "a new one", path: at("/account/password"), form: fields("current", everyonesPassword, "new", everyonesPassword, "again", everyonesPassword), status: leads},
		{about: "two new ones", path: at("/account/password"), form: fields("current", everyonesPassword, "new", "another password", "again", "a third one"), status: invalid},
	},
	route.SessionEnd.Name: {{path: at("/account/sessions"), form: fields("session", "1000000"), status: leads}},
	route.TokenChange.Name: {
		{about: "a new one", path: at("/account/tokens"), form: named("days", "7"), status: okay},
		{about: "for ever", path: at("/account/tokens"), form: named("days", "0"), status: invalid},
		{about: "revoked", path: at("/account/tokens"), form: fields("revoke", "1000000"), status: leads},
	},
	route.AdminHome.Name: {
		{path: at("/admin"), status: okay},
		{about: "after a refresh", path: func(f *fixture) string {
			f.failed(f.job(root, "/admin/workshop/refresh"))
			return "/admin"
		}, status: okay},
	},
	route.AdminJobs.Name:    {{path: at("/admin/jobs"), status: okay}},
	route.AdminRefresh.Name: {{path: at("/admin/workshop/refresh"), status: leads}},
	route.AdminGC.Name:      {{path: at("/admin/gc"), status: leads}},
	route.AdminHosts.Name:   {{path: at("/admin/hosts"), status: okay}},
	route.HostAsk.Name: {
		{about: "a silent host", path: func(f *fixture) string { return route.HostAsk.URL(f.host(time.Hour)) }, status: okay},
		{about: "a host that reports", path: func(f *fixture) string { return route.HostAsk.URL(f.host(0)) }, status: http.StatusConflict},
		{about: "none", path: at("/admin/hosts/none/delete"), status: notFound},
	},
	route.HostRemove.Name: {
		{about: "a silent host", path: func(f *fixture) string { return route.HostRemove.URL(f.host(time.Hour)) }, status: leads},
		{about: "a host that reports", path: func(f *fixture) string { return route.HostRemove.URL(f.host(0)) }, status: http.StatusConflict},
		{about: "none", path: at("/admin/hosts/none/delete"), status: notFound},
	},
	route.HostInstall.Name: {
		{about: "a host", path: func(f *fixture) string { return route.HostInstall.URL(f.host(0)) }, status: leads},
		{about: "none", path: at("/admin/hosts/none/install"), status: notFound},
	},
	route.HostCheck.Name: {
		{about: "a host", path: func(f *fixture) string { return route.HostCheck.URL(f.host(0)) }, status: leads},
		{about: "none", path: at("/admin/hosts/none/check"), status: notFound},
	},
	route.AdminUsers.Name: {{path: at("/admin/users"), status: okay}},
	route.UserCreate.Name: {
		{about: "a user", path: at("/admin/users"), form: named("password", everyonesPassword), status: leads},
		{about: "an administrator", path: at("/admin/users"), form: named("password", everyonesPassword, "administrator", "yes"), status: leads},
	},
	route.UserAsk.Name: {
		{about: "promote", path: func(f *fixture) string { return route.UserAsk.URL(f.person()) + "?action=promote" }, status: okay},
		{about: "nothing", path: func(f *fixture) string { return route.UserAsk.URL(f.person()) }, status: invalid},
		{about: "none", path: at("/admin/users/999999?action=promote"), status: notFound},
	},
	route.UserChange.Name: {
		{about: "promote", path: func(f *fixture) string { return route.UserChange.URL(f.person()) }, form: fields("action", "promote"), status: leads},
		{about: "disable", path: func(f *fixture) string { return route.UserChange.URL(f.person()) }, form: fields("action", "disable"), status: leads},
		{about: "password", path: func(f *fixture) string { return route.UserChange.URL(f.person()) }, form: fields("action", "password"), status: okay},
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
	f := newFixture(t, "")
	for _, r := range route.All() {
		if len(uses[r.Name]) == 0 {
			t.Errorf("route %s has no row in uses: decide what ownership means for it", r.Name)
		}
		for _, u := range uses[r.Name] {
			if r.Method == http.MethodPost && u.form == nil {
				u.form = fields()
			}
			for _, who := range []string{nobody, stranger, owner, root} {
				f.ask(r, u, who)
			}
			if r.Method == http.MethodPost {
				f.forge(r, u)
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
func (f *fixture) ask(r route.Route, u use, who string) {
	t := f.t
	t.Helper()
	path, form := u.make(f)
	before := f.standing() + f.requests()
	got := f.do(who, r.Method, path, form)
	what := fmt.Sprintf("%q, %s %s (%s)", who, r.Method, path, u.about)
	want := u.want(r, who)
	if got.StatusCode != want {
		t.Errorf("%s: %d, want %d: %s", what, got.StatusCode, want, strings.Join(strings.Fields(got.Page().Find("main").Text()), " "))
	}
	if want >= 400 && f.standing()+f.requests() != before {
		t.Errorf("%s: refused, and yet something happened", what)
	}
	if want >= 400 && got.Page().Find("#error, .field-error:not(:empty)").Length() == 0 {
		t.Errorf("%s: refused without a sentence", what)
	}
	if who == nobody && r.Who != route.Anyone && r.Method == http.MethodGet {
		// To the sign-in form, and back.
		to, err := url.Parse(got.Location())
		if err != nil || to.Path != "/login" || to.Query().Get("next") != path {
			t.Errorf("%s: leads to %q", what, got.Location())
		}
		if back := f.signIn(nobody, root, path); back.StatusCode != leads || back.Location() != path {
			t.Errorf("%s: signing in answers %d and leads to %q", what, back.StatusCode, back.Location())
		}
	}
}

// forge makes the request of u as somebody who may, but in a way that only another site would.
func (f *fixture) forge(r route.Route, u use) {
	t := f.t
	t.Helper()
	f.settle(root)
	f.settle(stranger)
	path, form := u.make(f)
	token := f.people[root].Token()
	with, wrong := f.withToken(root, form), f.withToken(stranger, form)
	before := f.standing()
	for how, got := range map[string]webtest.Answer{
		"without a token":                   f.send(root, r.Method, path, form, nil),
		"with somebody else's token":        f.send(root, r.Method, path, wrong, nil),
		"with a wrong token in the header":  f.send(root, r.Method, path, form, http.Header{"X-Csrf-Token": {"x"}}),
		"from another origin":               f.send(root, r.Method, path, with, http.Header{"Origin": {"https://evil.example"}}),
		"from another site, says a browser": f.send(root, r.Method, path, with, http.Header{"Sec-Fetch-Site": {"cross-site"}}),
	} {
		if got.StatusCode != refused || got.Page().Find("#error").Length() == 0 {
			t.Errorf("%s %s (%s) %s: %d, want 403", r.Method, path, u.about, how, got.StatusCode)
		}
	}
	if f.standing() != before {
		t.Errorf("%s %s (%s): a forged request did something", r.Method, path, u.about)
	}
	// The header does as well as the field.
	if got := f.send(root, r.Method, path, form, http.Header{"X-Csrf-Token": {token}, "Origin": {f.url}, "Sec-Fetch-Site": {"same-origin"}}); got.StatusCode != u.status {
		t.Errorf("%s %s (%s) with the token in the header: %d, want %d", r.Method, path, u.about, got.StatusCode, u.status)
	}
}

// Somebody who has reached ACTIONS_PER_MINUTE is refused exactly by the routes that the table calls actions, and all that ask Steam are.
func TestTooManyActions(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "")
	limited := *f.system
	limited.output, limited.env = filepath.Join(t.TempDir(), "limited.log"), append(slices.Clone(f.env), "ACTIONS_PER_MINUTE=1")
	limited.serve("serve")
	actedUntil := func(until int64) {
		if _, err := f.db.ExecContext(t.Context(), `UPDATE users SET actions_until = ? WHERE name = ?`, until, owner); err != nil {
			t.Fatal(err)
		}
	}
	for _, r := range route.All() {
		for _, u := range uses[r.Name] {
			if r.Method == http.MethodPost && u.form == nil {
				u.form = fields()
			}
			path, form := u.make(f)
			f.settle(owner)
			actedUntil(db.Millis(time.Now().Add(time.Minute)))
			before, requests := f.standing(), f.requests()
			f.people[owner].GoTo(limited.url)
			got := f.send(owner, r.Method, path, f.withToken(owner, form), nil)
			f.people[owner].GoTo(f.url)
			what := fmt.Sprintf("%s %s (%s)", r.Method, path, u.about)
			want := u.want(r, owner)
			if r.IsAction && want < 400 {
				want = http.StatusTooManyRequests
				if got.Header.Get("Retry-After") != "60" || got.Page().Find("#error, .field-error:not(:empty)").Length() == 0 || f.standing() != before {
					t.Errorf("%s: Retry-After %q, or no sentence, or something happened", what, got.Header.Get("Retry-After"))
				}
			}
			if got.StatusCode != want {
				t.Errorf("%s: %d, want %d", what, got.StatusCode, want)
			}
			if f.requests() != requests {
				t.Errorf("%s: Steam was asked: it must be an action", what)
			}
			actedUntil(0)
		}
	}
}

func (u use) make(f *fixture) (string, url.Values) {
	if u.form == nil {
		return u.path(f), nil
	}
	return u.path(f), u.form(f)
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
		"GET /admin/users", "GET /admin/hosts", "POST /admin/hosts/{id}/delete", "POST /admin/hosts/{id}/install", "POST /admin/hosts/{id}/check", "GET /account", "GET /{$}", "POST /logout", "POST /jobs/{id}/cancel", "POST /overlays", "POST /overlays/{id}",
		"POST /overlays/{id}/delete", "POST /overlays/{id}/items", "POST /overlays/{id}/items/{item_id}/delete",
		"POST /overlays/{id}/build", "POST /overlays/{id}/refresh", "POST /admin/workshop/refresh", "GET /healthz",
	} {
		if !have[want] {
			t.Errorf("no route is %s", want)
		}
	}
}
