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

// process is a child process. The host's mutex guards it, except for the first group of fields, which do not change.
type process struct {
	function *function
	token    string
	output   *output
	work     chan *invocation // has room for the next invocation

	cmd        *exec.Cmd
	pid        int  // 0 before it runs and after it has exited
	starting   bool // has not asked for a request yet
	asking     bool // is waiting in a call for the next request
	used       bool // has got a request
	returning  bool // answered less than returnTime ago, and has not asked for the next request
	ending     bool // was told to end
	signalled  unix.Signal
	idleSince  time.Time
	invocation *invocation
	stopError  error  // the error of its invocation, if it was stopped
	killReason string // why the host killed it because of a failure

	// timer runs the one pending action of arm. timerID distinguishes it from an old timer that fired late.
	timer   *time.Timer
	timerID int
}

// arm calls action with the host's mutex held after d, unless arm or disarm is called for p before.
func (h *Host) arm(p *process, d time.Duration, action func()) {
	h.disarm(p)
	id := p.timerID
	p.timer = time.AfterFunc(d, func() {
		h.mu.Lock()
		defer h.unlock()
		if p.timerID == id {
			action()
		}
	})
}

func (h *Host) disarm(p *process) {
	p.timerID++
	if p.timer != nil {
		p.timer.Stop()
	}
}

// launch starts a process of f. Its output before its first request is logged with requestID, the request that needs the
// process.
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
		p.killReason = fmt.Sprintf("it did not ask for a request within %v", h.cfg.StartLimit)
		h.kill(p)
	})
	go h.run(p)
}

// run starts p and returns after it has exited.
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

		// It is a zombie now, so no other process or group can have its id.
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
	ending, killReason := p.ending, p.killReason
	h.mu.Unlock()
	if killReason != "" {
		exit.Reason += " (" + killReason + ")"
	}
	if ending && killReason == "" {
		log.Debug("function process left", "status", exit.Reason)
	} else {
		log.Warn("function process ended unexpectedly", "status", exit.Reason, "request_id", p.output.request())
	}
	h.exited(p, exit)
}

// start starts the child in its own process group, so that Ctrl-C in a terminal signals only the host. The kernel kills the child
// when the thread that started it ends: with the host, because no goroutine of localrun ends with its thread locked.
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
		SysProcAttr: &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL},
	}
	if err := p.cmd.Start(); err != nil {
		r.Close()
		return err
	}
	p.output.read(r, p.cmd.Process.Pid)
	return nil
}

// environment returns a few defaults, the variables of Config, and Lambda's variables, which cannot be overridden. See
// "Defined runtime environment variables" in Lambda's documentation.
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

// awaitExit waits until the child has exited, and does not reap it.
func (p *process) awaitExit() {
	for {
		err := unix.Waitid(unix.P_PID, p.cmd.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

// signal sends SIGTERM to the child, or SIGKILL to its process group. If the child is not running yet, run sends it later.
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

// terminate sends SIGTERM to p, and kills it after Config.Grace.
func (h *Host) terminate(p *process) {
	if p.ending {
		return
	}
	h.setEnding(p)
	p.signal(unix.SIGTERM)
	h.arm(p, h.cfg.Grace, func() { h.kill(p) })
}

func (h *Host) kill(p *process) {
	h.setEnding(p)
	h.disarm(p)
	p.signal(unix.SIGKILL)
}

func (h *Host) setEnding(p *process) {
	if !p.ending {
		p.ending = true
		h.ending++
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
