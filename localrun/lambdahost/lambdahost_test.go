package lambdahost

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestNewRefusesWrongConfig(t *testing.T) {
	good := Function{Name: "a", Path: "/bin/true", MaxProcesses: 1, TimeLimit: time.Second}
	for name, change := range map[string]func(*Function){
		"no name":       func(f *Function) { f.Name = "" },
		"relative path": func(f *Function) { f.Path = "bin/true" },
		"no process":    func(f *Function) { f.MaxProcesses = 0 },
		"no time":       func(f *Function) { f.TimeLimit = 0 },
	} {
		t.Run(name, func(t *testing.T) {
			f := good
			change(&f)
			if _, err := New(Config{Functions: []Function{f}}); err == nil {
				t.Error("accepted")
			}
		})
	}
	t.Run("twice the same name", func(t *testing.T) {
		if _, err := New(Config{Functions: []Function{good, good}}); err == nil {
			t.Error("accepted")
		}
	})
}

func TestAProcessIsReusedWhileWarm(t *testing.T) {
	h, _ := start(t, Config{Functions: []Function{fn("f")}})
	first, cold := ask(t, h, "f")
	if !cold {
		t.Error("the first call was not cold")
	}
	second, cold := ask(t, h, "f")
	if cold {
		t.Error("the second call was cold")
	}
	if first.PID != second.PID {
		t.Errorf("two processes, %d and %d", first.PID, second.PID)
	}
	if s := h.Stats().Functions["f"]; s.Cold != 1 || s.Warm != 1 || s.Crashes != 0 {
		t.Errorf("stats: %+v", s)
	}
}

func TestRequestsOneAfterAnotherShareAProcess(t *testing.T) {
	h, _ := start(t, Config{Functions: []Function{fn("f")}})
	for range 100 {
		if r := do(t, h, "f", map[string]any{"do": "echo"}); r.err != nil {
			t.Fatal(r.err)
		}
	}
	// When an answer is there, its process has not asked for the next request yet. Were it taken for busy, each second
	// request would start another.
	if s := h.Stats().Functions["f"]; s.Cold > 2 {
		t.Errorf("%d processes", s.Cold)
	}
}

func TestWhatAFunctionSeesIsWhatLambdaShows(t *testing.T) {
	t.Setenv("A_SECRET_OF_THE_HOST", "x")
	f := fn("page", "GIVEN=yes", "TZ=Europe/Berlin", "AWS_LAMBDA_FUNCTION_NAME=forged")
	h, _ := start(t, Config{Functions: []Function{f}})
	before := time.Now()
	a, _ := ask(t, h, "page")
	for _, want := range []string{
		"GIVEN=yes", "TZ=Europe/Berlin", "AWS_LAMBDA_FUNCTION_NAME=page", "AWS_LAMBDA_FUNCTION_VERSION=$LATEST",
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE=128", "_HANDLER=function", "LAMBDA_TASK_ROOT=" + filepath.Dir(binary),
	} {
		if !slices.Contains(a.Env, want) {
			t.Errorf("%s is missing in %q", want, a.Env)
		}
	}
	for _, v := range a.Env {
		if strings.HasPrefix(v, "A_SECRET_OF_THE_HOST") || strings.HasPrefix(v, "HOME=") {
			t.Errorf("inherited %s", v)
		}
	}
	if a.Dir != "/" {
		t.Errorf("working directory %s", a.Dir)
	}
	if a.PGID != a.PID {
		t.Errorf("process group %d of process %d", a.PGID, a.PID)
	}
	if !strings.HasPrefix(a.ID, "request-") || a.ARN != "arn:aws:lambda:local:000000000000:function:page" || !strings.HasPrefix(a.Trace, "Root=1-") {
		t.Errorf("id %q, arn %q, trace %q", a.ID, a.ARN, a.Trace)
	}
	if d := time.UnixMilli(a.Deadline); d.Before(before.Add(f.TimeLimit-time.Second)) || d.After(time.Now().Add(f.TimeLimit)) {
		t.Errorf("deadline %v", d)
	}
}

func TestABadFunctionFailsAloneAndIsReplaced(t *testing.T) {
	short := fn("f")
	short.TimeLimit = 5 * time.Second
	for name, c := range map[string]struct {
		order  map[string]any
		check  func(*testing.T, error) bool
		stays  bool // the process serves the next request
		answer string
	}{
		"returns an error": {
			order: map[string]any{"do": "error", "text": "sorry"}, stays: true,
			check: func(t *testing.T, err error) bool {
				e := (*FunctionError)(nil)
				return errors.As(err, &e) && e.Type == "errorString" && e.Message == "sorry"
			},
		},
		"panics": {
			order: map[string]any{"do": "panic", "text": "oh no"},
			check: func(t *testing.T, err error) bool {
				e := (*FunctionError)(nil)
				return errors.As(err, &e) && e.Type == "string" && e.Message == "oh no"
			},
		},
		"exits": {
			order: map[string]any{"do": "exit", "text": "last words"},
			check: func(t *testing.T, err error) bool {
				e := (*ExitError)(nil)
				return errors.As(err, &e) && e.Reason == "exit status 7" && slices.Equal(e.Lines, []string{"last words"})
			},
		},
		"is killed": {
			order: map[string]any{"do": "kill"},
			check: func(t *testing.T, err error) bool {
				e := (*ExitError)(nil)
				return errors.As(err, &e) && e.Reason == "signal: killed"
			},
		},
		"leaves a child that holds its output": {
			order: map[string]any{"do": "grandchild"},
			check: func(t *testing.T, err error) bool {
				e := (*ExitError)(nil)
				if !errors.As(err, &e) || e.Reason != "exit status 8" || len(e.Lines) != 1 {
					return false
				}
				child, err := strconv.Atoi(e.Lines[0])
				awaitDeath(t, child)
				return err == nil
			},
		},
		"hangs": {
			order: map[string]any{"do": "hang"},
			check: func(t *testing.T, err error) bool {
				e := (*TimeoutError)(nil)
				return errors.As(err, &e) && e.Limit == short.TimeLimit
			},
		},
		"answers too much": {
			order: map[string]any{"do": "huge", "size": MaxPayload + 1},
			check: func(t *testing.T, err error) bool {
				e := (*TooLargeError)(nil)
				return errors.As(err, &e) && e.Answer && e.Function == "f"
			},
		},
		"answers rubbish, which is for the caller to judge": {
			order: map[string]any{"do": "raw", "text": "\x00<rubbish"}, answer: "\x00<rubbish", stays: true,
			check: func(t *testing.T, err error) bool { return err == nil },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := fn("f")
			if name == "hangs" {
				f = short
			}
			h, _ := start(t, Config{Functions: []Function{f, fn("other")}})
			g := newGate(t)
			neighbour := g.hold(t.Context(), h, "other")
			other := g.next()

			r := do(t, h, "f", c.order)
			if !c.check(t, r.err) || string(r.Payload) != c.answer {
				t.Errorf("got %v (%T), %.100q", r.err, r.err, r.Payload)
			}
			if r := do(t, h, "f", map[string]any{"do": "echo"}); r.err != nil || r.Cold == c.stays {
				t.Errorf("the next request: %v, cold %v", r.err, r.Cold)
			}
			other.release()
			if r := wait(t, neighbour); r.err != nil {
				t.Errorf("the neighbour: %v", r.err)
			}
		})
	}
}

func TestLimitsOfSize(t *testing.T) {
	h, _ := start(t, Config{Functions: []Function{fn("f")}})
	if r := do(t, h, "f", map[string]any{"do": "huge", "size": MaxPayload}); r.err != nil || len(r.Payload) != MaxPayload {
		t.Errorf("an answer of the limit: %v, %d bytes", r.err, len(r.Payload))
	}
	payload := slices.Concat([]byte(`{"do":"echo","text":"`), bytes.Repeat([]byte("x"), MaxPayload-len(`{"do":"echo","text":""}`)), []byte(`"}`))
	a, err := h.Invoke(t.Context(), "f", "r", payload)
	if err != nil || !bytes.Equal(a.Payload, payload) {
		t.Errorf("a request of the limit: %v, %d bytes", err, len(a.Payload))
	}
	_, err = h.Invoke(t.Context(), "f", "r", append(payload, ' '))
	if e := (*TooLargeError)(nil); !errors.As(err, &e) || e.Answer {
		t.Errorf("a request over the limit: %v", err)
	}
}

func TestInvokeRefusesWhatCannotWork(t *testing.T) {
	h, _ := start(t, Config{Functions: []Function{fn("f")}})
	_, err := h.Invoke(t.Context(), "g", "r", nil)
	if e := (*UnknownFunctionError)(nil); !errors.As(err, &e) || e.Function != "g" {
		t.Errorf("an unknown function: %v", err)
	}
	for _, id := range []string{"", "a/b", "a b", "a\r\nX: y", strings.Repeat("a", 129)} {
		if _, err := h.Invoke(t.Context(), "f", id, []byte(`{}`)); err == nil {
			t.Errorf("accepted the request id %q", id)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := h.Invoke(ctx, "f", "r", []byte(`{}`)); !errors.Is(err, context.Canceled) {
		t.Errorf("a context that has ended: %v", err)
	}
	if s := h.Stats(); s.Processes != 0 {
		t.Errorf("it started processes: %+v", s)
	}
}

func TestAProcessThatCannotStart(t *testing.T) {
	t.Parallel()
	missing := fn("f")
	missing.Path = filepath.Join(t.TempDir(), "missing")
	for name, c := range map[string]struct {
		f     Function
		limit time.Duration
		check func(*ExitError) bool
	}{
		"exits": {fn("f", "TEST_AT_START=exit"), patience, func(e *ExitError) bool {
			return e.Reason == "exit status 3" && slices.Equal(e.Lines, []string{"no such database"})
		}},
		"hangs": {fn("f", "TEST_AT_START=hang"), 300 * time.Millisecond, func(e *ExitError) bool {
			return e.Reason == "signal: killed (it did not ask for a request within 300ms)"
		}},
		"is not there": {missing, patience, func(e *ExitError) bool { return strings.Contains(e.Reason, "no such file") }},
	} {
		t.Run(name, func(t *testing.T) {
			h, _ := start(t, Config{Functions: []Function{c.f}, StartLimit: c.limit})
			r := do(t, h, "f", map[string]any{"do": "echo"})
			if e := (*ExitError)(nil); !errors.As(r.err, &e) || !c.check(e) || !e.AtStart {
				t.Errorf("got %v (%T)", r.err, r.err)
			}
		})
	}
}

func TestOneFailedStartIsForgiven(t *testing.T) {
	mark := filepath.Join(t.TempDir(), "mark")
	h, _ := start(t, Config{Functions: []Function{fn("f", "TEST_AT_START=exit once", "TEST_MARK="+mark)}})
	if r := do(t, h, "f", map[string]any{"do": "echo"}); r.err == nil {
		t.Error("the first start did not fail")
	}
	if r := do(t, h, "f", map[string]any{"do": "echo"}); r.err != nil {
		t.Errorf("the second: %v", r.err)
	}
}

func TestACrashLoopDoesNotSpin(t *testing.T) {
	t.Parallel()
	h, _ := start(t, Config{Functions: []Function{fn("f", "TEST_AT_START=exit")}})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				r := do(t, h, "f", map[string]any{"do": "echo"})
				if e := (*ExitError)(nil); !errors.As(r.err, &e) || e.Reason != "exit status 3" {
					t.Errorf("got %v", r.err)
				}
			}
		})
	}
	wg.Wait()
	// 400 requests at once: four processes side by side, then one after each pause of 0.1, 0.2, 0.4 s …
	if s := h.Stats().Functions["f"]; s.Crashes > 20 {
		t.Errorf("%d processes", s.Crashes)
	}
}

func TestAnIdleProcessLeaves(t *testing.T) {
	h, j := start(t, Config{Functions: []Function{fn("f")}, Idle: 20 * time.Millisecond})
	a, _ := ask(t, h, "f")
	j.await(t, "function process left")
	awaitDeath(t, a.PID)
	b, cold := ask(t, h, "f")
	if !cold || a.PID == b.PID {
		t.Error("not a new process")
	}
}

func TestOnlySomeIdleProcessesStay(t *testing.T) {
	h, _ := start(t, Config{Functions: []Function{fn("a"), fn("b"), fn("c"), fn("d")}, MaxIdle: 2, SurplusIdle: 20 * time.Millisecond})
	g := newGate(t)
	names := []string{"a", "b", "c", "d"}
	var working []held
	for _, name := range names {
		g.hold(t.Context(), h, name)
		working = append(working, g.next())
	}
	for i, name := range names {
		working[i].release()
		eventually(t, "it is idle", func() bool { s := h.Stats().Functions[name]; return s.Idle == 1 || s.Processes == 0 })
	}
	for i, name := range names {
		if i < 2 {
			awaitDeath(t, working[i].pid)
		} else if p, cold := ask(t, h, name); cold || p.PID != working[i].pid {
			t.Errorf("%s, which was used later, is gone", name)
		}
	}
}

func TestAnIdleProcessThatIgnoresSIGTERMIsKilled(t *testing.T) {
	h, _ := start(t, Config{Functions: []Function{fn("f", "TEST_IGNORE_SIGTERM=1")}, Idle: 20 * time.Millisecond, Grace: 20 * time.Millisecond})
	a, _ := ask(t, h, "f")
	awaitDeath(t, a.PID)
}

func TestAnIdleProcessThatDiesIsNotUsed(t *testing.T) {
	h, _ := start(t, Config{Functions: []Function{fn("f")}})
	for range 20 {
		a, _ := ask(t, h, "f")
		eventually(t, "it is idle", func() bool { return h.Stats().Functions["f"].Idle == 1 })
		p, err := os.FindProcess(a.PID)
		if err != nil {
			t.Fatal(err)
		}
		p.Kill()
		eventually(t, "the host notices", func() bool { return h.Stats().Functions["f"].Idle == 0 })
		if b, cold := ask(t, h, "f"); !cold || a.PID == b.PID {
			t.Fatal("not a new process")
		}
	}
}

// TestARequestThatWasNotSentGoesElsewhere has a process that loses its connection between the moment when it gets a request
// and the one when that is sent.
func TestARequestThatWasNotSentGoesElsewhere(t *testing.T) {
	h, _ := start(t, Config{Functions: []Function{fn("f")}})
	f := h.functions["f"]
	p := &process{function: f, token: "t", output: newOutput(h.log, "f", ""), work: make(chan *invocation, 1), asking: true}
	h.mu.Lock()
	h.processes[p.token] = p
	f.processes, f.idle = 1, []*process{p}
	h.mu.Unlock()
	done := make(chan result, 1)
	go func() { done <- do(t, h, "f", map[string]any{"do": "echo"}) }()
	eventually(t, "it has the request", func() bool { return h.Stats().Functions["f"].Busy == 1 })
	h.connectionLost(p, nil)
	h.exited(p, &ExitError{Function: "f"})
	if r := wait(t, done); r.err != nil || !r.Cold {
		t.Errorf("got %v, cold %v", r.err, r.Cold)
	}
	if s := h.Stats().Functions["f"]; s.Processes != 1 || s.Busy != 0 {
		t.Errorf("stats: %+v", s)
	}
}

func TestTheProcessUsedLastIsUsedFirst(t *testing.T) {
	h, _ := start(t, Config{Functions: []Function{fn("f")}})
	g := newGate(t)
	a, b := g.hold(t.Context(), h, "f"), g.hold(t.Context(), h, "f")
	x, y := g.next(), g.next()
	x.release()
	eventually(t, "one is idle", func() bool { return h.Stats().Functions["f"].Idle == 1 })
	y.release()
	eventually(t, "both are idle", func() bool { return h.Stats().Functions["f"].Idle == 2 })
	wait(t, a)
	wait(t, b)
	for range 5 {
		if c, _ := ask(t, h, "f"); c.PID != y.pid {
			t.Errorf("process %d, not %d", c.PID, y.pid)
		}
		eventually(t, "it is idle again", func() bool { return h.Stats().Functions["f"].Idle == 2 })
	}
}

func TestRequestsBeyondTheBoundWaitInOrder(t *testing.T) {
	f := fn("f")
	f.MaxProcesses = 2
	h, _ := start(t, Config{Functions: []Function{f}, QueueWait: patience})
	g := newGate(t)
	var order []<-chan result
	for i := range 6 {
		order = append(order, g.hold(t.Context(), h, "f"))
		eventually(t, "it waits or works", func() bool {
			s := h.Stats().Functions["f"]
			return s.Busy+s.Waiting == i+1 && s.Busy == min(i+1, 2)
		})
	}
	first, second := g.next(), g.next()
	for i := range 4 {
		if s := h.Stats(); s.Processes != 2 || s.Waiting != 4-i {
			t.Errorf("step %d: %+v", i, s)
		}
		// `first` works on request i. When it goes, request i+2 takes its process.
		first.release()
		if r := wait(t, order[i]); r.err != nil {
			t.Errorf("request %d: %v", i, r.err)
		}
		first, second = second, g.next()
	}
	first.release()
	second.release()
	for _, c := range order[4:] {
		if r := wait(t, c); r.err != nil {
			t.Error(r.err)
		}
	}
	if s := h.Stats().Functions["f"]; s.Cold != 2 || s.Warm != 4 {
		t.Errorf("stats: %+v", s)
	}
}

func TestBusyWhenNothingComesFree(t *testing.T) {
	f := fn("f")
	f.MaxProcesses = 1
	h, _ := start(t, Config{Functions: []Function{f}, QueueWait: 50 * time.Millisecond, MaxWaiting: 2})
	g := newGate(t)
	c := g.hold(t.Context(), h, "f")
	x := g.next()
	var wg sync.WaitGroup
	for range 5 {
		wg.Go(func() {
			r := do(t, h, "f", map[string]any{"do": "echo"})
			if e := (*BusyError)(nil); !errors.As(r.err, &e) || e.RetryAfter != 50*time.Millisecond || e.Function != "f" {
				t.Errorf("got %v", r.err)
			}
		})
	}
	wg.Wait()
	x.release()
	if r := wait(t, c); r.err != nil {
		t.Error(r.err)
	}
	eventually(t, "it is idle", func() bool { return h.Stats().Functions["f"].Idle == 1 })
	if r := do(t, h, "f", map[string]any{"do": "echo"}); r.err != nil {
		t.Errorf("afterwards: %v", r.err)
	}
}

func TestARequestWhoseProcessIsStartingIsNotBusy(t *testing.T) {
	g := newGate(t)
	f := fn("f", "TEST_AT_START=hold", "TEST_GATE="+g.l.Addr().String())
	f.MaxProcesses = 1
	h, _ := start(t, Config{Functions: []Function{f}, QueueWait: 20 * time.Millisecond, StartLimit: patience})
	first := make(chan result, 1)
	go func() { first <- do(t, h, "f", map[string]any{"do": "echo"}) }()
	x := g.next()
	// The second one has to wait for the first, so it is busy; by then the first one's time is over, too.
	r := do(t, h, "f", map[string]any{"do": "echo"})
	if e := (*BusyError)(nil); !errors.As(r.err, &e) {
		t.Errorf("the second: %v", r.err)
	}
	x.release()
	if r := wait(t, first); r.err != nil {
		t.Errorf("the first: %v", r.err)
	}
}

func TestAFullQueueAnswersAtOnce(t *testing.T) {
	f := fn("f")
	f.MaxProcesses = 1
	h, _ := start(t, Config{Functions: []Function{f}, QueueWait: patience, MaxWaiting: 1})
	g := newGate(t)
	a := g.hold(t.Context(), h, "f")
	x := g.next()
	b := g.hold(t.Context(), h, "f")
	eventually(t, "one waits", func() bool { return h.Stats().Waiting == 1 })
	r := do(t, h, "f", map[string]any{"do": "echo"})
	if e := (*BusyError)(nil); !errors.As(r.err, &e) {
		t.Errorf("got %v", r.err)
	}
	x.release()
	wait(t, a)
	g.next().release()
	wait(t, b)
}

func TestTheTotalBoundEvictsTheLongestIdle(t *testing.T) {
	h, _ := start(t, Config{Functions: []Function{fn("a"), fn("b"), fn("c")}, MaxProcesses: 2})
	idle := func(name string) about {
		p, _ := ask(t, h, name)
		eventually(t, "it is idle", func() bool { return h.Stats().Functions[name].Idle == 1 })
		return p
	}
	a, b := idle("a"), idle("b")
	if _, cold := ask(t, h, "c"); !cold {
		t.Error("c was warm")
	}
	awaitDeath(t, a.PID)
	if again, cold := ask(t, h, "b"); cold || again.PID != b.PID {
		t.Error("b, which was used later, is gone")
	}
	if s := h.Stats(); s.Processes > 2 {
		t.Errorf("%d processes", s.Processes)
	}
}

func TestAFunctionUnderLoadDoesNotStarveAnother(t *testing.T) {
	h, _ := start(t, Config{Functions: []Function{fn("a"), fn("b")}, MaxProcesses: 1, QueueWait: patience})
	g := newGate(t)
	var all []<-chan result
	for i, name := range []string{"a", "b", "a"} {
		all = append(all, g.hold(t.Context(), h, name))
		eventually(t, "it waits or works", func() bool {
			s := h.Stats()
			return s.Waiting == i && s.Functions["a"].Busy == 1
		})
	}
	for i, want := range []string{"a", "b", "a"} {
		x := g.next()
		if x.function != want {
			t.Errorf("request %d went to %s", i, x.function)
		}
		x.release()
	}
	for _, c := range all {
		if r := wait(t, c); r.err != nil {
			t.Error(r.err)
		}
	}
}

func TestSingleShot(t *testing.T) {
	f := fn("f")
	f.MaxProcesses = 2
	h, _ := start(t, Config{Functions: []Function{f}, SingleShot: true})
	seen := map[int]bool{}
	for range 6 {
		a, cold := ask(t, h, "f")
		if !cold || seen[a.PID] {
			t.Errorf("process %d again", a.PID)
		}
		seen[a.PID] = true
	}
	eventually(t, "all leave", func() bool { return h.Stats().Processes == 0 })
}

func TestShutdownDrains(t *testing.T) {
	f := fn("f")
	f.MaxProcesses = 1
	h, _ := start(t, Config{Functions: []Function{f, fn("idle")}, QueueWait: patience})
	idle, _ := ask(t, h, "idle")
	g := newGate(t)
	running := g.hold(t.Context(), h, "f")
	x := g.next()
	queued := g.hold(t.Context(), h, "f")
	eventually(t, "one waits", func() bool { return h.Stats().Waiting == 1 })

	down := make(chan error, 1)
	go func() { down <- h.Shutdown(t.Context()) }()
	awaitDeath(t, idle.PID)
	if _, err := h.Invoke(t.Context(), "idle", "r", []byte(`{}`)); !errors.Is(err, ErrClosed) {
		t.Errorf("a new request: %v", err)
	}
	x.release()
	if r := wait(t, running); r.err != nil {
		t.Errorf("the running one: %v", r.err)
	}
	g.next().release()
	if r := wait(t, queued); r.err != nil {
		t.Errorf("the waiting one: %v", r.err)
	}
	if err := <-down; err != nil {
		t.Error(err)
	}
	if alive(t, x.pid) {
		t.Error("a process is left")
	}
}

func TestShutdownThatTakesTooLong(t *testing.T) {
	t.Parallel()
	stubborn := fn("stubborn", "TEST_IGNORE_SIGTERM=1")
	stubborn.MaxProcesses = 1
	h, _ := start(t, Config{
		Functions: []Function{stubborn, fn("polite", "TEST_HANDLE_SIGTERM=1"), fn("starting", "TEST_AT_START=hang")},
		QueueWait: patience, StartLimit: patience, Grace: 5 * time.Second,
	})
	g := newGate(t)
	killed := g.hold(t.Context(), h, "stubborn")
	x := g.next()
	queued := g.hold(t.Context(), h, "stubborn")
	stopped := g.hold(t.Context(), h, "polite")
	y := g.next()
	hanging := g.hold(t.Context(), h, "starting")
	eventually(t, "all are there", func() bool { return h.Stats().Waiting == 2 && h.Stats().Processes == 3 })

	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("that is enough")
	cancel(cause)
	if err := h.Shutdown(ctx); !errors.Is(err, cause) {
		t.Errorf("shutdown: %v", err)
	}
	for name, c := range map[string]<-chan result{"killed": killed, "queued": queued, "hanging": hanging} {
		if r := wait(t, c); !errors.Is(r.err, ErrClosed) {
			t.Errorf("%s: %v", name, r.err)
		}
	}
	if r := wait(t, stopped); r.err != nil || string(r.Payload) != `"stopped"` {
		t.Errorf("the one that stopped in time: %v, %s", r.err, r.Payload)
	}
	if alive(t, x.pid) || alive(t, y.pid) {
		t.Error("a process is left")
	}
}

func TestStoppingARunningInvocation(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		env   string
		grace time.Duration
		want  string
	}{
		"that stops when asked":    {"TEST_HANDLE_SIGTERM=1", 5 * time.Second, `"stopped"`},
		"that dies when asked":     {"X=1", patience, ""},
		"that does not care":       {"TEST_IGNORE_SIGTERM=1", 200 * time.Millisecond, ""},
		"that uses the extensions": {"TEST_EXTENSION=1", 200 * time.Millisecond, ""},
	} {
		t.Run(name, func(t *testing.T) {
			h, j := start(t, Config{Functions: []Function{fn("f", c.env)}, Grace: c.grace})
			g := newGate(t)
			ctx, cancel := context.WithCancel(t.Context())
			r := g.hold(ctx, h, "f")
			x := g.next()
			cancel()
			got := wait(t, r)
			if string(got.Payload) != c.want || (c.want == "") != errors.Is(got.err, context.Canceled) {
				t.Errorf("got %v, %s", got.err, got.Payload)
			}
			awaitDeath(t, x.pid)
			if b, cold := ask(t, h, "f"); !cold || b.PID == x.pid {
				t.Error("the stopped process was used again")
			}
			if strings.Contains(j.text(), "WARNING!") {
				t.Error("aws-lambda-go is not content with the Extensions API")
			}
		})
	}
}

func TestAProcessThatIsDoneAfterSIGTERMIsNotWaitedFor(t *testing.T) {
	h, _ := start(t, Config{Functions: []Function{fn("f", "TEST_HANDLE_SIGTERM=1")}, Grace: time.Hour})
	g := newGate(t)
	ctx, cancel := context.WithCancel(t.Context())
	r := g.hold(ctx, h, "f")
	x := g.next()
	cancel()
	if got := wait(t, r); got.err != nil {
		t.Error(got.err)
	}
	awaitDeath(t, x.pid)
}

// A process that is stopped, or blocked in the kernel, does not react to SIGTERM.
func TestKillingAnInvocation(t *testing.T) {
	f := fn("f")
	f.MaxProcesses = 1
	h, _ := start(t, Config{Functions: []Function{f}, Grace: time.Hour})
	g := newGate(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	r := g.hold(ctx, h, "f")
	x := g.next()
	if err := unix.Kill(x.pid, unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	cancel(&KillError{Reason: "it hangs"})
	if got, is := errors.AsType[*KillError](wait(t, r).err); !is || got.Reason != "it hangs" {
		t.Error(got)
	}
	awaitDeath(t, x.pid)
	if r := do(t, h, "f", map[string]any{"do": "echo"}); r.err != nil {
		t.Errorf("the next one: %v", r.err)
	}
}

func TestStoppingAWaitingInvocation(t *testing.T) {
	f := fn("f")
	f.MaxProcesses = 1
	h, _ := start(t, Config{Functions: []Function{f}, QueueWait: patience})
	g := newGate(t)
	running := g.hold(t.Context(), h, "f")
	x := g.next()
	ctx, cancel := context.WithCancel(t.Context())
	queued := g.hold(ctx, h, "f")
	eventually(t, "it waits", func() bool { return h.Stats().Waiting == 1 })
	cancel()
	if r := wait(t, queued); !errors.Is(r.err, context.Canceled) {
		t.Errorf("got %v", r.err)
	}
	x.release()
	if r := wait(t, running); r.err != nil {
		t.Errorf("the running one: %v", r.err)
	}
}

// TestHostKilled is for `kill -9`: no process may stay behind, not even one that is working.
func TestHostKilled(t *testing.T) {
	g := newGate(t)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "TEST_BE_A_HOST=1", "TEST_BINARY="+binary, "TEST_GATE="+g.l.Addr().String())
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	var idle int
	if _, err := fmt.Fscan(bufio.NewReader(out), &idle); err != nil {
		t.Fatal(err)
	}
	job := g.next()

	cmd.Process.Kill()
	cmd.Wait()
	awaitDeath(t, idle)
	awaitDeath(t, job.pid)
}

func beAHost() {
	check := func(err error) {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	f := func(name string) Function {
		return Function{Name: name, Path: os.Getenv("TEST_BINARY"), MaxProcesses: 1, TimeLimit: patience}
	}
	h, err := New(Config{Functions: []Function{f("page"), f("job")}})
	check(err)
	a, err := h.Invoke(context.Background(), "page", "r1", []byte(`{"do":"about"}`))
	check(err)
	var page about
	check(json.Unmarshal(a.Payload, &page))
	fmt.Println(page.PID)
	order, err := json.Marshal(map[string]string{"do": "hold", "addr": os.Getenv("TEST_GATE")})
	check(err)
	h.Invoke(context.Background(), "job", "r2", order)
}

func TestOutputIsLoggedUnderItsRequest(t *testing.T) {
	f := fn("f", "TEST_PRINT_AT_START=I am starting\n")
	f.MaxProcesses = 1 // a line that one request begins and another ends must come from one process
	h, j := start(t, Config{Functions: []Function{f}})
	var ids []string
	for i := range 30 {
		id := newID()
		ids = append(ids, id)
		text := fmt.Sprintf("line %d\n{\"time\":\"2020-01-02T03:04:05Z\",\"level\":\"WARN\",\"msg\":\"json %d\",\"n\":12345678901234567890,\"ok\":true,\"function\":\"forged\",\"request_id\":\"forged\",\"g\":{\"a\":[1]},\"s\":\"x\\ny\"}\nunfinished %d", i, i, i)
		payload, _ := json.Marshal(map[string]any{"do": "print", "text": text})
		if _, err := h.Invoke(t.Context(), "f", id, payload); err != nil {
			t.Fatal(err)
		}
		// The rest of the line comes with another request; the line is the one's in which it ended.
		payload, _ = json.Marshal(map[string]any{"do": "print", "text": " ended\n"})
		if _, err := h.Invoke(t.Context(), "f", id+".b", payload); err != nil {
			t.Fatal(err)
		}
	}
	if err := h.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r := j.await(t, "I am starting"); r["request_id"] != ids[0] || r["function"] != "f" || r["pid"].(float64) < 2 {
		t.Errorf("before the first request: %v", r)
	}
	for i, id := range ids {
		if r := j.await(t, fmt.Sprintf("line %d", i)); r["request_id"] != id || r["level"] != "INFO" {
			t.Errorf("a line of %s: %v", id, r)
		}
		if r := j.await(t, fmt.Sprintf("unfinished %d ended", i)); r["request_id"] != id+".b" {
			t.Errorf("a line of %s.b: %v", id, r)
		}
		r := j.await(t, fmt.Sprintf("json %d", i))
		if r["request_id"] != id || r["function"] != "f" || r["level"] != "WARN" || r["time"] != "2020-01-02T03:04:05Z" || r["ok"] != true || r["s"] != "x\ny" {
			t.Errorf("a record of %s: %v", id, r)
		}
	}
	for _, want := range []string{`"n":12345678901234567890,`, `"g":{"a":[1]},`} {
		if !strings.Contains(j.text(), want) {
			t.Errorf("%s is not in the journal", want)
		}
	}
	if strings.Contains(j.text(), "forged") {
		t.Error("a function's word counts more than the host's")
	}
}

func TestLateLinesKeepTheirRequest(t *testing.T) {
	f := fn("f")
	f.MaxProcesses = 1
	h, j := start(t, Config{Functions: []Function{f}, QueueWait: patience})
	// As much as a pipe holds, so that there is a lot to read when the next request, which waits already, is given out.
	var lines strings.Builder
	for i := 0; lines.Len() < 60<<10; i++ {
		fmt.Fprintf(&lines, "line %d\n", i)
	}
	payload, _ := json.Marshal(map[string]any{"do": "print", "text": lines.String()})
	var wg sync.WaitGroup
	for i := range 5 {
		wg.Go(func() {
			if _, err := h.Invoke(t.Context(), "f", fmt.Sprintf("id%d", i), payload); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if err := h.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		got, want := strings.Count(j.text(), fmt.Sprintf(`"request_id":"id%d"`, i)), strings.Count(lines.String(), "\n")
		if got != want {
			t.Errorf("request %d has %d lines, not %d", i, got, want)
		}
	}
}

func TestALongLineIsCut(t *testing.T) {
	h, j := start(t, Config{Functions: []Function{fn("f")}})
	text := strings.Repeat("x", 5*maxLine) + "\nnext\n\n \n\xff\n"
	if r := do(t, h, "f", map[string]any{"do": "print", "text": text}); r.err != nil {
		t.Fatal(r.err)
	}
	if r := j.await(t, strings.Repeat("x", maxLine)); r["cut"] != true {
		t.Errorf("it does not say so: %v", r["cut"])
	}
	if r := j.await(t, "next"); r["cut"] != nil {
		t.Error("the next line is said to be cut")
	}
	j.await(t, "\uFFFD")
}

func TestParseRecordTakesOnlySlogsForm(t *testing.T) {
	for _, line := range []string{
		`{`, `{}`, `[]`, `{"level":"INFO"}`, `{"msg":"x"}`, `{"level":"LOUD","msg":"x"}`, `{"level":1,"msg":"x"}`,
		`{"level":"INFO","msg":1}`, `{"level":"INFO","msg":"x"} trailing`, `{"level":"INFO","msg":"x"`,
	} {
		if _, ok := parseRecord([]byte(line)); ok {
			t.Errorf("took %s", line)
		}
	}
	if r, ok := parseRecord([]byte(`{"msg":"x","level":"DEBUG+2"}`)); !ok || r.Level != -2 || r.Message != "x" {
		t.Errorf("got %v, %v", r, ok)
	}
}

// runtimeAPI is the address that the process was given.
func (a about) runtimeAPI(t *testing.T) string {
	t.Helper()
	for _, v := range a.Env {
		if rest, ok := strings.CutPrefix(v, "AWS_LAMBDA_RUNTIME_API="); ok {
			return "http://" + rest + "/2018-06-01/runtime/"
		}
	}
	t.Fatal("the function does not see AWS_LAMBDA_RUNTIME_API")
	return ""
}

func call(t *testing.T, method, url, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

func TestRuntimeAPIRefusals(t *testing.T) {
	h, _ := start(t, Config{Functions: []Function{fn("f")}})
	a, _ := ask(t, h, "f")
	eventually(t, "it is idle", func() bool { return h.Stats().Functions["f"].Idle == 1 })
	api := a.runtimeAPI(t)
	stranger := "http://" + h.address
	for name, c := range map[string]struct {
		method, url, body string
		want              int
		kind              string
	}{
		"a stranger asks for work":    {"GET", stranger + "/2018-06-01/runtime/invocation/next", "", 403, "Forbidden"},
		"a wrong token":               {"GET", stranger + "/" + strings.Repeat("0", 32) + "/2018-06-01/runtime/invocation/next", "", 403, "Forbidden"},
		"a second open call for work": {"GET", api + "invocation/next", "", 403, "InvalidStateTransition"},
		"an answer to a stale id":     {"POST", api + "invocation/" + a.ID + "/response", "{}", 400, "InvalidRequestID"},
		"an error for a stale id":     {"POST", api + "invocation/" + a.ID + "/error", "{}", 400, "InvalidRequestID"},
		"another path":                {"GET", api + "invocation/" + a.ID, "", 404, "NotFound"},
		"another method":              {"DELETE", api + "invocation/next", "", 404, "NotFound"},
	} {
		t.Run(name, func(t *testing.T) {
			status, body := call(t, c.method, c.url, c.body)
			var e struct{ ErrorType string }
			if err := json.Unmarshal([]byte(body), &e); err != nil || status != c.want || e.ErrorType != c.kind {
				t.Errorf("%d %s", status, body)
			}
		})
	}
	if status, body := call(t, "POST", api+"init/error", `{"errorType":"T","errorMessage":"m"}`); status != 202 {
		t.Errorf("a report of a failed start: %d %s", status, body)
	}
}

// TestRuntimeAPIOutcomes has the test answer in place of the function, which is held meanwhile.
func TestRuntimeAPIOutcomes(t *testing.T) {
	for name, c := range map[string]struct {
		verb, body string
		want       int
		check      func(result) bool
	}{
		"an answer": {"response", `{"mine":1}`, 202, func(r result) bool {
			return r.err == nil && string(r.Payload) == `{"mine":1}`
		}},
		"an error": {"error", `{"errorType":"T","errorMessage":"m"}`, 202, func(r result) bool {
			e := (*FunctionError)(nil)
			return errors.As(r.err, &e) && e.Type == "T" && e.Message == "m"
		}},
		"an error that is not JSON": {"error", "\xff", 202, func(r result) bool {
			e := (*FunctionError)(nil)
			return errors.As(r.err, &e) && e.Type == "Unhandled" && e.Message == "\uFFFD"
		}},
		"too much": {"response", strings.Repeat(" ", MaxPayload+1), 413, func(r result) bool {
			e := (*TooLargeError)(nil)
			return errors.As(r.err, &e)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			f := fn("f")
			f.MaxProcesses = 2
			h, _ := start(t, Config{Functions: []Function{f}})
			a, _ := ask(t, h, "f")
			eventually(t, "it is idle", func() bool { return h.Stats().Functions["f"].Idle == 1 })
			g := newGate(t)
			payload, _ := json.Marshal(g.order())
			done := make(chan result, 1)
			go func() {
				a, err := h.Invoke(t.Context(), "f", "known", payload)
				done <- result{a, err}
			}()
			x := g.next()
			if status, _ := call(t, "POST", a.runtimeAPI(t)+"invocation/"+a.ID+"/"+c.verb, c.body); status != 400 {
				t.Errorf("under the id of the request before: %d", status)
			}
			url := a.runtimeAPI(t) + "invocation/known/" + c.verb
			if status, body := call(t, "POST", url, c.body); status != c.want {
				t.Errorf("%d %s", status, body)
			}
			if r := wait(t, done); !c.check(r) {
				t.Errorf("%v %.50s", r.err, r.Payload)
			}
			if status, _ := call(t, "POST", url, "{}"); status != 400 {
				t.Errorf("a second outcome: %d", status)
			}
			// The process does not come back, so that the next request gets another one.
			if b, cold := ask(t, h, "f"); !cold || b.PID == x.pid {
				t.Errorf("process %d, cold %v", b.PID, cold)
			}
		})
	}
}

func TestAProcessThatDoesNotComeBackIsKilled(t *testing.T) {
	t.Parallel()
	f := fn("f")
	f.MaxProcesses, f.TimeLimit = 1, 5*time.Second
	h, _ := start(t, Config{Functions: []Function{f}})
	a, _ := ask(t, h, "f")
	eventually(t, "it is idle", func() bool { return h.Stats().Functions["f"].Idle == 1 })
	g := newGate(t)
	payload, _ := json.Marshal(g.order())
	go h.Invoke(t.Context(), "f", "known", payload)
	x := g.next()
	if status, _ := call(t, "POST", a.runtimeAPI(t)+"invocation/known/response", "{}"); status != 202 {
		t.Errorf("status %d", status)
	}
	if b, cold := ask(t, h, "f"); !cold || b.PID == x.pid {
		t.Errorf("process %d, cold %v", b.PID, cold)
	}
	awaitDeath(t, x.pid)
}

// TestManyAtOnce mixes everything and looks at what must hold: each request gets its own answer, bounds are kept, and
// nothing is left.
func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	short := fn("d")
	short.TimeLimit = 300 * time.Millisecond
	h, _ := start(t, Config{
		Functions: []Function{fn("a"), fn("b"), fn("c", "TEST_AT_START=exit"), short}, MaxProcesses: 5, QueueWait: patience, Idle: 5 * time.Millisecond,
	})
	var wg sync.WaitGroup
	for w := range 12 {
		wg.Go(func() {
			for i := range 25 {
				if s := h.Stats(); s.Processes > 5 || s.Functions["a"].Processes > 4 {
					t.Errorf("too many processes: %+v", s)
				}
				text := fmt.Sprintf("%d of %d", i, w)
				name := []string{"a", "b"}[(i+w)%2]
				switch {
				case i%12 == 3:
					if r := do(t, h, []string{"a", "b", "a", "d"}[w%4], map[string]any{"do": []string{"panic", "exit", "kill", "hang"}[w%4]}); r.err == nil {
						t.Error("a bad order was answered")
					}
				case i%12 == 7:
					ctx, cancel := context.WithTimeout(t.Context(), time.Duration(w)*time.Millisecond)
					doContext(t, ctx, h, name, map[string]any{"do": "echo", "text": text})
					cancel()
				case i%12 == 9:
					if r := do(t, h, "c", map[string]any{"do": "echo"}); r.err == nil {
						t.Error("c cannot start, but answered")
					}
				default:
					r := do(t, h, name, map[string]any{"do": "echo", "text": text})
					if r.err != nil || !strings.Contains(string(r.Payload), `"`+text+`"`) {
						t.Errorf("%s: %v %s", text, r.err, r.Payload)
					}
				}
			}
		})
	}
	wg.Wait()
	eventually(t, "all leave", func() bool { return h.Stats().Processes == 0 })
	s := h.Stats()
	for name, f := range s.Functions {
		if f.Busy != 0 || f.Idle != 0 || f.Starting != 0 || f.Waiting != 0 {
			t.Errorf("%s: %+v", name, f)
		}
	}
}
