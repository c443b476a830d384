package webhook_test

import (
	"fmt"
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
	"left4me/shared/webhook"
)

// fixture has overlay 1 and server 1 of anna's, and overlay 2 of nobody's.
type fixture struct {
	*webhook.Store
	db                *db.DB
	jobs              *jobstore.Store
	now               *time.Time
	admin, anna, bert account.User
}

func setUp(t *testing.T, open dbtest.Backend) fixture {
	t.Helper()
	d, now := open(t), time.Now().Truncate(time.Millisecond)
	w := fixture{db: d, now: &now}
	clock := func() time.Time { return now }
	w.jobs = jobstore.NewStore(d, clock)
	w.Store = webhook.NewStore(d, clock, w.jobs)
	dbtest.AddHost(t, d, "here", now)
	for name, into := range map[string]*account.User{"root": &w.admin, "anna": &w.anna, "bert": &w.bert} {
		var err error
		if *into, err = account.NewStore(d, clock).Create(t.Context(), name, "a password", name == "root"); err != nil {
			t.Fatal(err)
		}
	}
	w.exec(t, `INSERT INTO overlays (id, name, type, user_id, uid, created_at) VALUES (1, 'maps', 'workshop', ?, 'a', 1), (2, 'configs', 'external', NULL, 'b', 1)`, w.anna.ID)
	w.exec(t, `INSERT INTO blueprints (id, name, user_id, created_at) VALUES (1, 'hers', ?, 1)`, w.anna.ID)
	w.exec(t, `INSERT INTO servers (id, name, host_id, port, blueprint_id, user_id, uid, state_at, created_at) VALUES (1, 'friday', 'here', 27015, 1, ?, 'a', 1, 1)`, w.anna.ID)
	return w
}

func (w fixture) exec(t *testing.T, query string, args ...any) {
	t.Helper()
	if _, err := w.db.ExecContext(t.Context(), query, args...); err != nil {
		t.Fatal(err)
	}
}

// create adds a webhook that wants everything that can happen to what it is about.
func (w fixture) create(t *testing.T, u account.User, about job.Subject) webhook.Webhook {
	t.Helper()
	id, err := w.Create(t.Context(), u, about, webhook.Form{URL: "https://hooks.example:8443/secret", Format: webhook.JSON, Events: webhook.Kinds(about.Kind), Private: u.Admin})
	if err != nil {
		t.Fatal(err)
	}
	made, err := w.Get(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// deliveries are those of a webhook, the newest first.
func (w fixture) deliveries(t *testing.T, id int64) []webhook.Delivery {
	t.Helper()
	all, err := w.Deliveries(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// happened are the events that a webhook is told, the oldest first, such as `server_up friday: text`.
func (w fixture) happened(t *testing.T, id int64) (all []string) {
	t.Helper()
	for _, d := range slices.Backward(w.deliveries(t, id)) {
		all = append(all, strings.TrimSuffix(fmt.Sprintf("%s %s: %s", d.Event.Kind, d.Event.About(), d.Event.Sentence()), ": "))
	}
	return all
}

func status(err error) int {
	if p, ok := problem.As(err); ok {
		return p.Status
	}
	return 0
}

// shows: P82
func TestCreate(t *testing.T) { dbtest.Each(t, testCreate) }

func testCreate(t *testing.T, open dbtest.Backend) {
	w := setUp(t, open)
	made := w.create(t, w.admin, job.Overlay(1))
	dbtest.Filled(t, made, "Last")
	if made.AboutName != "maps" || made.OwnerID != w.anna.ID || made.Host != "hooks.example:8443" || !strings.HasPrefix(made.Secret, "whsec_") || !made.Private {
		t.Errorf("%+v", made)
	}
	if other := w.create(t, w.anna, job.Server(1)); other.AboutName != "friday" || other.Secret == made.Secret || other.Private {
		t.Errorf("%+v", other)
	}
	w.create(t, w.admin, job.Subject{})
	good := webhook.Form{URL: "https://a.example", Format: webhook.Discord, Events: []webhook.Kind{webhook.BuildFailed}}
	for what, c := range map[string]struct {
		u      account.User
		about  job.Subject
		change func(*webhook.Form)
		status int
	}{
		"somebody else's overlay":   {w.bert, job.Overlay(1), nil, http.StatusForbidden},
		"somebody else's server":    {w.bert, job.Server(1), func(f *webhook.Form) { f.Events[0] = webhook.ServerUp }, http.StatusForbidden},
		"a system's overlay":        {w.anna, job.Overlay(2), nil, http.StatusForbidden},
		"the panel":                 {w.anna, job.Subject{}, nil, http.StatusForbidden},
		"no such overlay":           {w.admin, job.Overlay(9), nil, http.StatusNotFound},
		"no URL":                    {w.anna, job.Overlay(1), func(f *webhook.Form) { f.URL = "hooks.example" }, http.StatusBadRequest},
		"a file":                    {w.anna, job.Overlay(1), func(f *webhook.Form) { f.URL = "file:///etc/passwd" }, http.StatusBadRequest},
		"a password":                {w.anna, job.Overlay(1), func(f *webhook.Form) { f.URL = "https://a:b@hooks.example" }, http.StatusBadRequest},
		"a long URL":                {w.anna, job.Overlay(1), func(f *webhook.Form) { f.URL += "/" + strings.Repeat("x", webhook.URLLength) }, http.StatusBadRequest},
		"no format":                 {w.anna, job.Overlay(1), func(f *webhook.Form) { f.Format = "" }, http.StatusBadRequest},
		"no events":                 {w.anna, job.Overlay(1), func(f *webhook.Form) { f.Events = nil }, http.StatusBadRequest},
		"a server's event":          {w.anna, job.Overlay(1), func(f *webhook.Form) { f.Events[0] = webhook.ServerUp }, http.StatusBadRequest},
		"private without a right":   {w.anna, job.Overlay(1), func(f *webhook.Form) { f.Private = true }, http.StatusForbidden},
		"one about her overlay":     {w.anna, job.Overlay(1), nil, 0},
		"one of an administrator's": {w.admin, job.Overlay(2), nil, 0},
	} {
		f := good
		f.Events = slices.Clone(good.Events)
		if c.change != nil {
			c.change(&f)
		}
		if _, err := w.Create(t.Context(), c.u, c.about, f); status(err) != c.status || (err == nil) != (c.status == 0) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for range webhook.MaxEach - 2 {
		w.create(t, w.anna, job.Overlay(1))
	}
	if _, err := w.Create(t.Context(), w.anna, job.Overlay(1), good); status(err) != http.StatusConflict {
		t.Errorf("too many: %v", err)
	}
}

func TestWhoSeesWebhooks(t *testing.T) { dbtest.Each(t, testWhoSeesWebhooks) }

func testWhoSeesWebhooks(t *testing.T, open dbtest.Backend) {
	w := setUp(t, open)
	ofOverlay, ofServer, ofPanel := w.create(t, w.anna, job.Overlay(1)), w.create(t, w.anna, job.Server(1)), w.create(t, w.admin, job.Subject{})
	see := func(u account.User, everything bool, about job.Subject) (ids []int64) {
		t.Helper()
		page, err := w.List(t.Context(), u, everything, about, list.Query{})
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range page.Rows {
			ids = append(ids, found.ID)
		}
		return ids
	}
	for what, c := range map[string]struct{ got, want []int64 }{
		"anna":                            {see(w.anna, true, job.Subject{}), []int64{ofOverlay.ID, ofServer.ID}},
		"anna, of her server":             {see(w.anna, false, job.Server(1)), []int64{ofServer.ID}},
		"bert":                            {see(w.bert, true, job.Subject{}), nil},
		"bert, of anna's overlay":         {see(w.bert, false, job.Overlay(1)), nil},
		"administrators":                  {see(w.admin, true, job.Subject{}), []int64{ofOverlay.ID, ofServer.ID, ofPanel.ID}},
		"administrators, about the panel": {see(w.admin, false, job.Subject{}), []int64{ofPanel.ID}},
	} {
		if !slices.Equal(c.got, c.want) {
			t.Errorf("%s: %v, want %v", what, c.got, c.want)
		}
	}
	for u, want := range map[account.User]int{w.anna: 0, w.admin: 0, w.bert: http.StatusForbidden, {}: http.StatusForbidden} {
		if err := ofOverlay.Editable(u); status(err) != want {
			t.Errorf("%s: %v", u.Name, err)
		}
	}
	if status(ofPanel.Editable(w.anna)) != http.StatusForbidden || ofPanel.Editable(w.admin) != nil {
		t.Error("the panel's")
	}
	// What has been deleted tells nothing, and its webhooks are not shown.
	w.exec(t, `UPDATE overlays SET deleted_at = 1 WHERE id = 1`)
	if _, err := w.Get(t.Context(), ofOverlay.ID); status(err) != http.StatusNotFound {
		t.Errorf("of a deleted overlay: %v", err)
	}
	if err := w.Delete(t.Context(), w.anna, ofServer.ID); err != nil {
		t.Fatal(err)
	}
	if got := see(w.admin, true, job.Subject{}); !slices.Equal(got, []int64{ofPanel.ID}) {
		t.Errorf("left are %v", got)
	}
}

// shows: P82
func TestWhatWebhooksAreTold(t *testing.T) { dbtest.Each(t, testWhatWebhooksAreTold) }

func testWhatWebhooksAreTold(t *testing.T, open dbtest.Backend) {
	w := setUp(t, open)
	server, panel := w.create(t, w.anna, job.Server(1)), w.create(t, w.admin, job.Subject{})
	picky, err := w.Create(t.Context(), w.admin, job.Subject{}, webhook.Form{URL: "https://a.example", Format: webhook.JSON, Events: []webhook.Kind{webhook.ServerCrashed}})
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range []webhook.Kind{webhook.ServerUp, webhook.ServerCrashed} {
		if err := webhook.HappenedToServer(t.Context(), w.db, *w.now, k, 1, "why", 5); err != nil {
			t.Fatal(err)
		}
	}
	both := []string{"server_up friday: why", "server_crashed friday: why"}
	for id, want := range map[int64][]string{server.ID: both, panel.ID: both, picky: both[1:]} {
		if got := w.happened(t, id); !slices.Equal(got, want) {
			t.Errorf("webhook %d is told %q, want %q", id, got, want)
		}
	}
	if d := w.deliveries(t, server.ID)[0]; len(d.Event.ID) != 32 || d.Event.JobID != 5 || !d.Event.At.Equal(*w.now) || d.Event.Server.ID != 1 || !d.NextAt.Equal(*w.now) {
		t.Errorf("%+v", d)
	}
}

// shows: P82
func TestAFailedBuildIsToldOnce(t *testing.T) { dbtest.Each(t, testAFailedBuildIsToldOnce) }

func testAFailedBuildIsToldOnce(t *testing.T, open dbtest.Backend) {
	w := setUp(t, open)
	hook := w.create(t, w.anna, job.Overlay(1))
	w.create(t, w.admin, job.Overlay(2))
	build := func(state job.State, reason string) {
		t.Helper()
		if _, err := w.jobs.Enqueue(t.Context(), w.db, jobstore.Request{Operation: job.BuildOverlay, Subject: job.Overlay(1), Host: "here"}); err != nil {
			t.Fatal(err)
		}
		c, found, err := w.jobs.Claim(t.Context(), jobstore.Worker{Name: "test", Host: "here"}, job.Runnable())
		if err == nil && found {
			err = w.jobs.Finish(t.Context(), c, jobstore.Ending{State: state, Error: reason})
		}
		if err != nil || !found {
			t.Fatal(found, err)
		}
	}
	build(job.Failed, "no space left")
	build(job.Failed, "no space left")
	if got := w.happened(t, hook.ID); !slices.Equal(got, []string{"build_failed maps: no space left"}) {
		t.Errorf("told %q", got)
	}
	w.exec(t, `UPDATE overlay_hosts SET last_build_status = 'ok'`)
	dbtest.AddHost(t, w.db, "there", *w.now)
	build(job.Failed, "again")
	if d := w.deliveries(t, hook.ID)[0]; d.Event.Text != "again" || d.Event.Host == "" || d.Event.JobID != 3 {
		t.Errorf("%+v", d.Event)
	}
}

// shows: P82
func TestWhatChangedInAnOverlay(t *testing.T) { dbtest.Each(t, testWhatChangedInAnOverlay) }

func testWhatChangedInAnOverlay(t *testing.T, open dbtest.Backend) {
	w := setUp(t, open)
	hook := w.create(t, w.anna, job.Overlay(1))
	dbtest.AddHost(t, w.db, "there", *w.now)
	w.exec(t, `INSERT INTO workshop_items (id, steam_id, title, file_url, created_at) VALUES (1, '101', 'Urban', 'x', 1), (2, '102', 'Blood', 'x', 1), (3, '103', '', 'x', 1)`)
	w.exec(t, `INSERT INTO overlay_workshop_items (overlay_id, workshop_item_id, added_at) VALUES (1, 1, 1), (1, 2, 1)`)
	// has makes an overlay have items in a version on a host, and records its build.
	has := func(host string, version int, items ...int) {
		t.Helper()
		w.exec(t, `DELETE FROM overlay_links WHERE host_id = ?`, host)
		for _, id := range items {
			w.exec(t, `INSERT INTO overlay_links (overlay_id, workshop_item_id, host_id) VALUES (1, ?, ?)`, id, host)
			w.exec(t, `INSERT INTO item_hosts (workshop_item_id, host_id, last_downloaded_at, downloaded_time_updated, downloaded_file_size) VALUES (?, ?, 1, ?, 5)
				ON CONFLICT DO UPDATE SET downloaded_time_updated = excluded.downloaded_time_updated`, id, host, version)
		}
		if err := webhook.Built(t.Context(), w.db, *w.now, 1, host, 9); err != nil {
			t.Fatal(err)
		}
	}
	has("here", 1, 1, 2)
	has("here", 1, 1, 2)
	has("there", 1, 1, 2)
	has("there", 2, 1, 3)
	has("here", 2, 1, 3)
	want := []string{"content_changed maps: 2 items new (Blood, Urban)", "content_changed maps: 1 item new (103), 1 item updated (Urban), 1 item removed (Blood)"}
	if got := w.happened(t, hook.ID); !slices.Equal(got, want) {
		t.Errorf("told %q, want %q", got, want)
	}
	if err := webhook.ItemsGone(t.Context(), w.db, *w.now, []string{"101", "103", "999"}); err != nil {
		t.Fatal(err)
	}
	if got := w.happened(t, hook.ID); got[len(got)-1] != "item_gone maps: 1 item gone (Urban)" {
		t.Errorf("told %q", got)
	}
}

// shows: P82
func TestDeliveriesAreTriedForAnHour(t *testing.T) { dbtest.Each(t, testDeliveriesAreTriedForAnHour) }

func testDeliveriesAreTriedForAnHour(t *testing.T, open dbtest.Backend) {
	w := setUp(t, open)
	hook := w.create(t, w.anna, job.Server(1))
	if due, err := w.EnqueueDue(t.Context()); err != nil || due {
		t.Errorf("with nothing to send: %v, %v", due, err)
	}
	if err := webhook.HappenedToServer(t.Context(), w.db, *w.now, webhook.ServerUp, 1, "", 0); err != nil {
		t.Fatal(err)
	}
	begun, tries := *w.now, 0
	for ; ; tries++ {
		if due, err := w.EnqueueDue(t.Context()); err != nil || !due {
			t.Fatalf("after %v there is no job: %v", w.now.Sub(begun), err)
		}
		if due, err := w.EnqueueDue(t.Context()); err != nil || due {
			t.Fatalf("another job beside the first, %v", err)
		}
		d, found, err := w.Take(t.Context(), hook.ID)
		if err != nil || !found || d.Attempts != tries+1 {
			t.Fatalf("%+v, %v, %v", d, found, err)
		}
		if _, again, err := w.Take(t.Context(), hook.ID); again || err != nil {
			t.Fatalf("it is taken twice, %v", err)
		}
		if err := w.Answered(t.Context(), hook.ID, d, webhook.Answer{Text: fmt.Sprint("no ", tries)}); err != nil {
			t.Fatal(err)
		}
		w.exec(t, `UPDATE jobs SET state = 'cancelled', finished_at = 1`)
		if d.NextAt.IsZero() {
			break
		}
		*w.now = d.NextAt
	}
	if took := w.now.Sub(begun); took < 50*time.Minute || took > time.Hour || tries != 8 {
		t.Errorf("given up after %v and %d more tries", took, tries)
	}
	d := w.deliveries(t, hook.ID)[0]
	if !d.NextAt.IsZero() || !d.DeliveredAt.IsZero() || d.Answer != "no 8" {
		t.Errorf("%+v", d)
	}
	*w.now = w.now.Add(24 * time.Hour)
	if due, err := w.EnqueueDue(t.Context()); err != nil || due {
		t.Errorf("it is tried again, %v", err)
	}
}

// A webhook that does not answer is asked with one delivery at a time. The others wait, and are given up when they are an hour old.
func TestDeliveriesWaitForAWebhookThatDoesNotAnswer(t *testing.T) {
	w := setUp(t, dbtest.New)
	hook := w.create(t, w.anna, job.Server(1))
	for range 3 {
		if err := webhook.HappenedToServer(t.Context(), w.db, *w.now, webhook.ServerUp, 1, "", 0); err != nil {
			t.Fatal(err)
		}
	}
	take := func() webhook.Delivery {
		t.Helper()
		d, found, err := w.Take(t.Context(), hook.ID)
		if err != nil || !found {
			t.Fatal(found, err)
		}
		return d
	}
	answer := func(d webhook.Delivery, a webhook.Answer) {
		t.Helper()
		if err := w.Answered(t.Context(), hook.ID, d, a); err != nil {
			t.Fatal(err)
		}
	}
	first := take()
	answer(first, webhook.Answer{Text: "No answer: refused", Wait: true})
	if d, found, err := w.Take(t.Context(), hook.ID); found || err != nil {
		t.Errorf("the next is tried at once: %+v, %v", d, err)
	}
	for _, d := range w.deliveries(t, hook.ID)[:2] {
		if d.Attempts != 0 || !d.NextAt.Equal(first.NextAt) || d.Answer != "Not tried: No answer: refused" {
			t.Errorf("%+v", d)
		}
	}
	*w.now = first.NextAt
	answer(take(), webhook.Answer{Text: "Answered 429", Wait: true, RetryAfter: 20 * time.Minute})
	for _, d := range w.deliveries(t, hook.ID) {
		if !d.NextAt.Equal(w.now.Add(20 * time.Minute)) {
			t.Errorf("asked to wait for 20 minutes: %+v", d)
		}
	}
	*w.now = w.now.Add(2 * time.Hour)
	answer(take(), webhook.Answer{Text: "No answer: refused", Wait: true})
	for _, d := range w.deliveries(t, hook.ID) {
		if !d.NextAt.IsZero() || !d.DeliveredAt.IsZero() {
			t.Errorf("after two hours: %+v", d)
		}
	}
}

func TestATestIsSentAtOnceAndOldDeliveriesGo(t *testing.T) {
	w := setUp(t, dbtest.New)
	hook := w.create(t, w.admin, job.Subject{})
	for n := range 60 {
		e, err := w.Test(t.Context(), w.admin, hook.ID)
		if err != nil || n == 0 && !e.New {
			t.Fatalf("%+v, %v", e, err)
		}
		d, found, err := w.Take(t.Context(), hook.ID)
		if err == nil && found {
			err = w.Answered(t.Context(), hook.ID, d, webhook.Answer{Delivered: true, Text: "Answered 200"})
		}
		if err != nil || !found || d.Event.Sentence() != "This is a test that root has asked for." {
			t.Fatal(d, found, err)
		}
	}
	if n := len(w.deliveries(t, hook.ID)); n != 50 {
		t.Errorf("%d deliveries are kept", n)
	}
	page, err := w.List(t.Context(), w.admin, true, job.Subject{}, list.Query{})
	if err != nil || page.Rows[0].Last.Answer != "Answered 200" || page.Rows[0].Last.DeliveredAt.IsZero() {
		t.Errorf("%+v, %v", page.Rows, err)
	}
	limited := w.anna
	limited.Limits = &account.Limits{ActionsPerMinute: 1}
	hers := w.create(t, w.anna, job.Server(1))
	for _, want := range []int{0, http.StatusTooManyRequests} {
		if _, err := w.Test(t.Context(), limited, hers.ID); status(err) != want {
			t.Errorf("%v, want %d", err, want)
		}
	}
}
