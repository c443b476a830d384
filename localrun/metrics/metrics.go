// Package metrics counts what this process of localrun does, and says it in Prometheus' format.
//
// It owns the names, which README.md lists, and the look at the database that some of them need. It serves no address; and the
// lines about downloads and failed requests that it counts, in the output of functions, are shared/steam's.
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
	"left4me/shared/hostinfo"
	"left4me/shared/job"
	"left4me/shared/jobstore"
	"left4me/shared/steam"
)

// Metrics are those of one process. They are an http.Handler that answers a scrape.
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

// New returns the metrics of a process of this version. They say how things stand in the database, which is looked at only
// when somebody asks.
func New(version string, jobs *jobstore.Store, hosts *hostinfo.Store, log *slog.Logger) *Metrics {
	m := &Metrics{
		registry:  prometheus.NewRegistry(),
		database:  &database{jobs: jobs, hosts: hosts, now: time.Now, log: log},
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
		DisableCompression: true, // its buffers weigh more than the text
	})
	return m
}

// ServeHTTP answers a scrape.
func (m *Metrics) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m.database.look(context.WithoutCancel(r.Context())) // others may ask meanwhile, and share what is found
	m.scrape.ServeHTTP(w, r)
}

// Pages adds the metrics of a process that serves pages, whose functions are as stats says.
func (m *Metrics) Pages(stats func() lambdahost.Stats) {
	m.functions.of(stats)
	m.registry.MustRegister(m.requests, m.requestTime, m.inFlight)
}

// Jobs adds the metrics of a process that runs jobs, whose functions are as stats says. disk is what its host has reported
// last, if it has.
func (m *Metrics) Jobs(stats func() lambdahost.Stats, disk func() (hostinfo.Host, bool)) {
	m.functions.of(stats)
	m.registry.MustRegister(m.runs, m.runTime, m.downloads, m.bytes, files(disk))
	// Zero, so that the first one is a change.
	for _, o := range job.Runnable() {
		for _, result := range agent.Results() {
			m.runs.WithLabelValues(o.Name, string(result))
		}
	}
	m.downloads.WithLabelValues("succeeded")
	m.downloads.WithLabelValues("failed")
}

// InFlight counts the requests that are inside of h.
func (m *Metrics) InFlight(h http.Handler) http.Handler {
	return promhttp.InstrumentHandlerInFlight(m.inFlight, h)
}

// Served counts a request that a function has answered, or the gateway in its place; function is empty where there is no
// page.
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

// Listen returns a log for the output of functions: it hands everything on to log, and counts what is said about Steam.
func (m *Metrics) Listen(log *slog.Logger) *slog.Logger {
	return slog.New(listener{log.Handler(), m})
}

type listener struct {
	slog.Handler
	metrics *Metrics
}

// Enabled is true for what nobody logs, too: it is counted all the same.
func (l listener) Enabled(context.Context, slog.Level) bool { return true }

func (l listener) Handle(ctx context.Context, r slog.Record) error {
	steam.ReadLog(r, counter{l.metrics})
	if !l.Handler.Enabled(ctx, r.Level) {
		return nil
	}
	return l.Handler.Handle(ctx, r)
}

func (l listener) WithAttrs(attrs []slog.Attr) slog.Handler {
	return listener{l.Handler.WithAttrs(attrs), l.metrics}
}

func (l listener) WithGroup(name string) slog.Handler {
	return listener{l.Handler.WithGroup(name), l.metrics}
}

// counter is the steam.LogCounter.
type counter struct{ *Metrics }

func (c counter) Downloaded(bytes int64) {
	c.downloads.WithLabelValues("succeeded").Inc()
	c.bytes.Add(float64(bytes))
}

func (c counter) NotDownloaded() { c.downloads.WithLabelValues("failed").Inc() }

func (c counter) SteamFailed(source, kind string) { c.steamErrors.WithLabelValues(source, kind).Inc() }
