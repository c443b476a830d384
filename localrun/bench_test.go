package main_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"left4me/shared/account"
	"left4me/shared/db"
	"left4me/shared/db/dbtest"
	"left4me/shared/db/migrations"
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
