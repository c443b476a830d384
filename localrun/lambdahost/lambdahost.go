// Package lambdahost runs function binaries as AWS Lambda does: it starts them as child processes, speaks Lambda's
// Runtime API to them, and gives each one request at a time. The binaries are unmodified aws-lambda-go programs, the very
// ones that are deployed to AWS.
//
// It owns the processes (start, reuse, idle exit, time limits, crash, bounds, drain) and their output, which it logs. It
// knows nothing of HTTP pages or job rows: a payload goes in, an answer comes out.
//
// # Who is calling
//
// The Runtime API has no notion of who asks. aws-lambda-go builds its addresses as "http://" + AWS_LAMBDA_RUNTIME_API +
// "/2018-06-01/…" without a look at the value, so each process gets a value with a path of its own:
// "127.0.0.1:PORT/TOKEN" with 128 random bits. One loopback listener therefore serves all processes, the token says which
// process is speaking, and other users of the machine, who can reach the port but cannot read another user's environment,
// get nothing.
//
// # When the host itself is killed
//
// Children are not tied to the host's life (no parent-death signal). An idle function ends by itself, because its
// connection to the Runtime API breaks. One that is working may go on to its end, as a job that owns a lease should; it
// then fails to deliver its answer and ends. Standard output and error are pipes into the host, so a function that wants
// to live through that must ignore SIGPIPE.
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
	// Name is how Invoke asks for it.
	Name string
	// Path is the executable, absolute.
	Path string
	// Env is its environment ("NAME=value"), to which the host adds what Lambda gives to every function. Nothing is
	// inherited from the host's own environment.
	Env []string
	// MaxProcesses is how many processes of it may run at once.
	MaxProcesses int
	// TimeLimit is how long one invocation may take; then its process is killed.
	TimeLimit time.Duration
}

// Config says what to run and within which bounds. Zero values stand for the defaults that are named here.
type Config struct {
	// Functions are the programs; their names differ.
	Functions []Function
	// MaxProcesses bounds the processes of all functions together. Default: the sum of the functions' own bounds.
	MaxProcesses int
	// MaxWaiting bounds the requests of one function that wait for a process. Default: 256.
	MaxWaiting int
	// QueueWait is how long a request waits for a process while the bounds are reached. Default: 10 s.
	QueueWait time.Duration
	// StartLimit is how long a new process may take until it asks for its first request. Default: 10 s, as on Lambda.
	StartLimit time.Duration
	// Idle is how long a process without work stays. Default: 60 s.
	Idle time.Duration
	// Grace is the time between SIGTERM and SIGKILL. Default: 5 s.
	Grace time.Duration
	// SingleShot ends every process after one request.
	SingleShot bool
	// Log gets the functions' output and what happens to their processes. Default: none.
	Log *slog.Logger
}

// Answer is what a function answered.
type Answer struct {
	// Payload is the function's answer as it came: JSON, unless the function is broken.
	Payload []byte
	// Cold says that the process was started for this request or another one that waited, and had served none before.
	Cold bool
}

// Host runs functions. Its methods may be called by many goroutines at once.
type Host struct {
	cfg       Config
	log       *slog.Logger
	functions map[string]*function
	server    *http.Server
	address   string
	served    chan struct{}

	mu        sync.Mutex
	processes map[string]*process // by token; every process from its launch until it is reaped
	leaving   int                 // how many of them have been told to end
	waiting   []*invocation       // requests without a process, oldest first
	closing   bool
	empty     chan struct{} // closed when closing, and neither process nor request is left
}

// New checks cfg and opens the Runtime API on a loopback port. No process starts before the first Invoke. The caller ends
// the host with Shutdown.
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
	setDefault(&h.cfg.Grace, 5*time.Second)

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("lambda host: open the Runtime API: %w", err)
	}
	h.address = listener.Addr().String()
	h.server = &http.Server{
		Handler:           http.HandlerFunc(h.serveRuntimeAPI),
		ReadHeaderTimeout: 10 * time.Second, // for strangers on this machine; idle connections may stay
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

// Invoke gives payload to a process of the named function and returns its answer. requestID is what the function sees as
// its Lambda request id: 1 to 128 letters, digits, '-', '_' or '.'.
//
// The errors are *UnknownFunctionError, *BusyError, *TimeoutError, *FunctionError, *ExitError, *TooLargeError, ErrClosed, or
// the cause of ctx's end. When ctx ends while the function works, its process gets SIGTERM, and SIGKILL once Config.Grace is
// over; Invoke still waits for it, and returns its answer if it gives one.
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

// Shutdown drains the host: from now on Invoke answers ErrClosed, idle processes leave, and requests that were accepted
// finish. When ctx ends first, the requests that still wait fail with ErrClosed, every process gets SIGTERM, and SIGKILL
// once Config.Grace is over; Shutdown then returns the cause of ctx's end. No process is left when it returns.
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

// Stats is how things stand at one moment.
type Stats struct {
	// Processes counts all that were started and have not exited.
	Processes int
	// Waiting counts the requests without a process.
	Waiting int
	// Functions has an entry for each function.
	Functions map[string]FunctionStats
}

// FunctionStats is the part of one function.
type FunctionStats struct {
	// Processes counts those that were started and have not exited: Starting, Idle, Busy, and those that end.
	Processes, Starting, Idle, Busy int
	// Waiting counts the requests without a process.
	Waiting int
	// Cold and Warm count the requests that a new and a used process got; Crashes the processes that ended unasked, or had
	// to be killed because they hung.
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
