package jobstore

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"left4me/shared/db"
	"left4me/shared/job"
	"left4me/shared/text"
)

const (
	// flushEvery is how long a line may wait to be written together with others.
	flushEvery = 200 * time.Millisecond
	// How often to ask whether the job is being cancelled: that takes microseconds with a file, a round trip with a server.
	watchFile   = 200 * time.Millisecond
	watchServer = 2 * time.Second

	// maxPending bounds the lines that wait while the database is away, batchBytes those of one statement, in bytes. A line counts
	// as its text and lineCost.
	maxPending = 4 << 20
	batchBytes = 256 << 10
	lineCost   = 64
)

// maxSilence is how long a run keeps its lease without a log line or a change of its progress. It is longer than any step takes
// that reports nothing: checking and syncing a file of many GB on a slow disk takes minutes.
const maxSilence = 15 * time.Minute

// Recorder writes the log lines and the progress of a run, a few times a second, and renews the lease, unless the run has logged
// and reported nothing new for maxSilence. It ends Context with the
// cause ErrCancelled when the job is being cancelled, and with ErrLost when this process does not own it any more. While the
// database is busy or away it keeps what it has and retries as long as the lease lasts. It is safe for concurrent use. Only Flush
// and the methods that end it wait for the database.
type Recorder struct {
	store *Store
	claim Claim

	// ctx is the run's. hold is the context of all statements: it ends with the lease or the recorder, not with ctx.
	ctx     context.Context
	stop    context.CancelCauseFunc
	hold    context.Context
	release context.CancelCauseFunc
	expiry  *time.Timer
	loops   sync.WaitGroup

	// writing is held while writing to the database. It guards ended and renewed.
	writing sync.Mutex
	ended   bool
	renewed time.Time

	mu       sync.Mutex
	lines    []Line
	pending  int // the cost of lines
	omitted  int
	seq      int64
	progress Progress
	changed  bool  // progress, since it was written
	trouble  error // of the newest write
	// active is when the run last logged a line or reported progress. silent is set when that was too long ago.
	active time.Time
	silent bool
}

// errEnded is the cause of hold when the recorder was finished or closed.
var errEnded = errors.New("the recorder has ended")

// Record starts to record the run of c, which must have been claimed or resumed just now. ctx bounds the run, not the recording:
// the outcome is written even after ctx has ended. The caller ends the recorder with Finish, HandBack or Close.
func (s *Store) Record(ctx context.Context, c Claim) *Recorder {
	r := &Recorder{store: s, claim: c, seq: c.LastSeq, active: s.now()}
	r.ctx, r.stop = context.WithCancelCause(ctx)
	r.ctx = db.OnlyIf(r.ctx, r.check)
	r.hold, r.release = context.WithCancelCause(context.WithoutCancel(ctx))
	r.renewed = db.Time(c.LeaseUntil).Add(-c.Operation.Lease)
	r.expiry = time.AfterFunc(r.left(r.renewed), r.expire)
	if c.Attempt > 1 {
		r.Log(job.Stderr, takeover(c))
	}
	watchEvery := watchServer
	if s.db.Embedded() {
		watchEvery = watchFile
	}
	r.loops.Go(func() { r.loop(watchEvery, r.watch) })
	r.loops.Go(func() { r.loop(flushEvery, r.flush) })
	return r
}

// Context is the context of the run. context.Cause tells why it ended. With it, the database takes a write only while the claim owns
// the job: a process that was suspended may write before any timer tells it that it has lost the job.
func (r *Recorder) Context() context.Context { return r.ctx }

// check returns ErrLost, and ends the run, if the claim does not own the job any more. It is the condition of the run's own writes.
func (r *Recorder) check(ctx context.Context, q db.Querier) error {
	_, err := db.Row(ctx, q, db.Value[bool], cancellingSQL, r.store.ownerArgs(r.claim)...)
	if err = orLost(err); errors.Is(err, ErrLost) {
		r.lose(err)
	}
	return err
}

// left is for how long this process may still rely on a lease that began at begun. It gives up a sixth of it, so that it has
// stopped when the next owner starts.
func (r *Recorder) left(begun time.Time) time.Duration {
	lease := r.claim.Operation.Lease
	return begun.Add(lease - lease/6).Sub(r.store.now())
}

func (r *Recorder) expire() {
	r.mu.Lock()
	trouble, silent := r.trouble, r.silent
	r.mu.Unlock()
	switch {
	case trouble != nil:
		r.lose(fmt.Errorf("%w: the lease could not be renewed: %w", ErrLost, trouble))
	case silent:
		r.lose(fmt.Errorf("%w: the run made no progress for %v", ErrLost, maxSilence))
	default:
		r.lose(fmt.Errorf("%w: this process did not come to renew the lease", ErrLost))
	}
}

// lose ends both contexts. The first cause is kept.
func (r *Recorder) lose(cause error) {
	r.stop(cause)
	r.release(cause)
}

// loop calls do regularly until the recorder ends or has lost the job.
func (r *Recorder) loop(every time.Duration, do func() error) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-r.hold.Done():
			return
		case <-tick.C:
		}
		err := do()
		if errors.Is(err, ErrLost) {
			r.lose(err)
			return
		}
	}
}

func (r *Recorder) watch() error {
	cancelling, err := r.store.Cancelling(r.hold, r.claim)
	if cancelling {
		r.stop(ErrCancelled)
	}
	return err
}

// Log adds lines to the job's log. When too many lines wait to be written, further ones are dropped, and a line says
// how many.
func (r *Recorder) Log(stream job.Stream, lines string) {
	now := r.store.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.active = now
	for line := range strings.SplitSeq(strings.TrimSuffix(lines, "\n"), "\n") {
		line = text.Line(strings.TrimSuffix(line, "\r"), maxLine)
		if r.pending+len(line)+lineCost > maxPending {
			r.omitted++
			continue
		}
		r.add(Line{Stream: stream, At: now, Text: line})
	}
}

// add needs mu.
func (r *Recorder) add(l Line) {
	r.seq++
	l.Seq = r.seq
	r.lines = append(r.lines, l)
	r.pending += len(l.Text) + lineCost
}

// Progress replaces the progress.
func (r *Recorder) Progress(p Progress) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.progress != p {
		r.progress, r.changed, r.active = p, true, r.store.now()
	}
}

// Flush writes what waits. After an error other than ErrLost, what could not be written is kept.
func (r *Recorder) Flush() error {
	err := r.flush()
	if errors.Is(err, ErrLost) {
		r.lose(err)
	}
	return err
}

func (r *Recorder) flush() error {
	r.writing.Lock()
	defer r.writing.Unlock()
	if r.ended {
		return nil
	}
	for {
		batch := r.batch(batchBytes)
		if len(batch) == 0 {
			break
		}
		if err := r.store.Log(r.hold, r.claim, batch); err != nil {
			r.mu.Lock()
			r.trouble = err
			r.mu.Unlock()
			return r.because(err)
		}
		r.written(len(batch))
	}
	now := r.store.now()
	r.mu.Lock()
	progress, changed := r.progress, r.changed
	r.changed = false
	silent := now.Sub(r.active) > maxSilence
	if silent && !r.silent {
		r.add(Line{Stream: job.Stderr, At: now, Text: fmt.Sprintf("no progress for %v; unless there is some soon, the job is given up", maxSilence)})
	}
	r.silent = silent
	r.mu.Unlock()
	var err error
	switch {
	case changed:
		_, err = r.store.Progress(r.hold, r.claim, progress)
	case !silent && now.Sub(r.renewed) >= r.claim.Operation.Lease/3:
		_, err = r.store.Renew(r.hold, r.claim)
	default:
		return nil
	}
	r.mu.Lock()
	r.changed = r.changed || changed && err != nil
	r.trouble = err
	r.mu.Unlock()
	if err != nil {
		return r.because(err)
	}
	r.renewed = now
	r.expiry.Reset(r.left(now))
	return nil
}

// batch returns the next lines, up to limit bytes but at least one. They stay pending until written is called.
func (r *Recorder) batch(limit int) []Line {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.omitted > 0 {
		r.add(Line{Stream: job.Stderr, At: r.store.now(), Text: fmt.Sprintf("%d log lines were left out: the database did not take them in time", r.omitted)})
		r.omitted = 0
	}
	n, cost := 0, 0
	for n < len(r.lines) && (n == 0 || cost+len(r.lines[n].Text)+lineCost <= limit) {
		cost += len(r.lines[n].Text) + lineCost
		n++
	}
	return r.lines[:n:n]
}

func (r *Recorder) written(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, l := range r.lines[:n] {
		r.pending -= len(l.Text) + lineCost
	}
	r.lines = r.lines[n:]
	if len(r.lines) == 0 {
		r.lines = nil
	}
}

// because returns the cause if err comes from a statement that was stopped because the job is lost, else err.
func (r *Recorder) because(err error) error {
	if cause := context.Cause(r.hold); err != nil && errors.Is(cause, ErrLost) {
		return cause
	}
	return err
}

// Finish writes what waits, and ends the job and the recorder: see Ending for outcome, errText and inTx, which may be nil. While
// the database is busy or away it retries until the lease has ended. An error of inTx is returned as it is and leaves job and
// recorder as they are, so that the caller can finish in another way. ErrLost means that nothing was written.
func (r *Recorder) Finish(outcome job.State, errText string, inTx func(ctx context.Context, q db.Querier) error) error {
	for {
		again, err := r.finish(outcome, errText, inTx)
		if !again {
			return err
		}
		select {
		case <-r.hold.Done():
			return r.because(err)
		case <-time.After(flushEvery):
		}
	}
}

func (r *Recorder) finish(outcome job.State, errText string, inTx func(ctx context.Context, q db.Querier) error) (again bool, err error) {
	if err := r.Flush(); err != nil {
		return !errors.Is(err, ErrLost), err
	}
	r.writing.Lock()
	defer r.writing.Unlock()
	if r.ended {
		return false, jobError("finish", r.claim.JobID, errEnded)
	}
	e := Ending{State: outcome, Error: errText, Lines: r.batch(2 * maxPending)}
	var refused error
	if inTx != nil {
		e.InTx = func(ctx context.Context, q db.Querier) error {
			refused = inTx(ctx, q)
			return refused
		}
	}
	if err := r.because(r.store.Finish(r.hold, r.claim, e)); err != nil {
		if errors.Is(err, ErrLost) {
			r.lose(err)
			return false, err
		}
		away := refused == nil || db.IsBusy(refused) || db.IsAway(refused)
		return away && outcome.Ended(), err
	}
	r.written(len(e.Lines))
	r.end()
	return false, nil
}

// HandBack writes what waits, hands the job back (Store.HandBack) and ends the recorder.
func (r *Recorder) HandBack() error {
	defer r.Close()
	if err := r.Flush(); errors.Is(err, ErrLost) {
		return err
	}
	r.writing.Lock()
	defer r.writing.Unlock()
	if err := r.store.HandBack(r.hold, r.claim); err != nil {
		return r.because(err)
	}
	r.end()
	return nil
}

// end needs writing.
func (r *Recorder) end() {
	r.ended = true
	r.expiry.Stop()
	r.lose(errEnded)
}

// Close ends the recorder after a last attempt to write what waits, and leaves the job as it is. It does nothing after Finish or
// HandBack. When it returns, the recorder's goroutines have ended.
func (r *Recorder) Close() {
	_ = r.Flush() // there is no later attempt
	r.writing.Lock()
	r.end()
	r.writing.Unlock()
	r.loops.Wait()
}
