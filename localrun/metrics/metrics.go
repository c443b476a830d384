// Package metrics collects the metrics of a process of localrun, and writes them in Prometheus' format.
//
// It owns the names, which README.md lists, and reads the database for some of them. It finds out what functions do with Steam
// from the log lines of package steam in their output. It does not listen on an address.
package metrics

import (
	"context"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"left4me/localrun/agent"
	"left4me/localrun/lambdahost"
	"left4me/shared/host"
	"left4me/shared/job"
	"left4me/shared/jobstore"
	"left4me/shared/server"
	"left4me/shared/steam"
)

// Metrics are the metrics of one process. They are an http.Handler that answers a scrape.
type Metrics struct {
	registry  *prometheus.Registry
	scrape    http.Handler
	database  *database
	functions *functions

	requests    *prometheus.CounterVec
	requestTime *prometheus.HistogramVec
	inFlight    prometheus.Gauge
	runs        *prometheus.CounterVec
	runTime     *prometheus.HistogramVec
	downloads   *prometheus.CounterVec
	bytes       prometheus.Counter
	steamErrors *prometheus.CounterVec
}

var (
	requestBuckets = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}
	runBuckets     = []float64{.1, .5, 1, 5, 15, 60, 300, 900, 3600, 4 * 3600}
)

// New returns the metrics of a process of this version. Each scrape reads jobs, hosts and servers.
func New(version string, jobs *jobstore.Store, hosts *host.Store, servers *server.Store, log *slog.Logger) *Metrics {
	m := &Metrics{
		registry:  prometheus.NewRegistry(),
		database:  &database{jobs: jobs, hosts: hosts, games: servers, now: time.Now, log: log},
		functions: &functions{},
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "left4me_http_requests_total", Help: "Requests for pages, by function and status code."}, []string{"function", "code"}),
		requestTime: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "left4me_http_request_duration_seconds", Help: "Time from a request's arrival to the end of its answer, by function.", Buckets: requestBuckets}, []string{"function"}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "left4me_http_requests_in_flight", Help: "Requests that are being answered."}),
		runs: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "left4me_job_runs_total", Help: "Runs of jobs that have ended, by operation and result."}, []string{"operation", "result"}),
		runTime: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "left4me_job_run_duration_seconds", Help: "Time that runs of jobs took, by operation.", Buckets: runBuckets}, []string{"operation"}),
		downloads: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "left4me_downloads_total", Help: "Items that were downloaded, or could not be after all their attempts."}, []string{"result"}),
		bytes: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "left4me_downloaded_bytes_total", Help: "Size of the files that were downloaded."}),
		steamErrors: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "left4me_steam_errors_total", Help: "Failed requests to Steam, also those that were made again, by source and kind."}, []string{"source", "kind"}),
	}
	build := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "left4me_build_info", Help: "1, labelled with left4me's version."}, []string{"version"})
	build.WithLabelValues(version).Set(1)
	m.registry.MustRegister(build, m.steamErrors, m.functions, m.database,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.scrape = promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelError), ErrorHandling: promhttp.ContinueOnError,
		DisableCompression: true, // its buffers are larger than the text
	})
	return m
}

// ServeHTTP answers a scrape.
func (m *Metrics) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m.database.refresh(context.WithoutCancel(r.Context())) // concurrent scrapes share the result
	m.scrape.ServeHTTP(w, r)
}

// AddPages adds the metrics of a process that serves pages. stats returns the state of its functions.
func (m *Metrics) AddPages(stats func() lambdahost.Stats) {
	m.functions.add(stats)
	m.registry.MustRegister(m.requests, m.requestTime, m.inFlight)
}

// AddJobs adds the metrics of a process that runs jobs. stats returns the state of its functions, and disk the last report of
// its host, if there is one.
func (m *Metrics) AddJobs(stats func() lambdahost.Stats, disk func() (host.Host, bool)) {
	m.functions.add(stats)
	m.registry.MustRegister(m.runs, m.runTime, m.downloads, m.bytes, files(disk))
	// Create the counters with 0, so that the first event is an increase.
	for _, o := range job.Runnable() {
		for _, result := range agent.Results() {
			m.runs.WithLabelValues(o.Name, string(result))
		}
	}
	m.downloads.WithLabelValues("succeeded")
	m.downloads.WithLabelValues("failed")
}

// InFlight returns h with a count of the requests that it is answering.
func (m *Metrics) InFlight(h http.Handler) http.Handler {
	return promhttp.InstrumentHandlerInFlight(m.inFlight, h)
}

// Served counts an answered request. function is empty if there is no such page.
func (m *Metrics) Served(function string, status int, took time.Duration) {
	if function == "" {
		function = "none"
	}
	m.requests.WithLabelValues(function, strconv.Itoa(status)).Inc()
	m.requestTime.WithLabelValues(function).Observe(took.Seconds())
}

// Ran counts a run of a job.
func (m *Metrics) Ran(r agent.Run) {
	m.runs.WithLabelValues(r.Operation, string(r.Result)).Inc()
	m.runTime.WithLabelValues(r.Operation).Observe(r.Took.Seconds())
}

// OutputLog returns a log for the output of functions. It passes all records on to log, and counts those about Steam.
func (m *Metrics) OutputLog(log *slog.Logger) *slog.Logger {
	return slog.New(countingHandler{log.Handler(), m})
}

type countingHandler struct {
	slog.Handler
	metrics *Metrics
}

// Enabled returns true because records below the log's level are counted, too.
func (h countingHandler) Enabled(context.Context, slog.Level) bool { return true }

func (h countingHandler) Handle(ctx context.Context, r slog.Record) error {
	steam.ReadLog(r, counter{h.metrics})
	if !h.Handler.Enabled(ctx, r.Level) {
		return nil
	}
	return h.Handler.Handle(ctx, r)
}

func (h countingHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return countingHandler{h.Handler.WithAttrs(attrs), h.metrics}
}

func (h countingHandler) WithGroup(name string) slog.Handler {
	return countingHandler{h.Handler.WithGroup(name), h.metrics}
}

// counter makes Metrics a steam.LogCounter.
type counter struct{ *Metrics }

func (c counter) Downloaded(bytes int64) {
	c.downloads.WithLabelValues("succeeded").Inc()
	c.bytes.Add(float64(bytes))
}

func (c counter) NotDownloaded() { c.downloads.WithLabelValues("failed").Inc() }

func (c counter) SteamFailed(source, kind string) { c.steamErrors.WithLabelValues(source, kind).Inc() }
