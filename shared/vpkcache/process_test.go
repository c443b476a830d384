package vpkcache

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// childVariable holds a childJob in JSON, which makes the test binary a process that downloads.
const childVariable = "VPKCACHE_TEST_CHILD"

type childJob struct {
	Dir, Host string
	Files     []File
	// Then is downloaded after all Files.
	Then []File
	// AtOnce is how many files are downloaded at once.
	AtOnce int
	// Progress makes the child print a line for each progress.
	Progress bool
	// Tmpfs puts Dir on a file system of that many bytes, which only the child sees.
	Tmpfs int
}

func TestMain(m *testing.M) {
	if job := os.Getenv(childVariable); job != "" {
		if err := child(job); err != nil {
			fmt.Println("child", err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// child prints `progress N`, and for each file `fetched ID downloaded` or `failed ID full reason`; at the end the names of all
// files that are not finished ones, and its peak memory.
func child(raw string) error {
	var job childJob
	if err := json.Unmarshal([]byte(raw), &job); err != nil {
		return err
	}
	if job.Tmpfs > 0 {
		if err := unix.Mount("tmpfs", job.Dir, "tmpfs", 0, fmt.Sprintf("size=%d", job.Tmpfs)); err != nil {
			return fmt.Errorf("mount: %w", err)
		}
	}
	src, err := newSource(job.Host)
	if err != nil {
		return err
	}
	c := New(job.Dir, src, Options{})
	for _, files := range [][]File{job.Files, job.Then} {
		fetchAll(c, files, job.AtOnce, job.Progress)
	}
	if err := c.SyncDir(); err != nil {
		return err
	}
	entries, err := os.ReadDir(job.Dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if filepath.Ext(e.Name()) != ".vpk" {
			fmt.Println("left", e.Name())
		}
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(status)) {
		if peak, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			fmt.Println("peak", strings.TrimSpace(peak))
		}
	}
	return nil
}

func fetchAll(c *Cache, files []File, atOnce int, steps bool) {
	queue := make(chan File, len(files))
	for _, f := range files {
		queue <- f
	}
	close(queue)
	var all sync.WaitGroup
	for range max(1, atOnce) {
		all.Go(func() {
			for f := range queue {
				progress := func(int64) {}
				if steps {
					progress = func(n int64) { fmt.Println("progress", n) }
				}
				downloaded, err := c.Fetch(context.Background(), f, progress)
				if err != nil {
					fmt.Println("failed", f.SteamID, errors.Is(err, ErrDiskFull), err)
				} else {
					fmt.Println("fetched", f.SteamID, downloaded)
				}
			}
		})
	}
	all.Wait()
}

// process is a running child.
type process struct {
	*exec.Cmd
	out *bufio.Scanner
}

func startChild(t testing.TB, job childJob, attr *syscall.SysProcAttr) (*process, error) {
	t.Helper()
	raw, err := json.Marshal(job)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(deadline(t), os.Args[0])
	cmd.Env = append(os.Environ(), childVariable+"="+string(raw))
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = attr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return &process{cmd, bufio.NewScanner(out)}, nil
}

// rest waits for the child's end and returns the rest of its output.
func (p *process) rest(t testing.TB) string {
	t.Helper()
	var all strings.Builder
	for p.out.Scan() {
		fmt.Fprintln(&all, p.out.Text())
	}
	if err := p.Wait(); err != nil {
		t.Errorf("child: %v\n%s", err, all.String())
	}
	return all.String()
}

// Two processes build overlays with the same items: each file is downloaded once, by one of them.
func TestTwoProcesses(t *testing.T) {
	h := newHost(t)
	c := h.cache(t)
	versions := map[string][][]byte{}
	job := childJob{Dir: c.dir, Host: h.URL, AtOnce: 3}
	for i := range 20 {
		id := fmt.Sprint(i + 1)
		content := vpkOf(uint64(i), 300<<10)
		versions[id] = [][]byte{content}
		job.Files = append(job.Files, h.serve(id, content))
	}
	var children []*process
	for range 2 {
		p, err := startChild(t, job, nil)
		if err != nil {
			t.Fatal(err)
		}
		children = append(children, p)
	}
	output := children[0].rest(t) + children[1].rest(t)
	downloaded, skipped := strings.Count(output, " true\n"), strings.Count(output, " false\n")
	if n := len(h.asks()); downloaded != 20 || skipped != 20 || n != 20 {
		t.Errorf("%d downloaded, %d skipped, %d requests:\n%s", downloaded, skipped, n, output)
	}
	mustHold(t, c, versions)
	noPartials(t, c)
}

// A process is killed during a download. Its lock ends with it, and the next process resumes the download.
func TestKilled(t *testing.T) {
	const size, arrived = 2 * parallelFrom, 4 << 20
	h := newHost(t)
	c := h.cache(t)
	content := vpkOf(1, size)
	f := h.serve("123", content)
	p, err := startChild(t, childJob{Dir: c.dir, Host: h.URL, Files: []File{f}, Progress: true}, nil)
	if err != nil {
		t.Fatal(err)
	}
	// Each connection receives only a part of its bytes, so that the child cannot finish.
	h.behave(func(w http.ResponseWriter, r *http.Request, content []byte) bool {
		http.ServeContent(&pausing{ResponseWriter: w, request: r, first: 700 << 10}, r, "", time.Time{}, bytes.NewReader(content))
		return true
	})
	for p.out.Scan() {
		var n int
		if fmt.Sscanf(p.out.Text(), "progress %d", &n); n >= arrived {
			break
		}
	}
	if err := p.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	for p.out.Scan() {
	}
	if err := p.Wait(); err == nil {
		t.Fatal("the child was not killed")
	}
	mustHold(t, c, nil)
	if len(partials(t, c)) != 1 {
		t.Fatal("the partial file is gone")
	}
	h.behave(nil)
	h.asks()
	mustFetch(t, c, f)
	// A connection that takes over a part of a segment requests some bytes again.
	asked, at := 0, 0
	for _, a := range h.asks() {
		asked += max(0, a.to-max(at, a.from))
		at = max(at, a.to)
	}
	// The last record may lack recordEvery bytes and what one connection wrote at once.
	if most := size - arrived + recordEvery + bufferSize; asked > most {
		t.Errorf("%d bytes were asked for again, at most %d were missing", asked, most)
	}
	mustHold(t, c, map[string][][]byte{"123": {content}})
	noPartials(t, c)
}

// The child has a small file system of its own, which gets full.
func TestFullDisk(t *testing.T) {
	h := newHost(t)
	large, one, two, small := vpkOf(1, 8<<20), vpkOf(2, 3<<20), vpkOf(3, 3<<20), vpkOf(4, 100<<10)
	job := childJob{
		Dir: t.TempDir(), Host: h.URL, Tmpfs: 4 << 20, AtOnce: 2,
		Files: []File{h.serve("1", large), h.serve("2", one), h.serve("3", two)}, Then: []File{h.serve("4", small)},
	}
	// Each of two files fits alone. Both begin before either is refused.
	var both sync.WaitGroup
	both.Add(2)
	h.behave(func(_ http.ResponseWriter, r *http.Request, content []byte) bool {
		if len(content) == 3<<20 {
			both.Done()
			both.Wait()
		}
		return false
	})
	p, err := startChild(t, job, &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	})
	if err != nil {
		t.Skipf("NOT TESTED: a really full disk, because this system allows no user namespaces: %v", err)
	}
	output := p.rest(t)
	if strings.Contains(output, "child mount:") {
		t.Skipf("NOT TESTED: a really full disk, because this system allows no mounts in a user namespace: %s", output)
	}
	if !strings.Contains(output, "failed 1 true disk full: 8388608 bytes needed, 4") {
		t.Errorf("the large file was not refused with figures:\n%s", output)
	}
	if !strings.Contains(output, "failed 2 true disk full: write ") && !strings.Contains(output, "failed 3 true disk full: write ") {
		t.Errorf("neither of two that do not fit together failed:\n%s", output)
	}
	if !strings.Contains(output, "fetched 4 true") || strings.Contains(output, "\nleft ") {
		t.Errorf("the failed files were not cleared away:\n%s", output)
	}
}
