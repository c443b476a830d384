package vpkcache

import (
	"bytes"
	"context"
	"crypto/sha1"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"left4me/shared/steam"
)

func TestFetch(t *testing.T) {
	for name, size := range map[string]int{"smallest": 13, "one stream": 3 << 20, "parallel": parallelFrom + 12345} {
		for kind, serve := range map[string]func(*host, string, []byte) File{"named": (*host).serve, "unnamed": (*host).serveUnnamed} {
			t.Run(name+" "+kind, func(t *testing.T) {
				h := newHost(t)
				c := h.cache(t)
				content := vpkOf(1, size)
				f := serve(h, "123", content)
				last := int64(-1)
				downloaded, err := c.Fetch(deadline(t), f, func(n int64) {
					if n < last {
						t.Errorf("progress fell from %d to %d", last, n)
					}
					last = n
				})
				if !downloaded || err != nil {
					t.Fatalf("Fetch = %v, %v", downloaded, err)
				}
				if last != f.Size {
					t.Errorf("progress ended at %d of %d", last, f.Size)
				}
				mustHold(t, c, map[string][][]byte{"123": {content}})
				noPartials(t, c)
				if fresh, err := c.Fresh(f); !fresh || err != nil {
					t.Errorf("Fresh = %v, %v", fresh, err)
				}
				if files, bytes, err := c.Usage(); files != 1 || bytes != f.Size || err != nil {
					t.Errorf("Usage = %d files, %d bytes, %v", files, bytes, err)
				}
				if err := c.SyncDir(); err != nil {
					t.Error(err)
				}
				h.asks()
				if downloaded, err := c.Fetch(deadline(t), f, nil); downloaded || err != nil || len(h.asks()) > 0 {
					t.Errorf("second Fetch = %v, %v", downloaded, err)
				}
			})
		}
	}
}

// The file on the disk differs from Steam's only in its time, or only in its length.
func TestFetchReplacesStale(t *testing.T) {
	h := newHost(t)
	c := h.cache(t)
	first, second, third := vpkOf(1, 5000), vpkOf(2, 5000), vpkOf(3, 6000)
	mustFetch(t, c, h.serve("123", first))
	running, err := os.Open(c.Path("123"))
	if err != nil {
		t.Fatal(err)
	}
	defer running.Close()
	f := h.serve("123", second)
	f.Updated++
	mustFetch(t, c, f)
	f = h.serve("123", third)
	f.Updated++
	mustFetch(t, c, f)
	mustHold(t, c, map[string][][]byte{"123": {third}})
	if got, err := io.ReadAll(running); err != nil || !bytes.Equal(got, first) {
		t.Error("a process that has the old file open cannot read it any more")
	}
}

// Steam may tell a time that no file can have on this file system.
func TestATimeOutOfRangeIsDownloadedOnce(t *testing.T) {
	for _, updated := range []int64{1 << 40, 1<<63 - 1} {
		h := newHost(t)
		c := h.cache(t)
		content := vpkOf(1, 5000)
		f := h.serve("123", content)
		f.Updated = updated
		mustFetch(t, c, f)
		h.asks()
		if downloaded, err := c.Fetch(deadline(t), f, nil); downloaded || err != nil || len(h.asks()) > 0 {
			t.Errorf("time %d: second Fetch = %v, %v", updated, downloaded, err)
		}
		noPartials(t, c)
		f = h.serve("123", vpkOf(2, 6000))
		f.Updated = updated
		mustFetch(t, c, f)
	}
}

// Another user who can open a file can lock it.
func TestOnlyItsOwnerCanOpenAPartialFile(t *testing.T) {
	for name, before := range map[string]func(path string) error{
		"a new one":                      func(string) error { return nil },
		"a leftover of an older version": func(path string) error { return os.WriteFile(path, nil, 0o644) },
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t)
			c := h.cache(t)
			f := h.serve("123", vpkOf(1, 5000))
			if err := errors.Join(os.Mkdir(c.dir, 0o755), before(c.partialPath("123"))); err != nil {
				t.Fatal(err)
			}
			var mode fs.FileMode
			h.behave(func(http.ResponseWriter, *http.Request, []byte) bool {
				info, err := os.Stat(c.partialPath("123"))
				if err != nil {
					t.Error(err)
					return false
				}
				mode = info.Mode()
				return false
			})
			mustFetch(t, c, f)
			if mode != 0o600 {
				t.Errorf("mode %v", mode)
			}
			mustHold(t, c, map[string][][]byte{"123": {vpkOf(1, 5000)}})
		})
	}
}

func TestRefusedBeforeAsking(t *testing.T) {
	h := newHost(t)
	c := h.cache(t)
	for _, id := range []string{"", "..", "../1", "1/2", "1\x00", "-1", "１", "1.vpk", strings.Repeat("1", 21)} {
		f := h.serve("1", vpkOf(1, 100))
		f.SteamID = steam.ID(id)
		if _, err := c.Fetch(deadline(t), f, nil); err == nil || !strings.Contains(err.Error(), "is not a steam id") {
			t.Errorf("id %q: %v", id, err)
		}
		if _, err := c.Fresh(f); err == nil {
			t.Errorf("Fresh took id %q", id)
		}
	}
	f := h.serve("1", vpkOf(1, 100))
	for _, size := range []int64{0, -1} {
		f.Size = size
		if _, err := c.Fetch(deadline(t), f, nil); err == nil {
			t.Errorf("size %d was taken", size)
		}
	}
	if _, err := os.Stat(c.dir); !errors.Is(err, fs.ErrNotExist) || len(h.asks()) > 0 {
		t.Errorf("something was done: %v", err)
	}
}

// The content host sends another file than Steam's metadata describes: nothing is kept, and the next attempt starts from zero.
func TestChecks(t *testing.T) {
	right := vpkOf(1, 5000)
	picture := append([]byte("\x89PNG\r\n\x1a\n"), right[8:]...)
	future := bytes.Clone(right)
	future[4] = 7
	deep := bytes.Clone(right)
	deep[10] = 1
	large := vpkOf(2, parallelFrom)
	tests := map[string]struct {
		sent   []byte
		size   int64
		as     func(http.ResponseWriter, *http.Request, []byte) bool
		reason string
	}{
		"short":              {sent: right, size: 10000, reason: "length 5000 of 10000 bytes"},
		"short, unannounced": {sent: right, size: 10000, as: whole(true), reason: "length 5000 of 10000 bytes"},
		"long":               {sent: right, size: 4000, reason: "length 5000 of 4000 bytes"},
		"long, unannounced":  {sent: right, size: 4000, as: whole(true), reason: "of 4000 bytes"},
		"long by one":        {sent: right, size: 4999, as: whole(true), reason: "length 5000 of 4999 bytes"},
		"large and short":    {sent: large, size: 2 * parallelFrom, reason: "length 8388608 of 16777216 bytes"},
		"preview picture":    {sent: picture, size: 5000, reason: "not a VPK file"},
		"future version":     {sent: future, size: 5000, reason: "not a VPK file: version 7"},
		"tree too large":     {sent: deep, size: 5000, reason: "not a VPK file: a tree of 65537 bytes in a file of 5000"},
		"tiny":               {sent: right[:11], size: 11, reason: "not a VPK file"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			h := newHost(t)
			h.behave(tt.as)
			c := h.cache(t)
			f := h.serveUnnamed("123", tt.sent)
			f.Size = tt.size
			for range 2 {
				downloaded, err := c.Fetch(deadline(t), f, nil)
				if downloaded || err == nil || !strings.Contains(err.Error(), tt.reason) || !IsWrongFile(err) {
					t.Fatalf("Fetch = %v, %v; want %q", downloaded, err, tt.reason)
				}
				mustHold(t, c, nil)
				noPartials(t, c)
				if asks := h.asks(); tt.size < parallelFrom && (len(asks) != 1 || asks[0].from != 0) {
					t.Errorf("asked for %v", asks)
				}
			}
		})
	}
}

func TestWrongSHA1(t *testing.T) {
	for name, size := range map[string]int{"one stream": 3 << 20, "parallel": parallelFrom} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t)
			c := h.cache(t)
			f := h.serve("123", vpkOf(1, size))
			wrong := vpkOf(1, size)
			wrong[size-1]++
			path := strings.TrimPrefix(f.URL, h.URL)
			right := h.contents[path]
			h.contents[path] = wrong
			if _, err := c.Fetch(deadline(t), f, nil); !IsWrongFile(err) || !strings.Contains(err.Error(), "SHA-1 differs: ") {
				t.Fatalf("Fetch = %v", err)
			}
			mustHold(t, c, nil)
			noPartials(t, c)
			h.contents[path] = right
			mustFetch(t, c, f)
			mustHold(t, c, map[string][][]byte{"123": {right}})
		})
	}
}

// A broken transfer resumes, but only if the bytes on the disk certainly belong to the same content.
func TestResume(t *testing.T) {
	const size, cut = 5 << 20, 3 << 20
	again := func(t *testing.T, h *host, c *Cache) *Cache { return c }
	other := func(t *testing.T, h *host, c *Cache) *Cache { return New(c.dir, h.source(t), Options{}) }
	same := func(*host, *File) {}
	tests := map[string]struct {
		serve   func(*host, string, []byte) File
		with    func(*testing.T, *host, *Cache) *Cache
		change  func(*host, *File)
		resumes bool
	}{
		"named":                      {(*host).serve, again, same, true},
		"named, another process":     {(*host).serve, other, same, true},
		"named, only its time moved": {(*host).serve, other, func(_ *host, f *File) { f.Updated++ }, true},
		"unnamed":                    {(*host).serveUnnamed, again, same, true},
		"unnamed, another process":   {(*host).serveUnnamed, other, same, false},
		"unnamed, its time moved":    {(*host).serveUnnamed, again, func(_ *host, f *File) { f.Updated++ }, false},
		"unnamed, another length": {(*host).serveUnnamed, again, func(h *host, f *File) {
			*f = h.serveUnnamed("123", vpkOf(1, size-1))
		}, false},
		"another content": {(*host).serve, again, func(h *host, f *File) {
			*f = h.serve("123", vpkOf(2, size))
		}, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			h := newHost(t)
			c := h.cache(t)
			f := tt.serve(h, "123", vpkOf(1, size))
			h.behave(cutAfter(cut))
			_, err := c.Fetch(deadline(t), f, nil)
			if !errors.Is(err, io.ErrUnexpectedEOF) || !strings.Contains(err.Error(), "(3145728 of 5242880 bytes are kept)") {
				t.Fatalf("Fetch = %v", err)
			}
			mustHold(t, c, nil)
			h.behave(nil)
			h.asks()
			tt.change(h, &f)
			c = tt.with(t, h, c)
			mustFetch(t, c, f)
			want := ask{to: int(f.Size)}
			if tt.resumes {
				want = ask{from: cut, to: int(f.Size), ranged: true}
			}
			if got := h.asks(); len(got) != 1 || got[0] != want {
				t.Errorf("asked for %v, want %v", got, want)
			}
			mustHold(t, c, map[string][][]byte{"123": {h.contents[strings.TrimPrefix(f.URL, h.URL)]}})
			noPartials(t, c)
		})
	}
}

// counting counts the bytes that are read from a Source.
type counting struct {
	Source
	read atomic.Int64
}

func (c *counting) Get(ctx context.Context, url string, from, to int64) (*steam.Part, error) {
	part, err := c.Source.Get(ctx, url, from, to)
	if err == nil {
		part.Body = countingBody{part.Body, c}
	}
	return part, err
}

type countingBody struct {
	io.ReadCloser
	c *counting
}

func (b countingBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.c.read.Add(int64(n))
	return n, err
}

// Every connection of every process breaks: bytes that have arrived are not requested again.
func TestResumeParallel(t *testing.T) {
	const size = 2 * parallelFrom
	h := newHost(t)
	c := h.cache(t)
	content := vpkOf(1, size)
	f := h.serve("123", content)
	h.behave(cutAfter(300 << 10))
	src := &counting{Source: h.source(t)}
	attempts := 1
	for ; ; attempts++ {
		downloaded, err := New(c.dir, src, Options{}).Fetch(deadline(t), f, nil)
		if downloaded {
			break
		}
		if _, ok := errors.AsType[*brokenTransfer](err); !ok {
			t.Fatal(err)
		}
		mustHold(t, c, nil)
	}
	mustHold(t, c, map[string][][]byte{"123": {content}})
	// A connection may have read up to one buffer beyond the end of its segment.
	if read := src.read.Load(); attempts < 2 || read > size+size/10 {
		t.Errorf("%d bytes were received in %d attempts for a file of %d", read, attempts, size)
	}
}

// The record on the disk is invalid, or lists bytes that were lost in a power failure.
func TestWrongRecord(t *testing.T) {
	const size = 5 << 20
	content := vpkOf(1, size)
	page := func(r record) []byte {
		raw, err := r.encode()
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	name := fmt.Sprintf("%x", sha1.Sum(content))
	for what, tail := range map[string][]byte{
		"none":        nil,
		"rubbish":     bytes.Repeat([]byte("x"), 4096),
		"torn":        page(record{Of: name, Done: [][2]int64{{0, 4 << 20}}})[:50],
		"beyond":      page(record{Of: name, Done: [][2]int64{{0, size + 1}}}),
		"negative":    page(record{Of: name, Done: [][2]int64{{-5, 10}}}),
		"overlapping": page(record{Of: name, Done: [][2]int64{{0, 100}, {50, 200}}}),
		"backwards":   page(record{Of: name, Done: [][2]int64{{200, 100}}}),
		"lost":        page(record{Of: name, Done: [][2]int64{{100, 200}, {300, size}}}),
	} {
		t.Run(what, func(t *testing.T) {
			h := newHost(t)
			c := h.cache(t)
			f := h.serve("123", content)
			if err := os.MkdirAll(c.dir, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(c.Path("123")+".partial", append(make([]byte, recordOffset(size)), tail...), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := c.Fetch(deadline(t), f, nil)
			if what == "lost" {
				if err == nil || !strings.Contains(err.Error(), "SHA-1 differs") {
					t.Fatalf("Fetch = %v", err)
				}
				noPartials(t, c)
				mustHold(t, c, nil)
				_, err = c.Fetch(deadline(t), f, nil)
			}
			if err != nil {
				t.Fatal(err)
			}
			mustHold(t, c, map[string][][]byte{"123": {content}})
		})
	}
}

// The server does not serve ranges, or stops serving them.
func TestWholeAnswers(t *testing.T) {
	for name, tt := range map[string]struct {
		size    int
		chunked bool
	}{
		"small":                {3 << 20, false},
		"small without length": {3 << 20, true},
		"large":                {parallelFrom, false},
		"large without length": {parallelFrom, true},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t)
			c := h.cache(t)
			content := vpkOf(1, tt.size)
			f := h.serve("123", content)
			h.behave(whole(tt.chunked))
			mustFetch(t, c, f)
			mustHold(t, c, map[string][][]byte{"123": {content}})

			t.Log("after a part of it came with ranges")
			content = vpkOf(2, tt.size)
			f = h.serve("124", content)
			h.behave(cutAfter(300 << 10))
			if _, err := c.Fetch(deadline(t), f, nil); err == nil {
				t.Fatal("it did not break")
			}
			h.behave(whole(tt.chunked))
			mustFetch(t, c, f)
			mustHold(t, c, map[string][][]byte{"123": {vpkOf(1, tt.size)}, "124": {content}})
		})
	}
}

// When one connection receives the whole file, Fetch does not wait for the answers to the others.
func TestWholeAnswerIsEnough(t *testing.T) {
	h := newHost(t)
	c := h.cache(t)
	content := vpkOf(1, parallelFrom)
	f := h.serve("123", content)
	var requests atomic.Int32
	h.behave(func(w http.ResponseWriter, r *http.Request, content []byte) bool {
		if requests.Add(1) == 1 {
			return whole(false)(w, r, content)
		}
		<-r.Context().Done()
		return true
	})
	mustFetch(t, c, f)
	mustHold(t, c, map[string][][]byte{"123": {content}})
}

// A server that has sent one range sends whole files to all other connections. The first connection then receives everything.
func TestWholeAnswersBesideRange(t *testing.T) {
	h := newHost(t)
	content := vpkOf(1, 2*parallelFrom)
	f := h.serve("123", content)
	src := &counting{Source: h.source(t)}
	c := New(t.TempDir(), src, Options{})
	var refused atomic.Int32
	all, begun := make(chan struct{}), make(chan struct{})
	h.behave(func(w http.ResponseWriter, r *http.Request, content []byte) bool {
		if strings.HasPrefix(r.Header.Get("Range"), "bytes=0-") {
			http.ServeContent(&pausing{ResponseWriter: w, request: r, first: 1000, until: all}, r, "", time.Time{}, bytes.NewReader(content))
			return true
		}
		<-begun
		n := refused.Add(1)
		if n >= maxConnections {
			return false
		}
		whole(false)(w, r, content)
		if n == maxConnections-1 {
			close(all)
		}
		return true
	})
	begin := sync.OnceFunc(func() { close(begun) })
	_, err := c.Fetch(deadline(t), f, func(n int64) {
		if n > 0 {
			begin()
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	mustHold(t, c, map[string][][]byte{"123": {content}})
	if read := src.read.Load(); read > 2*parallelFrom+parallelFrom/4 {
		t.Errorf("%d bytes were received", read)
	}
}

// One large item uses eight connections: the server answers none before it has eight.
func TestParallel(t *testing.T) {
	h := newHost(t)
	c := h.cache(t)
	content := vpkOf(1, 2*parallelFrom)
	f := h.serve("123", content)
	var here atomic.Int32
	all := make(chan struct{})
	h.behave(func(w http.ResponseWriter, r *http.Request, content []byte) bool {
		n := here.Add(1)
		if n == 1 {
			// The other connections wait for the headers of the first answer.
			http.ServeContent(&pausing{ResponseWriter: w, request: r, until: all}, r, "", time.Time{}, bytes.NewReader(content))
			return true
		}
		if n == maxConnections {
			close(all)
		}
		select {
		case <-all:
		case <-r.Context().Done():
		}
		return false
	})
	mustFetch(t, c, f)
	mustHold(t, c, map[string][][]byte{"123": {content}})
	asks := h.asks()
	for i := range maxConnections {
		first := i * 2 * parallelFrom / maxConnections
		if !slices.ContainsFunc(asks, func(a ask) bool { return a.from == first }) {
			t.Errorf("no connection began at %d", first)
		}
	}
}

// The first connection stalls until another one takes over a part of its segment.
func TestOtherConnectionsHelpASlowOne(t *testing.T) {
	h := newHost(t)
	c := h.cache(t)
	const size = 2 * parallelFrom
	content := vpkOf(1, size)
	f := h.serve("123", content)
	relieved := make(chan struct{})
	var once sync.Once
	h.behave(func(w http.ResponseWriter, r *http.Request, content []byte) bool {
		var from int
		fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &from)
		switch {
		case from == 0:
			http.ServeContent(&pausing{ResponseWriter: w, request: r, first: 100 << 10, until: relieved}, r, "", time.Time{}, bytes.NewReader(content))
			return true
		case from < size/firstSegments:
			once.Do(func() { close(relieved) })
		}
		return false
	})
	mustFetch(t, c, f)
	mustHold(t, c, map[string][][]byte{"123": {content}})
}

// All connections but the first fail. The first one receives everything in the same attempt.
func TestOneConnectionIsEnough(t *testing.T) {
	const size = 2 * parallelFrom
	content := vpkOf(1, size)
	for name, others := range map[string]func(http.ResponseWriter, *http.Request, []byte) bool{
		"others are refused": func(w http.ResponseWriter, _ *http.Request, _ []byte) bool {
			w.WriteHeader(http.StatusServiceUnavailable)
			return true
		},
		"others break": cutAfter(500 << 10),
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t)
			c := h.cache(t)
			f := h.serve("123", content)
			var requests, failed atomic.Int32
			allFailed := make(chan struct{})
			h.behave(func(w http.ResponseWriter, r *http.Request, content []byte) bool {
				n := requests.Add(1)
				switch {
				case n == 1:
					http.ServeContent(&pausing{ResponseWriter: w, request: r, until: allFailed}, r, "", time.Time{}, bytes.NewReader(content))
					return true
				case n <= maxConnections:
					defer func() {
						if failed.Add(1) == maxConnections-1 {
							close(allFailed)
						}
					}()
					return others(w, r, content)
				}
				return false
			})
			mustFetch(t, c, f)
			mustHold(t, c, map[string][][]byte{"123": {content}})
		})
	}
}

// late is a Source in which the connection for the end of the file breaks after all others have ended.
type late struct {
	fixed
	once sync.Once
}

func (s *late) Get(ctx context.Context, url string, from, to int64) (*steam.Part, error) {
	part, err := s.fixed.Get(ctx, url, from, to)
	if to == int64(len(s.fixed)) {
		s.once.Do(func() {
			part.Body = io.NopCloser(io.MultiReader(io.LimitReader(part.Body, to-from-100), lateError{}))
		})
	}
	return part, err
}

type lateError struct{}

func (lateError) Read([]byte) (int, error) {
	time.Sleep(time.Hour)
	return 0, errors.New("broken")
}

func TestTheLastPartIsRequestedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		content := vpkOf(1, parallelFrom)
		c := New(t.TempDir(), &late{fixed: content}, Options{})
		f := File{SteamID: "123", Size: int64(len(content)), Updated: updated}
		if downloaded, err := c.Fetch(t.Context(), f, nil); !downloaded || err != nil {
			t.Errorf("Fetch = %v, %v", downloaded, err)
		}
		mustHold(t, c, map[string][][]byte{"123": {content}})
	})
}

func TestFailureKeepsRetryAfter(t *testing.T) {
	h := newHost(t)
	c := h.cache(t)
	f := h.serve("123", vpkOf(1, parallelFrom))
	h.behave(func(w http.ResponseWriter, _ *http.Request, _ []byte) bool {
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(http.StatusTooManyRequests)
		return true
	})
	_, err := c.Fetch(deadline(t), f, nil)
	status, ok := errors.AsType[*steam.StatusError](err)
	if !ok || status.Code != 429 || status.RetryAfter != 7*time.Second {
		t.Errorf("Fetch = %v", err)
	}
	noPartials(t, c)
}

// A file became shorter than its part on the disk: the download must start again instead of failing for ever.
func TestRangeNotSatisfiable(t *testing.T) {
	h := newHost(t)
	c := h.cache(t)
	f := h.serveUnnamed("123", vpkOf(1, 3<<20))
	h.behave(cutAfter(2 << 20))
	if _, err := c.Fetch(deadline(t), f, nil); err == nil {
		t.Fatal("it did not break")
	}
	h.behave(nil)
	h.serveUnnamed("123", vpkOf(2, 1<<20))
	if _, err := c.Fetch(deadline(t), f, nil); err == nil || !strings.Contains(err.Error(), "416") {
		t.Errorf("Fetch = %v", err)
	}
	noPartials(t, c)
	if _, err := c.Fetch(deadline(t), f, nil); err == nil || !strings.Contains(err.Error(), "length 1048576 of 3145728 bytes") {
		t.Errorf("Fetch = %v", err)
	}
}

// far is a Source that takes a second of a fake clock for every answer, and counts its connections.
type far struct {
	contents  map[string][]byte
	mu        sync.Mutex
	now, most int
}

func (s *far) Get(ctx context.Context, url string, from, to int64) (*steam.Part, error) {
	s.mu.Lock()
	s.now++
	s.most = max(s.most, s.now)
	s.mu.Unlock()
	time.Sleep(time.Second)
	part, err := fixed(s.contents[url]).Get(ctx, url, from, to)
	part.Body = farBody{part.Body, s}
	return part, err
}

type farBody struct {
	io.Reader
	s *far
}

func (b farBody) Close() error {
	b.s.mu.Lock()
	defer b.s.mu.Unlock()
	b.s.now--
	return nil
}

// As many items and connections run at once as the options say.
func TestBounds(t *testing.T) {
	const items, transfers, connections = 6, 3, 4
	for name, tt := range map[string]struct{ size, most int }{
		"small": {100 << 10, transfers},
		"large": {parallelFrom, transfers + connections},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				src := &far{contents: map[string][]byte{}}
				c := New(t.TempDir(), src, Options{Transfers: transfers, Connections: connections})
				versions := map[string][][]byte{}
				for i := range items {
					id := fmt.Sprint(i + 1)
					src.contents[id] = vpkOf(uint64(i), tt.size)
					versions[id] = [][]byte{src.contents[id]}
				}
				var all sync.WaitGroup
				for id := range versions {
					all.Go(func() {
						f := File{SteamID: steam.ID(id), URL: id, Size: int64(tt.size), Updated: updated}
						if _, err := c.Fetch(t.Context(), f, nil); err != nil {
							t.Error(err)
						}
					})
				}
				all.Wait()
				mustHold(t, c, versions)
				noPartials(t, c)
				if src.most != tt.most {
					t.Errorf("%d connections at once, want %d", src.most, tt.most)
				}
			})
		})
	}
}

// A cancel at any moment leaves no partial file, and the next Fetch completes.
func TestCancel(t *testing.T) {
	const size = parallelFrom
	content := vpkOf(1, size)
	for name, when := range map[string]func(c *Cache, h *host, cancel func()) (progress func(int64)){
		"before": func(_ *Cache, _ *host, cancel func()) func(int64) { cancel(); return nil },
		"before the first byte": func(_ *Cache, h *host, cancel func()) func(int64) {
			h.behave(func(_ http.ResponseWriter, r *http.Request, _ []byte) bool {
				cancel()
				<-r.Context().Done()
				return true
			})
			return nil
		},
		"inside the download": func(_ *Cache, _ *host, cancel func()) func(int64) {
			return func(n int64) {
				if n > size/2 {
					cancel()
				}
			}
		},
		"after the last byte": func(_ *Cache, _ *host, cancel func()) func(int64) {
			return func(n int64) {
				if n == size {
					cancel()
				}
			}
		},
		"while syncing": func(c *Cache, _ *host, cancel func()) func(int64) {
			c.disk.sync = func(f *os.File) error {
				cancel()
				// Syncing never ends.
				<-t.Context().Done()
				return nil
			}
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t)
			c := h.cache(t)
			f := h.serve("123", content)
			ctx, cancel := context.WithCancel(deadline(t))
			defer cancel()
			progress := when(c, h, cancel)
			if downloaded, err := c.Fetch(ctx, f, progress); downloaded || !errors.Is(err, context.Canceled) {
				t.Fatalf("Fetch = %v, %v", downloaded, err)
			}
			noPartials(t, c)
			mustHold(t, c, nil)
			h.behave(nil)
			c = New(c.dir, h.source(t), Options{})
			mustFetch(t, c, f)
			mustHold(t, c, map[string][][]byte{"123": {content}})
		})
	}
}

// Another process holds the partial file. (The clock is fake.)
func TestWaitForOther(t *testing.T) {
	content := vpkOf(1, 5000)
	f := File{SteamID: "123", URL: "http://127.0.0.1/", Size: 5000, Updated: updated}
	setup := func(t *testing.T) (*Cache, *os.File) {
		c := New(t.TempDir(), nil, Options{})
		other, err := os.Create(c.Path("123") + ".partial")
		if err != nil {
			t.Fatal(err)
		}
		if err := unix.Flock(int(other.Fd()), unix.LOCK_EX); err != nil {
			t.Fatal(err)
		}
		return c, other
	}
	t.Run("cancel", func(t *testing.T) {
		c, other := setup(t)
		defer other.Close()
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			defer cancel()
			if _, err := c.Fetch(ctx, f, nil); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Fetch = %v", err)
			}
		})
		if len(partials(t, c)) != 1 {
			t.Error("the other's file is gone")
		}
	})
	t.Run("cancel in the queue", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := New(t.TempDir(), nil, Options{Transfers: 1})
			c.transfers <- struct{}{}
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			defer cancel()
			if _, err := c.Fetch(ctx, f, nil); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Fetch = %v", err)
			}
			noPartials(t, c)
		})
	})
	t.Run("other succeeds", func(t *testing.T) {
		c, other := setup(t)
		synctest.Test(t, func(t *testing.T) {
			go func() {
				time.Sleep(time.Minute)
				defer other.Close()
				other.Write(content)
				other.Sync()
				time.Sleep(time.Minute) // the other checks it
				if err := os.Chtimes(other.Name(), time.Time{}, time.Unix(updated, 0)); err != nil {
					t.Error(err)
				}
				if err := os.Rename(other.Name(), c.Path("123")); err != nil {
					t.Error(err)
				}
			}()
			// There is no Source, so nothing can be downloaded. The progress is the other's.
			var progress int64
			downloaded, err := c.Fetch(t.Context(), f, func(n int64) { progress = n })
			if downloaded || err != nil || progress != f.Size {
				t.Errorf("Fetch = %v, %v, progress %d", downloaded, err, progress)
			}
		})
		noPartials(t, c)
		mustHold(t, c, map[string][][]byte{"123": {content}})
	})
	// The file that was opened as the partial file has become the finished file of another version, which must not be written
	// to, or has been removed.
	for name, end := range map[string]func(c *Cache, other *os.File) error{
		"other brings another version": func(c *Cache, other *os.File) error { return os.Rename(other.Name(), c.Path("123")) },
		"other is cancelled":           func(_ *Cache, other *os.File) error { return os.Remove(other.Name()) },
	} {
		t.Run(name, func(t *testing.T) {
			c, other := setup(t)
			c.src = fixed(content)
			old := vpkOf(2, 6000)
			synctest.Test(t, func(t *testing.T) {
				go func() {
					time.Sleep(time.Minute)
					defer other.Close()
					other.Write(old)
					if err := end(c, other); err != nil {
						t.Error(err)
					}
				}()
				running, err := os.Open(other.Name())
				if err != nil {
					t.Fatal(err)
				}
				defer running.Close()
				if downloaded, err := c.Fetch(t.Context(), f, nil); !downloaded || err != nil {
					t.Errorf("Fetch = %v, %v", downloaded, err)
				}
				if got, err := io.ReadAll(running); err != nil || !bytes.Equal(got, old) {
					t.Error("the other's file was written to")
				}
			})
			noPartials(t, c)
			mustHold(t, c, map[string][][]byte{"123": {content}})
		})
	}
	t.Run("other fails", func(t *testing.T) {
		c, other := setup(t)
		c.src = fixed(content)
		synctest.Test(t, func(t *testing.T) {
			go func() {
				time.Sleep(time.Minute)
				other.WriteString("rubbish")
				other.Close()
			}()
			if downloaded, err := c.Fetch(t.Context(), f, nil); !downloaded || err != nil {
				t.Errorf("Fetch = %v, %v", downloaded, err)
			}
		})
		noPartials(t, c)
		mustHold(t, c, map[string][][]byte{"123": {content}})
	})
}

// fixed is a Source with one content.
type fixed []byte

func (f fixed) Get(_ context.Context, _ string, from, to int64) (*steam.Part, error) {
	total := int64(len(f))
	if to < 0 {
		to = total
	}
	return &steam.Part{Body: io.NopCloser(bytes.NewReader(f[from:to])), From: from, To: to, Total: total, Ranged: true}, nil
}

// Each operation on the disk fails, before or after it has happened. The cache stays consistent, and the next attempt succeeds.
func TestFailureAtEachStep(t *testing.T) {
	broken := errors.New("broken")
	content := vpkOf(2, 3<<20)
	old := vpkOf(1, 5000)
	for _, cause := range []error{broken, unix.ENOSPC, unix.EDQUOT} {
		for _, happened := range []bool{false, true} {
			for step, sabotage := range map[string]func(*disk){
				"write": func(d *disk) {
					write, n := d.write, atomic.Int32{}
					d.write = func(f *os.File, p []byte, off int64) error {
						switch {
						case n.Add(1) < 10:
							return write(f, p, off)
						case happened:
							write(f, p, off)
						}
						return &fs.PathError{Op: "write", Path: f.Name(), Err: cause}
					}
				},
				"record": func(d *disk) {
					write := d.write
					d.write = func(f *os.File, p []byte, off int64) error {
						if off < int64(len(content)) {
							return write(f, p, off)
						}
						if happened {
							write(f, p, off)
						}
						return &fs.PathError{Op: "write", Path: f.Name(), Err: cause}
					}
				},
				"sync": func(d *disk) {
					sync := d.sync
					d.sync = func(f *os.File) error {
						if happened {
							sync(f)
						}
						return &fs.PathError{Op: "sync", Path: f.Name(), Err: cause}
					}
				},
				"rename": func(d *disk) {
					rename := d.rename
					d.rename = func(from, to string) error {
						if happened {
							rename(from, to)
						}
						return &os.LinkError{Op: "rename", Old: from, New: to, Err: cause}
					}
				},
			} {
				t.Run(fmt.Sprintf("%s, %v, happened %v", step, cause, happened), func(t *testing.T) {
					h := newHost(t)
					c := h.cache(t)
					versions := map[string][][]byte{"123": {old, content}}
					mustFetch(t, c, h.serve("123", old))
					f := h.serve("123", content)
					f.Updated++
					healthy := c.disk
					sabotage(&c.disk)
					downloaded, err := c.Fetch(deadline(t), f, nil)
					if downloaded || !errors.Is(err, cause) || errors.Is(err, ErrDiskFull) != (cause != broken) {
						t.Fatalf("Fetch = %v, %v", downloaded, err)
					}
					if strings.Contains(err.Error(), string(filepath.Separator)) {
						t.Errorf("the error tells where the cache is: %v", err)
					}
					mustHold(t, c, versions)
					noPartials(t, c)
					c.disk = healthy
					downloaded, err = c.Fetch(deadline(t), f, nil)
					if err != nil || downloaded == (step == "rename" && happened) {
						t.Errorf("then Fetch = %v, %v", downloaded, err)
					}
					mustHold(t, c, map[string][][]byte{"123": {content}})
					noPartials(t, c)
				})
			}
		}
	}
}

// A rename happened but was reported as failed, and another process has begun the next download.
func TestNextPartialStays(t *testing.T) {
	h := newHost(t)
	c := h.cache(t)
	f := h.serve("123", vpkOf(1, 5000))
	rename := c.disk.rename
	c.disk.rename = func(from, to string) error {
		return errors.Join(rename(from, to), os.WriteFile(from, []byte("next"), 0o644), errors.New("broken"))
	}
	if _, err := c.Fetch(deadline(t), f, nil); err == nil || err.Error() != "broken" {
		t.Errorf("Fetch = %v", err)
	}
	if got, err := os.ReadFile(c.Path("123") + ".partial"); string(got) != "next" {
		t.Errorf("the other's partial file is %q, %v", got, err)
	}
}

// Foreign files are not written to, replaced or removed.
func TestForeign(t *testing.T) {
	content := vpkOf(1, 5000)
	for name, tt := range map[string]struct {
		put    func(path string) error
		reason string
	}{
		"directory":       {func(p string) error { return os.MkdirAll(filepath.Join(p, "x"), 0o755) }, "is a directory"},
		"link to a file":  {func(p string) error { return os.Symlink("../precious", p) }, "is a symbolic link"},
		"dangling link":   {func(p string) error { return os.Symlink("../nothing", p) }, "is a symbolic link"},
		"named pipe":      {func(p string) error { return syscall.Mkfifo(p, 0o600) }, "is not a regular file"},
		"link appears":    {nil, "is a symbolic link"},
		"cache is a file": {nil, "not a directory"},
	} {
		for _, suffix := range []string{".vpk", ".vpk.partial"} {
			t.Run(name+suffix, func(t *testing.T) {
				h := newHost(t)
				c := h.cache(t)
				f := h.serve("123", content)
				precious := filepath.Join(c.dir, "..", "precious")
				if err := os.WriteFile(precious, []byte("precious"), 0o600); err != nil {
					t.Fatal(err)
				}
				path := filepath.Join(c.dir, "123"+suffix)
				switch name {
				case "cache is a file":
					if err := os.WriteFile(c.dir, nil, 0o600); err != nil {
						t.Fatal(err)
					}
				case "link appears":
					// Between the check and the rename.
					path = c.Path("123")
					sync := c.disk.sync
					c.disk.sync = func(f *os.File) error {
						return errors.Join(sync(f), os.Symlink("../precious", path))
					}
				default:
					if err := errors.Join(os.MkdirAll(c.dir, 0o755), tt.put(path)); err != nil {
						t.Fatal(err)
					}
				}
				before, _ := os.Lstat(path)
				_, err := c.Fetch(deadline(t), f, nil)
				if err == nil || !strings.Contains(err.Error(), tt.reason) {
					t.Errorf("Fetch = %v, want %q", err, tt.reason)
				}
				after, _ := os.Lstat(path)
				if before != nil && !os.SameFile(before, after) {
					t.Error("it was replaced")
				}
				if got, err := os.ReadFile(precious); err != nil || string(got) != "precious" {
					t.Errorf("precious = %q, %v", got, err)
				}
				if _, err := os.Lstat(filepath.Join(c.dir, "..", "nothing")); err == nil {
					t.Error("a dangling link was followed")
				}
			})
		}
	}
}

// A file that does not fit on the disk is refused, with sizes, before anything is requested.
func TestTooLargeForDisk(t *testing.T) {
	h := newHost(t)
	c := h.cache(t)
	f := h.serve("123", vpkOf(1, 5000))
	f.Size = 1 << 62
	_, err := c.Fetch(deadline(t), f, nil)
	if !errors.Is(err, ErrDiskFull) || !strings.HasPrefix(err.Error(), "disk full: 4611686018427387904 bytes needed, ") {
		t.Errorf("Fetch = %v", err)
	}
	noPartials(t, c)
	if len(h.asks()) > 0 {
		t.Error("it asked")
	}
}
