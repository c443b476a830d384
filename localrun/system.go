package main

import (
	"context"
	"encoding/json"
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

	"github.com/google/uuid"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"left4me/localrun/agent"
	"left4me/localrun/gateway"
	"left4me/localrun/heartbeat"
	"left4me/localrun/lambdahost"
	"left4me/localrun/metrics"
	"left4me/localrun/sdnotify"
	"left4me/localrun/watch"
	"left4me/shared/db"
	"left4me/shared/fn"
	"left4me/shared/game/supervisor"
	"left4me/shared/host"
	"left4me/shared/job"
	"left4me/shared/jobstore"
	"left4me/shared/route"
	"left4me/shared/server"
	"left4me/shared/settings"
	"left4me/shared/wake"
	"left4me/shared/workshop"
)

const (
	// lookEmbedded, lookServer and lookQueue are how often the agent looks for jobs without being woken: with a database file, where
	// this takes microseconds; with a server, where it takes two round trips, which may cost money; and with a server and a queue, which
	// wakes it for every job, wherever the pages are.
	lookEmbedded = time.Second
	lookServer   = 5 * time.Second
	lookQueue    = time.Minute
	// watchEmbedded and watchServer are how often the agent looks after the game servers, with the one and the other.
	watchEmbedded = 10 * time.Second
	watchServer   = time.Minute
	// copyConsoles is how often the consoles that somebody watches are copied to the database.
	copyConsoles = 500 * time.Millisecond
	// tellEmbedded and tellServer are how often the agent looks whether webhooks are to be told something, with the one and the other.
	tellEmbedded = time.Second
	tellServer   = 15 * time.Second
	// lookTime is how long one look for jobs may take if the database is slow or unreachable.
	lookTime = 30 * time.Second
	// drainTime is how long running requests and jobs may take to end.
	drainTime = 15 * time.Second
	// warmProcesses is how many idle processes of pages, and of jobs, stay for a while after a rush.
	warmProcesses = 3
	// defaultProcesses limits the processes of all pages together. Each needs a few MiB.
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

func (o *options) addFunctionsFlag(c *cobra.Command) {
	c.Flags().StringVar(&o.functions, "functions", "", "directory of the function binaries (default functions/ beside localrun)")
}

func (o *options) addFlags(c *cobra.Command) {
	o.addFunctionsFlag(c)
	c.Flags().DurationVar(&o.idle, "idle", time.Minute, "how long an idle process stays, after a rush only the last three")
	c.Flags().BoolVar(&o.singleShot, "single-shot", false, "start a new process for each request")
}

func (o *options) addPageFlags(c *cobra.Command) {
	c.Flags().IntVar(&o.processes, "max-processes", defaultProcesses, "how many processes may serve pages at once")
}

func (o *options) addJobFlags(c *cobra.Command) {
	c.Flags().IntVar(&o.jobs, "jobs", 2, "how many jobs may run at once")
}

func (o *options) check(servesPages, runsJobs bool) error {
	switch {
	case o.idle <= 0:
		return errors.New("--idle must be more than 0")
	case servesPages && o.processes < 1:
		return errors.New("--max-processes must be at least 1")
	case runsJobs && o.jobs < 1:
		return errors.New("--jobs must be at least 1")
	}
	return nil
}

// directory returns the directory of the function binaries.
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

// oneThread makes functions that answer one request at a time start and answer 10 % faster.
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

// checkFunctions are the functions of all checks.
func checkFunctions() []lambdahost.Function {
	var all []lambdahost.Function
	for _, c := range job.Checks() {
		all = append(all, lambdahost.Function{Name: c.Function, Env: []string{oneThread}, MaxProcesses: 1, TimeLimit: c.TimeLimit})
	}
	return all
}

// newHost returns a host for functions, whose binaries must exist. total limits the processes of all functions together, unless
// it is 0.
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
		MaxIdle:      warmProcesses,
		SingleShot:   o.singleShot,
		Log:          log,
	})
}

// functionEnviron returns the environment of functions: the settings, and this host's variables for reaching Steam and the job
// queue.
func functionEnviron(s settings.Settings) []string {
	env := s.Environ()
	names := []string{"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy", "SSL_CERT_FILE", "SSL_CERT_DIR"}
	if len(s.JobQueueURLs) > 0 {
		names = append(names, "AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_SQS")
	}
	for _, name := range names {
		if value, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	return env
}

// shutdown shuts host down after ctx has ended. It takes at most drainTime and the processes' grace time.
func shutdown(ctx context.Context, host *lambdahost.Host) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTime)
	defer cancel()
	if err := host.Shutdown(ctx); err != nil {
		return fmt.Errorf("end functions: %w", err)
	}
	return nil
}

// service is a part of left4me. It runs until its context ends, and then shuts down cleanly.
type service func(ctx context.Context) error

// runAll runs services until ctx ends or one of them returns, which stops the others.
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

// explainListen adds to an error of listening on the address in a setting what to do about it.
func explainListen(setting string, err error) error {
	advice := "set it to another address"
	switch {
	case errors.Is(err, unix.EADDRINUSE):
		advice = "is another left4me running?"
	case errors.Is(err, unix.EADDRNOTAVAIL):
		advice = "this machine does not have that address: use one that it has (`ip address`), or 0.0.0.0 for all of them"
	case errors.Is(err, unix.EACCES):
		advice = "only root may use that port: use one from 1024 on, and a proxy in front of it"
	}
	return fmt.Errorf("%s: %w; %s", setting, err, advice)
}

// listen listens on the pages' address, and returns the settings with the actual port.
func listen(s settings.Settings) (net.Listener, settings.Settings, error) {
	l, err := sdnotify.Listen(s.Listen)
	if err != nil {
		return nil, s, explainListen(settings.Listen, err)
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

// checkServer returns a check that the server on l answers a request. The request is `OPTIONS *`, which net/http answers itself,
// so that no function starts and nothing is logged.
func checkServer(l net.Listener) sdnotify.Check {
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

// pages returns the service that serves the routes on l, and its check.
func (o *options) pages(s settings.Settings, l net.Listener, m *metrics.Metrics, log *slog.Logger) (service, sdnotify.Check, error) {
	host, err := o.newHost(s, pageFunctions(), o.processes, m.OutputLog(log))
	if err != nil {
		return nil, nil, err
	}
	m.AddPages(host.Stats)
	limits := gateway.DefaultLimits()
	handler, err := gateway.New(gateway.Config{
		Routes:         route.All(),
		Functions:      host,
		ErrorPage:      errorPage,
		TrustedProxies: s.TrustedProxies,
		Limits:         limits,
		Served:         m.Served,
		Log:            log,
		Now:            time.Now,
	})
	if err != nil {
		return nil, nil, err
	}
	return func(ctx context.Context) error {
		log.Info("serving", "address", l.Addr().String(), "public_url", s.PublicURL.String())
		if s.AnyHost {
			log.Info("browsers may open the pages at any name and address of this machine, because PUBLIC_URL is not set")
		}
		err := gateway.Serve(ctx, l, m.InFlight(handler), limits, s.TrustedProxies, drainTime, log)
		err = errors.Join(err, shutdown(ctx, host))
		log.Info("stopped serving")
		return err
	}, checkServer(l), nil
}

// agent returns the service that runs jobs, and its check. command is the name of the running command.
func (o *options) agent(ctx context.Context, command string, s settings.Settings, d *db.DB, m *metrics.Metrics, log *slog.Logger) (service, sdnotify.Check, error) {
	functions, err := o.newHost(s, slices.Concat(jobFunctions(o.jobs), checkFunctions()), 0, m.OutputLog(log))
	if err != nil {
		return nil, nil, err
	}
	this, err := thisHost(command, s)
	if err != nil {
		return nil, nil, err
	}
	agents, err := joinAgents(s.Root)
	if err != nil {
		return nil, nil, err
	}
	hosts := host.NewStore(d, time.Now, jobstore.NewStore(d, time.Now))
	heart := heartbeat.New(this, s, hosts, workshop.NewStore(d, time.Now, jobstore.NewStore(d, time.Now)), log)
	m.AddJobs(functions.Stats, heart.Last)
	waiter, err := newWaiter(ctx, s, log)
	if err != nil {
		return nil, nil, err
	}
	var looked atomic.Pointer[time.Time]
	consoles := &watch.Consoles{Supervisor: supervisor.New(s), Host: this.ID, Every: copyConsoles, Woken: wake.NewSignal(), Log: log}
	look := func() {
		now := time.Now()
		looked.Store(&now)
		consoles.Woken.Set()
	}
	look()
	served := wake.NewSignal()
	a := &agent.Agent{
		Jobs:       jobstore.NewStore(d, time.Now),
		Host:       functions,
		Wake:       waiter,
		Operations: job.Runnable(),
		Parallel:   o.jobs,
		Worker:     jobstore.Worker{Name: fmt.Sprintf("agent on %s, process %d", this.Name, os.Getpid()), Host: this.ID},
		Look:       lookServer,
		Looked:     look,
		Worked: func(r agent.Run) {
			m.Ran(r)
			heart.Worked()
			if r.Operation == job.ServerStart.Name || r.Operation == job.ServerCommand.Name {
				served.Set()
			}
		},
		Log: log,
	}
	env := &fn.Env{Settings: s, DB: d, Jobs: jobstore.NewStore(d, time.Now), Log: log, Now: time.Now}
	servers := &watch.Watcher{
		DB: d, Root: s.Root, Servers: server.NewStore(d, time.Now, env.Jobs), Supervisor: supervisor.New(s), Host: this.ID, Every: watchServer,
		CheckEvery: job.CheckServers.Every, Check: func(ctx context.Context) error { return check(ctx, functions, job.CheckServers, this.ID) }, Woken: served,
		Enqueued: env.WakeAgent, Log: log,
	}
	consoles.Servers = servers.Servers
	tell := tellServer
	switch {
	case d.Embedded():
		a.Look, servers.Every, tell = lookEmbedded, watchEmbedded, tellEmbedded
	case len(s.JobQueueURLs) > 0:
		a.Look = lookQueue
	}
	alive := func(context.Context) error {
		if silence := time.Since(*looked.Load()); silence > 2*a.Look+lookTime {
			return fmt.Errorf("the agent has not looked for jobs for %s", silence.Round(time.Second))
		}
		return nil
	}
	return func(ctx context.Context) error {
		ctx, stop := context.WithCancel(ctx)
		defer stop()
		err := register(ctx, hosts, this, log, look)
		if err == nil {
			log.Info("looking for jobs", "operations", operationNames(a.Operations), "at_once", a.Parallel)
			var others sync.WaitGroup
			others.Go(func() {
				err = heart.Run(ctx)
				stop()
			})
			others.Go(func() { completeRemovals(ctx, d, this.ID, log) })
			others.Go(func() { servers.Run(ctx) })
			others.Go(func() { consoles.Run(ctx) })
			others.Go(func() { tellWebhooks(ctx, env, tell) })
			a.Run(ctx)
			others.Wait()
			reportEnd(ctx, hosts, this, agents, log)
		}
		if errors.Is(err, context.Canceled) { // told to end before it began
			err = nil
		}
		err = errors.Join(err, shutdown(ctx, functions), waiter.Close(), agents.Close())
		log.Info("stopped looking for jobs")
		return err
	}, alive, nil
}

// check has the function of c check the host with that id.
func check(ctx context.Context, functions *lambdahost.Host, c job.Check, hostID string) error {
	event, err := json.Marshal(job.CheckEvent{Host: hostID})
	if err == nil {
		_, err = functions.Invoke(ctx, c.Function, uuid.NewString(), event)
	}
	return err
}

func operationNames(operations []job.Operation) []string {
	var names []string
	for _, o := range operations {
		names = append(names, o.Name)
	}
	return slices.Sorted(slices.Values(names))
}
