package main_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"

	"github.com/rogpeppe/go-internal/testscript"
)

// receiver is a receiver of webhooks.
type receiver struct {
	mu     sync.Mutex
	status int
	got    []string // headers and body of each request
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var text strings.Builder
	fmt.Fprintf(&text, "%s %s\n", q.Method, q.URL.Path)
	q.Header.Write(&text)
	io.Copy(&text, q.Body)
	r.got = append(r.got, text.String())
	w.WriteHeader(r.status)
	fmt.Fprintln(w, "as told")
}

// receiver [STATUS] starts a receiver of webhooks, and sets $HOOK to its URL; from the second time on, the receiver answers with that status.
func (s *script) receive(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) > 1 {
		ts.Fatalf("usage: receiver [STATUS]")
	}
	status := http.StatusOK
	if len(args) == 1 {
		if _, err := fmt.Sscan(args[0], &status); err != nil {
			ts.Fatalf("status %s: %v", args[0], err)
		}
	}
	if s.receiver == nil {
		s.receiver = &receiver{}
		server := httptest.NewServer(s.receiver)
		ts.Defer(server.Close)
		ts.Setenv("HOOK", server.URL)
	}
	s.receiver.mu.Lock()
	defer s.receiver.mu.Unlock()
	s.receiver.status = status
}

// received PATTERN waits until the receiver has got a request that matches, and forgets it with those before it; with ! there must not have been one since.
func (s *script) received(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 1 || s.receiver == nil {
		ts.Fatalf("usage: [!] received PATTERN, after receiver")
	}
	pattern := regexp.MustCompile("(?s)" + args[0])
	found := func() bool {
		s.receiver.mu.Lock()
		defer s.receiver.mu.Unlock()
		for n, text := range s.receiver.got {
			if pattern.MatchString(text) {
				if !neg {
					s.receiver.got = s.receiver.got[n+1:]
				}
				return true
			}
		}
		return false
	}
	switch {
	case neg && found():
		ts.Fatalf("the receiver has got %s", args[0])
	case !neg:
		until(ts, "the receiver gets "+args[0], found)
	}
}
