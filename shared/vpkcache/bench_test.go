package vpkcache

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"left4me/shared/steam"
)

// paced is a connection that is limited to rate bytes per second.
type paced struct {
	http.ResponseWriter
	rate  int
	begin time.Time
	sent  int
}

func (p *paced) Write(b []byte) (int, error) {
	written := 0
	for len(b) > 0 {
		n, err := p.ResponseWriter.Write(b[:min(len(b), 32<<10)])
		written += n
		if err != nil {
			return written, err
		}
		b = b[n:]
		p.sent += n
		due := p.begin.Add(time.Duration(float64(p.sent) / float64(p.rate) * float64(time.Second)))
		time.Sleep(time.Until(due))
	}
	return written, nil
}

// peers runs this package and aria2c, each as a process of its own with an empty directory.
func peers(b *testing.B, job childJob, aria2c ...string) {
	total := int64(0)
	var list strings.Builder
	for _, f := range job.Files {
		total += f.Size
		fmt.Fprintf(&list, "%s\n out=%s.vpk\n", f.URL, f.SteamID)
	}
	b.Run("vpkcache", func(b *testing.B) {
		peak := 0
		for b.Loop() {
			job.Dir = filepath.Join(b.TempDir(), fmt.Sprint(b.N))
			p, err := startChild(b, job, nil)
			if err != nil {
				b.Fatal(err)
			}
			output := p.rest(b)
			if n := strings.Count(output, " true\n"); n != len(job.Files) {
				b.Fatalf("%d of %d downloaded:\n%s", n, len(job.Files), output)
			}
			n := 0
			fmt.Sscanf(output[strings.LastIndex(output, "peak"):], "peak %d", &n)
			peak = max(peak, n)
			os.RemoveAll(job.Dir)
		}
		b.SetBytes(total)
		b.ReportMetric(float64(peak)/1024, "peak-MiB")
	})
	b.Run("aria2c", func(b *testing.B) {
		program, err := exec.LookPath("aria2c")
		if err != nil {
			b.Skip("aria2c is not installed: no peer to compare with")
		}
		for b.Loop() {
			dir := filepath.Join(b.TempDir(), fmt.Sprint(b.N))
			cmd := exec.Command(program, append(aria2c, "--no-conf", "-q", "-d", dir, "-i", "-")...)
			cmd.Stdin = strings.NewReader(list.String())
			if out, err := cmd.CombinedOutput(); err != nil {
				b.Fatalf("%v: %s", err, out)
			}
			os.RemoveAll(dir)
		}
		b.SetBytes(total)
	})
}

// BenchmarkManyItems is measure M1: 200 items of 1 MiB, 50 ms before each answer.
func BenchmarkManyItems(b *testing.B) {
	h := newHost(b)
	job := childJob{Host: h.URL, AtOnce: 16}
	for i := range 200 {
		job.Files = append(job.Files, h.serve(fmt.Sprint(i+1), vpkOf(uint64(i), 1<<20)))
	}
	h.behave(func(http.ResponseWriter, *http.Request, []byte) bool {
		time.Sleep(50 * time.Millisecond)
		return false
	})
	peers(b, job, "-j8", "--split=1")
}

// BenchmarkLargeItem is measure M2: one item of 128 MiB, 4 MiB/s for each connection.
func BenchmarkLargeItem(b *testing.B) {
	h := newHost(b)
	job := childJob{Host: h.URL, Files: []File{h.serve("1", vpkOf(1, 128<<20))}}
	h.behave(func(w http.ResponseWriter, r *http.Request, content []byte) bool {
		http.ServeContent(&paced{ResponseWriter: w, rate: 4 << 20, begin: time.Now()}, r, "", time.Time{}, bytes.NewReader(content))
		return true
	})
	peers(b, job, "-x8", "-s8", "-k1M")
}

// BenchmarkNothingToDo is measure M3's part of the cache: 5,000 fresh files, beside bare readdir and lstat.
func BenchmarkNothingToDo(b *testing.B) {
	h := newHost(b)
	c := h.cache(b)
	if err := os.MkdirAll(c.dir, 0o755); err != nil {
		b.Fatal(err)
	}
	var files []File
	for i := range 5000 {
		f := File{SteamID: steam.ID(fmt.Sprint(2_000_000_000 + i)), Size: 1, Updated: updated}
		path := c.Path(f.SteamID)
		if err := os.WriteFile(path, []byte("x"), 0o644); err != nil {
			b.Fatal(err)
		}
		if err := os.Chtimes(path, time.Time{}, time.Unix(updated, 0)); err != nil {
			b.Fatal(err)
		}
		files = append(files, f)
	}
	b.Run("vpkcache", func(b *testing.B) {
		for b.Loop() {
			for _, f := range files {
				if fresh, err := c.Fresh(f); !fresh || err != nil {
					b.Fatal(f, err)
				}
			}
		}
	})
	b.Run("bare", func(b *testing.B) {
		for b.Loop() {
			entries, err := os.ReadDir(c.dir)
			if err != nil {
				b.Fatal(err)
			}
			for _, e := range entries {
				if _, err := os.Lstat(filepath.Join(c.dir, e.Name())); err != nil {
					b.Fatal(err)
				}
			}
		}
	})
}
