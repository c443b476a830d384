package lambdahost

import (
	"cmp"
	"errors"
	"slices"
	"time"
)

// function is a Function with its processes. The host's mutex guards it.
type function struct {
	Function

	processes int        // launched and not reaped; the next four fields are parts of it
	starting  int        // have not asked for a request yet
	busy      int        // have an invocation
	idle      []*process // are waiting for an invocation, most recently used last
	returning int        // have answered and will soon ask for the next invocation
	waiting   int        // entries of Host.waiting
	available int        // used by dispatch only

	// failures counts the processes in a row that exited before they asked for a request, and failure is the last error. No
	// process starts before retryAt.
	failures int
	failure  error
	retryAt  time.Time

	cold, warm, crashes uint64
}

// invocation is a request. The host's mutex guards it until done is closed. Then answer and err are final.
type invocation struct {
	function *function
	id       string
	payload  []byte
	process  *process    // nil while the request waits
	deadline time.Time   // set with process
	timer    *time.Timer // calls giveUp; nil unless the request waits
	finished bool
	done     chan struct{}
	answer   Answer
	err      error
}

// unlock unlocks the mutex, and first wakes Shutdown if nothing is left.
func (h *Host) unlock() {
	if h.closing && len(h.processes) == 0 && len(h.waiting) == 0 {
		select {
		case <-h.empty:
		default:
			close(h.empty)
		}
	}
	h.mu.Unlock()
}

// admit gives inv to an idle process, or lets inv wait for one.
func (h *Host) admit(inv *invocation) error {
	h.mu.Lock()
	defer h.unlock()
	f := inv.function
	switch {
	case h.closing:
		return ErrClosed
	case len(f.idle) > 0: // so no request of f is waiting
		h.assign(inv)
		return nil
	case f.waiting >= h.cfg.MaxWaiting:
		return &BusyError{Function: f.Name, RetryAfter: h.cfg.QueueWait}
	}
	h.enqueue(len(h.waiting), inv)
	h.dispatch()
	return nil
}

func (h *Host) enqueue(at int, inv *invocation) {
	h.waiting = slices.Insert(h.waiting, at, inv)
	inv.function.waiting++
	inv.timer = time.AfterFunc(h.cfg.QueueWait, func() { h.giveUp(inv) })
}

// dequeue removes inv from the waiting requests.
func (h *Host) dequeue(inv *invocation) {
	i := slices.Index(h.waiting, inv)
	h.waiting = slices.Delete(h.waiting, i, i+1)
	inv.endWait()
}

func (inv *invocation) endWait() {
	inv.function.waiting--
	inv.timer.Stop()
	inv.timer = nil
}

// giveUp fails a request that has waited for Config.QueueWait.
func (h *Host) giveUp(inv *invocation) {
	h.mu.Lock()
	defer h.unlock()
	if inv.timer == nil {
		return
	}
	ahead := 0
	for _, other := range h.waiting[:slices.Index(h.waiting, inv)] {
		if other.function == inv.function {
			ahead++
		}
	}
	if ahead < inv.function.starting { // a process for it is starting, and Config.StartLimit applies
		inv.timer.Reset(h.cfg.QueueWait)
		return
	}
	h.dequeue(inv)
	h.finish(inv, Answer{}, &BusyError{Function: inv.function.Name, RetryAfter: h.cfg.QueueWait})
}

// dispatch finds a process for each waiting request, oldest first: an idle process, one that will soon be idle, or a new one.
// If Config.MaxProcesses is reached, it ends the process that has been idle longest to make room for a new one. It must be
// called after every change. All functions share one queue, so that a busy function cannot keep the others from getting
// processes.
func (h *Host) dispatch() {
	if len(h.waiting) == 0 {
		return
	}
	for _, f := range h.functions {
		f.available = f.starting + f.returning
	}
	now := time.Now()
	free, ending := h.cfg.MaxProcesses-len(h.processes), h.ending
	kept := h.waiting[:0]
	for _, inv := range h.waiting {
		f := inv.function
		switch {
		case len(f.idle) > 0:
			inv.endWait()
			h.assign(inv)
			continue
		case f.available > 0:
			f.available--
		case f.processes >= f.MaxProcesses:
		case now.Before(f.retryAt):
			if f.processes == 0 {
				inv.endWait()
				h.finish(inv, Answer{}, f.failure)
				continue
			}
		case free > 0:
			free--
			h.launch(f, inv.id)
		case ending > 0: // wait until that process has exited
			ending--
		default:
			if p := h.longestIdle(); p != nil {
				h.terminate(p)
			}
		}
		kept = append(kept, inv)
	}
	clear(h.waiting[len(kept):])
	h.waiting = kept
}

func (h *Host) longestIdle() *process {
	var longest *process
	for _, f := range h.functions {
		if len(f.idle) > 0 && (longest == nil || f.idle[0].idleSince.Before(longest.idleSince)) {
			longest = f.idle[0]
		}
	}
	return longest
}

// assign gives inv to the idle process of its function that was used last, so that the others become idle for longer and end.
func (h *Host) assign(inv *invocation) {
	f := inv.function
	p := f.idle[len(f.idle)-1]
	f.idle = f.idle[:len(f.idle)-1]
	f.busy++
	if p.used {
		f.warm++
	} else {
		f.cold++
	}
	inv.answer.Cold = !p.used
	inv.process = p
	p.used = true
	p.invocation = inv
	p.asking = false
	inv.deadline = time.Now().Add(f.TimeLimit)
	p.output.setRequest(inv.id)
	h.arm(p, f.TimeLimit, func() { h.timeOut(p) })
	p.work <- inv
}

// finish sets the final answer or error of inv, unless it is set already.
func (h *Host) finish(inv *invocation, answer Answer, err error) {
	if inv.finished {
		return
	}
	inv.finished = true
	answer.Cold = inv.answer.Cold
	inv.answer, inv.err = answer, err
	if p := inv.process; p != nil {
		p.invocation = nil
		inv.function.busy--
	}
	close(inv.done)
}

// returnTime is how long a process may take between its answer and its call for the next request. After that, a waiting
// request gets a new process. The call usually comes in a fraction of a millisecond; a start takes several milliseconds.
const returnTime = 20 * time.Millisecond

// settle sets the final answer or error of inv. It reports false if it was set already.
func (h *Host) settle(inv *invocation, payload []byte, err error) bool {
	h.mu.Lock()
	defer h.unlock()
	if inv.finished {
		return false
	}
	if err != nil {
		payload = nil
	}
	p := inv.process
	h.finish(inv, Answer{Payload: payload}, err)
	if p.ending || h.cfg.SingleShot {
		return true
	}
	p.returning = true
	p.function.returning++
	h.arm(p, returnTime, func() {
		p.setReturned()
		h.arm(p, time.Until(inv.deadline), func() { h.timeOut(p) })
		h.dispatch()
	})
	return true
}

func (p *process) setReturned() {
	if p.returning {
		p.returning = false
		p.function.returning--
	}
}

// ready is called when p asks for its next request. It reports false if another such call of p is open.
func (h *Host) ready(p *process) bool {
	h.mu.Lock()
	defer h.unlock()
	if p.asking {
		return false
	}
	p.asking = true
	if p.invocation != nil {
		h.finish(p.invocation, Answer{}, &FunctionError{
			Function: p.function.Name, Type: "Runtime.NoAnswer", Message: "it asked for the next request without answering this one",
		})
	}
	p.setReturned()
	f := p.function
	if p.starting {
		p.starting = false
		f.starting--
		f.failures, f.failure, f.retryAt = 0, nil, time.Time{}
	}
	switch {
	case p.ending: // it finished its work, and has already got SIGTERM
		h.kill(p)
		return true
	case h.cfg.SingleShot && p.used:
		h.terminate(p)
		return true
	}
	p.idleSince = time.Now()
	f.idle = append(f.idle, p)
	h.disarm(p)
	h.dispatch()
	if p.invocation != nil || p.ending {
		return true
	}
	if h.closing {
		h.terminate(p)
		return true
	}
	h.arm(p, h.cfg.SurplusIdle, func() { h.endSurplus(p) })
	return true
}

// endSurplus is called when p has been idle for Config.SurplusIdle. If there are too many idle processes, it ends the one that
// has been idle longest, which may not be p.
func (h *Host) endSurplus(p *process) {
	idle := 0
	for _, f := range h.functions {
		idle += len(f.idle)
	}
	if idle > h.cfg.MaxIdle {
		h.terminate(h.longestIdle())
	}
	if !p.ending {
		h.arm(p, h.cfg.Idle-h.cfg.SurplusIdle, func() { h.terminate(p) })
	}
}

// connectionLost is called when p's connection broke while p waited for a request. That is the first sign that an idle process
// has died. inv is the request that p should have got, or nil.
func (h *Host) connectionLost(p *process, inv *invocation) {
	h.mu.Lock()
	defer h.unlock()
	if inv == nil {
		select {
		case inv = <-p.work:
		default:
		}
	}
	if !p.ending {
		p.killReason = "its connection broke"
		h.kill(p)
	}
	if inv == nil || inv.finished || p.stopError != nil {
		return
	}
	// The request was not sent, so another process may handle it.
	p.invocation, inv.process = nil, nil
	inv.function.busy--
	h.enqueue(0, inv)
	h.dispatch()
}

// timeOut ends an invocation that took too long, or a process that answered and did not ask for the next request.
func (h *Host) timeOut(p *process) {
	if p.invocation != nil {
		h.finish(p.invocation, Answer{}, &TimeoutError{Function: p.function.Name, Limit: p.function.TimeLimit})
	}
	p.killReason = "over its time limit"
	h.kill(p)
}

// stop ends inv with err: at once if inv is waiting or err is a *KillError, otherwise by ending its process.
func (h *Host) stop(inv *invocation, err error) {
	killed, kill := errors.AsType[*KillError](err)
	h.mu.Lock()
	defer h.unlock()
	switch {
	case inv.finished:
	case inv.process == nil:
		h.dequeue(inv)
		h.finish(inv, Answer{}, err)
	case kill:
		h.finish(inv, Answer{}, err)
		inv.process.killReason = killed.Reason
		h.kill(inv.process)
	default:
		inv.process.stopError = err
		h.terminate(inv.process)
	}
}

// abandon fails all waiting requests and ends all processes.
func (h *Host) abandon() {
	h.mu.Lock()
	defer h.unlock()
	for _, inv := range slices.Clone(h.waiting) {
		h.dequeue(inv)
		h.finish(inv, Answer{}, ErrClosed)
	}
	for _, p := range h.processes {
		if p.stopError == nil {
			p.stopError = ErrClosed
		}
		h.terminate(p)
	}
}

// exited is called when p is reaped and all of its output is logged.
func (h *Host) exited(p *process, exit *ExitError) {
	h.mu.Lock()
	defer h.unlock()
	f := p.function
	delete(h.processes, p.token)
	f.processes--
	h.disarm(p)
	h.removeIdle(p)
	p.setReturned()
	if p.ending {
		h.ending--
	}
	if !p.ending || p.killReason != "" {
		f.crashes++
	}
	if p.invocation != nil {
		h.finish(p.invocation, Answer{}, cmp.Or[error](p.stopError, exit))
	}
	if p.starting {
		exit.AtStart = true
		f.starting--
		if p.stopError == nil {
			h.startFailed(f, exit)
		}
	}
	h.dispatch()
}

// startFailed is called when a process of f exited before it asked for a request. If it was f's only process, the oldest
// waiting request fails. From the second failure in a row on, no process starts during a pause, and requests fail at once
// unless f has another process. So a function that cannot start does not start in a loop.
func (h *Host) startFailed(f *function, exit *ExitError) {
	f.failures++
	f.failure = exit
	if pause := startPause(f.failures); pause > 0 {
		f.retryAt = time.Now().Add(pause)
		time.AfterFunc(pause, func() {
			h.mu.Lock()
			defer h.unlock()
			h.dispatch()
		})
	}
	if f.processes > 0 {
		return
	}
	for _, inv := range h.waiting {
		if inv.function == f {
			h.dequeue(inv)
			h.finish(inv, Answer{}, exit)
			return
		}
	}
}

// startPause returns the pause after the given number of failed starts in a row.
func startPause(failures int) time.Duration {
	if failures < 2 {
		return 0
	}
	return min(100*time.Millisecond<<min(failures-2, 10), 5*time.Second)
}
