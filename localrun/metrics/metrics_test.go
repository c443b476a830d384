package metrics

import (
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"left4me/localrun/agent"
	"left4me/localrun/lambdahost"
	"left4me/shared/db"
	"left4me/shared/db/dbtest"
	"left4me/shared/host"
	"left4me/shared/job"
	"left4me/shared/jobstore"
	"left4me/shared/server"
	"left4me/shared/steam"
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// setUp returns the metrics of a process that does everything, and a clock to turn.
func setUp(t *testing.T, d *db.DB) (m *Metrics, pass func(time.Duration)) {
	t.Helper()
	now := time.Date(2026, 11, 21, 4, 0, 0, 0, time.UTC)
	clock := func() time.Time { return now }
	jobs := jobstore.NewStore(d, clock)
	m = New("1.2.3", jobs, host.NewStore(d, clock, jobs), server.NewStore(d, clock, jobs), quiet())
	m.database.now = clock
	m.AddPages(func() lambdahost.Stats {
		return lambdahost.Stats{Functions: map[string]lambdahost.FunctionStats{
			"overlay-list": {Processes: 7, Starting: 1, Idle: 2, Busy: 3, Waiting: 4, Cold: 5, Warm: 6, Crashes: 8}}}
	})
	m.AddJobs(func() lambdahost.Stats {
		return lambdahost.Stats{Functions: map[string]lambdahost.FunctionStats{"build-overlay": {}}}
	}, func() (host.Host, bool) {
		return host.Host{DiskTotal: 100, DiskFree: 40, MeasuredAt: now, Usage: host.Usage{CacheFiles: 2, CacheBytes: 30, OverlayBytes: 4}}, true
	})
	return m, func(by time.Duration) { now = now.Add(by) }
}

func scrape(t *testing.T, m *Metrics) string {
	t.Helper()
	w := httptest.NewRecorder()
	m.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", "/metrics", nil))
	if w.Code != http.StatusOK {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	return w.Body.String()
}

// all are metrics in which everything has happened.
func all(t *testing.T) (*Metrics, string) {
	t.Helper()
	d := dbtest.New(t)
	m, _ := setUp(t, d)
	jobs, hosts := m.database.jobs, m.database.hosts
	if _, err := jobs.Enqueue(t.Context(), d, jobstore.Request{Operation: job.RefreshWorkshopItems}); err != nil {
		t.Fatal(err)
	}
	if _, err := d.ExecContext(t.Context(), `UPDATE jobs SET state = 'succeeded', finished_at = 1700000000500, created_at = 0, started_at = 0, attempt = 1`); err != nil {
		t.Fatal(err)
	}
	if _, err := jobs.Enqueue(t.Context(), d, jobstore.Request{Operation: job.BuildOverlay, Subject: job.Overlay(7)}); err != nil {
		t.Fatal(err)
	}
	if _, err := d.ExecContext(t.Context(), `UPDATE jobs SET created_at = created_at - 90500 WHERE state = 'queued'`); err != nil {
		t.Fatal(err)
	}
	if _, err := hosts.Register(t.Context(), host.Host{ID: "cellar", Name: "cellar", Command: "agent"}); err != nil {
		t.Fatal(err)
	}
	now := sql.Named("now", db.Millis(m.database.now()))
	for _, statement := range []string{
		`INSERT INTO users (id, name, password_hash, created_at) VALUES (1, 'anna', '', :now)`,
		`INSERT INTO blueprints (id, name, created_at) VALUES (1, 'all', :now)`,
		`INSERT INTO servers (id, name, host_id, port, blueprint_id, user_id, uid, state, state_at, created_at) SELECT value, 'server ' || value, 'cellar', 27000 + value, 1, 1, value,
			CASE value WHEN 4 THEN 'stopped' ELSE 'running' END, :now - 7000, 0 FROM json_each('[1, 2, 3, 4]')`,
		`INSERT INTO runs (id, server_id, job_id, port, build_id, blueprint, settings, created_at, started_at) SELECT id, id, 1, port, 1, '', '{}', 0, :now FROM servers`,
		`INSERT INTO server_status (server_id, run_id, answering, answering_at, map, mode, slots, connected, bots, humans, stale, changed_at)
			VALUES (1, 1, 1, 0, 'm', '', 8, 3, 0, 3, 0, 0), (2, 2, 0, :now - 90000, 'm', '', 8, 3, 0, 3, 0, 0)`,
		`INSERT INTO server_updates (server_id, compared, content, waits, news, since) VALUES (1, '', '', '1 map is newer', '', :now)`,
	} {
		if _, err := d.ExecContext(t.Context(), statement, now); err != nil {
			t.Fatal(err)
		}
	}
	m.Served("overlay-list", 200, 30*time.Millisecond)
	m.Served("", 404, time.Millisecond)
	m.Ran(agent.Run{Operation: "build_overlay", Result: agent.Lost, Took: 2 * time.Second})
	log := m.OutputLog(quiet()).With("function", "build-overlay").WithGroup("of")
	steam.LogNotDownloaded(log, "101", errors.New("gone"))
	steam.LogFailed(log, steam.SourceAPI, "http_503", errors.New("busy"))
	counter{m}.Downloaded(1 << 30)
	return m, scrape(t, m)
}

// shows: P67
func TestWhatIsSaid(t *testing.T) {
	_, said := all(t)
	for _, line := range []string{
		`left4me_http_requests_total{code="200",function="overlay-list"} 1`,
		`left4me_http_requests_total{code="404",function="none"} 1`,
		`left4me_http_request_duration_seconds_bucket{function="overlay-list",le="0.025"} 0`,
		`left4me_http_request_duration_seconds_bucket{function="overlay-list",le="0.05"} 1`,
		`left4me_http_requests_in_flight 0`,
		`left4me_function_invocations_total{function="overlay-list",start="cold"} 5`,
		`left4me_function_invocations_total{function="overlay-list",start="warm"} 6`,
		`left4me_function_processes{function="overlay-list",state="starting"} 1`,
		`left4me_function_processes{function="overlay-list",state="idle"} 2`,
		`left4me_function_processes{function="overlay-list",state="busy"} 3`,
		`left4me_function_processes{function="overlay-list",state="ending"} 1`,
		`left4me_function_waiting_requests{function="overlay-list"} 4`,
		`left4me_function_crashes_total{function="overlay-list"} 8`,
		`left4me_job_runs_total{operation="build_overlay",result="lost"} 1`,
		`left4me_job_runs_total{operation="build_overlay",result="handed_back"} 0`,
		`left4me_job_run_duration_seconds_sum{operation="build_overlay"} 2`,
		`left4me_downloads_total{result="succeeded"} 1`,
		`left4me_downloads_total{result="failed"} 1`,
		`left4me_downloaded_bytes_total 1.073741824e+09`,
		`left4me_steam_errors_total{kind="http_503",source="api"} 1`,
		`left4me_cache_files 2`,
		`left4me_cache_bytes 30`,
		`left4me_overlay_bytes 4`,
		`left4me_disk_free_bytes 40`,
		`left4me_disk_size_bytes 100`,
		`left4me_database_up 1`,
		`left4me_jobs{operation="build_overlay",state="queued"} 1`,
		`left4me_jobs{operation="refresh_workshop_items",state="running"} 0`,
		`left4me_job_queue_age_seconds 90.5`,
		`left4me_last_refresh_timestamp_seconds 1.7000000005e+09`,
		`left4me_hosts{state="heard"} 1`,
		`left4me_hosts{state="silent"} 0`,
		`left4me_server_up{name="server 1",server="1"} 1`,
		`left4me_server_up{name="server 2",server="2"} 0`,
		`left4me_server_up{name="server 4",server="4"} 0`,
		`left4me_server_players{name="server 1",server="1"} 3`,
		`left4me_server_silence_seconds{name="server 1",server="1"} 0`,
		`left4me_server_silence_seconds{name="server 2",server="2"} 90`,
		`left4me_server_silence_seconds{name="server 3",server="3"} 7`,
		`left4me_server_update_waiting{name="server 1",server="1"} 1`,
		`left4me_server_update_waiting{name="server 2",server="2"} 0`,
		`left4me_build_info{version="1.2.3"} 1`,
	} {
		if !strings.Contains(said, "\n"+line+"\n") {
			t.Errorf("it does not say %s", line)
		}
	}
	if t.Failed() {
		t.Log(said)
	}
	problems, err := promlint.New(strings.NewReader(said)).Lint()
	if err != nil || len(problems) > 0 {
		t.Errorf("%v, %v", problems, err)
	}
}

// Labels are names out of left4me's own tables, never ids.
func TestREADMEListsAllNamesAndLabels(t *testing.T) {
	_, said := all(t)
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(said))
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for name, family := range families {
		if !strings.HasPrefix(name, "left4me_") {
			continue
		}
		var labels []string
		for _, l := range family.GetMetric()[0].GetLabel() {
			labels = append(labels, l.GetName())
		}
		slices.Sort(labels)
		got[name] = strings.Join(labels, " ")
	}
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	want, word := map[string]string{}, regexp.MustCompile("`([a-z0-9_]+)`")
	for _, row := range regexp.MustCompile("(?m)^\\| (`left4me_.*?) \\|(.*?)\\|").FindAllStringSubmatch(string(readme), -1) {
		var labels []string
		for _, l := range word.FindAllStringSubmatch(row[2], -1) {
			labels = append(labels, l[1])
		}
		slices.Sort(labels)
		for _, name := range word.FindAllStringSubmatch(row[1], -1) {
			want[name[1]] = strings.Join(labels, " ")
		}
	}
	if !maps.Equal(got, want) {
		for name := range got {
			if want[name] != got[name] {
				t.Errorf("%s has the labels %q; README.md says %q", name, got[name], want[name])
			}
		}
		for name := range want {
			if _, there := got[name]; !there {
				t.Errorf("README.md lists %s, which there is not", name)
			}
		}
	}
}

func TestADatabaseThatIsAwayIsSaidAndNothingOld(t *testing.T) {
	d := dbtest.New(t)
	m, pass := setUp(t, d)
	if said := scrape(t, m); !strings.Contains(said, "\nleft4me_database_up 1\n") {
		t.Fatal(said)
	}
	d.Close()
	pass(maxAge - 1)
	if said := scrape(t, m); !strings.Contains(said, "\nleft4me_database_up 1\n") {
		t.Errorf("it was asked again at once: %s", said)
	}
	pass(1)
	said := scrape(t, m)
	if !strings.Contains(said, "\nleft4me_database_up 0\n") || !strings.Contains(said, "\nleft4me_cache_files 2\n") || !strings.Contains(said, "\ngo_goroutines ") {
		t.Errorf("it says %s", said)
	}
	for _, old := range []string{"left4me_jobs{", "left4me_job_queue_age", "left4me_hosts{", "left4me_last_refresh"} {
		if strings.Contains(said, old) {
			t.Errorf("it still says %s", old)
		}
	}
}

// A server that takes the question and does not answer holds a scrape up, but not for ever.
func TestADatabaseThatIsSilentIsNotWaitedForLong(t *testing.T) {
	silent := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	}))
	defer silent.Close()
	d := dbtest.Open(t, silent.URL)
	m, _ := setUp(t, d)
	w := httptest.NewRecorder()
	m.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", "/metrics", nil))
	if !strings.Contains(w.Body.String(), "\nleft4me_database_up 0\n") {
		t.Errorf("it says %s", w.Body)
	}
}

func TestManyMayAskAtOnce(t *testing.T) {
	m, pass := setUp(t, dbtest.New(t))
	pass(time.Hour)
	done := make(chan string)
	for range 8 {
		go func() {
			m.Served("overlay-list", 200, time.Millisecond)
			w := httptest.NewRecorder()
			m.ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
			done <- fmt.Sprint(w.Code)
		}()
	}
	for range 8 {
		if status := <-done; status != "200" {
			t.Error(status)
		}
	}
	if said := scrape(t, m); !strings.Contains(said, `left4me_http_requests_total{code="200",function="overlay-list"} 8`) {
		t.Error(said)
	}
}
