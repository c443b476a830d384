package server_test

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"left4me/shared/account"
	"left4me/shared/db"
	"left4me/shared/db/dbtest"
	"left4me/shared/job"
	"left4me/shared/jobstore"
	"left4me/shared/list"
	"left4me/shared/problem"
	"left4me/shared/server"
)

type fixture struct {
	*server.Store
	db                *db.DB
	jobs              *jobstore.Store
	now               *time.Time
	admin, anna, bert account.User
	// open is a blueprint that everybody sees, and hers one of anna's, which holds overlays 1 and 2.
	open, hers int64
}

func setUp(t *testing.T, open dbtest.Backend) fixture {
	t.Helper()
	d, now := open(t), time.Now().Truncate(time.Millisecond)
	w := fixture{db: d, now: &now}
	clock := func() time.Time { return now }
	w.jobs = jobstore.NewStore(d, clock)
	w.Store = server.NewStore(d, clock, w.jobs)
	dbtest.AddHost(t, d, "here", now)
	dbtest.AddHost(t, d, "there", now)
	people := account.NewStore(d, clock)
	for _, u := range []struct {
		name  string
		admin bool
		into  *account.User
	}{{"root", true, &w.admin}, {"anna", false, &w.anna}, {"bert", false, &w.bert}} {
		made, err := people.Create(t.Context(), u.name, "a password", u.admin)
		if err != nil {
			t.Fatal(err)
		}
		*u.into = made
	}
	for id, name := range []string{"maps", "guns"} {
		w.exec(t, `INSERT INTO overlays (id, name, type, user_id, uid, created_at) VALUES (?, ?, 'workshop', ?, ?, 1)`, id+1, name, w.anna.ID, name)
	}
	w.open = w.blueprint(t, "for all", nil)
	w.hers = w.blueprint(t, "hers", w.anna.ID, 2, 1)
	return w
}

func (w fixture) exec(t *testing.T, query string, args ...any) {
	t.Helper()
	if _, err := w.db.ExecContext(t.Context(), query, args...); err != nil {
		t.Fatal(err)
	}
}

// blueprint adds a blueprint of an owner with a stack of overlays.
func (w fixture) blueprint(t *testing.T, name string, owner any, overlays ...int64) int64 {
	t.Helper()
	id, err := db.Row(t.Context(), w.db, db.Value[int64], `INSERT INTO blueprints (name, user_id, created_at) VALUES (?, ?, 1) RETURNING id`, name, owner)
	if err != nil {
		t.Fatal(err)
	}
	for n, o := range overlays {
		w.exec(t, `INSERT INTO blueprint_overlays (blueprint_id, overlay_id, position) VALUES (?, ?, ?)`, id, o, n+1)
	}
	return id
}

// make adds a server of anna's, started from her blueprint.
func (w fixture) make(t *testing.T, name string, port int) server.Server {
	t.Helper()
	id, _, err := w.Create(t.Context(), w.admin, "here", server.Form{Name: name, Port: port, BlueprintID: w.hers, OwnerID: w.anna.ID, Public: true})
	if err != nil {
		t.Fatal(err)
	}
	return w.get(t, id)
}

func (w fixture) get(t *testing.T, id int64) server.Server {
	t.Helper()
	s, err := w.Get(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// finish ends all jobs as cancelled.
func (w fixture) finish(t *testing.T) {
	t.Helper()
	w.exec(t, `UPDATE jobs SET state = 'cancelled', finished_at = 1, lease_until = NULL WHERE finished_at IS NULL`)
}

func status(err error) int {
	if p, ok := problem.As(err); ok {
		return p.Status
	}
	return 0
}

// shows: P55
func TestCreate(t *testing.T) { dbtest.Each(t, testCreate) }

func testCreate(t *testing.T, open dbtest.Backend) {
	w := setUp(t, open)
	w.exec(t, `UPDATE hosts SET servers_problem = 'no mounts'`)
	s := w.make(t, "  friday  ", 27015)
	dbtest.Filled(t, s, "Address", "DirectoryAt", "WatchedUntil", "Update", "Live")
	if s.Name != "friday" || s.OwnerName != "anna" || s.State != server.Stopped || !slices.Equal(s.Overlays, []int64{2, 1}) || s.Blueprint != "hers" {
		t.Errorf("%+v", s)
	}
	j, err := w.jobs.Get(t.Context(), 1)
	if err != nil || j.Operation != job.ServerInit.Name || j.HostID != "here" || j.SubjectName != "friday" || !j.Concerns(w.anna.ID) {
		t.Errorf("job %+v, %v", j, err)
	}
	events, err := w.Events(t.Context(), s.ID, 10)
	if err != nil || len(events) != 1 || events[0].Kind != "created" || events[0].UserName != "root" {
		t.Errorf("events %+v, %v", events, err)
	}
	for name, c := range map[string]struct {
		host   string
		form   server.Form
		status int
		says   string
	}{
		"no name":               {"here", server.Form{Port: 27016, BlueprintID: w.open, OwnerID: w.anna.ID}, http.StatusBadRequest, "give the server a name"},
		"a long name":           {"here", server.Form{Name: strings.Repeat("ü", 65), Port: 27016, BlueprintID: w.open, OwnerID: w.anna.ID}, http.StatusBadRequest, "this one has 65"},
		"a line break":          {"here", server.Form{Name: "a\nb", Port: 27016, BlueprintID: w.open, OwnerID: w.anna.ID}, http.StatusBadRequest, "cannot be shown"},
		"no port":               {"here", server.Form{Name: "x", BlueprintID: w.open, OwnerID: w.anna.ID}, http.StatusBadRequest, "from 1024 to 65535"},
		"a privileged port":     {"here", server.Form{Name: "x", Port: 80, BlueprintID: w.open, OwnerID: w.anna.ID}, http.StatusBadRequest, "from 1024 to 65535"},
		"a used port":           {"here", server.Form{Name: "x", Port: 27015, BlueprintID: w.open, OwnerID: w.anna.ID}, http.StatusConflict, "The server friday has port 27015 on this host. Port 27016 is free."},
		"no such host":          {"gone", server.Form{Name: "x", Port: 27016, BlueprintID: w.open, OwnerID: w.anna.ID}, http.StatusBadRequest, "does not exist any more"},
		"no such blueprint":     {"here", server.Form{Name: "x", Port: 27016, BlueprintID: 99, OwnerID: w.anna.ID}, http.StatusBadRequest, "does not exist any more"},
		"no such owner":         {"here", server.Form{Name: "x", Port: 27016, BlueprintID: w.open, OwnerID: 99}, http.StatusBadRequest, "does not exist any more"},
		"the port of one there": {"there", server.Form{Name: "x", Port: 27015, BlueprintID: w.open, OwnerID: w.anna.ID}, 0, ""},
	} {
		_, _, err := w.Create(t.Context(), w.admin, c.host, c.form)
		if status(err) != c.status || (c.status == 0) != (err == nil) || c.says != "" && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// shows: P55
func TestAFreePortIsSuggested(t *testing.T) {
	w := setUp(t, dbtest.New)
	for _, want := range []int{27015, 27016, 27017} {
		if port, err := w.FreePort(t.Context()); err != nil || port != want {
			t.Errorf("%d, %v, want %d", port, err, want)
		}
		w.make(t, "x", want)
	}
	w.exec(t, `DELETE FROM servers WHERE port = 27016`)
	w.make(t, "far away", 1024)
	if port, err := w.FreePort(t.Context()); err != nil || port != 27016 {
		t.Errorf("%d, %v", port, err)
	}
}

// shows: P55
func TestIdsAreNeverReused(t *testing.T) {
	w := setUp(t, dbtest.New)
	s := w.make(t, "first", 27015)
	if _, err := w.Delete(t.Context(), w.admin, s); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Deleted(t.Context(), s.ID); err != nil {
		t.Error(err)
	}
	// Until the directory is removed, the process may still run on its port.
	if _, _, err := w.Create(t.Context(), w.admin, "here", server.Form{Name: "x", Port: 27015, BlueprintID: w.open, OwnerID: w.anna.ID}); status(err) != http.StatusConflict {
		t.Errorf("its port: %v", err)
	}
	if err := w.Removed(t.Context(), w.db, s.ID); err != nil {
		t.Fatal(err)
	}
	if again := w.make(t, "second", 27015); again.ID <= s.ID {
		t.Errorf("ids %d and %d", s.ID, again.ID)
	}
}

// shows: P55
func TestWhoSeesAndChangesServers(t *testing.T) {
	w := setUp(t, dbtest.New)
	s := w.make(t, "friday", 27015)
	for _, c := range []struct {
		u      account.User
		status int
		listed int
	}{{w.anna, 0, 1}, {w.admin, 0, 1}, {w.bert, http.StatusForbidden, 0}, {account.User{}, http.StatusForbidden, 0}} {
		if err := s.Editable(c.u); status(err) != c.status {
			t.Errorf("for %q: %v", c.u.Name, err)
		}
		if page, err := w.List(t.Context(), c.u, list.Query{}); err != nil || len(page.Rows) != c.listed {
			t.Errorf("%q lists %+v, %v", c.u.Name, page.Rows, err)
		}
	}
	if _, err := w.Get(t.Context(), 99); status(err) != http.StatusNotFound {
		t.Error(err)
	}
}

// shows: P55
func TestChange(t *testing.T) { dbtest.Each(t, testChange) }

func testChange(t *testing.T, open dbtest.Backend) {
	w := setUp(t, open)
	s, other := w.make(t, "friday", 27015), w.make(t, "sunday", 27016)
	berts := w.blueprint(t, "his", w.bert.ID)
	change := func(u account.User, f server.Form) error { return w.Change(t.Context(), u, w.get(t, s.ID), f) }
	if err := change(w.anna, server.Form{Name: "monday", BlueprintID: w.open, Port: 1, OwnerID: w.bert.ID}); err != nil {
		t.Fatal(err)
	}
	if got := w.get(t, s.ID); got.Name != "monday" || got.BlueprintID != w.open || got.Port != 27015 || got.OwnerID != w.anna.ID || got.Public {
		t.Errorf("the owner has changed %+v", got)
	}
	if err := change(w.anna, server.Form{Name: "monday", BlueprintID: berts}); status(err) != http.StatusBadRequest {
		t.Errorf("to a blueprint that she does not see: %v", err)
	}
	if err := change(w.admin, server.Form{Name: "monday", BlueprintID: berts, Port: 27020, OwnerID: w.bert.ID}); err != nil {
		t.Fatal(err)
	}
	if got := w.get(t, s.ID); got.BlueprintID != berts || got.Port != 27020 || got.OwnerID != w.bert.ID {
		t.Errorf("the administrator has changed %+v", got)
	}
	// What it has, it keeps, even if its new owner would not see that blueprint.
	w.exec(t, `UPDATE servers SET blueprint_id = ? WHERE id = ?`, w.hers, s.ID)
	if err := change(w.bert, server.Form{Name: "tuesday", BlueprintID: w.hers}); err != nil {
		t.Error(err)
	}
	if err := change(w.admin, server.Form{Name: "x", BlueprintID: w.hers, Port: other.Port, OwnerID: w.bert.ID}); status(err) != http.StatusConflict || !strings.Contains(err.Error(), "The server sunday has port 27016") {
		t.Errorf("a used port: %v", err)
	}
	gone := w.get(t, s.ID)
	if _, err := w.Delete(t.Context(), w.admin, gone); err != nil {
		t.Fatal(err)
	}
	if err := w.Change(t.Context(), w.admin, gone, server.Form{Name: "x", BlueprintID: w.hers, Port: 27015, OwnerID: w.bert.ID}); status(err) != http.StatusNotFound {
		t.Errorf("a deleted one: %v", err)
	}
}

// shows: P33 P60
func TestRequests(t *testing.T) { dbtest.Each(t, testRequests) }

func testRequests(t *testing.T, open dbtest.Backend) {
	w := setUp(t, open)
	s := w.make(t, "friday", 27015)
	w.finish(t)
	ask := func(o job.Operation, request func(context.Context, account.User, server.Server) (*jobstore.Enqueued, error)) jobstore.Job {
		t.Helper()
		e, err := request(t.Context(), w.anna, s)
		if err != nil {
			t.Fatal(err)
		}
		j, err := w.jobs.Get(t.Context(), e.ID)
		if err != nil || j.Operation != o.Name || j.HostID != "here" || j.Subject != job.Server(s.ID) || j.UserName != "anna" {
			t.Errorf("%s: %+v, %v", o.Name, j, err)
		}
		return j
	}
	first := ask(job.ServerStart, w.Start)
	if first.Argument != `{"overlays":[2,1]}` {
		t.Errorf("argument %s", first.Argument)
	}
	locks, err := db.Rows(t.Context(), w.db, db.Value[string], `SELECT resource || ' ' || write FROM job_locks WHERE job_id = ? ORDER BY 1`, first.ID)
	if err != nil || !slices.Equal(locks, []string{"game 0", "game@here 0", "overlay:1@here 0", "overlay:2@here 0", "server:1 1"}) {
		t.Errorf("locks %q, %v", locks, err)
	}
	if again := ask(job.ServerStart, w.Start); again.ID != first.ID {
		t.Errorf("a second press adds job %d to job %d", again.ID, first.ID)
	}
	if restart := ask(job.ServerStart, w.Restart); restart.ID == first.ID || restart.Argument != `{"restart":true,"overlays":[2,1]}` {
		t.Errorf("a restart is job %d with %s", restart.ID, restart.Argument)
	}
	ask(job.ServerStop, w.Stop)
	if now, err := w.jobs.Get(t.Context(), first.ID); err != nil || now.State != job.Cancelled {
		t.Errorf("after a stop is asked for, the start is %s, %v", now.State, err)
	}
	for _, state := range []server.State{server.Starting, server.Running, server.Stopping} {
		if err := w.SetState(t.Context(), s.ID, state); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Reset(t.Context(), w.anna, w.get(t, s.ID)); status(err) != http.StatusConflict {
			t.Errorf("reset while it is %s: %v", state, err)
		}
	}
	ask(job.ServerReset, w.Reset)
	s = w.get(t, s.ID)
	ask(job.DeleteServer, w.Delete)
	if live, err := w.jobs.LiveOf(t.Context(), job.Server(s.ID)); err != nil || len(live) != 2 || live[0].Operation != "delete_server" || live[1].Operation != "server_stop" {
		t.Errorf("jobs of a deleted server: %+v, %v", live, err)
	}
	if _, err := w.Delete(t.Context(), w.anna, s); status(err) != http.StatusNotFound {
		t.Errorf("deleted twice: %v", err)
	}
}

// shows: P61
func TestTheStateIsUnknownWhileTheHostIsSilent(t *testing.T) {
	w := setUp(t, dbtest.New)
	s := w.make(t, "friday", 27015)
	seenAt := *w.now
	if err := w.SetState(t.Context(), s.ID, server.Running); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		later time.Duration
		want  server.State
	}{{0, server.Running}, {jobstore.HostSilentAfter, server.Running}, {jobstore.HostSilentAfter + time.Second, server.Unknown}} {
		*w.now = seenAt.Add(c.later)
		if state, _ := w.get(t, s.ID).Now(*w.now); state != c.want {
			t.Errorf("after %v it is %s, want %s", c.later, state, c.want)
		}
		for _, state := range []server.State{server.Running, server.Unknown} {
			page, err := w.List(t.Context(), w.admin, list.Query{State: string(state)})
			if err != nil || (len(page.Rows) == 1) != (state == c.want) {
				t.Errorf("after %v the list of what is %s has %d, %v", c.later, state, len(page.Rows), err)
			}
		}
	}
	if _, since := w.get(t, s.ID).Now(*w.now); !since.Equal(seenAt) {
		t.Errorf("unknown since %v, want %v", since, seenAt)
	}
}

func TestNamed(t *testing.T) {
	w := setUp(t, dbtest.New)
	one := w.make(t, "friday", 27015)
	w.make(t, "same", 27016)
	w.make(t, "same", 27017)
	numeric := w.make(t, "1", 27018)
	for name, want := range map[string]int64{"friday": one.ID, "1": one.ID, "4": numeric.ID} {
		if got, err := w.Named(t.Context(), name); err != nil || got.ID != want {
			t.Errorf("%s is server %d, %v, want %d", name, got.ID, err, want)
		}
	}
	for name, want := range map[string]int{"none": http.StatusNotFound, "same": http.StatusConflict} {
		if _, err := w.Named(t.Context(), name); status(err) != want {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestChoices(t *testing.T) { dbtest.Each(t, testChoices) }

func testChoices(t *testing.T, open dbtest.Backend) {
	w := setUp(t, open)
	for _, c := range []struct {
		u                         account.User
		hosts, blueprints, owners string
	}{
		{w.admin, "here there", "for all hers", "anna bert root"},
		{w.anna, "", "for all hers", ""},
		{w.bert, "", "for all", ""},
	} {
		got, err := w.Choices(t.Context(), c.u)
		if err != nil || names(got.Hosts) != c.hosts || names(got.Blueprints) != c.blueprints || names(got.Owners) != c.owners {
			t.Errorf("%s: %+v, %v", c.u.Name, got, err)
		}
	}
}

func names(all []server.Choice) string {
	var names []string
	for _, c := range all {
		names = append(names, c.Name)
	}
	return strings.Join(names, " ")
}

// With a host that is gone for good go its servers.
func TestServersOfARemovedHostAreGone(t *testing.T) {
	w := setUp(t, dbtest.New)
	s := w.make(t, "friday", 27015)
	w.finish(t)
	w.exec(t, `DELETE FROM hosts WHERE id = 'here'`)
	if _, err := w.Get(t.Context(), s.ID); status(err) != http.StatusNotFound {
		t.Error(err)
	}
}
