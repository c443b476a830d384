package lambdahost

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// process is one child. The host's mutex guards it, except for the fields in the first group, which do not change.
type process struct {
	function *function
	token    string
	output   *output
	work     chan *invocation // of capacity 1: what it shall do next

	cmd        *exec.Cmd
	pid        int  // 0 until it runs, and once it has exited
	starting   bool // has not asked for work yet
	asking     bool // is waiting in `next`
	used       bool // was given work
	returning  bool // has answered and not asked again, for less than returnTime
	leaving    bool // was told to end
	signalled  unix.Signal
	idleSince  time.Time
	invocation *invocation
	reason     error  // what its invocation fails with when it ends because it was stopped
	killedFor  string // what was wrong with it, if the host killed it for that

	// timer is the one thing that shall happen if p stays as it is; turn tells an old one that fired too late.
	timer *time.Timer
	turn  int
}

// arm lets then run, with the host's mutex held, when d is over and neither arm nor disarm was called for p meanwhile.
func (h *Host) arm(p *process, d time.Duration, then func()) {
	h.disarm(p)
	turn := p.turn
	p.timer = time.AfterFunc(d, func() {
		h.mu.Lock()
		defer h.unlock()
		if p.turn == turn {
			then()
		}
	})
}

func (h *Host) disarm(p *process) {
	p.turn++
	if p.timer != nil {
		p.timer.Stop()
	}
}

// launch starts a process of f. requestID is the request that made it necessary: what the process prints before it has a
// request is logged under that one.
func (h *Host) launch(f *function, requestID string) {
	var random [16]byte
	rand.Read(random[:]) // never fails
	p := &process{
		function: f,
		token:    hex.EncodeToString(random[:]),
		output:   newOutput(h.log, f.Name, requestID),
		work:     make(chan *invocation, 1),
		starting: true,
	}
	h.processes[p.token] = p
	f.processes++
	f.starting++
	h.arm(p, h.cfg.StartLimit, func() {
		p.killedFor = fmt.Sprintf("it did not ask for a request within %v", h.cfg.StartLimit)
		h.kill(p)
	})
	go h.run(p)
}

// run is the life of a process.
func (h *Host) run(p *process) {
	begun := time.Now()
	exit := &ExitError{Function: p.function.Name}
	log := h.log.With("function", p.function.Name)
	err := p.start(h.address)
	if err == nil {
		pid := p.cmd.Process.Pid
		log = log.With("pid", pid)
		h.mu.Lock()
		p.pid = pid
		if p.signalled != 0 {
			p.signal(p.signalled)
		}
		h.mu.Unlock()
		log.Debug("function process started", "start_ms", millis(time.Since(begun)))

		p.awaitExit()

		// It is a zombie now, so its number, and that of its group, cannot belong to anyone else yet.
		h.mu.Lock()
		unix.Kill(-pid, unix.SIGKILL)
		p.pid = 0
		h.mu.Unlock()
		p.output.close()
		exit.Lines = p.output.lastLines()
		err = p.cmd.Wait()
	}
	exit.Reason = "exit status 0"
	if err != nil {
		exit.Reason = err.Error()
	}
	h.mu.Lock()
	asked, killedFor := p.leaving, p.killedFor
	h.mu.Unlock()
	if killedFor != "" {
		exit.Reason += " (" + killedFor + ")"
	}
	if asked && killedFor == "" {
		log.Debug("function process left", "status", exit.Reason)
	} else {
		log.Warn("function process ended unexpectedly", "status", exit.Reason, "request_id", p.output.request())
	}
	h.exited(p, exit)
}

// start makes the child, in its own process group, so that Ctrl-C in a terminal reaches the host alone.
func (p *process) start(address string) error {
	r, w, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("make a pipe for its output: %w", err)
	}
	defer w.Close()
	f := p.function
	p.cmd = &exec.Cmd{
		Path:        f.Path,
		Args:        []string{f.Path},
		Dir:         "/",
		Env:         environment(f.Function, address+"/"+p.token),
		Stdout:      w,
		Stderr:      w,
		SysProcAttr: &syscall.SysProcAttr{Setpgid: true},
	}
	if err := p.cmd.Start(); err != nil {
		r.Close()
		return err
	}
	p.output.read(r, p.cmd.Process.Pid)
	return nil
}

// environment is what Config gives, after a few defaults and before what Lambda sets and no function may change. Its
// names and values are those of Lambda's documentation, "Defined runtime environment variables".
func environment(f Function, api string) []string {
	return slices.Concat(
		[]string{"PATH=/usr/local/bin:/usr/bin:/bin", "TZ=:UTC"},
		f.Env,
		[]string{
			"AWS_LAMBDA_RUNTIME_API=" + api,
			"AWS_LAMBDA_FUNCTION_NAME=" + f.Name,
			"AWS_LAMBDA_FUNCTION_VERSION=$LATEST",
			"AWS_LAMBDA_FUNCTION_MEMORY_SIZE=128",
			"AWS_LAMBDA_INITIALIZATION_TYPE=on-demand",
			"LAMBDA_TASK_ROOT=" + filepath.Dir(f.Path),
			"_HANDLER=" + filepath.Base(f.Path),
		},
	)
}

// awaitExit waits until the child has ended, and leaves it to be reaped.
func (p *process) awaitExit() {
	for {
		err := unix.Waitid(unix.P_PID, p.cmd.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

// signal sends SIGTERM to the child, or SIGKILL to its whole group. If it is not running yet, run does it later.
func (p *process) signal(s unix.Signal) {
	p.signalled = s
	switch {
	case p.pid == 0:
	case s == unix.SIGKILL:
		unix.Kill(-p.pid, s)
	default:
		unix.Kill(p.pid, s)
	}
}

// terminate asks p to end, and kills it when the grace is over.
func (h *Host) terminate(p *process) {
	if p.leaving {
		return
	}
	h.leave(p)
	p.signal(unix.SIGTERM)
	h.arm(p, h.cfg.Grace, func() { h.kill(p) })
}

func (h *Host) kill(p *process) {
	h.leave(p)
	h.disarm(p)
	p.signal(unix.SIGKILL)
}

func (h *Host) leave(p *process) {
	if !p.leaving {
		p.leaving = true
		h.leaving++
		h.removeIdle(p)
		p.setReturned()
	}
}

func (h *Host) removeIdle(p *process) {
	if i := slices.Index(p.function.idle, p); i >= 0 {
		p.function.idle = slices.Delete(p.function.idle, i, i+1)
	}
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
