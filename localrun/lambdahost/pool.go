package lambdahost

import (
	"slices"
	"time"
)

// function is a Function with its processes. The host's mutex guards it.
type function struct {
	Function

	processes int        // launched and not reaped
	starting  int        // of these, those that have not asked for a request yet
	busy      int        // of these, those with an invocation
	idle      []*process // of these, those that wait for one, most recently used last
	returning int        // of these, those that have answered and will ask for the next one any moment
	waiting   int        // entries of Host.waiting
	promised  int        // scratch of dispatch

	// A function whose processes die before they ask for work is not started again before retryAt.
	failures int
	failure  error
	retryAt  time.Time

	cold, warm, crashes uint64
}

// invocation is one request on its way. The host's mutex guards it until done is closed; then answer and err are final.
type invocation struct {
	function *function
	id       string
	payload  []byte
	process  *process    // nil while it waits
	deadline time.Time   // set once it has a process
	timer    *time.Timer // gives up waiting
	finished bool
	done     chan struct{}
	answer   Answer
	err      error
}

// unlock ends a critical section and tells Shutdown when nothing is left.
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

// admit gives inv to an idle process, or lets it wait for one.
func (h *Host) admit(inv *invocation) error {
	h.mu.Lock()
	defer h.unlock()
	f := inv.function
	switch {
	case h.closing:
		return ErrClosed
	case len(f.idle) > 0: // nobody waits then
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

// dequeue is for one that does not wait for its turn any more.
func (h *Host) dequeue(inv *invocation) {
	i := slices.Index(h.waiting, inv)
	h.waiting = slices.Delete(h.waiting, i, i+1)
	h.leaveQueue(inv)
}

func (h *Host) leaveQueue(inv *invocation) {
	inv.function.waiting--
	inv.timer.Stop()
	inv.timer = nil
}

// giveUp ends the wait of a request for which no process came free.
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
	if ahead < inv.function.starting { // its process is on its way, and has a limit of its own
		inv.timer.Reset(h.cfg.QueueWait)
		return
	}
	h.dequeue(inv)
	h.finish(inv, Answer{}, &BusyError{Function: inv.function.Name, RetryAfter: h.cfg.QueueWait})
}

// dispatch goes through the waiting requests, oldest first, and finds each a process: an idle one, one that will be soon, a
// new one, or, where the total is reached, a new one in place of the process that has been idle longest. It is called
// whenever something changed. As one queue holds the requests of all functions, a function under load cannot keep the
// others from getting their processes.
func (h *Host) dispatch() {
	if len(h.waiting) == 0 {
		return
	}
	for _, f := range h.functions {
		f.promised = f.starting + f.returning
	}
	now := time.Now()
	free, freed := h.cfg.MaxProcesses-len(h.processes), h.leaving
	kept := h.waiting[:0]
	for _, inv := range h.waiting {
		f := inv.function
		switch {
		case len(f.idle) > 0:
			h.leaveQueue(inv)
			h.assign(inv)
			continue
		case f.promised > 0:
			f.promised--
		case f.processes >= f.MaxProcesses:
		case now.Before(f.retryAt):
			if f.processes == 0 {
				h.leaveQueue(inv)
				h.finish(inv, Answer{}, f.failure)
				continue
			}
		case free > 0:
			free--
			h.launch(f, inv.id)
		case freed > 0: // the slot of a process that is leaving
			freed--
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

// assign gives inv to the idle process of its function that was used last, so that the others can go.
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

// finish makes the outcome of inv final; the first one counts.
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

// returnTime is how long a process may take from its answer until it asks for the next request, before a waiting request
// gets a new process instead. Returning takes a fraction of a millisecond, starting some of them.
const returnTime = 20 * time.Millisecond

// settle makes the outcome of inv final, and reports false when it was final before.
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
	if p.leaving || h.cfg.SingleShot {
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

// ready is called when p asks for its next request. It reports false when p is asking already.
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
	case p.leaving: // its work is done, and it has had its signal
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
	if p.invocation != nil || p.leaving {
		return true
	}
	if h.closing {
		h.terminate(p)
		return true
	}
	h.arm(p, h.cfg.Idle, func() { h.terminate(p) })
	return true
}

// connectionLost is called when p's connection broke while it waited for a request, which is how the death of an idle
// process shows first. inv is what it should have got, or nil.
func (h *Host) connectionLost(p *process, inv *invocation) {
	h.mu.Lock()
	defer h.unlock()
	if inv == nil {
		select {
		case inv = <-p.work:
		default:
		}
	}
	if !p.leaving {
		p.killedFor = "its connection broke"
		h.kill(p)
	}
	if inv == nil || inv.finished || p.reason != nil {
		return
	}
	// Nothing of it was sent, so another process may have it.
	p.invocation, inv.process = nil, nil
	inv.function.busy--
	h.enqueue(0, inv)
	h.dispatch()
}

// timeOut ends an invocation that took too long, or a process that answered and then did not come back.
func (h *Host) timeOut(p *process) {
	if p.invocation != nil {
		h.finish(p.invocation, Answer{}, &TimeoutError{Function: p.function.Name, Limit: p.function.TimeLimit})
	}
	p.killedFor = "over its time limit"
	h.kill(p)
}

// stop ends inv with err: at once while it waits, else by asking its process.
func (h *Host) stop(inv *invocation, err error) {
	h.mu.Lock()
	defer h.unlock()
	switch {
	case inv.finished:
	case inv.process == nil:
		h.dequeue(inv)
		h.finish(inv, Answer{}, err)
	default:
		inv.process.reason = err
		h.terminate(inv.process)
	}
}

// abandon ends everything when a drain took too long.
func (h *Host) abandon() {
	h.mu.Lock()
	defer h.unlock()
	for _, inv := range slices.Clone(h.waiting) {
		h.dequeue(inv)
		h.finish(inv, Answer{}, ErrClosed)
	}
	for _, p := range h.processes {
		if p.reason == nil {
			p.reason = ErrClosed
		}
		h.terminate(p)
	}
}

// exited is called once p is reaped and its output is read. exit says how it ended.
func (h *Host) exited(p *process, exit *ExitError) {
	h.mu.Lock()
	defer h.unlock()
	f := p.function
	delete(h.processes, p.token)
	f.processes--
	h.disarm(p)
	h.removeIdle(p)
	p.setReturned()
	if p.leaving {
		h.leaving--
	}
	if !p.leaving || p.killedFor != "" {
		f.crashes++
	}
	if p.invocation != nil {
		err := error(exit)
		if p.reason != nil {
			err = p.reason
		}
		h.finish(p.invocation, Answer{}, err)
	}
	if p.starting {
		f.starting--
		if p.reason == nil {
			h.startFailed(f, exit)
		}
	}
	h.dispatch()
}

// startFailed remembers that a process of f died before it asked for work. When it was the only one, the oldest waiting
// request fails with it. From the second such death in a row on there is a pause, in which requests that no other process
// could serve fail at once: a function that cannot start costs a process now and then, and does not spin.
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

// startPause is how long to wait after the given number of failed starts in a row.
func startPause(failures int) time.Duration {
	if failures < 2 {
		return 0
	}
	return min(100*time.Millisecond<<min(failures-2, 10), 5*time.Second)
}
