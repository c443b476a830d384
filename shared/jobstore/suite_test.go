package jobstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"left4me/shared/db"
	"left4me/shared/db/dbtest"
	"left4me/shared/db/migrations"
	"left4me/shared/job"
	"left4me/shared/list"
)

// opener gives a test a migrated, empty database and its URL, for other processes.
type opener func(t testing.TB) (d *db.DB, databaseURL string)

func openFile(t testing.TB) (*db.DB, string) {
	t.Helper()
	databaseURL := db.FileURL(filepath.Join(t.TempDir(), "left4me.db"))
	d := dbtest.Open(t, databaseURL)
	if _, err := migrations.Up(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	return d, databaseURL
}

func openServer(t testing.TB) (*db.DB, string) {
	t.Helper()
	s := dbtest.Serve(t)
	return s.Open(t), s.URL
}

// shows: P30 P31 P32 P33 P34 P35 P36 P37 P38
func TestOnAFile(t *testing.T) { suite(t, openFile) }

// shows: P30 P31 P32 P33 P34 P35 P36 P37 P38
func TestOnAServer(t *testing.T) { suite(t, openServer) }

// suite is what must hold on every kind of database.
func suite(t *testing.T, open opener) {
	t.Parallel()
	for name, test := range map[string]func(*testing.T, *fixture){
		"P30 a slot fires once":                         testSlots,
		"P30 a slot fires once under race":              testSlotsRace,
		"P30 what was missed is known":                  testMissed,
		"P31 states":                                    testStates,
		"P32 oldest first":                              testOldestFirst,
		"P33 every cell of the matrix":                  testMatrix,
		"P30 P34 coalescing, of every operation":        testCoalescing,
		"P34 coalescing under race":                     testCoalescingRace,
		"P34 many jobs at once":                         testEnqueueAll,
		"a job's argument":                              testArgument,
		"P35 lost workers, of every operation":          testLostJob,
		"P35 handing back does not count":               testHandBack,
		"handing back all":                              testHandBackAll,
		"a program that cannot start":                   testCannotStart,
		"P35 a known death is not waited for":           testWorkerLost,
		"P35 an owner that lost the job writes nothing": testFencing,
		"P35 resuming an agent's claim":                 testResume,
		"P36 starving, of every operation":              testStarving,
		"P36 who goes on beside a job that starves":     testBesideStarving,
		"P37 logs":       testLogs,
		"P37 progress":   testProgress,
		"P38 whose jobs": testScope,
		"P38 subjects":   testSubjects,
		"finishing is one transaction and repeatable": testFinish,
		"a failed build is not a good one":            testBuildFailed,
		"cancelling":                                  testCancel,
		"cancel against claim and finish":             testCancelRace,
		"P9 a deletion cancels the overlay's builds":  testCancelAll,
		"claiming one job, or why not":                testClaimJob,
		"what cannot run is not enqueued":             testRefused,
		"live jobs":                                   testLive,
		"lists for administrators":                    testAdminLists,
		"the newest job of an operation":              testLast,
		"processes compete":                           testProcessesCompete,
		"kill -9":                                     testKilledOwner,
		"a stopped owner finds that it has lost":      testStoppedOwner,
		"statements use indexes, not all jobs":        testPlans,
		"P45 P46 one job on each host":                testEachHost,
		"P45 who claims what":                         testWhoClaims,
		"P46 jobs wait for the first host":            testFirstHost,
		"P47 the end of a host":                       testEndOfHost,
		"P48 a silent host delays only its own jobs":  testSilentHost,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, newFixture(t, open))
		})
	}
}

// fixture is a database with a store, on a clock that only the test moves.
type fixture struct {
	*Store
	DB  *db.DB
	url string

	mu   sync.Mutex
	at   time.Time
	real bool
}

var start = time.UnixMilli(1_700_000_000_000)

func newFixture(t *testing.T, open opener) *fixture {
	d, databaseURL := open(t)
	w := &fixture{DB: d, url: databaseURL, at: start}
	dbtest.AddHost(t, d, testHost, start)
	w.Store = NewStore(d, func() time.Time {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.real {
			return time.Now()
		}
		return w.at
	})
	t.Cleanup(func() { checkIntegrity(t, d) })
	return w
}

// testHost is the host whose jobs the tests are about that are not about several hosts.
const testHost = "h1"

// Claim and ClaimJob are those of a worker on testHost.
func (w *fixture) Claim(ctx context.Context, worker string, operations []job.Operation) (Claim, bool, error) {
	return w.Store.Claim(ctx, Worker{worker, testHost}, operations)
}

func (w *fixture) ClaimJob(ctx context.Context, worker string, id int64, operation job.Operation) (Claim, error) {
	return w.Store.ClaimJob(ctx, Worker{worker, testHost}, id, operation)
}

// useRealTime makes the clock that of the machine, which other processes use.
func (w *fixture) useRealTime() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.real = true
}

func (w *fixture) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.at = w.at.Add(d)
}

// runnable are all operations as if each had a function.
func runnable() []job.Operation {
	all := job.All()
	for i := range all {
		all[i] = withFunction(all[i])
	}
	return all
}

func withFunction(o job.Operation) job.Operation {
	if o.Function == "" {
		o.Function = "in-tests"
	}
	return o
}

// about is what jobs of a test are about: an overlay and a server that mounts it. Jobs about anything else have the server's id. Jobs
// that need a disk are those of host, or of testHost.
type about struct {
	overlay, server int64
	host            string
}

// request is a request for o about what it can be about.
func (a about) request(o job.Operation) Request {
	r := Request{Operation: withFunction(o)}
	if o.Place == job.Disk {
		r.Host = cmp.Or(a.host, testHost)
	}
	switch o.About {
	case job.System:
	case job.Overlays:
		r.Subject = job.Overlay(a.overlay)
	default:
		r.Subject = job.Subject{Kind: o.About, ID: a.server}
	}
	if o.Reads == job.Overlays {
		r.Reads = []job.Subject{job.Overlay(a.overlay)}
	}
	return r
}

func (r Request) locks(t testing.TB) []job.Lock {
	t.Helper()
	locks, err := r.Operation.Locks(r.Host, r.Subject, r.Reads...)
	if err != nil {
		t.Fatal(err)
	}
	return locks
}

func buildOf(overlayID, userID int64) Request {
	return Request{Operation: job.BuildOverlay, Subject: job.Overlay(overlayID), UserID: userID}
}

func (w *fixture) ask(t *testing.T, r Request) Enqueued {
	t.Helper()
	e, err := w.Enqueue(t.Context(), w.DB, r)
	if err != nil {
		t.Fatal(err)
	}
	return *e
}

// enqueue adds a job.
func (w *fixture) enqueue(t *testing.T, r Request) int64 {
	t.Helper()
	e := w.ask(t, r)
	if !e.New {
		t.Fatalf("%s led to job %d, which is %s", r.Operation.Name, e.ID, e.State)
	}
	return e.ID
}

func (w *fixture) build(t *testing.T, overlayID int64) int64 {
	t.Helper()
	return w.enqueue(t, buildOf(overlayID, 0))
}

// claim claims the next job, which must be the one expected.
func (w *fixture) claim(t *testing.T, want int64) Claim {
	t.Helper()
	c, found, err := w.Claim(t.Context(), "agent", runnable())
	if err != nil {
		t.Fatal(err)
	}
	if !found || c.JobID != want {
		t.Fatalf("claimed job %d (%v), want %d", c.JobID, found, want)
	}
	return c
}

func (w *fixture) claimNothing(t *testing.T) {
	t.Helper()
	c, found, err := w.Claim(t.Context(), "agent", runnable())
	if err != nil {
		t.Fatal(err)
	}
	if found {
		t.Fatalf("claimed job %d (%s), want none", c.JobID, c.Operation.Name)
	}
}

func (w *fixture) finish(t *testing.T, c Claim, state job.State) {
	t.Helper()
	if err := w.Finish(t.Context(), c, Ending{State: state}); err != nil {
		t.Fatal(err)
	}
}

func (w *fixture) get(t *testing.T, id int64) Job {
	t.Helper()
	j, err := w.Get(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

func (w *fixture) state(t *testing.T, id int64, want job.State) Job {
	t.Helper()
	j := w.get(t, id)
	if j.State != want {
		t.Fatalf("job %d is %s, want %s", id, j.State, want)
	}
	return j
}

func (w *fixture) texts(t *testing.T, id int64) []string {
	t.Helper()
	lines, err := w.Logs(t.Context(), id, 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	var texts []string
	for _, l := range lines {
		texts = append(texts, l.Text)
	}
	return texts
}

func (w *fixture) exec(t *testing.T, query string, args ...any) {
	t.Helper()
	if _, err := w.DB.ExecContext(t.Context(), query, args...); err != nil {
		t.Fatal(err)
	}
}

func (w *fixture) number(t testing.TB, query string, args ...any) (n int64) {
	t.Helper()
	if err := w.DB.QueryRowContext(t.Context(), query, args...).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func (w *fixture) user(t *testing.T, name string) int64 {
	t.Helper()
	w.exec(t, "INSERT INTO users (name, password_hash, created_at) VALUES (?, '', 0)", name)
	return w.number(t, "SELECT id FROM users WHERE name = ?", name)
}

// overlay makes an overlay; user 0 makes a system-wide one.
func (w *fixture) overlay(t *testing.T, name string, userID int64) int64 {
	t.Helper()
	w.exec(t, "INSERT INTO overlays (name, type, user_id, uid, created_at) VALUES (?, 'workshop', NULLIF(?, 0), ?, 0)", name, userID, name)
	return w.number(t, "SELECT id FROM overlays WHERE name = ?", name)
}

// checkIntegrity looks for what no sequence of calls may lead to.
func checkIntegrity(t testing.TB, d *db.DB) {
	for what, query := range map[string]string{
		"ended jobs with locks":          "SELECT COUNT(*) FROM job_locks l JOIN jobs j ON j.id = l.job_id WHERE j.finished_at IS NOT NULL",
		"live jobs without their locks":  "SELECT COUNT(*) FROM jobs j WHERE finished_at IS NULL AND (SELECT COUNT(*) FROM job_locks WHERE job_id = j.id) = 0",
		"locks held that should not be":  "SELECT COUNT(*) FROM job_locks l JOIN jobs j ON j.id = l.job_id WHERE l.held <> (j.state IN ('running', 'cancelling'))",
		"conflicting locks held at once": "SELECT COUNT(*) FROM job_locks a JOIN job_locks b ON a.resource = b.resource AND a.job_id < b.job_id WHERE a.held AND b.held AND (a.write OR b.write)",
	} {
		var n int
		if err := d.QueryRowContext(context.Background(), query).Scan(&n); err != nil || n != 0 {
			t.Errorf("%s: %d, %v", what, n, err)
		}
	}
}

func testStates(t *testing.T, w *fixture) {
	id := w.build(t, 1)
	j := w.state(t, id, job.Queued)
	if j.Operation != "build_overlay" || j.Subject != job.Overlay(1) || j.Attempt != 0 || !j.CreatedAt.Equal(start) || !j.StartedAt.IsZero() || !j.LeaseUntil.IsZero() {
		t.Errorf("a queued job: %+v", j)
	}
	w.pass(time.Minute)
	c := w.claim(t, id)
	if c.Attempt != 1 || c.Operation.Name != "build_overlay" || c.Subject != job.Overlay(1) || c.LastSeq != 0 || c.Lost != 0 {
		t.Errorf("claim %+v", c)
	}
	j = w.state(t, id, job.Running)
	if j.Attempt != 1 || j.Worker != "agent" || !j.StartedAt.Equal(start.Add(time.Minute)) || !j.LeaseUntil.Equal(start.Add(time.Minute+job.BuildOverlay.Lease)) {
		t.Errorf("a running job: %+v", j)
	}
	if err := w.Finish(t.Context(), c, Ending{State: job.Running}); err == nil {
		t.Error("a job finished as running")
	}
	w.pass(time.Second)
	w.finish(t, c, job.Succeeded)
	j = w.state(t, id, job.Succeeded)
	if !j.FinishedAt.Equal(start.Add(time.Minute+time.Second)) || !j.LeaseUntil.IsZero() || j.Error != "" {
		t.Errorf("a finished job: %+v", j)
	}

	id = w.build(t, 1)
	if err := w.Finish(t.Context(), w.claim(t, id), Ending{State: job.Failed, Error: "no\nroom"}); err != nil {
		t.Error(err)
	}
	if j := w.state(t, id, job.Failed); j.Error != "no\ufffdroom" {
		t.Errorf("error %q", j.Error)
	}

	id = w.build(t, 1)
	c = w.claim(t, id)
	if state, changed, err := w.Cancel(t.Context(), id); state != job.Cancelling || !changed || err != nil {
		t.Errorf("Cancel = %s, %v, %v", state, changed, err)
	}
	if cancelling, err := w.Renew(t.Context(), c); !cancelling || err != nil {
		t.Errorf("Renew = %v, %v", cancelling, err)
	}
	w.finish(t, c, job.Cancelled)
	w.state(t, id, job.Cancelled)
	if _, err := w.Get(t.Context(), 99); !errors.Is(err, ErrNotFound) {
		t.Errorf("Get of no job: %v", err)
	}
}

func testOldestFirst(t *testing.T, w *fixture) {
	third := w.build(t, 3)
	fourth := w.build(t, 4)
	w.pass(-time.Second) // a clock that was set back: created_at counts, then the id
	first := w.build(t, 1)
	second := w.build(t, 2)
	w.pass(time.Minute)
	for _, id := range []int64{first, second, third, fourth} {
		w.claim(t, id)
	}
	w.claimNothing(t)

	// A job that waits for a lock does not hold up the next, and a lost one takes its place in the order.
	w.pass(time.Second)
	blocked := w.build(t, 1)
	free := w.build(t, 5)
	w.claim(t, free)
	w.claimNothing(t)
	w.pass(job.BuildOverlay.Lease)
	older := w.build(t, 7)
	w.exec(t, "UPDATE jobs SET created_at = 1 WHERE id = ?", older)
	w.claim(t, older)
	w.claim(t, first)
	w.state(t, blocked, job.Queued)

	// An agent takes only what it can run.
	w.enqueue(t, Request{Operation: withFunction(job.ServerStop), Subject: job.Server(1)})
	later := w.build(t, 6)
	c, found, err := w.Claim(t.Context(), "agent", []job.Operation{job.DeleteOverlay})
	if found || err != nil {
		t.Errorf("claimed %+v, %v", c, err)
	}
	for range 10 {
		c, found, err := w.Claim(t.Context(), "agent", []job.Operation{job.BuildOverlay})
		if err != nil || !found {
			t.Fatal(found, err)
		}
		if c.JobID == later {
			return
		}
	}
	t.Error("the build behind a job that this agent cannot run was never claimed")
}

// testMatrix tries every cell of the golden matrix: the second job starts beside the first exactly if it says so.
func testMatrix(t *testing.T, w *fixture) {
	w.matrix(t, func(host string) (Claim, bool) {
		c, found, err := w.Store.Claim(t.Context(), Worker{"agent", host}, runnable())
		if err != nil {
			t.Fatal(err)
		}
		return c, found
	})
}

// matrix tries every cell with claim, which takes what may start on a host.
func (w *fixture) matrix(t *testing.T, claim func(host string) (Claim, bool)) {
	t.Helper()
	dbtest.AddHost(t, w.DB, "h2", start)
	golden, err := os.ReadFile("../job/testdata/matrix.golden")
	if err != nil {
		t.Fatal(err)
	}
	sections := map[string]about{
		"the same overlay, the same server":        {overlay: 1, server: 1},
		"the same overlay, two servers":            {overlay: 1, server: 2},
		"two overlays, two servers":                {overlay: 2, server: 2},
		"the same overlay, two servers, two hosts": {overlay: 1, server: 2, host: "h2"},
	}
	cells := 0
	for section := range strings.SplitSeq(strings.TrimSpace(string(golden)), "\n\n") {
		lines := strings.Split(section, "\n")
		other, ok := sections[strings.TrimSuffix(lines[0], ":")]
		if !ok {
			t.Fatalf("the golden matrix has a section %q", lines[0])
		}
		columns := strings.Fields(lines[1])
		for _, line := range lines[2:] {
			cell := strings.Fields(line)
			for i, want := range cell[1:] {
				cells++
				a, _ := job.ByName(cell[0])
				b, _ := job.ByName(columns[i])
				if got := w.beside(t, about{overlay: 1, server: 1}.request(a), other.request(b), claim); got != want {
					t.Errorf("%s: a %s and then a %s run %s, want %s", lines[0], a.Name, b.Name, got, want)
				}
			}
		}
	}
	if want := len(sections) * len(job.All()) * len(job.All()); cells != want {
		t.Errorf("%d cells, want %d", cells, want)
	}
}

// beside reports whether the job of b starts while that of a runs, and checks that it starts afterwards.
func (w *fixture) beside(t *testing.T, a, b Request, claim func(host string) (Claim, bool)) string {
	t.Helper()
	// One statement instead of Finish's transaction: there are many cells.
	end := func() {
		w.exec(t, "UPDATE jobs SET state = 'succeeded', finished_at = 1, lease_until = NULL WHERE state = 'running'")
	}
	defer end()
	w.claim(t, w.enqueue(t, a))
	second := w.ask(t, b)
	if !second.New { // P30: not even queued
		return "apart"
	}
	got := "together"
	host := cmp.Or(b.Host, testHost)
	c, found := claim(host)
	if !found {
		got = "apart"
		end()
		c, _ = claim(host)
	}
	if c.JobID != second.ID {
		t.Fatalf("job %d was claimed, want %d", c.JobID, second.ID)
	}
	return got
}

// testCoalescing tries what each row of the table promises about requests that ask for the same.
func testCoalescing(t *testing.T, w *fixture) {
	ada := w.user(t, "ada")
	for _, o := range job.All() {
		r := about{overlay: 1, server: 1}.request(o)
		r.UserID = ada
		first := w.ask(t, r)
		if !first.New || first.State != job.Queued {
			t.Fatalf("%s: %+v", o.Name, first)
		}
		again := r
		again.UserID = 0
		expect := func(state job.State, coalesces bool) {
			t.Helper()
			got := w.ask(t, again)
			if want := (Enqueued{ID: first.ID, State: state}); coalesces && got != want || !coalesces && !got.New {
				t.Errorf("%s beside one that is %s: %+v", o.Name, state, got)
			}
			if got.New {
				w.exec(t, "DELETE FROM jobs WHERE id = ?", got.ID)
			}
		}
		expect(job.Queued, o.Coalesce != job.Never)
		if j := w.get(t, first.ID); j.UserID != ada {
			t.Errorf("%s: the job is now user %d's", o.Name, j.UserID)
		}
		// Another argument, and another subject, ask for something else.
		other := r
		other.Argument = map[string]int{"n": 1}
		w.enqueue(t, other)
		if o.About != job.System {
			w.enqueue(t, about{overlay: 2, server: 2}.request(o))
		}
		w.exec(t, "DELETE FROM jobs WHERE id > ?", first.ID)

		// The database enforces it, whatever its clients do.
		_, err := w.DB.ExecContext(t.Context(), `INSERT INTO jobs (operation, state, subject_kind, subject_id, host_id, queued_key, live_key, locks, created_at)
			SELECT operation, state, subject_kind, subject_id, host_id, queued_key, live_key, locks, created_at FROM jobs WHERE id = ?`, first.ID)
		if db.IsUnique(err) != (o.Coalesce != job.Never) {
			t.Errorf("%s: a second row: %v", o.Name, err)
		}
		w.exec(t, "DELETE FROM jobs WHERE id > ?", first.ID)

		c := w.claim(t, first.ID)
		expect(job.Running, o.Coalesce == job.WhileLive)
		if _, _, err := w.Cancel(t.Context(), first.ID); err != nil {
			t.Fatal(err)
		}
		expect(job.Cancelling, o.Coalesce == job.WhileLive)
		w.finish(t, c, job.Cancelled)
		expect(job.Cancelled, false)
		w.exec(t, "DELETE FROM jobs")
	}

	// A running job whose worker was lost runs again before the queued one, and both rows stay.
	first, other := w.build(t, 1), w.build(t, 2)
	w.claim(t, first)
	next := w.build(t, 1)
	w.claim(t, other)
	w.claimNothing(t)
	w.pass(job.BuildOverlay.Lease)
	c := w.claim(t, first)
	w.claim(t, other)
	w.claimNothing(t)
	w.finish(t, c, job.Succeeded)
	w.claim(t, next)

	// A transaction that fails enqueues nothing.
	mine := errors.New("mine")
	err := w.DB.InTx(t.Context(), func(ctx context.Context, q db.Querier) error {
		for range 2 {
			if _, err := w.Enqueue(ctx, q, buildOf(7, 0)); err != nil {
				return err
			}
		}
		return mine
	})
	if n := w.number(t, "SELECT COUNT(*) FROM jobs WHERE subject_id = 7"); !errors.Is(err, mine) || n != 0 {
		t.Errorf("%v, and %d jobs of a transaction that failed", err, n)
	}
}

func testEnqueueAll(t *testing.T, w *fixture) {
	user := w.user(t, "anna")
	queued, running := w.build(t, 3), w.build(t, 5)
	w.claim(t, queued)
	w.claim(t, running)
	queued = w.build(t, 3)
	var got []Enqueued
	err := w.DB.InTx(t.Context(), func(ctx context.Context, q db.Querier) (err error) {
		got, err = w.EnqueueAll(ctx, q, []Request{buildOf(9, user), buildOf(3, user), buildOf(5, user), {Operation: job.CollectGarbage}, buildOf(1, user), buildOf(9, 0)})
		return err
	})
	// What is coalesced uses up no id.
	want := []Enqueued{
		{ID: queued + 1, State: job.Queued, New: true},
		{ID: queued, State: job.Queued},
		{ID: queued + 2, State: job.Queued, New: true},
		{ID: queued + 3, State: job.Queued, New: true},
		{ID: queued + 4, State: job.Queued, New: true},
		{ID: queued + 1, State: job.Queued},
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
	if j := w.get(t, queued+1); j.Subject != job.Overlay(9) || j.UserID != user || j.Operation != job.BuildOverlay.Name || j.Argument != "{}" {
		t.Errorf("%+v", j)
	}
	// Each has its own locks: builds of overlays that are being built have to wait.
	w.claim(t, queued+1)
	w.claim(t, queued+4)
	w.claimNothing(t)

	if none, err := w.EnqueueAll(t.Context(), w.DB, nil); err != nil || len(none) != 0 {
		t.Errorf("nothing: %+v, %v", none, err)
	}
}

func testArgument(t *testing.T, w *fixture) {
	r := about{overlay: 1, server: 1}.request(job.ServerStart)
	r.Argument = struct {
		Map string `json:"map"`
	}{`c1m1 "quoted"`}
	id := w.enqueue(t, r)
	c := w.claim(t, id)
	const want = `{"map":"c1m1 \"quoted\""}`
	if c.Argument != want || c.Subject != r.Subject || w.get(t, id).Argument != want {
		t.Errorf("claim %+v", c)
	}
	resumed, err := w.Resume(t.Context(), id, c.Attempt, r.Operation)
	if err != nil || resumed.Argument != want || resumed.Subject != r.Subject {
		t.Errorf("resumed %+v, %v", resumed, err)
	}
	r.Argument = make(chan int)
	if e, err := w.Enqueue(t.Context(), w.DB, r); err == nil {
		t.Errorf("an argument that is not JSON: %+v", e)
	}
}

func testCoalescingRace(t *testing.T, w *fixture) {
	const askers, each = 6, 12
	asked := make(chan struct{}) // nobody is more than one request ahead of the agent
	claimed := map[int64]int{}
	var agent, all sync.WaitGroup
	agent.Go(func() {
		for range asked {
			c, found, err := w.Claim(t.Context(), "agent", runnable())
			if err != nil {
				t.Error(err)
			}
			if found {
				claimed[c.JobID]++
				if err := w.Finish(t.Context(), c, Ending{State: job.Succeeded}); err != nil {
					t.Error(err)
				}
			}
		}
	})
	for range askers {
		all.Go(func() {
			for range each {
				var e *Enqueued
				err := w.DB.InTx(t.Context(), func(ctx context.Context, q db.Querier) (err error) {
					e, err = w.Enqueue(ctx, q, buildOf(1, 0))
					return err
				})
				if err != nil || e.ID == 0 || e.State != job.Queued {
					t.Errorf("%+v, %v", e, err)
				}
				asked <- struct{}{}
			}
		})
	}
	all.Wait()
	close(asked)
	agent.Wait()
	if len(claimed) < 2 {
		t.Errorf("only %d builds ran: this tests nothing", len(claimed))
	}
	for id, n := range claimed {
		if n != 1 {
			t.Errorf("job %d was claimed %d times", id, n)
		}
	}
	if n := w.number(t, "SELECT COUNT(*) FROM jobs WHERE state = 'queued'"); n != 0 {
		t.Errorf("%d builds are queued although each request was followed by a claim", n)
	}
}

// testLostJob tries what each row of the table promises about lost workers.
func testLostJob(t *testing.T, w *fixture) {
	overlay := w.overlay(t, "mine", 0)
	for _, o := range job.All() {
		id := w.enqueue(t, about{overlay: overlay, server: 1}.request(o))
		for run := 1; run <= o.MaxLost; run++ {
			c := w.claim(t, id)
			if c.Attempt != run || c.Lost != run-1 {
				t.Errorf("%s: run %d has claim %+v", o.Name, run, c)
			}
			w.Record(t.Context(), c).Close()
			w.pass(o.Lease - time.Millisecond)
			w.claimNothing(t)
			if ended, err := w.Sweep(t.Context()); len(ended) != 0 || err != nil {
				t.Fatalf("%s: swept %v, %v while the lease lasts", o.Name, ended, err)
			}
			w.pass(time.Millisecond)
			if run < o.MaxLost {
				if ended, err := w.Sweep(t.Context()); len(ended) != 0 || err != nil {
					t.Fatalf("%s: swept %v, %v after run %d", o.Name, ended, err, run)
				}
			}
		}
		w.claimNothing(t)
		if ended, err := w.Sweep(t.Context()); !slices.Equal(ended, []int64{id}) || err != nil {
			t.Fatalf("%s: swept %v, %v", o.Name, ended, err)
		}
		if j := w.state(t, id, job.Failed); j.Error != "worker lost" || j.Lost != o.MaxLost || j.Attempt != o.MaxLost {
			t.Errorf("%s: %+v", o.Name, j)
		}
		var want []string
		for attempt := 2; attempt <= o.MaxLost; attempt++ {
			want = append(want, fmt.Sprintf("worker lost; attempt %d of %d", attempt, o.MaxLost))
		}
		want = append(want, fmt.Sprintf("worker lost; given up after attempt %d of %d", o.MaxLost, o.MaxLost))
		if got := w.texts(t, id); !slices.Equal(got, want) {
			t.Errorf("%s: log %q, want %q", o.Name, got, want)
		}
		if ended, err := w.Sweep(t.Context()); len(ended) != 0 || err != nil {
			t.Errorf("%s: swept %v, %v again", o.Name, ended, err)
		}
	}
	if n := w.number(t, "SELECT COUNT(*) FROM overlays WHERE last_build_status = 'failed'"); n != 1 {
		t.Error("a lost build left its overlay as it was")
	}

	// Asked to stop, it ends as cancelled, on its first loss; of an operation that we do not know, too.
	id := w.build(t, 1)
	w.claim(t, id)
	if _, _, err := w.Cancel(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	w.exec(t, "UPDATE jobs SET operation = 'from_the_future' WHERE id = ?", id)
	w.pass(job.BuildOverlay.Lease)
	w.claimNothing(t)
	if ended, err := w.Sweep(t.Context()); !slices.Equal(ended, []int64{id}) || err != nil {
		t.Fatalf("swept %v, %v", ended, err)
	}
	w.state(t, id, job.Cancelled)
}

func testHandBack(t *testing.T, w *fixture) {
	id := w.build(t, 1)
	for run := 1; run <= 6; run++ {
		c := w.claim(t, id)
		if c.Attempt != run || c.Lost != 0 {
			t.Errorf("claim %+v", c)
		}
		w.Record(t.Context(), c).Close()
		if err := w.HandBack(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Renew(t.Context(), c); !errors.Is(err, ErrLost) {
			t.Errorf("Renew after handing back: %v", err)
		}
		if ended, err := w.Sweep(t.Context()); len(ended) != 0 || err != nil {
			t.Errorf("swept %v, %v", ended, err)
		}
	}
	if got := w.texts(t, id); len(got) != 5 || got[0] != "handed back by its worker; going on" {
		t.Errorf("log %q", got)
	}

	// It keeps its locks, and still may be lost as often as any.
	w.claimNothingBut(t, id, w.build(t, 1))
	w.pass(job.BuildOverlay.Lease)
	c := w.claim(t, id)
	if err := w.HandBack(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if c = w.claim(t, id); c.Lost != 1 {
		t.Errorf("claim %+v", c)
	}
	w.Record(t.Context(), c).Close()
	if got := w.texts(t, id); !strings.Contains(got[len(got)-1], "1 of at most 3 workers lost") {
		t.Errorf("log %q", got)
	}

	// Not even in its last run does handing back end it.
	w.pass(job.BuildOverlay.Lease)
	c = w.claim(t, id)
	if err := w.HandBack(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if ended, err := w.Sweep(t.Context()); len(ended) != 0 || err != nil {
		t.Errorf("swept %v, %v", ended, err)
	}
	if c = w.claim(t, id); c.Lost != 2 {
		t.Errorf("claim %+v", c)
	}

	// Asked to stop, it is not handed back but cancelled; and handed back, it is cancelled at once.
	if _, _, err := w.Cancel(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if err := w.HandBack(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	w.state(t, id, job.Cancelled)
	id = w.build(t, 2)
	for {
		c, found, err := w.Claim(t.Context(), "agent", runnable())
		if err != nil || !found {
			t.Fatal(found, err)
		}
		if c.JobID == id {
			if err := w.HandBack(t.Context(), c); err != nil {
				t.Fatal(err)
			}
			break
		}
	}
	if state, changed, err := w.Cancel(t.Context(), id); state != job.Cancelled || !changed || err != nil {
		t.Errorf("Cancel of a job that was handed back = %s, %v, %v", state, changed, err)
	}
}

// However often it is tried, the log has one line that says what is wrong.
func testCannotStart(t *testing.T, w *fixture) {
	id := w.build(t, 1)
	for _, why := range []string{"no such file", "no such file", "too many open files", "no such file"} {
		c := w.claim(t, id)
		if c.Lost != 0 {
			t.Errorf("claim %+v", c)
		}
		if err := w.CannotStart(t.Context(), c, why); err != nil {
			t.Fatal(err)
		}
		if err := w.CannotStart(t.Context(), c, why); !errors.Is(err, ErrLost) {
			t.Errorf("twice: %v", err)
		}
	}
	w.Record(t.Context(), w.claim(t, id)).Close()
	want := []string{"no such file", "too many open files", "no such file", "handed back by its worker; going on"}
	if got := w.texts(t, id); !slices.Equal(got, want) {
		t.Errorf("log %q", got)
	}
}

func testHandBackAll(t *testing.T, w *fixture) {
	running, cancelling := w.build(t, 1), w.build(t, 2)
	w.claim(t, running)
	w.claim(t, cancelling)
	if _, _, err := w.Cancel(t.Context(), cancelling); err != nil {
		t.Fatal(err)
	}
	queued := w.build(t, 3)
	n, err := w.HandBackAll(t.Context(), w.DB, "all is over")
	if n != 2 || err != nil {
		t.Errorf("handed back %d, %v", n, err)
	}
	w.state(t, running, job.Running)
	w.state(t, cancelling, job.Cancelled)
	w.state(t, queued, job.Queued)
	if got := w.texts(t, running); !slices.Equal(got, []string{"all is over"}) {
		t.Errorf("log %q", got)
	}
	if got := w.texts(t, queued); len(got) != 0 {
		t.Errorf("log of one that waits %q", got)
	}
	if c := w.claim(t, running); c.Attempt != 2 || c.Lost != 0 {
		t.Errorf("claim %+v", c)
	}
	if n, err := w.HandBackAll(t.Context(), w.DB, ""); n != 1 || err != nil {
		t.Errorf("then %d, %v", n, err)
	}
}

// claimNothingBut claims the first job and then finds nothing, as the second has to wait for it.
func (w *fixture) claimNothingBut(t *testing.T, id, waiting int64) {
	t.Helper()
	w.claim(t, id)
	w.claimNothing(t)
	w.state(t, waiting, job.Queued)
}

func testWorkerLost(t *testing.T, w *fixture) {
	id := w.build(t, 1)
	c := w.claim(t, id)
	if err := w.WorkerLost(t.Context(), c, "the function was killed: out of memory"); err != nil {
		t.Fatal(err)
	}
	if err := w.WorkerLost(t.Context(), c, "twice"); !errors.Is(err, ErrLost) {
		t.Errorf("a second WorkerLost: %v", err)
	}
	if c = w.claim(t, id); c.Lost != 1 || c.Attempt != 2 || c.LastSeq != 1 {
		t.Errorf("claim %+v", c)
	}
	w.Record(t.Context(), c).Close()
	want := []string{"the function was killed: out of memory", "worker lost; attempt 2 of 3"}
	if got := w.texts(t, id); !slices.Equal(got, want) {
		t.Errorf("log %q", got)
	}
}

// ownerWrites are all that an owner can do.
func ownerWrites(w *fixture) map[string]func(context.Context, Claim) error {
	return map[string]func(context.Context, Claim) error{
		"Renew":      func(ctx context.Context, c Claim) error { _, err := w.Renew(ctx, c); return err },
		"Cancelling": func(ctx context.Context, c Claim) error { _, err := w.Cancelling(ctx, c); return err },
		"Progress": func(ctx context.Context, c Claim) error {
			_, err := w.Progress(ctx, c, Progress{ItemsDone: 9, Current: "x"})
			return err
		},
		"Log": func(ctx context.Context, c Claim) error {
			return w.Log(ctx, c, []Line{{Seq: 99, Stream: job.Stdout, At: start, Text: "x"}})
		},
		"HandBack":    w.HandBack,
		"CannotStart": func(ctx context.Context, c Claim) error { return w.CannotStart(ctx, c, "x") },
		"WorkerLost":  func(ctx context.Context, c Claim) error { return w.WorkerLost(ctx, c, "x") },
		"Resume": func(ctx context.Context, c Claim) error {
			_, err := w.Resume(ctx, c.JobID, c.Attempt, c.Operation)
			return err
		},
		"Finish": func(ctx context.Context, c Claim) error {
			return w.Finish(ctx, c, Ending{
				State: job.Failed, Error: "x", Lines: []Line{{Seq: 99, Stream: job.Stdout, At: start, Text: "x"}},
				Progress: &Progress{ItemsDone: 9},
				InTx: func(ctx context.Context, q db.Querier) error {
					_, err := q.ExecContext(ctx, "UPDATE overlays SET revision = 99")
					return err
				},
			})
		},
	}
}

func testFencing(t *testing.T, w *fixture) {
	w.overlay(t, "mine", 0)
	losses := map[string]func(id int64, c Claim) Claim{
		"its lease is over": func(id int64, c Claim) Claim {
			w.pass(job.BuildOverlay.Lease)
			return c
		},
		"another has claimed it": func(id int64, c Claim) Claim {
			w.pass(job.BuildOverlay.Lease)
			w.claim(t, id)
			return c
		},
		"it was swept": func(id int64, c Claim) Claim {
			w.exec(t, "UPDATE jobs SET lost = 2 WHERE id = ?", id)
			c.Lost = 2
			w.pass(job.BuildOverlay.Lease)
			if ended, err := w.Sweep(t.Context()); len(ended) != 1 || err != nil {
				t.Fatal(ended, err)
			}
			return c
		},
		"it has ended": func(id int64, c Claim) Claim {
			w.finish(t, c, job.Succeeded)
			return c
		},
		"it was handed back": func(id int64, c Claim) Claim {
			if err := w.HandBack(t.Context(), c); err != nil {
				t.Fatal(err)
			}
			return c
		},
		"the attempt is not the newest": func(id int64, c Claim) Claim {
			c.Attempt--
			return c
		},
		"it is another job's": func(id int64, c Claim) Claim {
			c.JobID += 1000
			return c
		},
	}
	for loss, lose := range losses {
		id := w.build(t, 1)
		c := lose(id, w.claim(t, id))
		before := w.dump(t)
		for name, write := range ownerWrites(w) {
			if err := write(t.Context(), c); !errors.Is(err, ErrLost) {
				t.Errorf("%s although %s: %v, want ErrLost", name, loss, err)
			}
			if after := w.dump(t); after != before {
				t.Fatalf("%s although %s changed\n%s\nto\n%s", name, loss, before, after)
			}
		}
		w.exec(t, "DELETE FROM job_logs")
		w.exec(t, "DELETE FROM jobs")
	}

	// The same writes by the owner itself go through, except that the first that ends its run ends the others.
	for name, write := range ownerWrites(w) {
		id := w.build(t, 1)
		if err := write(t.Context(), w.claim(t, id)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		w.exec(t, "DELETE FROM job_logs")
		w.exec(t, "DELETE FROM jobs")
	}
}

// dump is everything that an owner may write, as text.
func (w *fixture) dump(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	for _, table := range []string{
		"SELECT json_array(id, operation, state, attempt, lost, worker, lease_until, error, items_done, current, finished_at) FROM jobs ORDER BY id",
		"SELECT json_array(job_id, resource, write, held) FROM job_locks ORDER BY job_id, resource",
		"SELECT json_array(job_id, seq, stream, logged_at, line) FROM job_logs ORDER BY job_id, seq",
		"SELECT json_array(id, revision, last_build_status) FROM overlays ORDER BY id",
	} {
		rows, err := w.DB.QueryContext(t.Context(), table)
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next() {
			var line string
			if err := rows.Scan(&line); err != nil {
				t.Fatal(err)
			}
			fmt.Fprintln(&all, line)
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
	}
	return all.String()
}

func testResume(t *testing.T, w *fixture) {
	user := w.user(t, "ada")
	e, err := w.Enqueue(t.Context(), w.DB, buildOf(5, user))
	if err != nil {
		t.Fatal(err)
	}
	c := w.claim(t, e.ID)
	if err := w.Log(t.Context(), c, []Line{{Seq: 1, Stream: job.Stdout, At: start, Text: "starting the function"}}); err != nil {
		t.Fatal(err)
	}
	w.pass(job.BuildOverlay.Lease - time.Millisecond)
	if _, err := w.Resume(t.Context(), e.ID, c.Attempt, job.DeleteOverlay); !errors.Is(err, ErrLost) {
		t.Errorf("another operation's function resumed: %v", err)
	}
	got, err := w.Resume(t.Context(), e.ID, c.Attempt, job.BuildOverlay)
	if err != nil {
		t.Fatal(err)
	}
	if got.Subject != job.Overlay(5) || got.LastSeq != 1 || got.Attempt != 1 || got.Operation.Name != "build_overlay" {
		t.Errorf("%+v", got)
	}
	w.pass(job.BuildOverlay.Lease - time.Millisecond)
	if _, err := w.Renew(t.Context(), got); err != nil {
		t.Errorf("the lease was not begun anew: %v", err)
	}
}

// testStarving tries what each row of the table promises about waiting: newer jobs overtake one that is blocked, until it starves.
func testStarving(t *testing.T, w *fixture) {
	for _, o := range job.All() {
		waits := about{overlay: 1, server: 1}.request(o)
		blocker, newer, ok := overtaking(t, waits)
		if !ok {
			if o.StarvesAfter > 0 {
				t.Errorf("%s cannot be overtaken, and starves", o.Name)
			}
			continue
		}
		blocks := w.claim(t, w.enqueue(t, blocker))
		w.exec(t, "UPDATE jobs SET lease_until = lease_until + 1000000000 WHERE id = ?", blocks.JobID)
		id := w.enqueue(t, waits)
		waited := o.StarvesAfter
		if waited == 0 {
			waited = 24 * time.Hour
		}
		w.pass(waited - time.Millisecond)
		w.finish(t, w.claim(t, w.enqueue(t, newer)), job.Succeeded)
		later := w.enqueue(t, newer)
		w.pass(time.Millisecond)
		if o.StarvesAfter == 0 {
			w.finish(t, w.claim(t, later), job.Succeeded)
			later = w.enqueue(t, newer)
		} else {
			w.claimNothing(t)
		}
		w.finish(t, blocks, job.Succeeded)
		w.finish(t, w.claim(t, id), job.Succeeded)
		w.finish(t, w.claim(t, later), job.Succeeded)
	}
}

// overtaking returns a job that blocks r, and another that may run beside it but not beside r, and is not the same as r.
func overtaking(t *testing.T, r Request) (blocker, newer Request, ok bool) {
	t.Helper()
	var all []Request
	for _, o := range job.All() {
		for _, a := range []about{{1, 1, ""}, {1, 2, ""}, {2, 1, ""}, {2, 2, ""}} {
			if other := a.request(o); job.Conflict(other.locks(t), r.locks(t)) {
				all = append(all, other)
			}
		}
	}
	for _, blocker := range all {
		for _, newer := range all {
			coalesces := newer.Operation.Name == r.Operation.Name && newer.Subject == r.Subject
			if !coalesces && !job.Conflict(blocker.locks(t), newer.locks(t)) {
				return blocker, newer, true
			}
		}
	}
	return Request{}, Request{}, false
}

func testBesideStarving(t *testing.T, w *fixture) {
	running := w.claim(t, w.build(t, 1))
	w.pass(time.Second)
	refresh := w.enqueue(t, Request{Operation: job.RefreshWorkshopItems})
	w.pass(time.Second)
	early := w.build(t, 2)

	// Until then builds overtake it.
	w.pass(job.RefreshWorkshopItems.StarvesAfter - time.Second - time.Millisecond)
	if _, err := w.Resume(t.Context(), running.JobID, running.Attempt, job.BuildOverlay); !errors.Is(err, ErrLost) {
		t.Fatal("the lease should be over")
	}
	running = w.claim(t, running.JobID)
	c := w.claim(t, early)
	w.finish(t, c, job.Succeeded)

	// Then they do not, though an older build, one that already runs, and what needs no lock of its kind go on.
	late := w.build(t, 3)
	w.pass(time.Millisecond)
	w.claimNothing(t)
	older := w.build(t, 4)
	w.exec(t, "UPDATE jobs SET created_at = ? WHERE id = ?", db.Millis(start), older)
	w.finish(t, w.claim(t, older), job.Succeeded)
	if _, err := w.ClaimJob(t.Context(), "x", late, job.BuildOverlay); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("job %d (refresh_workshop_items, queued) has waited too long for game", refresh)) {
		t.Errorf("ClaimJob = %v", err)
	}
	w.pass(job.BuildOverlay.Lease)
	running = w.claim(t, running.JobID)
	w.claimNothing(t)

	w.finish(t, running, job.Succeeded)
	c = w.claim(t, refresh)
	w.claimNothing(t)
	w.finish(t, c, job.Succeeded)
	w.claim(t, late)

	// An agent that cannot run the refresh holds its builds back for it all the same.
	w.enqueue(t, Request{Operation: job.RefreshWorkshopItems})
	w.pass(time.Second)
	w.build(t, 5)
	w.pass(job.RefreshWorkshopItems.StarvesAfter)
	c, found, err := w.Claim(t.Context(), "agent", []job.Operation{job.BuildOverlay})
	if err != nil || !found || c.JobID != late {
		t.Errorf("claimed %+v, %v, want the lost job %d", c, err, late)
	}
	if c, found, err := w.Claim(t.Context(), "agent", []job.Operation{job.BuildOverlay}); found || err != nil {
		t.Errorf("claimed %+v, %v", c, err)
	}
}

func testLogs(t *testing.T, w *fixture) {
	id := w.build(t, 1)
	c := w.claim(t, id)
	hostile := "a\x1b[31mred\x00\r\u202egnp.exe\xff\tend"
	lines := []Line{
		{Seq: 1, Stream: job.Stdout, At: start, Text: `quote " and \ and <b>`},
		{Seq: 2, Stream: job.Stderr, At: start.Add(time.Second), Text: hostile},
		{Seq: 3, Stream: job.Stdout, At: start, Text: strings.Repeat("ü", 5000)},
		{Seq: 4, Stream: job.Stdout, At: start, Text: ""},
	}
	for range 2 { // repeating does no harm
		if err := w.Log(t.Context(), c, lines); err != nil {
			t.Fatal(err)
		}
	}
	got, err := w.Logs(t.Context(), id, 0, 100)
	if err != nil || len(got) != 4 {
		t.Fatalf("%d lines, %v", len(got), err)
	}
	if got[0].Text != lines[0].Text || got[0].Stream != job.Stdout || !got[0].At.Equal(start) {
		t.Errorf("%+v", got[0])
	}
	if want := "a\ufffd[31mred\ufffd\ufffd\ufffdgnp.exe\ufffd end"; got[1].Text != want || got[1].Stream != job.Stderr {
		t.Errorf("%q, want %q", got[1].Text, want)
	}
	if l := len(got[2].Text); l > maxLine || l < maxLine-10 || !strings.HasSuffix(got[2].Text, "ü…") {
		t.Errorf("a long line has %d bytes", l)
	}
	if err := w.Log(t.Context(), c, append(lines, Line{Seq: 5, Stream: job.Stdout, At: start, Text: "five"})); err != nil {
		t.Fatal(err)
	}
	if last, err := w.LogsBefore(t.Context(), id, 5, 2); err != nil || len(last) != 2 || last[0].Seq != 3 || last[1].Seq != 4 {
		t.Errorf("%+v, %v", last, err)
	}
	tail, err := w.Logs(t.Context(), id, 3, 1)
	if err != nil || len(tail) != 1 || tail[0].Seq != 4 {
		t.Errorf("%+v, %v", tail, err)
	}
	tail, err = w.Logs(t.Context(), id, 4, 10)
	if err != nil || len(tail) != 1 || tail[0].Text != "five" {
		t.Errorf("%+v, %v", tail, err)
	}
	if err := w.Log(t.Context(), c, []Line{{Seq: 6, Stream: "stdlog", At: start}}); err == nil || errors.Is(err, ErrLost) {
		t.Errorf("a stream that does not exist: %v", err)
	}
	if err := w.Log(t.Context(), c, nil); err != nil {
		t.Error(err)
	}
}

func testProgress(t *testing.T, w *fixture) {
	id := w.build(t, 1)
	c := w.claim(t, id)
	w.pass(job.BuildOverlay.Lease - time.Millisecond)
	p := Progress{ItemsDone: 1, ItemsTotal: 3, BytesDone: 1 << 40, BytesTotal: 1 << 41, Current: "a\nb" + strings.Repeat("x", 1000)}
	if cancelling, err := w.Progress(t.Context(), c, p); cancelling || err != nil {
		t.Fatal(cancelling, err)
	}
	j := w.get(t, id)
	if j.Progress.BytesDone != 1<<40 || j.Progress.ItemsTotal != 3 || len(j.Progress.Current) > maxCurrent || !strings.HasPrefix(j.Progress.Current, "a\ufffdb") {
		t.Errorf("%+v", j.Progress)
	}
	w.pass(job.BuildOverlay.Lease - time.Millisecond)
	if _, err := w.Renew(t.Context(), c); err != nil {
		t.Errorf("progress does not renew the lease: %v", err)
	}
	if _, _, err := w.Cancel(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if cancelling, err := w.Progress(t.Context(), c, p); !cancelling || err != nil {
		t.Error(cancelling, err)
	}
	if cancelling, err := w.Cancelling(t.Context(), c); !cancelling || err != nil {
		t.Error(cancelling, err)
	}
	if err := w.Finish(t.Context(), c, Ending{State: job.Succeeded, Progress: &Progress{ItemsDone: 3, ItemsTotal: 3, Current: "last"}}); err != nil {
		t.Fatal(err)
	}
	if j := w.get(t, id); j.Progress != (Progress{ItemsDone: 3, ItemsTotal: 3}) {
		t.Errorf("%+v", j.Progress)
	}
}

// testSubjects checks that the view job_subjects has each kind of subject: else its owner would not see the jobs about it.
func testSubjects(t *testing.T, w *fixture) {
	for _, o := range job.Runnable() {
		if o.About != job.System && w.number(t, `SELECT instr(sql, quote(?)) FROM sqlite_schema WHERE name = 'job_subjects'`, o.About) == 0 {
			t.Errorf("%s: the view job_subjects does not have the kind %q", o.Name, o.About)
		}
	}
}

func testScope(t *testing.T, w *fixture) {
	ada, bob := w.user(t, "ada"), w.user(t, "bob")
	adas, bobs, system := w.overlay(t, "adas", ada), w.overlay(t, "bobs", bob), w.overlay(t, "system", 0)
	gone := w.overlay(t, "gone", ada)
	w.exec(t, "UPDATE overlays SET deleted_at = 1 WHERE id = ?", gone)
	ask := func(overlayID, userID int64) int64 {
		t.Helper()
		e, err := w.Enqueue(t.Context(), w.DB, buildOf(overlayID, userID))
		if err != nil {
			t.Fatal(err)
		}
		return e.ID
	}
	own := ask(adas, ada)
	notHers := ask(bobs, bob)
	hersByAsking := ask(system, ada)
	w.claim(t, own)
	hersByOwning := ask(adas, bob)
	nobodys := ask(gone, 0)

	for name, c := range map[string]struct {
		scope Scope
		user  int64
		want  []int64
	}{
		"everyone":       {Everyone, 0, []int64{nobodys, hersByOwning, hersByAsking, notHers, own}},
		"ada":            {Of(ada), ada, []int64{hersByOwning, hersByAsking, own}},
		"bob":            {Of(bob), bob, []int64{hersByOwning, notHers}},
		"no user":        {Of(0), 0, nil},
		"the zero scope": {Scope{}, 0, nil},
	} {
		if all, err := w.List(t.Context(), c.scope, list.Query{}); err != nil || len(all.Rows) != len(c.want) {
			t.Errorf("%s sees %d jobs, %v, want %d", name, len(all.Rows), err, len(c.want))
		}
		var paged []int64
		from, args := c.scope.listing()
		from.Size = 2
		for q, more := (list.Query{Page: 1}), true; more; q.Page++ {
			page, err := w.page(t.Context(), from, q, args...)
			if err != nil {
				t.Fatal(err)
			}
			more = page.More
			for _, j := range page.Rows {
				paged = append(paged, j.ID)
				if c.scope != Everyone && !j.Concerns(c.user) {
					t.Errorf("%s: job %d is listed but does not concern them", name, j.ID)
				}
			}
		}
		if !slices.Equal(paged, c.want) {
			t.Errorf("%s sees %v, want %v", name, paged, c.want)
		}
		for _, id := range []int64{own, notHers, hersByAsking, hersByOwning, nobodys} {
			if j := w.get(t, id); c.scope != Everyone && j.Concerns(c.user) != slices.Contains(c.want, id) {
				t.Errorf("%s: Concerns says %v of job %d", name, j.Concerns(c.user), id)
			}
		}
	}
	if j := w.get(t, hersByOwning); j.UserName != "bob" || j.SubjectName != "adas" || j.SubjectOwnerID != ada {
		t.Errorf("%+v", j)
	}
}

func testFinish(t *testing.T, w *fixture) {
	w.overlay(t, "mine", 0)
	id := w.build(t, 1)
	c := w.claim(t, id)
	count := func(ctx context.Context, q db.Querier) error {
		_, err := q.ExecContext(ctx, "UPDATE overlays SET revision = revision + 1")
		return err
	}
	revision := func() int64 { return w.number(t, "SELECT revision FROM overlays") }
	mine := errors.New("mine")
	lines := []Line{{Seq: 1, Stream: job.Stdout, At: start, Text: "the last"}}

	err := w.Finish(t.Context(), c, Ending{State: job.Succeeded, Lines: lines, InTx: func(ctx context.Context, q db.Querier) error {
		if err := count(ctx, q); err != nil {
			return err
		}
		return mine
	}})
	if err != mine {
		t.Errorf("Finish = %v, want the function's error", err)
	}
	w.state(t, id, job.Running)
	if n := revision(); n != 1 || len(w.texts(t, id)) != 0 {
		t.Errorf("revision %d, log %q after a Finish that failed", n, w.texts(t, id))
	}

	for range 3 {
		if err := w.Finish(t.Context(), c, Ending{State: job.Succeeded, Lines: lines, InTx: count}); err != nil {
			t.Fatal(err)
		}
		w.pass(time.Hour)
	}
	w.state(t, id, job.Succeeded)
	if n := revision(); n != 2 || !slices.Equal(w.texts(t, id), []string{"the last"}) {
		t.Errorf("revision %d, log %q after finishing three times", n, w.texts(t, id))
	}
	if err := w.Finish(t.Context(), c, Ending{State: job.Failed, InTx: count}); !errors.Is(err, ErrLost) {
		t.Errorf("a job that has succeeded then failed: %v", err)
	}
}

func testBuildFailed(t *testing.T, w *fixture) {
	overlayID := w.overlay(t, "mine", 0)
	other := w.overlay(t, "other", 0)
	w.exec(t, "UPDATE overlays SET last_build_status = 'ok'")
	status := func(id int64) string {
		var s string
		if err := w.DB.QueryRowContext(t.Context(), "SELECT last_build_status FROM overlays WHERE id = ?", id).Scan(&s); err != nil {
			t.Fatal(err)
		}
		return s
	}
	w.finish(t, w.claim(t, w.build(t, overlayID)), job.Cancelled)
	if got := status(overlayID); got != "ok" {
		t.Errorf("after a cancelled build %q", got)
	}
	w.finish(t, w.claim(t, w.build(t, overlayID)), job.Failed)
	if status(overlayID) != "failed" || status(other) != "ok" {
		t.Errorf("after a failed build %q, another %q", status(overlayID), status(other))
	}
}

func testCancel(t *testing.T, w *fixture) {
	if _, _, err := w.Cancel(t.Context(), 1); !errors.Is(err, ErrNotFound) {
		t.Errorf("Cancel of no job: %v", err)
	}
	id := w.build(t, 1)
	expect := func(want job.State, wantChanged bool) {
		t.Helper()
		if state, changed, err := w.Cancel(t.Context(), id); state != want || changed != wantChanged || err != nil {
			t.Errorf("Cancel = %s, %v, %v, want %s, %v", state, changed, err, want, wantChanged)
		}
	}
	expect(job.Cancelled, true)
	expect(job.Cancelled, false)
	w.claimNothing(t)
	if j := w.get(t, id); j.FinishedAt.IsZero() || !j.StartedAt.IsZero() {
		t.Errorf("%+v", j)
	}

	id = w.build(t, 1)
	c := w.claim(t, id)
	expect(job.Cancelling, true)
	expect(job.Cancelling, false)
	next := w.build(t, 1)
	w.claimNothing(t) // it holds its locks until it has stopped
	w.finish(t, c, job.Cancelled)
	expect(job.Cancelled, false)
	w.claim(t, next)
}

// testCancelAll cancels what is pointless once an overlay is deleted, and nothing else.
func testCancelAll(t *testing.T, w *fixture) {
	running := w.build(t, 1)
	c := w.claim(t, running)
	queued, other := w.build(t, 1), w.build(t, 2)
	deletion := w.enqueue(t, Request{Operation: job.DeleteOverlay, Subject: job.Overlay(1)})
	for range 2 {
		if err := w.CancelAll(t.Context(), w.DB, job.BuildOverlay, job.Overlay(1)); err != nil {
			t.Fatal(err)
		}
		w.state(t, running, job.Cancelling)
		w.state(t, queued, job.Cancelled)
		w.state(t, other, job.Queued)
		w.state(t, deletion, job.Queued)
	}
	w.finish(t, w.claim(t, other), job.Succeeded)
	w.claimNothing(t) // the deletion waits for the build that has not stopped yet
	w.finish(t, c, job.Cancelled)
	w.claim(t, deletion)
}

// testCancelRace lets claims, endings and cancellations of the same jobs meet, and looks whether all tell the same story.
func testCancelRace(t *testing.T, w *fixture) {
	const jobs = 40
	var wg sync.WaitGroup
	ids := make([]int64, jobs)
	for i := range ids {
		ids[i] = w.build(t, int64(i+1))
	}
	finished := make([]error, jobs+1)
	for range 2 {
		wg.Go(func() {
			for {
				c, found, err := w.Claim(t.Context(), "agent", runnable())
				if err != nil {
					t.Error(err)
					return
				}
				if !found {
					return
				}
				finished[c.JobID] = w.Finish(t.Context(), c, Ending{State: job.Succeeded})
			}
		})
	}
	answers := make([][2]job.State, jobs+1)
	changes := make([][2]bool, jobs+1)
	for k := range 2 {
		wg.Go(func() {
			for _, id := range slices.Backward(ids) {
				var err error
				if answers[id][k], changes[id][k], err = w.Cancel(t.Context(), id); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	for _, id := range ids {
		j := w.get(t, id)
		if !j.State.Ended() {
			t.Errorf("job %d is left %s", id, j.State)
		}
		if changes[id][0] && changes[id][1] {
			t.Errorf("two have cancelled job %d", id)
		}
		for k := range 2 {
			if changes[id][k] && answers[id][k] == job.Cancelled && (j.State != job.Cancelled || j.Attempt != 0) {
				t.Errorf("job %d was cancelled before it ran, and is %s after %d claims", id, j.State, j.Attempt)
			}
		}
		if finished[id] != nil {
			t.Errorf("the owner of job %d could not finish it: %v", id, finished[id])
		}
	}
}

func testClaimJob(t *testing.T, w *fixture) {
	blocked := func(id int64, o job.Operation, want string) {
		t.Helper()
		c, err := w.ClaimJob(t.Context(), "shell", id, o)
		var b *BlockedError
		if !errors.As(err, &b) || b.JobID != id || b.Why != want {
			t.Errorf("ClaimJob = %+v, %v, want %q", c, err, want)
		}
	}
	if _, err := w.ClaimJob(t.Context(), "shell", 1, job.BuildOverlay); !errors.Is(err, ErrNotFound) {
		t.Errorf("ClaimJob of no job: %v", err)
	}
	older, id := w.build(t, 1), w.build(t, 2)
	blocked(id, job.DeleteOverlay, "it is a build_overlay, not a delete_overlay")
	c, err := w.ClaimJob(t.Context(), "shell", id, job.BuildOverlay)
	if err != nil || c.JobID != id || c.Attempt != 1 || c.Subject != job.Overlay(2) {
		t.Fatalf("%+v, %v", c, err)
	}
	w.state(t, older, job.Queued)
	blocked(id, job.BuildOverlay, "it is already running (attempt 1, shell)")
	second := w.build(t, 2)
	blocked(second, job.BuildOverlay, fmt.Sprintf("job %d (build_overlay, running) holds overlay:2", id))
	refresh := w.enqueue(t, Request{Operation: job.RefreshWorkshopItems})
	blocked(refresh, job.RefreshWorkshopItems, fmt.Sprintf("job %d (build_overlay, running) holds game", id))
	if _, _, err := w.Cancel(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	blocked(id, job.BuildOverlay, "it is being cancelled")
	w.finish(t, c, job.Cancelled)
	blocked(id, job.BuildOverlay, "it has already ended: cancelled")

	c, err = w.ClaimJob(t.Context(), "shell", refresh, job.RefreshWorkshopItems)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		w.pass(job.RefreshWorkshopItems.Lease)
		if c, err = w.ClaimJob(t.Context(), "shell", refresh, job.RefreshWorkshopItems); err != nil {
			t.Fatal(err)
		}
	}
	w.pass(job.RefreshWorkshopItems.Lease)
	blocked(refresh, job.RefreshWorkshopItems, "it has lost its worker too often (3 times)")
}

func testRefused(t *testing.T, w *fixture) {
	if _, err := w.Enqueue(t.Context(), w.DB, Request{Operation: job.Operation{Name: "dance"}}); err == nil || err.Error() != "enqueue dance: no function runs this operation" {
		t.Errorf("Enqueue of an operation without a function = %v", err)
	}
	if e, err := w.Enqueue(t.Context(), w.DB, buildOf(0, 0)); err == nil {
		t.Errorf("a build of no overlay: %+v", e)
	}
	if e, err := w.Enqueue(t.Context(), w.DB, buildOf(1, 99)); err == nil || !strings.Contains(err.Error(), "FOREIGN KEY constraint failed") {
		t.Errorf("asked by nobody who exists: %+v, %v", e, err)
	}
	if n := w.number(t, "SELECT COUNT(*) FROM jobs"); n != 0 {
		t.Errorf("%d jobs", n)
	}
	// A server may mount an overlay twice; its lock is one.
	r := about{overlay: 4, server: 1}.request(job.ServerStart)
	r.Reads = append(r.Reads, r.Reads...)
	id := w.enqueue(t, r)
	if n := w.number(t, "SELECT COUNT(*) FROM job_locks WHERE job_id = ?", id); n != 4 {
		t.Errorf("%d locks", n)
	}
	if n := w.number(t, "SELECT json_array_length(locks) FROM jobs WHERE id = ?", id); n != 5 {
		t.Errorf("%d locks in the job's row", n)
	}
}

func testLive(t *testing.T, w *fixture) {
	running := w.build(t, 1)
	w.claim(t, running)
	queued := w.build(t, 1)
	w.pass(time.Minute)
	ended := w.enqueue(t, Request{Operation: job.DeleteOverlay, Subject: job.Overlay(1)})
	if _, _, err := w.Cancel(t.Context(), ended); err != nil {
		t.Fatal(err)
	}
	deleting := w.enqueue(t, Request{Operation: job.DeleteOverlay, Subject: job.Overlay(1)})
	w.build(t, 2)
	live, err := w.LiveOf(t.Context(), job.Overlay(1))
	if err != nil {
		t.Fatal(err)
	}
	var ids []int64
	for _, j := range live {
		ids = append(ids, j.ID)
	}
	if !slices.Equal(ids, []int64{deleting, queued, running}) {
		t.Errorf("live jobs %v", ids)
	}
	counts, err := w.CountLive(t.Context())
	want := []Count{
		{"build_overlay", job.Queued, 2, start},
		{"build_overlay", job.Running, 1, start},
		{"delete_overlay", job.Queued, 1, start.Add(time.Minute)},
	}
	if err != nil || !slices.Equal(counts, want) {
		t.Errorf("%v, %v, want %v", counts, err, want)
	}
}
