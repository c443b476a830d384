package main_test

import (
	"bytes"
	"context"
	"net/http"
	"net/url"
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
	"left4me/shared/doorbell/queue/queuetest"
	"left4me/shared/job"
	"left4me/shared/jobstore"
	"left4me/shared/overlay"
	"left4me/shared/route"
)

// BenchmarkRowToRunning is the time from a job's row to its claim, by the rows' own times, with real programs: a page asks
// for a build and rings, and the host agent hears that by its socket, or by the queue with the database on a server.
func BenchmarkRowToRunning(b *testing.B) {
	b.Run("socket", func(b *testing.B) {
		root := b.TempDir()
		d := dbtest.Open(b, db.FileURL(filepath.Join(root, "left4me.db")))
		rowToRunning(b, d, []string{"LEFT4ME_ROOT=" + root}, []string{"up"})
	})
	b.Run("queue", func(b *testing.B) {
		queue, server := queuetest.Start(b), dbtest.ServeEmpty(b)
		env := append([]string{"LEFT4ME_ROOT=" + b.TempDir(), "DATABASE_URL=" + server.URL, "JOB_QUEUE_URL=" + queue.QueueURL}, queue.Environ...)
		rowToRunning(b, server.Open(b), env, []string{"agent"}, []string{"serve"})
	})
}

// rowToRunning starts localrun with each of commands, the last of which serves, and presses the button that builds.
func rowToRunning(b *testing.B, d *db.DB, env []string, commands ...[]string) {
	ctx := b.Context()
	if _, err := migrations.Up(ctx, d); err != nil {
		b.Fatal(err)
	}
	accounts := account.NewStore(d, time.Now)
	anna, err := accounts.Create(ctx, "anna", "a long password", true)
	if err != nil {
		b.Fatal(err)
	}
	_, session, err := accounts.SignIn(ctx, "anna", "a long password", account.Client{})
	if err != nil {
		b.Fatal(err)
	}
	id, err := overlay.NewStore(d, time.Now).Create(ctx, d, anna, "maps", overlay.External)
	if err != nil {
		b.Fatal(err)
	}
	address := ""
	for _, args := range commands {
		address = launch(b, append(env, "LEFT4ME_LISTEN=127.0.0.1:0", "PATH="+os.Getenv("PATH")), args)
	}
	form := url.Values{"csrf_token": {tokenOf(session)}}.Encode()
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	jobs := jobstore.New(d)
	var times []time.Duration
	for b.Loop() {
		r, err := http.NewRequestWithContext(ctx, "POST", "http://"+address+route.OverlayBuild.URL(id), strings.NewReader(form))
		if err != nil {
			b.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.AddCookie(&http.Cookie{Name: "left4me_session", Value: session})
		resp, err := client.Do(r)
		if err != nil {
			b.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusSeeOther {
			b.Fatal(resp.Status)
		}
		times = append(times, succeeded(b, jobs))
	}
	slices.Sort(times)
	b.ReportMetric(float64(times[len(times)/2].Milliseconds()), "ms-median")
	b.ReportMetric(float64(times[len(times)-1].Milliseconds()), "ms-most")
	b.ReportMetric(0, "ns/op") // the whole job's, which is not the point
}

// succeeded waits for the end of the newest job and returns how long it was queued.
func succeeded(b *testing.B, jobs *jobstore.Store) time.Duration {
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		all, err := jobs.List(b.Context(), jobstore.Everyone, 0, 1)
		if err != nil {
			b.Fatal(err)
		}
		switch j := all[0]; j.State {
		case job.Succeeded:
			return j.StartedAt.Sub(j.CreatedAt)
		case job.Failed:
			b.Fatal(j.Error)
		}
	}
	b.Fatal("the job never ended")
	return 0
}

// launch starts localrun and returns the address that it serves, once it says so; an agent's is empty.
func launch(b *testing.B, env, args []string) (address string) {
	said := &lines{changed: make(chan struct{}, 1)}
	cmd := exec.Command(filepath.Join(bin, "localrun"), args...)
	cmd.Env, cmd.Stdout, cmd.Stderr = env, said, said
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
			return m[1]
		}
		if args[0] == "agent" && strings.Contains(text, `"msg":"looking for jobs"`) {
			return ""
		}
		select {
		case <-said.changed:
		case <-ctx.Done():
			b.Fatalf("localrun %s is not ready: %s", args[0], text)
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
