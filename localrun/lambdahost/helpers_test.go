package lambdahost

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// binary is testdata/function, built once.
var binary string

func TestMain(m *testing.M) {
	if os.Getenv("TEST_BE_A_HOST") != "" {
		beAHost()
		return
	}
	dir, err := os.MkdirTemp("", "lambdahost")
	if err != nil {
		panic(err)
	}
	binary = filepath.Join(dir, "function")
	build := exec.Command("go", "build", "-trimpath", "-tags", "lambda.norpc", "-ldflags", "-s -w", "-o", binary, "./testdata/function")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build testdata/function: %v\n%s", err, out)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// patience is how long a test waits for something that should happen at once.
const patience = 2 * time.Minute

// eventually waits for a state that the host reports but does not announce.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !is(); runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("never happened: %s", what)
		}
	}
}

func fn(name string, env ...string) Function {
	return Function{Name: name, Path: binary, Env: env, MaxProcesses: 4, TimeLimit: patience}
}

// start makes a host that is shut down, and then must have no process left, when the test ends.
func start(t *testing.T, cfg Config) (*Host, *journal) {
	t.Helper()
	j := &journal{changed: make(chan struct{})}
	cfg.Log = slog.New(slog.NewJSONHandler(j, &slog.HandlerOptions{Level: slog.LevelDebug}))
	h, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		h.Shutdown(ctx)
		if s := h.Stats(); s.Processes != 0 || s.Waiting != 0 {
			t.Errorf("after the shutdown: %+v", s)
		}
		if t.Failed() {
			t.Logf("journal:\n%s", j.text())
		}
	})
	return h, j
}

type result struct {
	Answer
	err error
}

var (
	idMu   sync.Mutex
	lastID int
)

func newID() string {
	idMu.Lock()
	defer idMu.Unlock()
	lastID++
	return fmt.Sprintf("request-%d", lastID)
}

func do(t *testing.T, h *Host, function string, o map[string]any) result {
	t.Helper()
	return doContext(t, t.Context(), h, function, o)
}

func doContext(t *testing.T, ctx context.Context, h *Host, function string, o map[string]any) result {
	payload, err := json.Marshal(o)
	if err != nil {
		t.Error(err)
	}
	a, err := h.Invoke(ctx, function, newID(), payload)
	return result{a, err}
}

type about struct {
	PID, PGID int
	Env       []string
	Dir       string
	ID        string
	ARN       string
	Deadline  int64
	Trace     string
}

func ask(t *testing.T, h *Host, function string) (about, bool) {
	t.Helper()
	r := do(t, h, function, map[string]any{"do": "about"})
	if r.err != nil {
		t.Fatal(r.err)
	}
	var a about
	if err := json.Unmarshal(r.Payload, &a); err != nil {
		t.Fatal(err)
	}
	return a, r.Cold
}

// gate is where functions with the order "hold" report, and wait.
type gate struct {
	t *testing.T
	l net.Listener
}

type held struct {
	t        *testing.T
	function string
	pid      int
	conn     *net.TCPConn
}

func newGate(t *testing.T) *gate {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return &gate{t, l}
}

func (g *gate) order() map[string]any {
	return map[string]any{"do": "hold", "addr": g.l.Addr().String()}
}

// hold invokes function, which will report to the gate.
func (g *gate) hold(ctx context.Context, h *Host, function string) <-chan result {
	c := make(chan result, 1)
	go func() { c <- doContext(g.t, ctx, h, function, g.order()) }()
	return c
}

// next waits until one more function works on its order.
func (g *gate) next() held {
	g.t.Helper()
	g.l.(*net.TCPListener).SetDeadline(time.Now().Add(patience))
	c, err := g.l.(*net.TCPListener).AcceptTCP()
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { c.Close() })
	x := held{t: g.t, conn: c}
	if _, err := fmt.Fscanf(bufio.NewReader(c), "%s %d\n", &x.function, &x.pid); err != nil {
		g.t.Fatal(err)
	}
	return x
}

// release lets it go on, and returns when it does.
func (x held) release() {
	x.t.Helper()
	if err := x.conn.CloseWrite(); err != nil {
		x.t.Error(err)
	}
	x.conn.SetReadDeadline(time.Now().Add(patience))
	if b, err := io.ReadAll(x.conn); err != nil || string(b) != "going on" {
		x.t.Errorf("process %d does not go on: %q, %v", x.pid, b, err)
	}
	x.conn.Close()
}

func wait(t *testing.T, c <-chan result) result {
	t.Helper()
	select {
	case r := <-c:
		return r
	case <-time.After(patience):
		t.Fatal("no result")
		return result{}
	}
}

// awaitDeath waits until a process, which need not be a child, has ended.
func awaitDeath(t *testing.T, pid int) {
	t.Helper()
	if !ends(t, pid, patience) {
		t.Fatalf("process %d is still there", pid)
	}
}

func alive(t *testing.T, pid int) bool {
	t.Helper()
	return !ends(t, pid, 0)
}

func ends(t *testing.T, pid int, within time.Duration) bool {
	t.Helper()
	fd, err := unix.PidfdOpen(pid, 0)
	if err == unix.ESRCH {
		return true
	}
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}} // readable once it is a zombie
	for {
		n, err := unix.Poll(fds, int(within.Milliseconds()))
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		return n == 1
	}
}

// journal keeps what was logged.
type journal struct {
	mu      sync.Mutex
	buf     bytes.Buffer
	changed chan struct{}
}

func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	close(j.changed)
	j.changed = make(chan struct{})
	return j.buf.Write(b)
}

func (j *journal) text() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.buf.String()
}

// await waits for a record with this message.
func (j *journal) await(t *testing.T, msg string) map[string]any {
	t.Helper()
	timeout := time.After(patience)
	for {
		j.mu.Lock()
		changed := j.changed
		lines := strings.Split(j.buf.String(), "\n")
		j.mu.Unlock()
		for _, line := range lines {
			var record map[string]any
			if json.Unmarshal([]byte(line), &record) == nil && record["msg"] == msg {
				return record
			}
		}
		select {
		case <-changed:
		case <-timeout:
			t.Fatalf("no record %q", msg)
		}
	}
}
