package main_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"left4me/localrun/fsck"
	"left4me/localrun/watch"
	"left4me/shared/account"
	"left4me/shared/blueprint"
	"left4me/shared/db"
	"left4me/shared/game/gametest"
	"left4me/shared/game/supervisor"
	"left4me/shared/host"
	"left4me/shared/job"
	"left4me/shared/jobstore"
	"left4me/shared/overlay"
	servers "left4me/shared/server"
	"left4me/shared/settings"
	"left4me/shared/steam"
	"left4me/shared/steam/steamtest"
	"left4me/shared/workshop"
)

var faults = flag.Int("faults", 3, "how many steps of each operation fail in TestEveryStepMayFail, and at how many its process is killed; 0: all")

// TestEveryStepMayFail lets the steps of operations fail, one in each run, and kills the process before it. Afterwards the database and the disk
// are as they must be at every moment, and when the operation is repeated without faults it succeeds.
func TestEveryStepMayFail(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can mount, and own the files of a copied directory")
	}
	t.Parallel()
	for _, o := range faultyOperations {
		t.Run(o.name, func(t *testing.T) {
			t.Parallel()
			h := prepareHost(t)
			if o.prepare != nil {
				h.open(func() { o.prepare(h) })
			}
			h.keep()
			reached := h.attempt(o, 0, false)
			h.each(len(reached), func(n int, kill bool) { h.attempt(o, n, kill) })
			t.Logf("%d jobs failed, and had to be asked for again", h.failed)
		})
	}
}

// TestEveryStepOfARestoreMayFail does the same with `localrun restore`: the database is the one from before or the restored one.
func TestEveryStepOfARestoreMayFail(t *testing.T) {
	t.Parallel()
	h := prepareHost(t)
	backup := filepath.Join(t.TempDir(), "backup.db")
	h.localrun("backup", backup)
	h.localrun("create-user", "bert")
	h.keep()
	h.stepper.firstToo = true
	attempt := func(n int, kill bool) []string {
		h.restore()
		h.stepper.at, h.stepper.kill = n, kill
		output, _ := h.stepper.run(t, h.env, filepath.Join(bin, "localrun"), "restore", backup)
		users := []int64{0}
		h.open(func() {
			users = h.query(`SELECT COUNT(*) FROM users`)
			h.examine(fmt.Sprintf("step %d of the restore", n))
		})
		if users[0] != 1 && (users[0] != 2 || n == 0) {
			t.Errorf("step %d: %d users: %s", n, users[0], output)
		}
		taken := h.stepper.taken
		h.localrun("restore", backup)
		h.open(func() {
			if users := h.query(`SELECT COUNT(*) FROM users`); users[0] != 1 {
				t.Errorf("step %d, restored again: %d users", n, users[0])
			}
		})
		return taken
	}
	h.each(len(attempt(0, false)), func(n int, kill bool) { attempt(n, kill) })
}

// faultyOperation is an operation that faults are tried in.
type faultyOperation struct {
	name string
	// prepare makes, once, what all attempts start from. before is done in each attempt.
	prepare, before func(*faultyHost)
	// ask asks for the job.
	ask func(*faultyHost) *jobstore.Enqueued
	// missing is a query that gives no row when the operation has succeeded.
	missing string
}

var faultyOperations = []faultyOperation{
	{
		name: "build", ask: func(h *faultyHost) *jobstore.Enqueued {
			h.add("103", "104")
			items, err := h.items.OfOverlay(h.Context(), 1)
			h.must(err)
			_, build, err := h.items.Remove(h.Context(), h.user, h.overlay(), []int64{items[0].ID})
			h.must(err)
			return build
		},
		missing: `SELECT 1 WHERE (SELECT COUNT(*) FROM overlay_links) <> 3 OR (SELECT last_build_status FROM overlays) <> 'ok'`,
	},
	{
		name:    "refresh",
		prepare: func(h *faultyHost) { h.steam.Tell(h.T, "item 101 size=70KiB updated=2000000000") },
		ask:     func(h *faultyHost) *jobstore.Enqueued { return h.enqueue(job.RefreshWorkshopItems, job.Subject{}, "") },
		missing: `SELECT 1 FROM workshop_items WHERE steam_id = '101' AND downloaded_time_updated <> 2000000000`,
	},
	{
		name: "delete",
		prepare: func(h *faultyHost) {
			_, err := h.db.ExecContext(h.Context(), `DELETE FROM blueprint_overlays`)
			h.must(err)
		},
		ask: func(h *faultyHost) *jobstore.Enqueued {
			removal, err := h.overlays.Delete(h.Context(), h.user, 1)
			h.must(err)
			return removal
		},
		missing: `SELECT 1 FROM overlays`,
	},
	{
		name: "garbage",
		prepare: func(h *faultyHost) {
			h.must(os.WriteFile(filepath.Join(h.root, "workshop_cache", "999.vpk"), []byte("VPK"), 0o600))
		},
		ask:     func(h *faultyHost) *jobstore.Enqueued { return h.enqueue(job.CollectGarbage, job.Subject{}, h.id) },
		missing: `SELECT 1 WHERE FALSE`,
	},
	{
		name:    "install",
		prepare: func(h *faultyHost) { h.game.Tell(h.T, "build 15000002") },
		ask:     func(h *faultyHost) *jobstore.Enqueued { return h.enqueue(job.Install, job.Subject{}, h.id) },
		missing: `SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM releases WHERE build_id = 15000002)`,
	},
	{
		name: "start", ask: (*faultyHost).start,
		missing: `SELECT 1 FROM servers WHERE state <> 'running'`,
	},
	{
		name: "stop", before: func(h *faultyHost) { h.finish(h.start()) }, ask: func(h *faultyHost) *jobstore.Enqueued {
			stop, err := h.servers.Stop(h.Context(), h.user, h.server())
			h.must(err)
			return stop
		},
		missing: `SELECT 1 FROM servers WHERE state <> 'stopped'`,
	},
	{
		name: "reset", ask: func(h *faultyHost) *jobstore.Enqueued {
			reset, err := h.servers.Reset(h.Context(), h.user, h.server())
			h.must(err)
			return reset
		},
		missing: `SELECT 1 WHERE FALSE`,
	},
	{
		name: "delete server", ask: func(h *faultyHost) *jobstore.Enqueued {
			removal, err := h.servers.Delete(h.Context(), h.user, h.server())
			h.must(err)
			return removal
		},
		missing: `SELECT 1 FROM servers`,
	},
}

// faultyHost is a host with an overlay of two items, a release of the game, a blueprint and a server.
type faultyHost struct {
	*testing.T
	root, kept string
	env        []string
	settings   settings.Settings
	steam      *steamtest.Server
	game       *gametest.Server
	id         string
	stepper    stepper
	failed     int // jobs that had to be asked for again

	// Until close:
	db       *db.DB
	jobs     *jobstore.Store
	overlays *overlay.Store
	items    *workshop.Store
	servers  *servers.Store
	user     account.User
}

func prepareHost(t *testing.T) *faultyHost {
	root := filepath.Join(t.TempDir(), "root")
	h := &faultyHost{T: t, root: root, kept: root + ".kept", game: gametest.Start(t, bin),
		steam: steamtest.Start(t, "item 101 size=70KiB\nitem 102 size=70KiB\nitem 103 size=140KiB\nitem 104 size=70KiB")}
	h.stepper.dir = root
	h.env = []string{"PATH=" + bin + ":" + os.Getenv("PATH"), "LEFT4ME_ROOT=" + root, "STEAM_API_URL=" + h.steam.URL, "STEAM_CDN_HOSTS=" + h.steam.Host(),
		"STEAMCMD_URL=" + h.game.URL + gametest.Archive, "SERVER_SUPERVISOR=none", "DOWNLOAD_MIN_RATE=0", "LEFT4ME_ADDRESS=127.0.0.1"}
	var err error
	h.settings, err = settings.Load(func(name string) string {
		for _, pair := range h.env {
			if value, is := strings.CutPrefix(pair, name+"="); is {
				return value
			}
		}
		return ""
	})
	h.must(err)
	h.must(os.Mkdir(root, 0o755))
	h.localrun("migrate", "up")
	h.localrun("create-user", "anna", "--admin")
	h.localrun("gc") // registers the host
	h.id, err = host.ReadID(root)
	h.must(err)
	h.open(func() {
		_, err := h.overlays.Create(h.Context(), h.user, "maps", overlay.Workshop.Name)
		h.must(err)
		h.add("101", "102")
		blueprints := blueprint.NewStore(h.db, time.Now, h.jobs)
		_, err = blueprints.Create(h.Context(), h.user, "campaigns", false)
		h.must(err)
		_, err = db.Exec(h.Context(), h.db, `INSERT INTO blueprint_overlays (blueprint_id, overlay_id, position) VALUES (1, 1, 1)`)
		h.must(err)
		h.enqueue(job.Install, job.Subject{}, h.id)
		port, err := strconv.Atoi(freePort(t))
		h.must(err)
		_, _, err = h.servers.Create(h.Context(), h.user, h.id, servers.Form{Name: "friday", Port: port, BlueprintID: 1, OwnerID: h.user.ID})
		h.must(err)
		h.finishAll()
	})
	t.Cleanup(func() { endGames(filepath.Dir(root)) })
	return h
}

// each calls attempt with chosen steps of so many, or with all of them, each to fail or to be killed before.
func (h *faultyHost) each(steps int, attempt func(n int, kill bool)) {
	h.Logf("%d steps; repeat it with -seed %d -faults %d", steps, *seed, *faults)
	random := rand.New(rand.NewPCG(*seed, uint64(steps)))
	for _, kill := range []bool{false, true} {
		chosen := random.Perm(steps)
		if *faults > 0 {
			chosen = chosen[:min(*faults, len(chosen))]
		}
		for _, n := range chosen {
			attempt(n+1, kill)
		}
	}
}

// attempt has the operation's job run from the kept state, with a fault at its step n; 0: with none. It returns what the steps were.
func (h *faultyHost) attempt(o faultyOperation, n int, kill bool) (taken []string) {
	h.restore()
	where := "without a fault"
	h.open(func() {
		if o.before != nil {
			o.before(h)
		}
		asked := o.ask(h)
		h.stepper.at, h.stepper.kill = n, kill
		output := h.invoke(&h.stepper, asked.ID)
		taken = h.stepper.taken
		if n > 0 && n <= len(taken) {
			where = fmt.Sprintf("step %d, %s, fails", n, taken[n-1])
			if kill {
				where = fmt.Sprintf("killed before step %d, %s", n, taken[n-1])
			}
		}
		h.examine(where+", at once", "it was deleted, and is not removed yet", "is left of a job that was interrupted", "are left, which has ended")
		h.recover()
		if j, err := h.jobs.Get(h.Context(), asked.ID); err != nil || j.State != job.Succeeded { // somebody asks again
			h.must(err)
			h.failed++
			h.finish(h.again(asked))
		}
		if found := h.query(o.missing); len(found) > 0 {
			h.Errorf("%s: the operation has not succeeded in the end: %s", where, output)
		}
		h.examine(where + ", in the end")
		h.endServer()
	})
	return taken
}

// open opens the database, and closes it after do.
func (h *faultyHost) open(do func()) {
	h.Helper()
	var err error
	h.db, err = db.Open(h.settings.DatabaseURL, "")
	h.must(err)
	h.jobs = jobstore.NewStore(h.db, time.Now)
	h.overlays, h.items, h.servers = overlay.NewStore(h.db, time.Now, h.jobs), workshop.NewStore(h.db, time.Now, h.jobs), servers.NewStore(h.db, time.Now, h.jobs)
	h.user = account.User{ID: 1, Name: "anna", Admin: true}
	do()
	h.must(h.db.Close())
}

// keep keeps a copy of the disk, and restore puts it back.
func (h *faultyHost) keep()    { h.copy(h.root, h.kept) }
func (h *faultyHost) restore() { h.copy(h.kept, h.root) }

func (h *faultyHost) copy(from, to string) {
	h.Helper()
	h.must(os.RemoveAll(to))
	if out, err := exec.Command("cp", "-a", from, to).CombinedOutput(); err != nil {
		h.Fatalf("%v: %s", err, out)
	}
}

func (h *faultyHost) localrun(args ...string) {
	h.Helper()
	cmd := exec.Command(filepath.Join(bin, "localrun"), args...)
	cmd.Env = h.env
	if out, err := cmd.CombinedOutput(); err != nil {
		h.Fatalf("localrun %s: %v: %s", args, err, out)
	}
}

// add adds items to the overlay.
func (h *faultyHost) add(ids ...steam.ID) {
	h.Helper()
	_, err := h.items.Add(h.Context(), steam.NewClient(h.settings.SteamAPIURL, slog.New(slog.DiscardHandler)), h.user, h.overlay(), ids, workshop.Items, nil)
	h.must(err)
}

func (h *faultyHost) overlay() overlay.Overlay {
	h.Helper()
	o, err := h.overlays.Get(h.Context(), 1)
	h.must(err)
	return o
}

func (h *faultyHost) server() servers.Server {
	h.Helper()
	s, err := h.servers.Get(h.Context(), 1)
	h.must(err)
	return s
}

func (h *faultyHost) start() *jobstore.Enqueued {
	h.Helper()
	start, err := h.servers.Start(h.Context(), h.user, h.server())
	h.must(err)
	return start
}

func (h *faultyHost) enqueue(o job.Operation, subject job.Subject, host string) *jobstore.Enqueued {
	h.Helper()
	e, err := h.jobs.Enqueue(h.Context(), h.db, jobstore.Request{Operation: o, Subject: subject, Host: host})
	h.must(err)
	return e
}

// again asks for what a job that has ended was for.
func (h *faultyHost) again(e *jobstore.Enqueued) *jobstore.Enqueued {
	h.Helper()
	j, err := h.jobs.Get(h.Context(), e.ID)
	h.must(err)
	o, err := job.ByName(j.Operation)
	h.must(err)
	e, err = h.jobs.Enqueue(h.Context(), h.db, jobstore.Request{Operation: o, Subject: j.Subject, Host: j.HostID, Argument: json.RawMessage(j.Argument)})
	h.must(err)
	return e
}

// invoke runs a job's function once, and returns what it says.
func (h *faultyHost) invoke(by *stepper, jobID int64) string {
	h.Helper()
	j, err := h.jobs.Get(h.Context(), jobID)
	h.must(err)
	o, err := job.ByName(j.Operation)
	h.must(err)
	event := filepath.Join(h.TempDir(), "event.json")
	text, err := json.Marshal(map[string]int64{"job_id": jobID})
	h.must(err)
	h.must(os.WriteFile(event, text, 0o600))
	output, err := by.run(h.T, h.env, filepath.Join(bin, "localrun"), "invoke", o.Function, "--event", event)
	if err != nil {
		output += err.Error()
	}
	return output
}

// finish runs a job without faults until it has ended, and finishAll all jobs.
func (h *faultyHost) finish(e *jobstore.Enqueued) {
	h.Helper()
	if output := h.invoke(&stepper{dir: h.root}, e.ID); len(h.query(fmt.Sprintf(`SELECT 1 FROM jobs WHERE id = %d AND finished_at IS NULL`, e.ID))) > 0 {
		h.Fatalf("job %d has not ended: %s", e.ID, output)
	}
}

func (h *faultyHost) finishAll() {
	h.Helper()
	for _, id := range h.query(`SELECT id FROM jobs WHERE finished_at IS NULL ORDER BY id`) {
		h.finish(&jobstore.Enqueued{ID: id})
	}
}

// recover does what a host agent does when it starts some time later.
func (h *faultyHost) recover() {
	h.Helper()
	_, err := h.db.ExecContext(h.Context(), `UPDATE jobs SET lease_until = 1 WHERE finished_at IS NULL AND lease_until > 0`)
	h.must(err)
	_, err = h.jobs.Sweep(h.Context())
	h.must(err)
	h.finishAll()
	_, err = h.db.ExecContext(h.Context(), `UPDATE hosts SET stopped_at = NULL, seen_at = :now`, sql.Named("now", db.Millis(time.Now())))
	h.must(err)
	w := watch.Watcher{DB: h.db, Root: h.root, Servers: h.servers, Supervisor: supervisor.New(h.settings), Host: h.id, Enqueued: func(context.Context) {}, Log: slog.New(slog.DiscardHandler)}
	h.must(w.Look(h.Context(), false))
}

// examine fails the test if something is not as it must be, apart from problems with texts that say what is left to be done.
func (h *faultyHost) examine(when string, tolerated ...string) {
	h.Helper()
	found, err := fsck.Host{DB: h.db, Settings: h.settings, ID: h.id, Supervisor: supervisor.New(h.settings), Content: true, Now: time.Now}.Examine(h.Context())
	h.must(err)
	for _, problem := range found {
		if !slices.ContainsFunc(tolerated, func(text string) bool { return strings.Contains(problem.Text, text) }) {
			h.Errorf("%s: %s", when, problem)
		}
	}
}

// query returns the numbers that a query gives.
func (h *faultyHost) query(text string) []int64 {
	h.Helper()
	found, err := db.Rows(h.Context(), h.db, db.Value[int64], text)
	h.must(err)
	return found
}

func (h *faultyHost) endServer() {
	h.Helper()
	h.must(supervisor.New(h.settings).Stop(h.Context(), 1))
}

func (h *faultyHost) must(err error) {
	h.Helper()
	if err != nil {
		h.Fatal(err)
	}
}
