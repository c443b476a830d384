package vpkcache

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha1"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"left4me/shared/steam"
)

// updated is the time_updated of every file in these tests: 1 March 2025.
const updated = 1740856166

// vpkOf returns a file of size bytes. Each seed gives another content.
func vpkOf(seed uint64, size int) []byte {
	content := make([]byte, size)
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	rand.NewChaCha8(key).Read(content)
	binary.LittleEndian.PutUint32(content[0:], 0x55AA1234)
	binary.LittleEndian.PutUint32(content[4:], 1)
	binary.LittleEndian.PutUint32(content[8:], 1)
	return content
}

// host is a content host that can be made to misbehave.
type host struct {
	*httptest.Server
	mu       sync.Mutex
	contents map[string][]byte
	asked    []ask
	// misbehave answers a request in its own way when it returns true.
	misbehave func(w http.ResponseWriter, r *http.Request, content []byte) bool
}

// ask is one request, for the bytes from from to to, or for all of them.
type ask struct {
	from, to int
	ranged   bool
}

func newHost(t testing.TB) *host {
	h := &host{contents: map[string][]byte{}}
	h.Server = httptest.NewServer(h)
	t.Cleanup(h.Server.Close)
	return h
}

func (h *host) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	content := h.contents[r.URL.Path]
	a := ask{to: len(content)}
	if rng := r.Header.Get("Range"); rng != "" {
		a.ranged = true
		if n, _ := fmt.Sscanf(rng, "bytes=%d-%d", &a.from, &a.to); n == 2 {
			a.to++
		}
	}
	h.asked = append(h.asked, a)
	misbehave := h.misbehave
	h.mu.Unlock()
	if misbehave != nil && misbehave(w, r, content) {
		return
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
}

// asks returns the requests since the last call, by their first byte.
func (h *host) asks() []ask {
	h.mu.Lock()
	defer h.mu.Unlock()
	a := h.asked
	h.asked = nil
	slices.SortFunc(a, func(x, y ask) int { return cmp.Compare(x.from, y.from) })
	return a
}

func (h *host) behave(f func(w http.ResponseWriter, r *http.Request, content []byte) bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.misbehave = f
}

// serve puts content on the host under a link that names its SHA-1, as Steam's do.
func (h *host) serve(id string, content []byte) File {
	return h.serveAt(fmt.Sprintf("/ugc/%s/%X/", id, sha1.Sum(content)), id, content)
}

// serveUnnamed puts content on the host under a link without its SHA-1.
func (h *host) serveUnnamed(id string, content []byte) File {
	return h.serveAt("/ugc/"+id+"/file.vpk", id, content)
}

func (h *host) serveAt(path, id string, content []byte) File {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.contents[path] = content
	return File{SteamID: steam.ID(id), URL: h.URL + path, Size: int64(len(content)), Updated: updated}
}

func (h *host) source(t testing.TB) *steam.Content {
	t.Helper()
	src, err := newSource(h.URL)
	if err != nil {
		t.Fatal(err)
	}
	return src
}

func newSource(url string) (*steam.Content, error) {
	hosts, err := steam.ParseHosts(strings.TrimPrefix(url, "http://"))
	return steam.NewContent(hosts, 0), err
}

func (h *host) cache(t testing.TB) *Cache {
	return New(filepath.Join(t.TempDir(), "workshop_cache"), h.source(t), Options{})
}

// cutAfter sends the headers of a correct answer and n of its bytes, and then closes the connection if there are more.
func cutAfter(n int) func(http.ResponseWriter, *http.Request, []byte) bool {
	return func(w http.ResponseWriter, r *http.Request, content []byte) bool {
		c := &cutter{ResponseWriter: w, left: n}
		http.ServeContent(c, r, "", time.Time{}, bytes.NewReader(content))
		if c.cut {
			panic(http.ErrAbortHandler)
		}
		return true
	}
}

// cutter passes on n bytes and drops the others.
type cutter struct {
	http.ResponseWriter
	left int
	cut  bool
}

func (c *cutter) Write(p []byte) (int, error) {
	n, err := c.ResponseWriter.Write(p[:min(len(p), c.left)])
	c.left -= n
	if err == nil && n < len(p) {
		c.cut = true
		c.ResponseWriter.(http.Flusher).Flush()
		return n, net.ErrClosed
	}
	return n, err
}

// pausing sends the headers and the first bytes, and the others when it is told to or when the client has gone.
type pausing struct {
	http.ResponseWriter
	request *http.Request
	first   int
	until   <-chan struct{}
}

func (p *pausing) Write(b []byte) (int, error) {
	n, err := p.ResponseWriter.Write(b[:min(p.first, len(b))])
	p.first -= n
	if err != nil || n == len(b) {
		return n, err
	}
	p.ResponseWriter.(http.Flusher).Flush()
	select {
	case <-p.until:
	case <-p.request.Context().Done():
	}
	m, err := p.ResponseWriter.Write(b[n:])
	return n + m, err
}

// whole answers every request with the whole file; without a Content-Length when chunked.
func whole(chunked bool) func(http.ResponseWriter, *http.Request, []byte) bool {
	return func(w http.ResponseWriter, r *http.Request, content []byte) bool {
		if !chunked {
			w.Header().Set("Content-Length", fmt.Sprint(len(content)))
		}
		w.WriteHeader(http.StatusOK)
		if chunked {
			w.(http.Flusher).Flush()
		}
		w.Write(content)
		return true
	}
}

// deadline fails a test that would otherwise hang.
func deadline(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// mustFetch downloads f, which is not in the cache yet.
func mustFetch(t testing.TB, c *Cache, f File) {
	t.Helper()
	downloaded, err := c.Fetch(deadline(t), f, nil)
	if err != nil || !downloaded {
		t.Fatalf("Fetch of %s = %v, %v", f.SteamID, downloaded, err)
	}
}

// mustHold checks what must always be true of a cache directory: every file with a final name is complete and correct and has the
// right time, and all other files are partial ones. versions are all contents that each id has had.
func mustHold(t testing.TB, c *Cache, versions map[string][][]byte) {
	t.Helper()
	entries, err := os.ReadDir(c.dir)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".vpk.partial") || e.Name() == versionsDir {
			continue
		}
		id, isVPK := strings.CutSuffix(e.Name(), ".vpk")
		if !isVPK {
			t.Errorf("%s is in the cache", e.Name())
			continue
		}
		got, err := os.ReadFile(c.Path(steam.ID(id)))
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(versions[id], func(v []byte) bool { return bytes.Equal(v, got) }) {
			t.Errorf("%s is not whole and right: %d bytes", e.Name(), len(got))
		}
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		if !info.Mode().IsRegular() || info.Mode().Perm() != 0o644 || info.ModTime().Unix() < updated {
			t.Errorf("%s has mode %v and time %v", e.Name(), info.Mode(), info.ModTime())
		}
	}
}

// partials returns the names of partial files in the cache.
func partials(t testing.TB, c *Cache) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(c.dir, "*.partial"))
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func noPartials(t testing.TB, c *Cache) {
	t.Helper()
	if p := partials(t, c); len(p) > 0 {
		t.Errorf("left behind: %v", p)
	}
}
