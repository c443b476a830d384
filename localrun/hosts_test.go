package main_test

import (
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"left4me/localrun/fsck"
	"left4me/shared/db"
	"left4me/shared/db/dbtest"
	"left4me/shared/game/supervisor"
	"left4me/shared/host"
	"left4me/shared/job"
	"left4me/shared/route"
	"left4me/shared/settings"
	"left4me/shared/steam/steamtest"
)

var (
	seed  = flag.Uint64("seed", rand.Uint64(), "seed of TestHostsAreKilledAtRandom and of tests with -faults")
	steps = flag.Int("steps", 120, "steps of TestHostsAreKilledAtRandom on each database")
)

// TestHostsAreKilledAtRandom changes overlays while the agents of three hosts and the processes of their jobs are killed, stopped and
// started (P45 to P48). In the end, the disk of each host and the database must agree, and no two jobs may have run together that exclude
// each other.
//
// shows: P45 P46 P48
func TestHostsAreKilledAtRandom(t *testing.T) {
	t.Parallel()
	t.Logf("repeat it with -seed %d -steps %d", *seed, *steps)
	t.Run("file", func(t *testing.T) {
		t.Parallel()
		url := db.FileURL(filepath.Join(t.TempDir(), "left4me.db"))
		killAtRandom(t, dbtest.Open(t, url), url)
	})
	t.Run("server", func(t *testing.T) {
		t.Parallel()
		server := dbtest.ServeEmpty(t)
		killAtRandom(t, server.Open(t), server.URL)
	})
}

// TestNoRunStartsBesideALostOne stops a process until another attempt of its job has begun: by then the process must be gone, so that it
// cannot go on and change the overlay's directory.
//
// shows: P35
func TestNoRunStartsBesideALostOne(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	databaseURL := db.FileURL(filepath.Join(root, "left4me.db"))
	m := &member{name: "a", root: root}
	f := &fleet{T: t, db: dbtest.Open(t, databaseURL), steam: steamtest.Start(t, "item 101 size=100KiB\ncontent hold=1000")}
	f.site = startSite(t, f.db, []string{"DATABASE_URL=" + databaseURL, "STEAM_API_URL=" + f.steam.URL, "STEAM_CDN_HOSTS=" + f.steam.Host(),
		"DOWNLOAD_MIN_RATE=0", "LEFT4ME_ROOT=" + root}, []string{"localrun", "up", "--jobs", "2"})
	f.post(route.OverlayCreate.URL(), "name", "first", "type", "workshop")
	f.await("the empty overlay is built", `SELECT COUNT(*) FROM jobs WHERE finished_at IS NULL`, 0)
	f.post(route.ItemAdd.URL(2), "input", "101")
	const downloads = `SELECT COUNT(*) FROM job_logs WHERE line LIKE 'workshop 101 download starts%'`
	f.await("the item is downloaded", downloads, 1)
	old, err := functionProcesses(root, job.BuildOverlay.Function)
	f.must(err)
	for len(m.stopped) == 0 {
		f.stopAll(m, old)
	}
	t.Cleanup(func() { f.goOn(m) })
	f.exec(`UPDATE jobs SET lease_until = 1 WHERE state = 'running'`)
	f.post(route.OverlayCreate.URL(), "name", "wakes the agent", "type", "external")
	f.await("another attempt begins", downloads, 2)
	for _, pid := range old {
		if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
			t.Errorf("process %d of the lost run is there: %v", pid, err)
		}
	}
	f.steam.Tell(t, "reset")
	f.await("the item is linked", `SELECT COUNT(*) FROM overlay_links`, 1)
}

// fleet is three hosts with one database, pages on a disk of their own, and a fake Steam.
type fleet struct {
	*testing.T
	rand  *rand.Rand
	db    *db.DB
	steam *steamtest.Server
	site  site
	hosts []*member
}

// member is one of the hosts.
type member struct {
	name, root string
	env        []string
	agent      *exec.Cmd // the last one
	runs       bool
	stopped    []int // processes that are stopped now
}

const fleetItems = 8

func killAtRandom(t *testing.T, d *db.DB, databaseURL string) {
	var catalog strings.Builder
	for i := range fleetItems {
		fmt.Fprintf(&catalog, "item %d size=%dKiB\n", 101+i, 70+10*i)
	}
	f := &fleet{T: t, rand: rand.New(rand.NewPCG(*seed, 0)), db: d, steam: steamtest.Start(t, catalog.String())}
	env := []string{"DATABASE_URL=" + databaseURL, "STEAM_API_URL=" + f.steam.URL, "STEAM_CDN_HOSTS=" + f.steam.Host(), "DOWNLOAD_MIN_RATE=0", "ACTIONS_PER_MINUTE=10000"}
	f.site = startSite(t, d, append(env, "LEFT4ME_ROOT="+t.TempDir()), []string{"localrun", "serve"})
	f.recordRuns()
	for _, name := range []string{"a", "b", "c"} {
		root := t.TempDir()
		m := &member{name: name, root: root, env: append(slices.Clip(env), "LEFT4ME_ROOT="+root, "LEFT4ME_HOST="+name)}
		f.hosts = append(f.hosts, m)
		f.start(m)
	}
	f.await("every host builds what was there", `SELECT COUNT(*) FROM overlay_hosts WHERE last_build_status = 'ok'`, 3)

	// All hosts are in the middle of a download at the same time when one of them is killed and another one stops.
	f.steam.Tell(t, "content hold=1000")
	f.post(route.OverlayCreate.URL(), "name", "first", "type", "workshop")
	f.post(route.ItemAdd.URL(2), "input", "101 102")
	f.await("every host downloads", `SELECT COUNT(DISTINCT j.host_id) FROM jobs j JOIN job_logs l ON l.job_id = j.id
		WHERE j.state = 'running' AND l.line LIKE 'workshop 101 download starts%'`, 3)
	f.kill(f.hosts[0])
	f.stop(f.hosts[1])
	f.steam.Tell(t, "reset\ncontent delay=20ms rate=2MiB")

	for range *steps {
		f.step()
	}
	f.settle()
	f.killRefresh()
	f.checkRuns()
	for _, m := range f.hosts {
		id, err := host.ReadID(m.root)
		f.must(err)
		h := fsck.Host{DB: d, ID: id, Settings: settings.Settings{Root: m.root, ServerSupervisor: settings.NoSupervisor}, Content: true, Now: time.Now}
		h.Supervisor = supervisor.New(h.Settings)
		found, err := h.Examine(t.Context())
		f.must(err)
		for _, problem := range found {
			t.Errorf("host %s: %s", m.name, problem)
		}
	}
	f.await("every overlay is built on every host", `SELECT COUNT(*) FROM overlay_hosts h JOIN overlays o ON o.id = h.overlay_id AND o.deleted_at IS NULL
		WHERE h.last_build_status <> 'ok' OR h.revision <> o.revision OR h.directory_at IS NULL`, 0)
}

// step changes something, or disturbs a host at its work, or lets it go on.
func (f *fleet) step() {
	m := f.hosts[f.rand.IntN(len(f.hosts))]
	overlays := f.column(`SELECT id FROM overlays WHERE deleted_at IS NULL AND type = 'workshop' ORDER BY id`)
	item := strconv.Itoa(101 + f.rand.IntN(fleetItems))
	id := 0
	if len(overlays) > 0 {
		id, _ = strconv.Atoi(overlays[f.rand.IntN(len(overlays))])
	}
	n := f.rand.IntN(100)
	switch {
	case n < 8 || id == 0:
		f.post(route.OverlayCreate.URL(), "name", fmt.Sprint("maps ", f.rand.Uint32()), "type", "workshop")
	case n < 30:
		f.post(route.ItemAdd.URL(id), "input", item+" "+strconv.Itoa(101+f.rand.IntN(fleetItems)))
	case n < 36:
		if held := f.column(`SELECT workshop_item_id FROM overlay_workshop_items WHERE overlay_id = ` + strconv.Itoa(id) + ` ORDER BY 1`); len(held) > 0 {
			f.post(route.ItemRemove.URL(id, held[f.rand.IntN(len(held))]))
		}
	case n < 42:
		f.steam.Tell(f, fmt.Sprintf("update %s size=%dKiB", item, 70+f.rand.IntN(200)))
	case n < 47:
		f.post(route.OverlayRefresh.URL(id))
	case n < 50:
		f.post(route.AdminRefresh.URL())
	case n < 52:
		f.post(route.AdminGC.URL())
	case n < 57:
		f.post(route.OverlayDelete.URL(id), "confirm", "yes")
	case n < 65:
		f.works(m)
		f.kill(m)
	case n < 70:
		f.works(m)
		f.stop(m)
	case n < 75:
		f.works(m)
		f.signalJobs(m, syscall.SIGKILL)
	case n < 80:
		f.works(m)
		f.signalJobs(m, syscall.SIGSTOP)
	default:
		f.start(m)
	}
}

// works waits until a job of m runs, if its agent can start one.
func (f *fleet) works(m *member) {
	if m.runs && len(m.stopped) == 0 {
		f.await(m.name+" works or has nothing to do", `SELECT EXISTS (SELECT 1 FROM jobs WHERE state = 'running' AND worker LIKE 'agent on ' || :host || ',%')
			OR NOT EXISTS (SELECT 1 FROM jobs j JOIN hosts h ON h.id = j.host_id WHERE j.state = 'queued' AND h.name = :host)`, 1, sql.Named("host", m.name))
	}
}

// start lets the member's processes go on, and starts its agent if it was killed.
func (f *fleet) start(m *member) {
	f.goOn(m)
	if m.runs {
		return
	}
	_, m.agent = launch(f, m.env, []string{"localrun", "agent"})
	f.Cleanup(func() { f.goOn(m) }) // a stopped process does not end
	m.runs = true
}

func (f *fleet) goOn(m *member) {
	for _, pid := range m.stopped {
		_ = syscall.Kill(pid, syscall.SIGCONT) // a killed process is gone
	}
	m.stopped = nil
}

// kill kills the agent, and with it the processes of its jobs.
func (f *fleet) kill(m *member) {
	if !m.runs {
		return
	}
	f.must(m.agent.Process.Kill())
	_ = m.agent.Wait()
	m.runs, m.stopped = false, nil
	f.leaseEnds(m)
}

// stop stops the agent until start, but not the processes of its jobs.
func (f *fleet) stop(m *member) {
	if m.runs {
		f.stopAll(m, []int{m.agent.Process.Pid})
	}
}

// signalJobs kills the processes of m's jobs, or stops them until start.
func (f *fleet) signalJobs(m *member, signal syscall.Signal) {
	for _, o := range job.Runnable() {
		pids, err := functionProcesses(m.root, o.Function)
		f.must(err)
		if signal == syscall.SIGSTOP {
			f.stopAll(m, pids)
			continue
		}
		for _, pid := range pids {
			_ = syscall.Kill(pid, signal) // it may have ended
		}
	}
	f.leaseEnds(m)
}

// stopAll stops processes, unless one of them holds the lock of the database, which would stop the others and the pages.
func (f *fleet) stopAll(m *member, pids []int) {
	before := m.stopped
	for _, pid := range pids {
		if syscall.Kill(pid, syscall.SIGSTOP) == nil {
			m.stopped = append(m.stopped, pid)
		}
	}
	if len(pids) > 0 && !writable(f.db) {
		f.goOn(m)
		m.stopped = before
	}
}

// leaseEnds ends the leases of m's runs, mostly, as if long enough had passed.
func (f *fleet) leaseEnds(m *member) {
	if f.rand.IntN(4) > 0 {
		f.exec(`UPDATE jobs SET lease_until = 1 WHERE lease_until > 1 AND worker LIKE 'agent on ' || :host || ',%'`, sql.Named("host", m.name))
	}
}

// settle starts everything and waits until all jobs have ended. What has failed because of lost workers is asked for again.
func (f *fleet) settle() {
	for _, m := range f.hosts {
		f.start(m)
	}
	f.await("no job is left", `SELECT COUNT(*) FROM jobs WHERE finished_at IS NULL`, 0)
	f.checkStatuses()
	for _, m := range f.hosts { // a new agent asks for removals that have failed
		f.must(m.agent.Process.Signal(syscall.SIGTERM))
		_ = m.agent.Wait()
		m.runs = false
		f.start(m)
	}
	for _, id := range f.column(`SELECT id FROM overlays WHERE deleted_at IS NULL AND last_build_status = 'failed'`) {
		f.post(route.OverlayBuild.URL(id))
	}
	f.await("all is done", `SELECT (SELECT COUNT(*) FROM jobs WHERE finished_at IS NULL) + (SELECT COUNT(*) FROM overlays WHERE deleted_at IS NOT NULL)`, 0)
}

// killRefresh publishes new versions of all items, and kills the host that is asking Steam for them.
func (f *fleet) killRefresh() {
	for i := range fleetItems {
		f.steam.Tell(f, fmt.Sprintf("update %d size=%dKiB", 101+i, 300+f.rand.IntN(50)))
	}
	f.steam.Tell(f, "details hold=10")
	f.steam.Forget()
	f.post(route.AdminRefresh.URL())
	f.must(f.steam.Await(f.Context(), "details", 1))
	for _, m := range f.hosts {
		if worker := f.column(`SELECT worker FROM jobs WHERE operation = 'refresh_workshop_items' AND state = 'running'`); strings.HasPrefix(worker[0], "agent on "+m.name+",") {
			f.kill(m)
		}
	}
	f.steam.Tell(f, "reset")
	f.settle()
}

// checkStatuses checks that the status of each overlay on each host is that of its last build.
func (f *fleet) checkStatuses() {
	for _, wrong := range f.column(`SELECT 'overlay ' || overlay_id || ' on ' || name || ': ' || status || ', but job ' || job || ' has ' || state FROM (
		SELECT h.overlay_id, hosts.name, h.last_build_status AS status, MAX(j.id) AS job, j.state
		FROM overlay_hosts h JOIN hosts ON hosts.id = h.host_id JOIN overlays o ON o.id = h.overlay_id AND o.deleted_at IS NULL
		LEFT JOIN jobs j ON j.operation = 'build_overlay' AND j.subject_id = h.overlay_id AND j.host_id = h.host_id GROUP BY h.overlay_id, h.host_id)
		WHERE state IS NOT CASE status WHEN 'ok' THEN 'succeeded' ELSE status END`) {
		f.Error(wrong)
	}
}

// recordRuns makes the database record when runs begin and end, in the order in which that becomes true.
func (f *fleet) recordRuns() {
	f.exec(`CREATE TABLE job_runs (seq INTEGER PRIMARY KEY, job_id INTEGER NOT NULL, operation TEXT NOT NULL, subject_kind TEXT NOT NULL, subject_id INTEGER NOT NULL,
		host_id TEXT NOT NULL, attempt INTEGER NOT NULL, runs INTEGER NOT NULL)`)
	f.exec(`CREATE TRIGGER tr_runs AFTER UPDATE OF state, attempt ON jobs BEGIN
		INSERT INTO job_runs (job_id, operation, subject_kind, subject_id, host_id, attempt, runs)
		VALUES (NEW.id, NEW.operation, NEW.subject_kind, COALESCE(NEW.subject_id, 0), COALESCE(NEW.host_id, ''), NEW.attempt, NEW.state IN ('running', 'cancelling'));
	END`)
}

// checkRuns checks that no jobs were running at the same time that exclude each other, and that all hosts were running at the same time.
func (f *fleet) checkRuns() {
	type run struct {
		id      int64
		op      job.Operation
		subject job.Subject
		host    string
		attempt int
		runs    bool
	}
	events, err := db.Rows(f.Context(), f.db, func(row db.Scanner) (r run, err error) {
		err = row.Scan(&r.id, &r.op.Name, &r.subject.Kind, &r.subject.ID, &r.host, &r.attempt, &r.runs)
		return r, err
	}, `SELECT job_id, operation, subject_kind, subject_id, host_id, attempt, runs FROM job_runs ORDER BY seq`)
	f.must(err)
	running, most := map[int64][]job.Lock{}, 0
	hosts := map[int64]string{}
	again := 0
	for _, r := range events {
		if !r.runs {
			delete(running, r.id)
			delete(hosts, r.id)
			continue
		}
		if r.attempt > 1 {
			again++
		}
		op, err := job.ByName(r.op.Name)
		f.must(err)
		locks, err := op.Locks(r.host, r.subject)
		f.must(err)
		for other, held := range running {
			if other != r.id && job.Conflict(locks, held) {
				f.Errorf("jobs %d and %d were running at the same time: %v, %v", other, r.id, held, locks)
			}
		}
		running[r.id] = locks
		if r.host != "" {
			hosts[r.id] = r.host
		}
		most = max(most, len(slices.Compact(slices.Sorted(maps.Values(hosts)))))
	}
	if most < len(f.hosts) {
		f.Errorf("at most %d hosts worked at the same time", most)
	}
	f.Logf("%d events of runs, %d of them of later attempts; %s", len(events), again, strings.Join(f.column(`SELECT operation || ' ' || state || ' ' || COUNT(*) FROM jobs GROUP BY operation, state`), ", "))
}

// post sends a form. Refusals are fine: what was to be changed may be gone, or Steam may have changed it meanwhile.
func (f *fleet) post(path string, form ...string) {
	f.Helper()
	if a := f.site.visitor.Post(path, form...); a.StatusCode >= 500 || a.StatusCode == http.StatusUnauthorized || a.StatusCode == http.StatusForbidden {
		f.Fatalf("%s: %s: %s", path, a.Status, a.Text("main"))
	}
}

// await waits until a query gives a number.
func (f *fleet) await(what, query string, want int, args ...any) {
	f.Helper()
	found := 0
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		var err error
		found, err = db.Row(f.Context(), f.db, db.Value[int], query, args...)
		f.must(err)
		if found == want {
			return
		}
		if time.Now().After(deadline) {
			f.Fatalf("it never happened: %s: %d, not %d", what, found, want)
		}
	}
}

func (f *fleet) column(query string) []string {
	f.Helper()
	found, err := db.Rows(f.Context(), f.db, db.Value[string], query)
	f.must(err)
	return found
}

func (f *fleet) exec(statement string, args ...any) {
	f.Helper()
	_, err := db.Exec(f.Context(), f.db, statement, args...)
	f.must(err)
}

func (f *fleet) must(err error) {
	f.Helper()
	if err != nil {
		f.Fatal(err)
	}
}
