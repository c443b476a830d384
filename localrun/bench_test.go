package main_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gofrs/flock"

	"left4me/shared/account"
	"left4me/shared/db"
	"left4me/shared/db/dbtest"
	"left4me/shared/db/migrations"
	"left4me/shared/game/gametest"
	"left4me/shared/job"
	"left4me/shared/jobstore"
	"left4me/shared/list"
	"left4me/shared/overlay"
	"left4me/shared/route"
	"left4me/shared/wake/queue/queuetest"
	"left4me/templates/webtest"
)

// BenchmarkRowToRunning is the time from a job's row to its claim, by the rows' own times, with real programs: a page asks
// for a build and wakes the host agent through its socket, or with the database on a server through the queue.
func BenchmarkRowToRunning(b *testing.B) {
	b.Run("socket", func(b *testing.B) {
		root := b.TempDir()
		d := dbtest.Open(b, db.FileURL(filepath.Join(root, "left4me.db")))
		rowToRunning(b, d, []string{"LEFT4ME_ROOT=" + root}, []string{"localrun", "up"})
	})
	b.Run("queue", func(b *testing.B) {
		queue, server := queuetest.Start(b), dbtest.ServeEmpty(b)
		env := append([]string{"LEFT4ME_ROOT=" + b.TempDir(), "DATABASE_URL=" + server.URL, "JOB_QUEUE_URL=" + queue.QueueURL}, queue.Environ...)
		rowToRunning(b, server.Open(b), env, []string{"localrun", "agent"}, []string{"localrun", "serve"})
	})
}

// rowToRunning starts localrun with each of commands, the last of which serves, and presses the button that builds.
func rowToRunning(b *testing.B, d *db.DB, env []string, commands ...[]string) {
	s := startSite(b, d, env, commands...)
	jobs := jobstore.NewStore(d, time.Now)
	var times []time.Duration
	for b.Loop() {
		want(b, s.visitor.Post(route.OverlayBuild.URL(s.overlay)), http.StatusSeeOther)
		times = append(times, succeeded(b, jobs))
	}
	slices.Sort(times)
	b.ReportMetric(float64(times[len(times)/2].Milliseconds()), "ms-median")
	b.ReportMetric(float64(times[len(times)-1].Milliseconds()), "ms-most")
	b.ReportMetric(0, "ns/op") // the whole job's, which is not the point
}

// BenchmarkColdPage is measure M5: the list of overlays, with its session, from a new process each time.
func BenchmarkColdPage(b *testing.B) {
	root := b.TempDir()
	s := startSite(b, dbtest.Open(b, db.FileURL(filepath.Join(root, "left4me.db"))), []string{"LEFT4ME_ROOT=" + root}, []string{"localrun", "up", "--single-shot"})
	var times []time.Duration
	for b.Loop() {
		begun := time.Now()
		want(b, s.visitor.Get(route.OverlayList.URL()), http.StatusOK)
		times = append(times, time.Since(begun))
	}
	slices.Sort(times)
	b.ReportMetric(float64(times[len(times)/2].Microseconds())/1000, "ms-median")
}

// BenchmarkIdle is measure M9: what `localrun up` holds when nobody has asked for anything for a minute. Run it with
// -benchtime 1x: it takes longer than that.
func BenchmarkIdle(b *testing.B) {
	root := b.TempDir()
	s := startSite(b, dbtest.Open(b, db.FileURL(filepath.Join(root, "left4me.db"))), []string{"LEFT4ME_ROOT=" + root}, []string{"localrun", "up"})
	for range 20 {
		want(b, s.visitor.Get(route.OverlayList.URL()), http.StatusOK)
	}
	time.Sleep(65 * time.Second) // the minute, and what a process takes to end
	children, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", s.pid))
	if err != nil || len(children) == 0 {
		b.Skip("this machine does not tell the children of a process: ", err)
	}
	processes := 0
	for _, file := range children {
		text, err := os.ReadFile(file)
		if err != nil && !errors.Is(err, os.ErrNotExist) { // a thread may have ended
			b.Fatal(err)
		}
		processes += len(strings.Fields(string(text)))
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.pid))
	if err != nil {
		b.Fatal(err)
	}
	resident := 0
	if _, after, ok := strings.Cut(string(status), "VmRSS:"); ok {
		fmt.Sscan(after, &resident)
	}
	b.ReportMetric(float64(processes), "processes")
	b.ReportMetric(float64(resident)/1024, "MiB")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkServerStart is measure M14: from the start of the job to the `exec` of the game's start script, of a server with 2,000 items in 20
// overlays, and of ten such servers at once; compared with `cp -al` of the same tree.
func BenchmarkServerStart(b *testing.B) {
	const overlays, items, servers = 20, 2000, 10
	root := b.TempDir()
	d := dbtest.Open(b, db.FileURL(filepath.Join(root, "left4me.db")))
	s := startSite(b, d, []string{"LEFT4ME_ROOT=" + root, "SERVER_SUPERVISOR=none"}, []string{"localrun", "up"})
	addGame(b, d, root)
	for n := range items {
		name := fmt.Sprint(n+1) + ".vpk"
		write(b, filepath.Join(root, "workshop_cache", name), "an item", 0o644)
		link := filepath.Join(root, "overlays", fmt.Sprint(100+n%overlays), "left4dead2/addons", name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(link), 0o755), os.Symlink(filepath.Join(root, "workshop_cache", name), link)); err != nil {
			b.Fatal(err)
		}
	}
	for _, statement := range []string{
		`INSERT INTO overlays (id, name, type, uid, created_at) WITH RECURSIVE n (i) AS (SELECT 100 UNION ALL SELECT i + 1 FROM n WHERE i < 119)
			SELECT i, 'overlay ' || i, 'workshop', i, 1 FROM n`,
		`UPDATE overlay_hosts SET directory_at = 1, revision = 1, last_build_status = 'ok'`,
		`INSERT INTO blueprints (id, name, settings, created_at) VALUES (1, 'b', '{}', 1)`,
		`INSERT INTO blueprint_overlays (blueprint_id, overlay_id, position) SELECT 1, id, id FROM overlays WHERE id >= 100`,
		fmt.Sprintf(`INSERT INTO servers (id, name, host_id, port, blueprint_id, user_id, uid, state_at, created_at) WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d)
			SELECT i, 'server ' || i, hosts.id, %d + i, 1, users.id, i, 1, 1 FROM n, hosts, users`, servers, 20_000+rand.N(10_000)),
	} {
		if _, err := d.ExecContext(b.Context(), statement); err != nil {
			b.Fatal(statement, err)
		}
	}
	// start starts the first servers of all and returns how long each took.
	start := func(number int64) (times []time.Duration) {
		for id := range number {
			want(b, s.visitor.Post(route.ServerStart.URL(id+1)), http.StatusSeeOther)
		}
		await(b, d, number, `SELECT COUNT(*) FROM servers WHERE state = 'running'`)
		for id := range number {
			info, err := os.Stat(filepath.Join(root, "servers", fmt.Sprint(id+1), "files/executed"))
			if err != nil {
				b.Fatal(err)
			}
			begun := number64(b, d, fmt.Sprintf(`SELECT MAX(started_at) FROM jobs WHERE operation = 'server_start' AND subject_id = %d`, id+1))
			times = append(times, info.ModTime().Sub(time.UnixMilli(begun)))
		}
		return times
	}
	stop := func(number int64) {
		for id := range number {
			want(b, s.visitor.Post(route.ServerStop.URL(id+1)), http.StatusSeeOther)
		}
		await(b, d, 0, `SELECT COUNT(*) FROM servers WHERE state <> 'stopped'`)
	}
	report := func(b *testing.B, times []time.Duration) {
		slices.Sort(times)
		b.ReportMetric(float64(times[len(times)/2].Milliseconds()), "ms-median")
		b.ReportMetric(float64(times[len(times)-1].Milliseconds()), "ms-most")
		b.ReportMetric(0, "ns/op") // until it answers, which is the game's concern
	}
	measure := func(number int64) func(*testing.B) {
		return func(b *testing.B) {
			var times []time.Duration
			for b.Loop() {
				times = append(times, start(number)...)
				stop(number)
			}
			report(b, times)
		}
	}
	b.Run("one", measure(1))
	b.Run("ten at once", measure(servers))
	b.Run("cp -al", func(b *testing.B) {
		start(1)
		defer stop(1)
		var times []time.Duration
		for b.Loop() {
			begun := time.Now()
			if out, err := exec.Command("cp", "-al", filepath.Join(root, "servers/1/runs"), filepath.Join(root, fmt.Sprint("copy", len(times)))).CombinedOutput(); err != nil {
				b.Fatalf("%v: %s", err, out)
			}
			times = append(times, time.Since(begun))
		}
		report(b, times)
	})
}

// addGame installs the stand-in for the game, as release 1, on the only host. The test is skipped where servers cannot be started.
func addGame(b testing.TB, d *db.DB, root string) {
	b.Helper()
	if exec.Command("unshare", "--mount", "--map-root-user", "true").Run() != nil {
		b.Skip("needs mounts")
	}
	if err := os.Chmod(filepath.Dir(root), 0o755); err != nil { // the game has a user of its own
		b.Fatal(err)
	}
	program, err := os.ReadFile(filepath.Join(bin, "srcds"))
	if err != nil {
		b.Fatal(err)
	}
	release := filepath.Join(root, "game", "releases", "1")
	write(b, filepath.Join(release, "srcds_linux"), string(program), 0o755)
	write(b, filepath.Join(release, "srcds_run"), "#!/bin/sh\n: > executed\nPARAMS=$*\nexec ./srcds_linux $PARAMS\n", 0o755)
	await(b, d, 1, `SELECT COUNT(*) FROM hosts`)
	if _, err := d.ExecContext(b.Context(), `INSERT INTO releases (host_id, build_id, bytes, installed_at) SELECT id, 1, 1, 1 FROM hosts`); err != nil {
		b.Fatal(err)
	}
}

func write(b testing.TB, path, text string, mode fs.FileMode) {
	b.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), mode)); err != nil {
		b.Fatal(err)
	}
}

// number64 returns the result of a query.
func number64(b testing.TB, d *db.DB, query string) int64 {
	b.Helper()
	n, err := db.Row(b.Context(), d, db.Value[int64], query)
	if err != nil {
		b.Fatal(err)
	}
	return n
}

// await waits until the result of a query is n. No job may fail meanwhile.
func await(b testing.TB, d *db.DB, n int64, query string) {
	b.Helper()
	for deadline := time.Now().Add(patience); number64(b, d, query) != n; time.Sleep(20 * time.Millisecond) {
		failed, err := db.Rows(b.Context(), d, db.Value[string], `SELECT error FROM jobs WHERE state = 'failed'`)
		if err != nil || len(failed) > 0 || time.Now().After(deadline) {
			b.Fatalf("it never became %d: %s; failed jobs: %q, %v", n, query, failed, err)
		}
	}
}

// site is a running left4me with an administrator, who is signed in, and an overlay.
type site struct {
	pid     int
	address string
	visitor *webtest.Visitor
	user    account.User
	overlay int64
}

// startSite runs each of commands, which start localrun. The last one serves.
func startSite(b testing.TB, d *db.DB, env []string, commands ...[]string) site {
	ctx := b.Context()
	if _, err := migrations.Up(ctx, d); err != nil {
		b.Fatal(err)
	}
	var s site
	accounts := account.NewStore(d, time.Now)
	var err error
	if s.user, err = accounts.Create(ctx, "anna", "a long password", true); err != nil {
		b.Fatal(err)
	}
	_, tokens, err := accounts.SignIn(ctx, "anna", "a long password", account.Client{})
	if err != nil {
		b.Fatal(err)
	}
	if s.overlay, err = overlay.NewStore(d, time.Now, jobstore.NewStore(d, time.Now)).Create(ctx, s.user, "maps", overlay.External.Name); err != nil {
		b.Fatal(err)
	}
	if _, err := d.ExecContext(ctx, `DELETE FROM jobs`); err != nil {
		b.Fatal(err)
	}
	for _, args := range commands {
		var cmd *exec.Cmd
		s.address, cmd = launch(b, append(env, "LEFT4ME_LISTEN=127.0.0.1:0"), args)
		s.pid = cmd.Process.Pid
		s.visitor = webtest.New(b, http.DefaultTransport, "http://"+s.address)
	}
	s.visitor.SetSession(tokens.Session)
	want(b, s.visitor.Get(route.Account.URL()), http.StatusOK) // which has the token for forms
	return s
}

func want(b testing.TB, got webtest.Answer, status int) {
	b.Helper()
	if got.StatusCode != status {
		b.Fatal(got.Status)
	}
}

// succeeded waits for the end of the newest job and returns how long it was queued.
func succeeded(b *testing.B, jobs *jobstore.Store) time.Duration {
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		all, err := jobs.List(b.Context(), jobstore.Everyone, list.Query{})
		if err != nil {
			b.Fatal(err)
		}
		switch j := all.Rows[0]; j.State {
		case job.Succeeded:
			return j.StartedAt.Sub(j.CreatedAt)
		case job.Failed:
			b.Fatal(j.Error)
		}
	}
	b.Fatal("the job never ended")
	return 0
}

// launch runs a command that starts localrun, and returns the address that it serves, once it says so; an agent's is empty.
func launch(b testing.TB, env, args []string) (address string, cmd *exec.Cmd) {
	b.Helper()
	said := &lines{changed: make(chan struct{}, 1)}
	cmd = exec.Command("env", args...) // finds localrun in the PATH of its environment
	cmd.Env, cmd.Stdout, cmd.Stderr = append(env, "PATH="+bin+":"+os.Getenv("PATH")), said, said
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	})
	ctx, stop := context.WithTimeout(b.Context(), patience)
	defer stop()
	for {
		text := said.String()
		if m := servesAt.FindStringSubmatch(text); m != nil {
			return m[1], cmd
		}
		if args[1] == "agent" && strings.Contains(text, `"msg":"looking for jobs"`) {
			return "", cmd
		}
		select {
		case <-said.changed:
		case <-ctx.Done():
			b.Fatalf("%s is not ready: %s", args, text)
		}
	}
}

// lines is what a program has said.
type lines struct {
	mu      sync.Mutex
	text    bytes.Buffer
	changed chan struct{}
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case l.changed <- struct{}{}:
	default:
	}
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// BenchmarkServerChecks is measure M15: what localrun and its functions compute in a minute in which they look at 50 running servers every 10
// seconds, with all else that they do when nobody asks for anything, and how often the servers' rows are written while nothing changes.
// Run it with -benchtime 1x: it takes longer than that.
func BenchmarkServerChecks(b *testing.B) {
	root := b.TempDir()
	d := dbtest.Open(b, db.FileURL(filepath.Join(root, "left4me.db")))
	s := startSite(b, d, []string{"LEFT4ME_ROOT=" + root, "SERVER_SUPERVISOR=none"}, []string{"localrun", "up"})
	exec := func(statement string, args ...any) {
		b.Helper()
		if _, err := d.ExecContext(b.Context(), statement, args...); err != nil {
			b.Fatal(err)
		}
	}
	exec(`INSERT INTO blueprints (id, name, user_id, created_at) VALUES (1, 'all', NULL, 1)`)
	for id := 1; id <= 50; id++ {
		game := gametest.StartGame(b)
		game.Tell(b, "join Ellis\njoin Nick\nbots 2")
		exec(`INSERT INTO runs (id, server_id, job_id, port, build_id, blueprint, settings, created_at, started_at) VALUES (?, ?, 1, ?, 1, 'all', '{}', 1, 1)`, id, keepServer(b, d, root, id, int(game.Address().Port())), game.Address().Port())
	}
	known := func() int {
		n, err := db.Row(b.Context(), d, db.Value[int], `SELECT COUNT(*) FROM server_status WHERE answering = 1 AND stale = 0`)
		if err != nil {
			b.Fatal(err)
		}
		return n
	}
	for deadline := time.Now().Add(patience); known() < 50; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			b.Fatalf("%d of 50 servers were asked", known())
		}
	}
	exec(`CREATE TABLE written (at INTEGER)`)
	for _, change := range []string{"INSERT ON server_status", "UPDATE ON server_status", "INSERT ON server_players", "DELETE ON server_players"} {
		exec(`CREATE TRIGGER "` + change + `" AFTER ` + change + ` BEGIN INSERT INTO written VALUES (1); END`)
	}
	const period = time.Minute
	before := cpuTime(b, s.pid)
	time.Sleep(period)
	b.ReportMetric(100*float64(cpuTime(b, s.pid)-before)/float64(period), "percent")
	n, err := db.Row(b.Context(), d, db.Value[int], `SELECT COUNT(*) FROM written`)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(n), "rows")
	b.ReportMetric(0, "ns/op")
}

// keepServer adds a running server of the only host whose process is kept, as far as left4me sees, until the benchmark ends. Its password for
// RCON is that of gametest.StartGame.
func keepServer(b *testing.B, d *db.DB, root string, id, port int) int {
	b.Helper()
	dir := filepath.Join(root, "servers", strconv.Itoa(id))
	err := os.MkdirAll(filepath.Join(dir, "runs", strconv.Itoa(id)), 0o755)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "runs", strconv.Itoa(id), "rcon_password"), []byte("secret"), 0o600)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "process.json"), []byte(`{"pid":1073741824,"since":"2026-01-01T00:00:00Z"}`), 0o644)
	}
	lock := flock.New(filepath.Join(dir, "run.lock"))
	if err == nil {
		err = lock.Lock()
	}
	if err == nil {
		_, err = d.ExecContext(b.Context(), `INSERT INTO servers (id, name, host_id, port, blueprint_id, user_id, uid, state, state_at, created_at)
			SELECT ?, 'server', h.id, ?, 1, 1, ?, 'running', 1, 1 FROM hosts h`, id, port, strconv.Itoa(id))
	}
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { lock.Unlock() })
	return id
}

// cpuTime is the time that a process and its children have computed.
func cpuTime(b *testing.B, pid int) (total time.Duration) {
	b.Helper()
	const tick = 10 * time.Millisecond // USER_HZ is 100 on Linux
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0 // it has ended, and is in its parent's time
	}
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	for _, ticks := range fields[11:15] { // utime, stime, cutime, cstime
		n, err := strconv.Atoi(ticks)
		if err != nil {
			b.Fatal(err)
		}
		total += time.Duration(n) * tick
	}
	children, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil || len(children) == 0 {
		b.Skip("this machine does not tell the children of a process: ", err)
	}
	for _, file := range children {
		text, _ := os.ReadFile(file) // a thread may have ended
		for child := range strings.FieldsSeq(string(text)) {
			n, err := strconv.Atoi(child)
			if err != nil {
				b.Fatal(err)
			}
			total += cpuTime(b, n)
		}
	}
	return total
}
