package jobstore

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"left4me/shared/db"
	"left4me/shared/db/dbtest"
	"left4me/shared/job"
)

// Workers of these tests are processes of their own: this binary, told by the environment what to be.
const (
	workerMode = "JOBSTORE_TEST_WORKER"
	workerURL  = "JOBSTORE_TEST_URL"
	workerDir  = "JOBSTORE_TEST_DIR"
	workerHost = "JOBSTORE_TEST_HOST"
)

func TestMain(m *testing.M) {
	mode := os.Getenv(workerMode)
	if mode == "" {
		flag.Parse()
		if err := flag.Set("test.parallel", "8"); err != nil { // most of these tests wait most of the time
			panic(err)
		}
		os.Exit(m.Run())
	}
	d, err := db.Open(os.Getenv(workerURL), "")
	if err == nil {
		switch s := NewStore(d, time.Now); mode {
		case "compete":
			err = compete(s, os.Getenv(workerDir))
		case "hold":
			err = hold(s)
		case "ask":
			err = claimOnRequest(s)
		default:
			err = benchWorker(s, mode)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, mode, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func (w *fixture) worker(t testing.TB, mode, dir, host string) *exec.Cmd {
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), workerMode+"="+mode, workerURL+"="+w.url, workerDir+"="+dir, workerHost+"="+host,
		"GORACE=atexit_sleep_ms=0") // else each process takes a second to end
	cmd.Stderr = os.Stderr
	return cmd
}

func workerName() string { return fmt.Sprintf("process %d", os.Getpid()) }

func thisWorker() Worker { return Worker{workerName(), os.Getenv(workerHost)} }

// compete claims and finishes jobs until none is live. For each lock that a job should have it takes the kernel's lock on a
// file, which is refused at once if another process, whatever the database says, is running what must not run beside it.
// Some jobs kill their first worker, some are handed back once.
func compete(s *Store, dir string) error {
	ctx := context.Background()
	text, err := os.ReadFile(filepath.Join(dir, "locks.json"))
	if err != nil {
		return err
	}
	var locks map[int64][]job.Lock
	if err := json.Unmarshal(text, &locks); err != nil {
		return err
	}
	for {
		c, found, err := s.Claim(ctx, thisWorker(), runnable())
		if err != nil {
			return err
		}
		if !found {
			live, err := s.CountLive(ctx)
			if err != nil || len(live) == 0 {
				return err
			}
			time.Sleep(10 * time.Millisecond) // until others have finished what blocks the rest
			continue
		}
		held, err := witness(dir, append(locks[c.JobID], job.Lock{Resource: "job:" + strconv.FormatInt(c.JobID, 10), Write: true}))
		if err != nil {
			return fmt.Errorf("job %d (%s) runs beside another: %w", c.JobID, c.Operation.Name, err)
		}
		if err := s.Log(ctx, c, []Line{{Seq: c.LastSeq + 1, Stream: job.Stdout, At: time.Now(), Text: workerName()}}); err != nil {
			return err
		}
		if c.JobID%20 == 0 && c.Attempt == 1 {
			if err := syscall.Kill(os.Getpid(), syscall.SIGKILL); err != nil {
				return err
			}
			select {}
		}
		if c.JobID%5 == 0 && c.Attempt == 1 {
			held.release()
			if err := s.HandBack(ctx, c); err != nil {
				return err
			}
			continue
		}
		held.release()
		if err := s.Finish(ctx, c, Ending{State: job.Succeeded}); err != nil {
			return err
		}
	}
}

type held []*os.File

func witness(dir string, locks []job.Lock) (held, error) {
	var all held
	for _, l := range locks {
		f, err := os.OpenFile(filepath.Join(dir, l.Resource), os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			return nil, err
		}
		how := unix.LOCK_SH
		if l.Write {
			how = unix.LOCK_EX
		}
		if err := unix.Flock(int(f.Fd()), how|unix.LOCK_NB); err != nil {
			return nil, fmt.Errorf("%s is in use: %w", l.Resource, err)
		}
		all = append(all, f)
	}
	return all, nil
}

func (h held) release() {
	for _, f := range h {
		f.Close()
	}
}

func testProcessesCompete(t *testing.T, w *fixture) {
	w.useRealTime()
	// The database itself keeps the order of events, for the checker below.
	w.exec(t, "CREATE TABLE history (n INTEGER PRIMARY KEY, job_id INTEGER, was TEXT, state TEXT, attempt INTEGER)")
	w.exec(t, `CREATE TRIGGER tr_history AFTER UPDATE OF state, attempt ON jobs BEGIN
		INSERT INTO history (job_id, was, state, attempt) VALUES (NEW.id, OLD.state, NEW.state, NEW.attempt);
	END`)
	hosts := []string{testHost, "h2", "h3"}
	for _, h := range hosts[1:] {
		dbtest.AddHost(t, w.DB, h, start)
	}
	dir := t.TempDir()
	random := rand.New(rand.NewPCG(1, 2))
	// Sweep ends the others when their worker is lost.
	operations := slices.DeleteFunc(runnable(), func(o job.Operation) bool { return o.MaxLost == 1 })
	locks := map[int64][]job.Lock{}
	for len(locks) < competed {
		o := operations[random.IntN(len(operations))]
		if o.Alone && random.IntN(4) > 0 {
			continue
		}
		host := random.IntN(len(hosts))
		r := about{1 + random.Int64N(12), 1 + random.Int64N(24)*3 + int64(host), hosts[host]}.request(o)
		if other := job.Overlay(1 + random.Int64N(12)); o.Reads == job.Overlays && other != r.Reads[0] {
			r.Reads = append(r.Reads, other)
		}
		r.Argument = len(locks) // so that no older job answers
		if e := w.ask(t, r); e.New {
			locks[e.ID] = r.locks(t)
		}
	}
	text, err := json.Marshal(locks)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "locks.json"), text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}

	var wg sync.WaitGroup
	var mu sync.Mutex
	killed := 0
	for _, host := range append(hosts, testHost) {
		wg.Go(func() {
			for {
				cmd := w.worker(t, "compete", dir, host)
				err := cmd.Run()
				var exit *exec.ExitError
				if errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signaled() {
					// Its time passes for this one only, so that nobody has to wait for a lease.
					if _, err := w.DB.ExecContext(t.Context(), "UPDATE jobs SET lease_until = 1 WHERE lease_until > 0 AND worker = ?",
						fmt.Sprintf("process %d", cmd.Process.Pid)); err != nil {
						t.Error(err)
					}
					mu.Lock()
					killed++
					mu.Unlock()
					continue
				}
				if err != nil {
					t.Error(err)
				}
				return
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		return
	}
	want := 0
	for id := range locks {
		if id%20 == 0 {
			want++
		}
	}
	if killed != want {
		t.Errorf("%d workers were killed, want %d", killed, want)
	}
	if n := w.number(t, "SELECT COUNT(*) FROM jobs WHERE state = 'succeeded'"); int(n) != len(locks) {
		t.Errorf("%d of %d jobs succeeded", n, len(locks))
	}
	w.checkHistory(t, locks)
}

// checkHistory replays what the database committed, in its order: no two conflicting jobs at once, no owner but the newest.
func (w *fixture) checkHistory(t *testing.T, locks map[int64][]job.Lock) {
	rows, err := w.DB.QueryContext(t.Context(), "SELECT job_id, was, state, attempt FROM history ORDER BY n")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	running := map[int64]int{}
	together := 0
	for rows.Next() {
		var id int64
		var was, state job.State
		var attempt int
		if err := rows.Scan(&id, &was, &state, &attempt); err != nil {
			t.Fatal(err)
		}
		switch {
		case state == job.Running && was == job.Queued:
			for other := range running {
				if job.Conflict(locks[id], locks[other]) {
					t.Errorf("job %d started beside job %d", id, other)
				}
			}
			if attempt != 1 {
				t.Errorf("job %d started with attempt %d", id, attempt)
			}
			running[id] = attempt
		case state == job.Running: // taken over, or handed back
			if attempt != running[id] && attempt != running[id]+1 {
				t.Errorf("job %d went from attempt %d to %d", id, running[id], attempt)
			}
			running[id] = attempt
		default:
			if running[id] != attempt {
				t.Errorf("job %d ended with attempt %d, its owner had %d", id, attempt, running[id])
			}
			delete(running, id)
		}
		together = max(together, len(running))
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	if together < 2 {
		t.Error("no two jobs ever ran together: this tests nothing")
	}
}

// hold claims a job, records it, and tells on stdout how it fares until its context ends.
func hold(s *Store) error {
	c, found, err := s.Claim(context.Background(), thisWorker(), runnable())
	if err != nil || !found {
		return fmt.Errorf("nothing to claim: %w", err)
	}
	r := s.Record(context.Background(), c)
	defer r.Close()
	r.Log(job.Stdout, "before")
	if err := r.Flush(); err != nil {
		return err
	}
	fmt.Println("claimed")
	<-r.Context().Done()
	fmt.Println("context:", errors.Is(context.Cause(r.Context()), ErrLost), errors.Is(context.Cause(r.Context()), ErrCancelled))
	// As if the process had gone on before its context ended.
	_, err = s.db.ExecContext(context.WithoutCancel(r.Context()), "UPDATE overlays SET revision = 98")
	fmt.Println("write:", err == nil, errors.Is(err, ErrLost))
	r.Log(job.Stdout, "after")
	err = r.Finish(job.Succeeded, "", func(ctx context.Context, q db.Querier) error {
		_, err := q.ExecContext(ctx, "UPDATE overlays SET revision = 99")
		return err
	})
	fmt.Println("finish:", err == nil, errors.Is(err, ErrLost))
	return nil
}

// claimOnRequest tries to claim a job on the host that each line names, and says which it got.
func claimOnRequest(s *Store) error {
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		c, _, err := s.Claim(context.Background(), Worker{workerName(), in.Text()}, runnable())
		if err != nil {
			return err
		}
		fmt.Println(c.JobID, c.Attempt)
	}
	return in.Err()
}

// TestMatrixByProcesses has several processes try to claim at the same moment, for every cell of the matrix: one of them gets
// what may start, and none what may not.
//
// shows: P33
func TestMatrixByProcesses(t *testing.T) {
	t.Parallel()
	w := newFixture(t, openFile)
	w.useRealTime()
	type asker struct {
		in  io.WriteCloser
		out *bufio.Reader
	}
	var askers []asker
	for range 3 {
		cmd := w.worker(t, "ask", "", "")
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		out, err := cmd.StdoutPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			in.Close()
			if err := cmd.Wait(); err != nil {
				t.Error(err)
			}
		}()
		askers = append(askers, asker{in, bufio.NewReader(out)})
	}
	w.matrix(t, func(host string) (got Claim, found bool) {
		for _, a := range askers {
			if _, err := io.WriteString(a.in, host+"\n"); err != nil {
				t.Fatal(err)
			}
		}
		for _, a := range askers {
			var c Claim
			if _, err := fmt.Fscanln(a.out, &c.JobID, &c.Attempt); err != nil {
				t.Fatal(err)
			}
			if c.JobID == 0 {
				continue
			}
			if found {
				t.Fatalf("jobs %d and %d were claimed at once", got.JobID, c.JobID)
			}
			got, found = c, true
		}
		return got, found
	})
}

// holder is a process that holds a job.
type holder struct {
	*exec.Cmd
	out *bufio.Reader
}

func (w *fixture) holder(t *testing.T) *holder {
	t.Helper()
	h := &holder{Cmd: w.worker(t, "hold", "", testHost)}
	pipe, err := h.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	h.out = bufio.NewReader(pipe)
	if err := h.Start(); err != nil {
		t.Fatal(err)
	}
	h.says(t, "claimed")
	return h
}

func (h *holder) says(t *testing.T, want string) {
	t.Helper()
	line, err := h.out.ReadString('\n')
	if strings.TrimSpace(line) != want {
		t.Fatalf("the worker says %q, %v, want %q", line, err, want)
	}
}

func testKilledOwner(t *testing.T, w *fixture) {
	w.at = time.Now()
	id := w.build(t, 1)
	for run := 1; run <= 3; run++ {
		h := w.holder(t)
		if j := w.state(t, id, job.Running); j.Attempt != run {
			t.Errorf("%+v", j)
		}
		if err := h.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		h.Wait()
		w.claimNothing(t) // nobody knows yet
		// For the next worker, a process on the machine's clock, the lease must really be over.
		w.exec(t, "UPDATE jobs SET lease_until = 1 WHERE id = ?", id)
	}
	w.claimNothing(t)
	if ended, err := w.Sweep(t.Context()); len(ended) != 1 || err != nil {
		t.Fatal(ended, err)
	}
	if j := w.state(t, id, job.Failed); j.Error != "worker lost" {
		t.Errorf("%+v", j)
	}
	want := []string{"before", "worker lost; attempt 2 of 3", "before", "worker lost; attempt 3 of 3", "before", "worker lost; given up after attempt 3 of 3"}
	if got := w.texts(t, id); !slices.Equal(got, want) {
		t.Errorf("log %q", got)
	}
}

func testStoppedOwner(t *testing.T, w *fixture) {
	w.at = time.Now()
	w.overlay(t, "mine", 0)
	id := w.build(t, 1)
	h := w.holder(t)
	if err := h.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	var status unix.WaitStatus
	if _, err := unix.Wait4(h.Process.Pid, &status, unix.WUNTRACED, nil); err != nil || !status.Stopped() {
		t.Fatalf("%v, %v", status, err)
	}
	w.pass(job.BuildOverlay.Lease + time.Minute)
	c := w.claim(t, id)
	if c.Attempt != 2 {
		t.Errorf("%+v", c)
	}
	w.Record(t.Context(), c).Close()
	if err := h.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	h.says(t, "context: true false")
	h.says(t, "write: false true")
	h.says(t, "finish: false true")
	if rest, err := io.ReadAll(h.out); err != nil || len(rest) > 0 {
		t.Errorf("%q, %v", rest, err)
	}
	if err := h.Wait(); err != nil {
		t.Error(err)
	}
	w.state(t, id, job.Running)
	w.finish(t, c, job.Failed)
	if got, want := w.texts(t, id), []string{"before", "worker lost; attempt 2 of 3"}; !slices.Equal(got, want) {
		t.Errorf("log %q", got)
	}
	if n := w.number(t, "SELECT revision FROM overlays"); n != 1 {
		t.Error("the one who lost the job has written all the same")
	}

	// One that is cancelled, and not stopped, ends in good order.
	id = w.build(t, 1)
	h = w.holder(t)
	if _, _, err := w.Cancel(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	h.says(t, "context: false true")
	h.says(t, "write: true false")
	h.says(t, "finish: true false")
	if err := h.Wait(); err != nil {
		t.Error(err)
	}
	w.state(t, id, job.Succeeded)
}
