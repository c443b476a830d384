package fn

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"left4me/shared/db"
	"left4me/shared/db/migrations"
	"left4me/shared/job"
	"left4me/shared/jobstore"
	"left4me/shared/settings"
	"left4me/shared/wake"
	"left4me/shared/wake/queue"
)

// testEnv returns an environment with an empty database, and the listener of its host agent.
func testEnv(t *testing.T) (*Env, wake.Waiter) {
	t.Helper()
	root := t.TempDir()
	values := map[string]string{settings.Root: root, settings.DatabaseURL: db.FileURL(filepath.Join(root, "left4me.db"))}
	env, err := Open(func(name string) string { return values[name] }, slog.New(slog.NewTextHandler(t.Output(), nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { env.DB.Close() })
	if _, err := migrations.Up(t.Context(), env.DB); err != nil {
		t.Fatal(err)
	}
	agent, err := wake.Listen(env.Settings.WakeSocket())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { agent.Close() })
	return env, agent
}

// woken reports whether the agent has been woken since the last call. Notify has returned before, so there is nothing to wait
// for but the listener's goroutine.
func woken(t *testing.T, env *Env, agent wake.Waiter, want bool) {
	t.Helper()
	if !want {
		// If the agent was not woken, this is the only notification.
		if err := wake.Socket(env.Settings.WakeSocket()).Notify(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := agent.Wait(t.Context(), time.Minute); err != nil || !got {
		t.Errorf("the agent was not woken: %v", err)
	}
}

func TestEnqueueingWakesTheAgent(t *testing.T) {
	refresh := jobstore.Request{Operation: job.RefreshWorkshopItems}
	t.Run("a job, when its locks are free", func(t *testing.T) {
		env, agent := testEnv(t)
		e, err := env.Jobs.Enqueue(t.Context(), env.DB, refresh)
		if err != nil {
			t.Fatal(err)
		}
		env.Jobs.TakeEnqueued()
		h := &jobHandler{env: env, operation: job.RefreshWorkshopItems, run: func(ctx context.Context, _ *Run) error {
			_, err := env.Jobs.Enqueue(ctx, env.DB, jobstore.Request{Operation: job.BuildOverlay, Subject: job.Overlay(1)})
			return err
		}}
		if _, err := h.handle(t.Context(), job.Event{JobID: e.ID}); err != nil {
			t.Fatal(err)
		}
		woken(t, env, agent, true)
		if j, err := env.Jobs.Get(t.Context(), e.ID); err != nil || j.State != job.Succeeded {
			t.Errorf("the job is %s, %v", j.State, err)
		}
	})
	t.Run("a schedule", func(t *testing.T) {
		env, agent := testEnv(t)
		event := job.DailyRefresh.Event(time.Date(2026, 11, 21, 4, 0, 0, 0, time.UTC))
		for _, want := range []job.Fired{
			{JobID: 1, New: true, Sentence: "enqueued refresh_workshop_items job 1"},
			{JobID: 1, Sentence: "refresh_workshop_items job 1 already queued"},
		} {
			got, err := fire(t.Context(), env, job.DailyRefresh, event)
			if err != nil || got != want {
				t.Errorf("%+v, %v, want %+v", got, err, want)
			}
			woken(t, env, agent, want.New)
			event.Slot = "" // now
		}
	})
}

func TestAScheduleWarnsOfAnUnfinishedJobOfAnEarlierDay(t *testing.T) {
	env, _ := testEnv(t)
	var log strings.Builder
	env.Log = slog.New(slog.NewTextHandler(&log, nil))
	start := time.Now()
	for _, c := range []struct {
		after time.Duration
		want  bool
	}{{0, false}, {10 * time.Minute, false}, {24 * time.Hour, true}} {
		log.Reset()
		env.Now = func() time.Time { return start.Add(c.after) }
		if _, err := fire(t.Context(), env, job.DailyRefresh, job.ScheduleEvent{}); err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(log.String(), job.NotEnded); got != c.want {
			t.Errorf("after %s: warned %v, want %v: %s", c.after, got, c.want, log.String())
		}
	}
}

func TestAScheduleReportsThatTheDatabaseFails(t *testing.T) {
	env, _ := testEnv(t)
	env.DB.Close()
	if _, err := fire(t.Context(), env, job.DailyRefresh, job.ScheduleEvent{}); err == nil {
		t.Error("no error")
	}
}

// With several hosts each has a queue, and one that does not answer keeps none of the others from being woken.
func TestEveryHostIsWoken(t *testing.T) {
	env, _ := testEnv(t)
	var mu sync.Mutex
	woken := map[string]int{}
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var message struct{ QueueUrl string }
		if err := json.NewDecoder(r.Body).Decode(&message); err != nil {
			t.Error(err)
		}
		mu.Lock()
		woken[path.Base(message.QueueUrl)]++
		mu.Unlock()
		if path.Base(message.QueueUrl) == "broken" {
			http.Error(w, "no such queue", http.StatusBadRequest)
			return
		}
		fmt.Fprint(w, "{}")
	}))
	defer service.Close()
	for name, value := range map[string]string{queue.Endpoint: service.URL, "AWS_REGION": "eu-central-1", "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"} {
		t.Setenv(name, value)
	}
	env.Settings.JobQueueURLs = []string{service.URL + "/1/broken", service.URL + "/1/attic", service.URL + "/1/cellar"}
	if _, err := env.Jobs.Enqueue(t.Context(), env.DB, jobstore.Request{Operation: job.RefreshWorkshopItems}); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time there is no new job
		env.WakeAgent(t.Context())
	}
	if want := map[string]int{"broken": 1, "attic": 1, "cellar": 1}; !maps.Equal(woken, want) {
		t.Errorf("woken: %v, want %v", woken, want)
	}
}
