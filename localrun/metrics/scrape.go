package metrics

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"left4me/localrun/lambdahost"
	"left4me/shared/host"
	"left4me/shared/job"
	"left4me/shared/jobstore"
	"left4me/shared/server"
)

// The metrics in this file are not counted, but computed for each scrape.

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("left4me_"+name, help, labels, nil)
}

func gauge(d *prometheus.Desc, value float64, labels ...string) prometheus.Metric {
	return prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
}

func counterOf(d *prometheus.Desc, value uint64, labels ...string) prometheus.Metric {
	return prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(value), labels...)
}

// functions collects the processes of all functions of all Lambda hosts in this process.
type functions struct {
	mu    sync.Mutex
	hosts []func() lambdahost.Stats
}

func (f *functions) add(stats func() lambdahost.Stats) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hosts = append(f.hosts, stats)
}

var (
	invocationsDesc = desc("function_invocations_total", "Requests that a function's process got: cold, its first one, or warm.", "function", "start")
	processesDesc   = desc("function_processes", "Processes by function and state.", "function", "state")
	waitingDesc     = desc("function_waiting_requests", "Requests that wait for a process.", "function")
	crashesDesc     = desc("function_crashes_total", "Processes that exited by themselves, or were killed because they hung.", "function")
)

// Describe implements prometheus.Collector.
func (f *functions) Describe(ch chan<- *prometheus.Desc) {
	ch <- invocationsDesc
	ch <- processesDesc
	ch <- waitingDesc
	ch <- crashesDesc
}

// Collect implements prometheus.Collector.
func (f *functions) Collect(ch chan<- prometheus.Metric) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, stats := range f.hosts {
		for name, s := range stats().Functions {
			ch <- counterOf(invocationsDesc, s.Cold, name, "cold")
			ch <- counterOf(invocationsDesc, s.Warm, name, "warm")
			ch <- gauge(processesDesc, float64(s.Starting), name, "starting")
			ch <- gauge(processesDesc, float64(s.Idle), name, "idle")
			ch <- gauge(processesDesc, float64(s.Busy), name, "busy")
			ch <- gauge(processesDesc, float64(s.Processes-s.Starting-s.Idle-s.Busy), name, "ending")
			ch <- gauge(waitingDesc, float64(s.Waiting), name)
			ch <- counterOf(crashesDesc, s.Crashes, name)
		}
	}
}

// files collects the host agent's last report about its disk.
type files func() (host.Host, bool)

var (
	cacheFilesDesc   = desc("cache_files", "Finished files in the workshop cache.")
	cacheBytesDesc   = desc("cache_bytes", "Size of the finished files in the workshop cache.")
	overlayBytesDesc = desc("overlay_bytes", "Size of the files in overlays that are not links into the cache.")
	diskFreeDesc     = desc("disk_free_bytes", "Space that left4me can still use on the disk of LEFT4ME_ROOT.")
	diskSizeDesc     = desc("disk_size_bytes", "Size of the disk of LEFT4ME_ROOT.")
)

// Describe implements prometheus.Collector.
func (files) Describe(ch chan<- *prometheus.Desc) {
	ch <- cacheFilesDesc
	ch <- cacheBytesDesc
	ch <- overlayBytesDesc
	ch <- diskFreeDesc
	ch <- diskSizeDesc
}

// Collect implements prometheus.Collector.
func (f files) Collect(ch chan<- prometheus.Metric) {
	host, ok := f()
	if !ok {
		return
	}
	ch <- gauge(diskFreeDesc, float64(host.DiskFree))
	ch <- gauge(diskSizeDesc, float64(host.DiskTotal))
	if !host.MeasuredAt.IsZero() {
		ch <- gauge(cacheFilesDesc, float64(host.Usage.CacheFiles))
		ch <- gauge(cacheBytesDesc, float64(host.Usage.CacheBytes))
		ch <- gauge(overlayBytesDesc, float64(host.Usage.OverlayBytes))
	}
}

const (
	// readTimeout limits the reads from the database. It is shorter than the 10 s that Prometheus gives to a scrape.
	readTimeout = 3 * time.Second
	// maxAge is how long the results are reused, so that many scrapes do not burden the database.
	maxAge = 2 * time.Second
)

// database collects jobs, hosts and servers from the database. If the database does not answer, it reports only that.
type database struct {
	jobs  *jobstore.Store
	hosts *host.Store
	games *server.Store
	now   func() time.Time
	log   *slog.Logger

	mu        sync.Mutex
	readAt    time.Time
	err       error
	live      []jobstore.Count
	refreshed time.Time // zero if never
	reports   []host.Host
	servers   []server.Server
}

// refresh reads the rows, unless the last results are younger than maxAge.
func (d *database) refresh(ctx context.Context) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if now := d.now(); d.readAt.IsZero() || now.Sub(d.readAt) >= maxAge {
		ctx, stop := context.WithTimeoutCause(ctx, readTimeout, errors.New("no answer in time"))
		defer stop()
		if d.err = d.read(ctx); d.err != nil {
			d.log.Warn("cannot look at the database for metrics", "error", d.err.Error())
		}
		d.readAt = now
	}
}

func (d *database) read(ctx context.Context) (err error) {
	if d.live, err = d.jobs.CountLive(ctx); err != nil {
		return err
	}
	last, err := d.jobs.LastIn(ctx, job.RefreshWorkshopItems, job.Succeeded)
	if err != nil && !errors.Is(err, jobstore.ErrNotFound) {
		return err
	}
	d.refreshed = last.FinishedAt
	if d.reports, err = d.hosts.List(ctx); err != nil {
		return err
	}
	d.servers, err = d.games.All(ctx)
	return err
}

var (
	upDesc        = desc("database_up", "1 if the database answers, 0 otherwise.")
	jobsDesc      = desc("jobs", "Jobs that have not ended, by operation and state.", "operation", "state")
	queueAgeDesc  = desc("job_queue_age_seconds", "How long the oldest queued job has waited; 0 when none is queued.")
	refreshedDesc = desc("last_refresh_timestamp_seconds", "When the last successful refresh of all items ended; absent while there is none.")
	hostsDesc     = desc("hosts", "Host agents by whether they report.", "state")

	serverUpDesc      = desc("server_up", "1 if the game of the server answers, 0 otherwise.", "server", "name")
	serverPlayersDesc = desc("server_players", "Human players on a server whose game answers.", "server", "name")
	serverSilenceDesc = desc("server_silence_seconds", "How long ago the game of a server that should run has last answered; 0 while it does.", "server", "name")
	serverUpdateDesc  = desc("server_update_waiting", "1 if a start would change what the server runs, 0 otherwise.", "server", "name")
)

// Describe implements prometheus.Collector.
func (d *database) Describe(ch chan<- *prometheus.Desc) {
	ch <- upDesc
	ch <- jobsDesc
	ch <- queueAgeDesc
	ch <- refreshedDesc
	ch <- hostsDesc
	ch <- serverUpDesc
	ch <- serverPlayersDesc
	ch <- serverSilenceDesc
	ch <- serverUpdateDesc
}

// Collect implements prometheus.Collector.
func (d *database) Collect(ch chan<- prometheus.Metric) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.readAt.IsZero() || d.err != nil {
		ch <- gauge(upDesc, 0)
		return
	}
	ch <- gauge(upDesc, 1)

	type kind struct {
		operation string
		state     job.State
	}
	jobs := map[kind]int64{}
	for _, o := range job.Runnable() {
		for _, state := range []job.State{job.Queued, job.Running, job.Cancelling} {
			jobs[kind{o.Name, state}] = 0
		}
	}
	age := time.Duration(0)
	for _, c := range d.live {
		jobs[kind{c.Operation, c.State}] = c.Jobs
		if c.State == job.Queued {
			age = max(age, d.now().Sub(c.Oldest))
		}
	}
	for k, n := range jobs {
		ch <- gauge(jobsDesc, float64(n), k.operation, string(k.state))
	}
	ch <- gauge(queueAgeDesc, age.Seconds())
	if !d.refreshed.IsZero() {
		ch <- gauge(refreshedDesc, float64(d.refreshed.UnixMilli())/1000)
	}

	silent := 0
	for _, h := range d.reports {
		if h.Silent(d.now()) {
			silent++
		}
	}
	ch <- gauge(hostsDesc, float64(len(d.reports)-silent), "heard")
	ch <- gauge(hostsDesc, float64(silent), "silent")

	yes := map[bool]float64{true: 1}
	for _, s := range d.servers {
		id := strconv.FormatInt(s.ID, 10)
		state, _ := s.Now(d.now())
		up := state == server.Running && s.Live.Answering
		ch <- gauge(serverUpDesc, yes[up], id, s.Name)
		ch <- gauge(serverUpdateDesc, yes[s.Update.Waits != ""], id, s.Name)
		if up {
			ch <- gauge(serverPlayersDesc, float64(s.Live.Humans), id, s.Name)
		}
		if silence, running := s.Silence(d.now()); running {
			ch <- gauge(serverSilenceDesc, silence.Seconds(), id, s.Name)
		}
	}
}
