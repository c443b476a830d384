package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"left4me/localrun/agent"
	"left4me/localrun/gateway"
	"left4me/localrun/heartbeat"
	"left4me/localrun/lambdahost"
	"left4me/localrun/metrics"
	"left4me/localrun/sdnotify"
	"left4me/shared/db"
	"left4me/shared/fn"
	"left4me/shared/hostinfo"
	"left4me/shared/job"
	"left4me/shared/jobstore"
	"left4me/shared/route"
	"left4me/shared/settings"
	"left4me/shared/workshop"
)

const (
	// lookEmbedded and lookServer are how often the agent looks for jobs without being woken: a look at a file costs
	// microseconds, one at a server a round trip that somebody pays for.
	lookEmbedded = time.Second
	lookServer   = time.Minute
	// lookTime is how long one look may take with a database that is slow or away.
	lookTime = 30 * time.Second
	// drainTime is how long requests and jobs get to come to an end.
	drainTime = 15 * time.Second
	// defaultProcesses bounds the pages' processes together: each is a Go program of a few MiB.
	defaultProcesses = 32
)

// options are the flags of the commands that run functions.
type options struct {
	functions  string
	idle       time.Duration
	singleShot bool
	processes  int
	jobs       int
}

func (o *options) addFlags(c *cobra.Command) {
	c.Flags().StringVar(&o.functions, "functions", "", "directory of the function binaries (default functions/ beside localrun)")
	c.Flags().DurationVar(&o.idle, "idle", time.Minute, "how long a process without work stays")
	c.Flags().BoolVar(&o.singleShot, "single-shot", false, "one process for each request")
}

func (o *options) addPageFlags(c *cobra.Command) {
	c.Flags().IntVar(&o.processes, "max-processes", defaultProcesses, "how many processes may serve pages at once")
}

func (o *options) addJobFlags(c *cobra.Command) {
	c.Flags().IntVar(&o.jobs, "jobs", 2, "how many jobs may run at once")
}

func (o *options) check() error {
	switch {
	case o.idle <= 0:
		return errors.New("--idle must be more than nothing")
	case o.processes < 0 || o.jobs < 0:
		return errors.New("--max-processes and --jobs must be at least 1")
	}
	return nil
}

// directory is where the function binaries are.
func (o *options) directory() (string, error) {
	if o.functions != "" {
		return filepath.Abs(o.functions)
	}
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	if self, err = filepath.EvalSymlinks(self); err != nil {
		return "", err
	}
	return filepath.Join(filepath.Dir(self), "functions"), nil
}

// oneThread is for a process that answers one request at a time: it starts and answers a tenth sooner when Go's runtime
// does not spread that over processors.
const oneThread = "GOMAXPROCS=1"

// pageFunctions are the functions of all routes.
func pageFunctions() []lambdahost.Function {
	var all []lambdahost.Function
	for _, r := range route.All() {
		all = append(all, lambdahost.Function{Name: r.Name, Env: []string{oneThread}, MaxProcesses: r.MaxProcesses, TimeLimit: r.TimeLimit})
	}
	return all
}

// jobFunctions are the functions of all operations.
func jobFunctions(parallel int) []lambdahost.Function {
	var all []lambdahost.Function
	for _, o := range job.Runnable() {
		all = append(all, lambdahost.Function{Name: o.Function, MaxProcesses: parallel, TimeLimit: o.TimeLimit})
	}
	return all
}

// newHost returns a host for functions, whose binaries must be there. One that bounds all processes together bounds them
// by total.
func (o *options) newHost(s settings.Settings, functions []lambdahost.Function, total int, log *slog.Logger) (*lambdahost.Host, error) {
	dir, err := o.directory()
	if err != nil {
		return nil, err
	}
	env := functionEnviron(s)
	for i := range functions {
		f := &functions[i]
		f.Env = slices.Concat(env, f.Env)
		f.Path = filepath.Join(dir, f.Name)
		if info, err := os.Stat(f.Path); err != nil || !info.Mode().IsRegular() {
			return nil, fmt.Errorf("function %s is missing in %s: run `make build`, or name the directory with --functions", f.Name, dir)
		}
	}
	return lambdahost.New(lambdahost.Config{
		Functions:    functions,
		MaxProcesses: total,
		Idle:         o.idle,
		SingleShot:   o.singleShot,
		Log:          log,
	})
}

// functionEnviron is the environment of functions: the settings, and what the ways to Steam and to the job queue may need
// on this host.
func functionEnviron(s settings.Settings) []string {
	env := s.Environ()
	names := []string{"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy", "SSL_CERT_FILE", "SSL_CERT_DIR"}
	if s.JobQueueURL != "" {
		names = append(names, "AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_SQS")
	}
	for _, name := range names {
		if value, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	return env
}

// service is a part of left4me that runs until its context ends, and then comes to an end in good order.
type service func(ctx context.Context) error

// runAll runs services until ctx ends or one of them fails, which ends the others.
func runAll(ctx context.Context, services ...service) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	errs := make([]error, len(services))
	var running sync.WaitGroup
	for i, s := range services {
		running.Go(func() {
			errs[i] = s(ctx)
			stop()
		})
	}
	running.Wait()
	return errors.Join(errs...)
}

// listen opens the address for pages, and returns the settings with the port that it really has.
func listen(s settings.Settings) (net.Listener, settings.Settings, error) {
	l, err := sdnotify.Listen(s.Listen)
	if err != nil {
		return nil, s, fmt.Errorf("%s: %w; is another left4me running?", settings.Listen, err)
	}
	s, err = settings.Load(func(name string) string {
		if name == settings.Listen {
			return l.Addr().String()
		}
		return os.Getenv(name)
	})
	if err != nil {
		return nil, s, errors.Join(err, l.Close())
	}
	return l, s, nil
}

// supervised is the service that tells systemd how the others are.
func supervised(log *slog.Logger, checks ...sdnotify.Check) service {
	return func(ctx context.Context) error { return sdnotify.Run(ctx, log, checks...) }
}

// answers checks that the server which listens at l takes a request and answers. This one it answers by itself: it starts
// no function and leaves no line in the log.
func answers(l net.Listener) sdnotify.Check {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	return func(ctx context.Context) error {
		request, err := http.NewRequestWithContext(ctx, http.MethodOptions, "http://"+l.Addr().String(), nil)
		if err != nil {
			return err
		}
		request.URL.Opaque = "*"
		response, err := client.Do(request)
		if err != nil {
			return fmt.Errorf("the server does not answer: %w", err)
		}
		return response.Body.Close()
	}
}

// pages serves the routes on l, and gives the check that it does.
func (o *options) pages(s settings.Settings, l net.Listener, m *metrics.Metrics, log *slog.Logger) (service, sdnotify.Check, error) {
	host, err := o.newHost(s, pageFunctions(), o.processes, m.OutputLog(log))
	if err != nil {
		return nil, nil, err
	}
	m.AddPages(host.Stats)
	handler, err := gateway.New(gateway.Config{
		Routes:         route.All(),
		Functions:      host,
		ErrorPage:      errorPage,
		TrustedProxies: s.TrustedProxies,
		Served:         m.Served,
		Log:            log,
		Now:            time.Now,
	})
	if err != nil {
		return nil, nil, err
	}
	return func(ctx context.Context) error {
		log.Info("serving", "address", l.Addr().String(), "public_url", s.PublicURL.String())
		err := gateway.Serve(ctx, l, m.InFlight(handler), drainTime, log)
		drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTime)
		defer cancel()
		if herr := host.Shutdown(drain); herr != nil {
			err = errors.Join(err, fmt.Errorf("end functions: %w", herr))
		}
		log.Info("stopped serving")
		return err
	}, answers(l), nil
}

// agent runs jobs, as part of that command, and gives the check that it looks for them.
func (o *options) agent(ctx context.Context, command string, s settings.Settings, d *db.DB, m *metrics.Metrics, log *slog.Logger) (service, sdnotify.Check, error) {
	host, err := o.newHost(s, jobFunctions(o.jobs), 0, m.OutputLog(log))
	if err != nil {
		return nil, nil, err
	}
	if err := os.MkdirAll(s.Root, 0o755); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", settings.Root, err)
	}
	heart, err := heartbeat.New(command, fn.Version, s, hostinfo.NewStore(d, time.Now), workshop.NewStore(d, time.Now, jobstore.NewStore(d, time.Now)), log)
	if err != nil {
		return nil, nil, err
	}
	m.AddJobs(host.Stats, heart.Last)
	wakes, err := listenForWakes(ctx, s, log)
	if err != nil {
		return nil, nil, err
	}
	var looked atomic.Pointer[time.Time]
	look := func() {
		now := time.Now()
		looked.Store(&now)
	}
	look()
	hostname, _ := os.Hostname()
	a := &agent.Agent{
		Jobs:       jobstore.NewStore(d, time.Now),
		Host:       host,
		Wake:       wakes,
		Operations: job.Runnable(),
		Parallel:   o.jobs,
		Worker:     fmt.Sprintf("agent on %s, process %d", hostname, os.Getpid()),
		Look:       lookServer,
		Looked:     look,
		Worked: func(r agent.Run) {
			m.Ran(r)
			heart.Worked()
		},
		Log: log,
	}
	if d.Embedded() {
		a.Look = lookEmbedded
	}
	looks := func(context.Context) error {
		if silence := time.Since(*looked.Load()); silence > 2*a.Look+lookTime {
			return fmt.Errorf("the agent has not looked for jobs for %s", silence.Round(time.Second))
		}
		return nil
	}
	return func(ctx context.Context) error {
		log.Info("looking for jobs", "operations", operationNames(a.Operations), "at_once", a.Parallel)
		var beside sync.WaitGroup
		beside.Go(func() { heart.Run(ctx) })
		beside.Go(func() { completeRemovals(ctx, d, log) })
		a.Run(ctx)
		beside.Wait()
		drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTime)
		defer cancel()
		err := errors.Join(host.Shutdown(drain), wakes.Close())
		log.Info("stopped looking for jobs")
		return err
	}, looks, nil
}

func operationNames(operations []job.Operation) []string {
	var names []string
	for _, o := range operations {
		names = append(names, o.Name)
	}
	return slices.Sorted(slices.Values(names))
}
