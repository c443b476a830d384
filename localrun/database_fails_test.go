package main_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"sync"
	"testing"

	"left4me/shared/db/dbtest"
	"left4me/shared/route"
)

// csrfToken is random text, in which any word may occur.
var csrfToken = regexp.MustCompile(`(?:value|content)="[A-Z2-7]{20,}\.[\w-]+"`)

// breaker is before a database server and lets one statement fail, as SQLite lets it when a table is gone.
type breaker struct {
	next http.Handler
	mu   sync.Mutex
	left int // statements until the one that fails; 0 lets none fail
}

func (b *breaker) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	text, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	var request any
	if json.Unmarshal(text, &request) == nil && hasStatement(request) && b.hits() {
		spoil(request)
		text, _ = json.Marshal(request) // it was JSON before
	}
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(text)), int64(len(text))
	b.next.ServeHTTP(w, r)
}

// fail lets the n-th statement from now on fail.
func (b *breaker) fail(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.left = n
}

// heal lets none fail any more, and reports whether one has failed since fail.
func (b *breaker) heal() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	failed := b.left == 0
	b.left = 0
	return failed
}

func (b *breaker) hits() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.left == 0 {
		return false
	}
	b.left--
	return b.left == 0
}

// hasStatement reports whether a request, or a part of it, has one that is not a transaction's ROLLBACK.
func hasStatement(part any) bool {
	found := false
	eachStatement(part, func(s map[string]any) { found = found || s["sql"] != "ROLLBACK" })
	return found
}

// spoil makes every statement of a request one that fails.
func spoil(request any) {
	eachStatement(request, func(s map[string]any) {
		s["sql"] = "SELECT json('secret')"
		delete(s, "args")
		delete(s, "named_args")
	})
}

func eachStatement(part any, do func(map[string]any)) {
	switch p := part.(type) {
	case []any:
		for _, each := range p {
			eachStatement(each, do)
		}
	case map[string]any:
		if _, ok := p["sql"].(string); ok {
			do(p)
		}
		for _, each := range p {
			eachStatement(each, do)
		}
	}
}

var (
	requestID = regexp.MustCompile(`request id: ([0-9a-f-]{36})`)
	logged    = regexp.MustCompile(`"msg":"request failed".*"error":"[^"]*malformed JSON.*"request_id":"([^"]+)"`)
	internals = regexp.MustCompile(`(?i)sql|secret|malformed|goroutine|\.go:`)
)

// TestEveryStatementMayFail lets every statement of every route's requests fail once, alone. The visitor is told, with a request
// id, and the log has the cause. Nothing has happened, and the same request works when the database does.
//
// shows: P43
func TestEveryStatementMayFail(t *testing.T) {
	t.Parallel()
	b := &breaker{next: dbtest.Serve(t)}
	server := httptest.NewServer(b)
	t.Cleanup(server.Close)
	f := newFixture(t, server.URL)
	var ids []string
	for _, r := range route.All() {
		for i, u := range uses[r.Name] {
			if i > 0 && u.status >= http.StatusBadRequest {
				continue
			}
			for _, header := range []http.Header{nil, {"Hx-Request": {"true"}}} {
				ids = append(ids, f.failEach(b, r, u, header)...)
			}
		}
	}
	if len(ids) < 100 {
		t.Errorf("only %d statements have failed", len(ids))
	}
	f.eventually("the log has the cause of each failed request", func() bool {
		causes := map[string]bool{}
		for _, m := range logged.FindAllStringSubmatch(f.said(), -1) {
			causes[m[1]] = true
		}
		return !slices.ContainsFunc(ids, func(id string) bool { return !causes[id] })
	})
}

// failEach makes the request of u again and again, until it has no statement left to fail, and returns the ids of those that
// have failed.
func (f *fixture) failEach(b *breaker, r route.Route, u use, header http.Header) (ids []string) {
	f.t.Helper()
	f.settle(root)
	path, form := u.make(f)
	if r.Method == http.MethodPost && form == nil {
		form = url.Values{}
	}
	form = f.withToken(root, form)
	session := f.people[root].Session()
	for n := 1; ; n++ {
		f.people[root].SetSession(session)
		if _, err := f.db.ExecContext(f.t.Context(), `DELETE FROM sign_in_failures`); err != nil { // each attempt counts
			f.t.Fatal(err)
		}
		before := f.standing()
		b.fail(n)
		got := f.send(root, r.Method, path, maps.Clone(form), header)
		failed := b.heal()
		what := fmt.Sprintf("%s %s (%s) %v, statement %d", r.Method, path, u.about, header, n)
		if !failed { // it has no more
			if header == nil && got.StatusCode != u.status || got.StatusCode >= http.StatusInternalServerError {
				f.t.Errorf("%s: %d when all is well again, want %d: %s", what, got.StatusCode, u.status, got.Text("main"))
			}
			return ids
		}
		if got.StatusCode != http.StatusInternalServerError && got.StatusCode != http.StatusServiceUnavailable {
			f.t.Errorf("%s: %d: %s", what, got.StatusCode, got.Text("main"))
		}
		if found := internals.FindString(csrfToken.ReplaceAllString(got.Body, "")); found != "" {
			f.t.Errorf("%s: the answer has %q: %s", what, found, got.Body)
		}
		// Where the answer is no redirect, it may fail to be made when the request has done what it is for.
		if after := f.standing(); after != before && header == nil && u.status != okay {
			f.t.Errorf("%s: it fails, and yet something has happened:\n%s\n%s", what, before, after)
		}
		if whole := got.Page().Find("header").Length() > 0; whole != (header == nil) {
			f.t.Errorf("%s: a whole page: %v", what, whole)
		}
		if r.Name == route.Health.Name {
			continue // who asks knows the cause
		}
		id := requestID.FindStringSubmatch(got.Text("#error"))
		if id == nil {
			f.t.Fatalf("%s: no request id: %s", what, got.Text("body"))
		}
		ids = append(ids, id[1])
	}
}
