// Package steamtest is a stand-in for Steam, for tests, demonstrations and measurements: both methods of the Web API, the
// content host with real VPK files, and preview pictures, with the character that steam.md describes. It misbehaves on
// demand and records what it was asked.
//
// It shares no code with package steam, so that a misunderstanding there cannot hide here.
package steamtest

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// Server is the stand-in, an http.Handler. All of it is served by one host:
//
//	POST /ISteamRemoteStorage/GetPublishedFileDetails/v1/ and GetCollectionDetails/v1/
//	GET  /ugc/{id}/{SHA-1 of the content}/             the file; another SHA-1 than the current one is 404
//	GET  /ugc/{id}0/{SHA-1 of the picture}/            the preview picture
//	POST /control                                      commands for Do; 400 with the error
//	GET  /requests                                     the record, one request a line
//
// Its links lead to the host that the request named, so it needs to know no address of its own.
type Server struct {
	// URL is the base address, without a slash at its end, when Start made the server.
	URL string

	mux *http.ServeMux

	mu          sync.Mutex
	items       map[string]*item
	collections map[string]Collection
	faults      []*activeFault
	changed     chan struct{} // closed and replaced when faults or the record change
	requests    []Request
	active      map[string]int
	peak        map[string]int
}

// Request is one request as it was recorded.
type Request struct {
	// Kind is `details`, `collections`, `content` or `preview`.
	Kind string
	// IDs are the steam ids that it asked for.
	IDs []string
	// Range is the header of that name.
	Range string
}

// String is how GET /requests shows it: `content 101 bytes=0-99`.
func (r Request) String() string {
	return strings.TrimSpace(r.Kind + " " + strings.Join(r.IDs, ",") + " " + r.Range)
}

// New returns a stand-in with an empty catalog.
func New() *Server {
	s := &Server{
		mux:         http.NewServeMux(),
		items:       map[string]*item{},
		collections: map[string]Collection{},
		changed:     make(chan struct{}),
		active:      map[string]int{},
		peak:        map[string]int{},
	}
	s.mux.HandleFunc("POST /ISteamRemoteStorage/GetPublishedFileDetails/v1/{$}", func(w http.ResponseWriter, r *http.Request) {
		s.serveAPI(w, r, "details", "itemcount", "publishedfiledetails", s.details)
	})
	s.mux.HandleFunc("POST /ISteamRemoteStorage/GetCollectionDetails/v1/{$}", func(w http.ResponseWriter, r *http.Request) {
		s.serveAPI(w, r, "collections", "collectioncount", "collectiondetails", s.collectionDetails)
	})
	s.mux.HandleFunc("GET /ugc/{number}/{name}/{$}", s.serveContent)
	s.mux.HandleFunc("POST /control", func(w http.ResponseWriter, r *http.Request) {
		commands, err := io.ReadAll(r.Body)
		if err == nil {
			err = s.Do(string(commands))
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
		}
	})
	s.mux.HandleFunc("GET /requests", func(w http.ResponseWriter, _ *http.Request) {
		for _, r := range s.Requests() {
			fmt.Fprintln(w, r)
		}
	})
	return s
}

// Start serves a stand-in whose catalog is what the commands of Do make, until the test ends.
func Start(t testing.TB, catalog string) *Server {
	t.Helper()
	s := New()
	if err := s.Do(catalog); err != nil {
		t.Fatalf("steamtest: %v", err)
	}
	server := httptest.NewServer(s)
	s.URL = server.URL
	t.Cleanup(func() {
		// Close waits for requests, which may be stalled on purpose.
		server.CloseClientConnections()
		server.Close()
	})
	return s
}

// Host is the host and port of URL, for STEAM_CDN_HOSTS.
func (s *Server) Host() string { return strings.TrimPrefix(s.URL, "http://") }

// Tell is Do for tests: a mistake in the commands ends the test.
func (s *Server) Tell(t testing.TB, commands string) {
	t.Helper()
	if err := s.Do(commands); err != nil {
		t.Fatalf("steamtest: %v", err)
	}
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// SetItem adds or replaces an item; the error says what is impossible about it.
func (s *Server) SetItem(i Item) error {
	made, err := newItem(i)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.items[i.ID] = made
	return nil
}

// Item returns an item with its defaults filled in.
func (s *Server) Item(id string) (Item, bool) {
	if found := s.item(id); found != nil {
		return found.Item, true
	}
	return Item{}, false
}

// File returns the content of an item; nil when there is none.
func (s *Server) File(id string) *File {
	if found := s.item(id); found != nil {
		return found.file
	}
	return nil
}

// FileURL is the present link to an item's content; empty when there is none.
func (s *Server) FileURL(id string) string {
	if found := s.item(id); found != nil {
		return s.URL + found.filePath()
	}
	return ""
}

// IDs returns the ids of all items and of all collections, each in ascending order.
func (s *Server) IDs() (items, collections []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.items)), slices.Sorted(maps.Keys(s.collections))
}

func (s *Server) item(id string) *item {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.items[id]
}

// Collection returns a collection.
func (s *Server) Collection(id string) (Collection, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, ok := s.collections[id]
	return c, ok
}

// SetCollection adds or replaces a collection.
func (s *Server) SetCollection(c Collection) error {
	if c.Title == "" {
		c.Title = "Collection " + c.ID
	}
	for _, id := range append([]string{c.ID}, c.Children...) {
		if !isID(id) {
			return fmt.Errorf("collection: %q is not a steam id", id)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.collections[c.ID] = c
	return nil
}

// Remove deletes an item or a collection: Steam then answers result 9.
func (s *Server) Remove(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.items, id)
	delete(s.collections, id)
}

// AddFault makes the server misbehave from now on.
func (s *Server) AddFault(f Fault) error {
	if err := f.check(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.setFaults(append(s.faults, &activeFault{Fault: f, total: newPace(f.TotalRate)}))
	return nil
}

// Reset ends all faults. Answers that are held go on; what else a fault has begun to do to an answer, it does to its end.
func (s *Server) Reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.setFaults(nil)
}

func (s *Server) setFaults(faults []*activeFault) {
	s.faults = faults
	s.tell()
}

// tell wakes whoever waits for a change.
func (s *Server) tell() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// hold returns how many bytes of the answer to r may be delivered, 0 for all of them, and a channel that is closed when
// that may have changed.
func (s *Server) hold(r Request) (limit int64, changed <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.faults {
		if f.Hold > 0 && f.fits(r.Kind, r.IDs) {
			limit = f.Hold
		}
	}
	return limit, s.changed
}

// Requests returns the record.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

// Count is how many requests of a kind were recorded; `api` counts details and collections.
func (s *Server) Count(kind string) int {
	n := 0
	for _, r := range s.Requests() {
		if r.Kind == kind || kind == "api" && isAPI(r.Kind) {
			n++
		}
	}
	return n
}

// Await returns once n requests of a kind, or of `api`, are recorded, or with ctx's error.
func (s *Server) Await(ctx context.Context, kind string, n int) error {
	for {
		s.mu.Lock()
		changed := s.changed
		s.mu.Unlock()
		if s.Count(kind) >= n {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Peak is how many requests of a kind, or of `api`, were under way at once at most.
func (s *Server) Peak(kind string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.peak[kind]
}

// Forget empties the record.
func (s *Server) Forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = nil
	clear(s.peak)
}

// begin records a request and picks the fault that it meets. leave, which may be called more than once, must be called
// before the client can see the end of the answer: else its next request would count beside this one.
func (s *Server) begin(r Request) (fault *activeFault, leave func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests, r)
	s.tell()
	kinds := []string{r.Kind}
	if isAPI(r.Kind) {
		kinds = append(kinds, "api")
	}
	for _, kind := range kinds {
		s.active[kind]++
		s.peak[kind] = max(s.peak[kind], s.active[kind])
	}
	leave = sync.OnceFunc(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, kind := range kinds {
			s.active[kind]--
		}
	})
	for _, f := range slices.Backward(s.faults) {
		if f.fits(r.Kind, r.IDs) && (f.Times == 0 || f.hits < f.Times) {
			f.hits++
			return f, leave
		}
	}
	return &activeFault{}, leave
}

const page = "<!DOCTYPE html><html><head><title>Error</title></head><body><h1>An error was encountered</h1></body></html>"

// misbehave does what a fault has in store for any kind of answer; true when that was all.
func misbehave(w http.ResponseWriter, r *http.Request, f *activeFault) bool {
	if pause(r.Context(), f.Delay) != nil || f.Refuse {
		panic(http.ErrAbortHandler)
	}
	if f.Status == 0 && !f.HTML {
		return false
	}
	if f.RetryAfter != "" {
		w.Header().Set("Retry-After", f.RetryAfter)
	}
	w.Header().Set("Content-Type", "text/html; charset=UTF-8")
	if f.Status != 0 {
		w.WriteHeader(f.Status)
	}
	io.WriteString(w, page)
	return true
}

// answering is a ResponseWriter that delivers a body as badly as a fault wants.
type answering struct {
	http.ResponseWriter
	server  *Server
	request Request
	ctx     context.Context
	fault   *activeFault
	own     *pace
	leave   func()
	sent    int64
}

func (s *Server) newAnswering(ctx context.Context, w http.ResponseWriter, r Request, f *activeFault, leave func()) *answering {
	return &answering{ResponseWriter: w, server: s, request: r, ctx: ctx, fault: f, own: newPace(f.Rate), leave: leave}
}

func (a *answering) WriteHeader(code int) {
	h := a.Header()
	if a.fault.NoRanges {
		h.Del("Accept-Ranges")
	}
	if a.fault.Encoding != "" {
		h.Set("Content-Encoding", a.fault.Encoding)
	}
	if span, ok := strings.CutPrefix(h.Get("Content-Range"), "bytes "); ok && a.fault.LieRange {
		if first, rest, ok := strings.Cut(span, "-"); ok && first != "*/" {
			n, _ := strconv.ParseInt(first, 10, 64)
			h.Set("Content-Range", fmt.Sprintf("bytes %d-%s", n+1, rest))
		}
	}
	a.ResponseWriter.WriteHeader(code)
}

func (a *answering) Write(p []byte) (int, error) {
	written := 0
	for len(p) > 0 {
		n := min(len(p), 64<<10)
		if a.fault.Cut > 0 {
			n = int(min(int64(n), a.fault.Cut-a.sent))
		}
		if a.fault.Stall > 0 {
			n = int(min(int64(n), a.fault.Stall-a.sent))
		}
		if n == 0 {
			http.NewResponseController(a.ResponseWriter).Flush()
			if a.fault.Stall > 0 {
				<-a.ctx.Done()
			}
			panic(http.ErrAbortHandler)
		}
		if a.fault.Hold > 0 {
			allowed, err := a.mayPass(n)
			if err != nil {
				return written, err
			}
			n = allowed
		}
		for _, pace := range []*pace{a.own, a.fault.total} {
			if err := pace.wait(a.ctx, n); err != nil {
				return written, err
			}
		}
		if length, err := strconv.ParseInt(a.Header().Get("Content-Length"), 10, 64); err == nil && a.sent+int64(n) == length {
			a.leave()
		}
		n, err := a.ResponseWriter.Write(p[:n])
		written, a.sent, p = written+n, a.sent+int64(n), p[n:]
		if err != nil {
			return written, err
		}
	}
	return written, nil
}

// mayPass returns how many of the next n bytes may be delivered now. While the answer is held, that is one in a second.
func (a *answering) mayPass(n int) (int, error) {
	second := time.NewTimer(time.Second)
	defer second.Stop()
	for {
		limit, changed := a.server.hold(a.request)
		if limit == 0 {
			return n, nil
		}
		if a.sent < limit {
			return int(min(int64(n), limit-a.sent)), nil
		}
		http.NewResponseController(a.ResponseWriter).Flush()
		select {
		case <-changed:
		case <-second.C:
			return 1, nil
		case <-a.ctx.Done():
			return 0, a.ctx.Err()
		}
	}
}

// absolute makes a path of this server a link to the host that the client asked.
func absolute(r *http.Request, path string) string {
	return (&url.URL{Scheme: "http", Host: r.Host, Path: path}).String()
}
