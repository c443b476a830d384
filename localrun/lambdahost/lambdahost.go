// Package lambdahost runs function binaries as AWS Lambda does: it starts them as child processes, serves Lambda's Runtime API
// to them, and gives each process one request at a time. The binaries are the same aws-lambda-go programs as on AWS.
//
// It owns the processes (start, reuse, idle exit, time limits, crashes, limits, shutdown) and logs their output. It does not
// know pages or jobs: it passes on payloads and answers.
//
// # How processes are identified
//
// The Runtime API does not identify its caller. aws-lambda-go builds its URLs as "http://" + AWS_LAMBDA_RUNTIME_API +
// "/2018-06-01/…" without checking the value, so each process gets a value with its own path: "127.0.0.1:PORT/TOKEN", where
// TOKEN is 128 random bits. So one loopback listener serves all processes. Other users of the machine can reach the port, but
// cannot read the token in another user's environment.
//
// # When the host is killed
//
// The kernel kills its processes, busy ones too, so that none goes on unwatched. A job's lease ends then, and another agent takes
// the job over.
package lambdahost

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"time"
)

// MaxPayload is the largest request and the largest answer, in bytes: Lambda's limit for buffered invocations.
const MaxPayload = 6 << 20

// Function is a program that the host may run.
type Function struct {
	// Name is the name that is passed to Invoke.
	Name string
	// Path is the absolute path of the executable.
	Path string
	// Env is the environment ("NAME=value"). The host adds the variables that Lambda gives to every function, but nothing from
	// its own environment.
	Env []string
	// MaxProcesses is how many processes of the function may run at once.
	MaxProcesses int
	// TimeLimit is how long one invocation may take. Then its process is killed.
	TimeLimit time.Duration
}

// Config has the functions and the limits of a host. Zero values mean the defaults.
type Config struct {
	// Functions are the programs. Each has a different name.
	Functions []Function
	// MaxProcesses limits the processes of all functions together. Default: the sum of the functions' own limits.
	MaxProcesses int
	// MaxWaiting limits how many requests of one function wait for a process. Default: 256.
	MaxWaiting int
	// QueueWait is how long a request waits for a free process. Default: 10 s.
	QueueWait time.Duration
	// StartLimit is how long a new process may take to ask for its first request. Default: 10 s, as on Lambda.
	StartLimit time.Duration
	// Idle is how long an idle process stays. Default: 60 s.
	Idle time.Duration
	// MaxIdle is how many idle processes of all functions together stay so long: those that were used last. Others end after
	// SurplusIdle. Default: all.
	MaxIdle int
	// SurplusIdle is how long idle processes beyond MaxIdle stay. Default: 5 s, or Idle if that is shorter.
	SurplusIdle time.Duration
	// Grace is the time between SIGTERM and SIGKILL. Default: 5 s.
	Grace time.Duration
	// SingleShot ends every process after one request.
	SingleShot bool
	// Log receives the functions' output and messages about their processes. Default: none.
	Log *slog.Logger
}

// Answer is the answer of a function.
type Answer struct {
	// Payload is the unchanged answer: JSON, unless the function is broken.
	Payload []byte
	// Cold is true if this was the first request of the process.
	Cold bool
}

// Host runs functions. Its methods may be called concurrently.
type Host struct {
	cfg       Config
	log       *slog.Logger
	functions map[string]*function
	server    *http.Server
	address   string
	served    chan struct{}

	mu        sync.Mutex
	processes map[string]*process // by token, from launch until the process is reaped
	ending    int                 // the number of processes that were told to end
	waiting   []*invocation       // requests without a process, oldest first
	closing   bool
	empty     chan struct{} // closed when closing is set and no process or request is left
}

// New checks cfg and opens the Runtime API on a loopback port. No process starts before the first Invoke. The caller must call
// Shutdown in the end.
func New(cfg Config) (*Host, error) {
	h := &Host{
		cfg:       cfg,
		log:       cfg.Log,
		functions: make(map[string]*function, len(cfg.Functions)),
		processes: make(map[string]*process),
		served:    make(chan struct{}),
		empty:     make(chan struct{}),
	}
	if h.log == nil {
		h.log = slog.New(slog.DiscardHandler)
	}
	total := 0
	for _, f := range cfg.Functions {
		switch {
		case f.Name == "":
			return nil, errors.New("lambda host: a function has no name")
		case h.functions[f.Name] != nil:
			return nil, fmt.Errorf("lambda host: function %s is listed twice", f.Name)
		case !filepath.IsAbs(f.Path):
			return nil, fmt.Errorf("lambda host: function %s: path %q is not absolute", f.Name, f.Path)
		case f.MaxProcesses < 1:
			return nil, fmt.Errorf("lambda host: function %s: MaxProcesses is %d, must be at least 1", f.Name, f.MaxProcesses)
		case f.TimeLimit <= 0:
			return nil, fmt.Errorf("lambda host: function %s: TimeLimit is %v, must be positive", f.Name, f.TimeLimit)
		}
		total += f.MaxProcesses
		h.functions[f.Name] = &function{Function: f}
	}
	setDefault(&h.cfg.MaxProcesses, total)
	setDefault(&h.cfg.MaxWaiting, 256)
	setDefault(&h.cfg.QueueWait, 10*time.Second)
	setDefault(&h.cfg.StartLimit, 10*time.Second)
	setDefault(&h.cfg.Idle, time.Minute)
	setDefault(&h.cfg.MaxIdle, h.cfg.MaxProcesses)
	setDefault(&h.cfg.SurplusIdle, min(5*time.Second, h.cfg.Idle))
	setDefault(&h.cfg.Grace, 5*time.Second)

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("lambda host: open the Runtime API: %w", err)
	}
	h.address = listener.Addr().String()
	h.server = &http.Server{
		Handler:           http.HandlerFunc(h.serveRuntimeAPI),
		ReadHeaderTimeout: 10 * time.Second, // against other users of the machine; idle connections may stay open
		IdleTimeout:       -1,
		ErrorLog:          slog.NewLogLogger(h.log.Handler(), slog.LevelDebug),
	}
	go func() {
		defer close(h.served)
		if err := h.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			h.log.Error("Runtime API ended", "error", err)
		}
	}()
	return h, nil
}

func setDefault[T int | time.Duration](v *T, d T) {
	if *v <= 0 {
		*v = d
	}
}

// Invoke sends payload to a process of the named function and returns its answer. requestID becomes the function's Lambda
// request id: 1 to 128 letters, digits, '-', '_' or '.'.
//
// The errors are *UnknownFunctionError, *BusyError, *TimeoutError, *FunctionError, *ExitError, *TooLargeError, ErrClosed, or
// the cause of ctx. If ctx ends while the function works, its process gets SIGTERM, and SIGKILL after Config.Grace. Invoke
// still waits for the process, and returns its answer if there is one. With a *KillError as its cause, ctx ends both at once.
func (h *Host) Invoke(ctx context.Context, function, requestID string, payload []byte) (Answer, error) {
	f := h.functions[function]
	if f == nil {
		return Answer{}, &UnknownFunctionError{Function: function}
	}
	if !validRequestID(requestID) {
		return Answer{}, fmt.Errorf("invoke %s: request id %q is not 1 to 128 letters, digits, '-', '_' or '.'", function, requestID)
	}
	if len(payload) > MaxPayload {
		return Answer{}, &TooLargeError{Function: function, Size: int64(len(payload))}
	}
	if ctx.Err() != nil {
		return Answer{}, fmt.Errorf("invoke %s: %w", function, context.Cause(ctx))
	}
	inv := &invocation{function: f, id: requestID, payload: payload, done: make(chan struct{})}
	if err := h.admit(inv); err != nil {
		return Answer{}, err
	}
	select {
	case <-inv.done:
	case <-ctx.Done():
		h.stop(inv, fmt.Errorf("function %s stopped: %w", function, context.Cause(ctx)))
		<-inv.done
	}
	return inv.answer, inv.err
}

func validRequestID(id string) bool {
	for _, c := range []byte(id) {
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_' || c == '.') {
			return false
		}
	}
	return 0 < len(id) && len(id) <= 128
}

// Shutdown ends the host: Invoke returns ErrClosed from now on, idle processes end, and accepted requests finish. If ctx ends
// first, waiting requests fail with ErrClosed, every process gets SIGTERM, and SIGKILL after Config.Grace, and Shutdown returns
// the cause of ctx. All processes have exited when it returns.
func (h *Host) Shutdown(ctx context.Context) error {
	h.mu.Lock()
	h.closing = true
	for _, f := range h.functions {
		for len(f.idle) > 0 {
			h.terminate(f.idle[0])
		}
	}
	h.unlock()

	var err error
	select {
	case <-h.empty:
	case <-ctx.Done():
		err = fmt.Errorf("lambda host: drain: %w", context.Cause(ctx))
		h.abandon()
		<-h.empty
	}
	h.server.Close()
	<-h.served
	return err
}

// Stats are the current numbers of processes and requests.
type Stats struct {
	// Processes is the number of processes that were started and have not exited.
	Processes int
	// Waiting is the number of requests without a process.
	Waiting int
	// Functions has an entry for each function.
	Functions map[string]FunctionStats
}

// FunctionStats are the numbers of one function.
type FunctionStats struct {
	// Processes is the number of processes that were started and have not exited: Starting, Idle, Busy, and those that are
	// ending.
	Processes, Starting, Idle, Busy int
	// Waiting is the number of requests without a process.
	Waiting int
	// Cold and Warm count the requests to new and used processes. Crashes counts the processes that exited by themselves or
	// were killed because they hung.
	Cold, Warm, Crashes uint64
}

// Stats returns a snapshot.
func (h *Host) Stats() Stats {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := Stats{Processes: len(h.processes), Waiting: len(h.waiting), Functions: make(map[string]FunctionStats, len(h.functions))}
	for name, f := range h.functions {
		s.Functions[name] = FunctionStats{
			Processes: f.processes, Starting: f.starting, Idle: len(f.idle), Busy: f.busy, Waiting: f.waiting,
			Cold: f.cold, Warm: f.warm, Crashes: f.crashes,
		}
	}
	return s
}
