package dbtest

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Fault makes the server, or the network in front of it, fail a request with SQL. Set exactly one of Drop, Stall, Status and
// Delay.
type Fault struct {
	// Match limits the fault to requests with an SQL text that contains it.
	Match string
	// Times is how many requests the fault affects. 0 means all.
	Times int
	// After runs the request before the fault, so that the client does not learn the result.
	After bool

	// Drop closes the connection without an answer.
	Drop bool
	// Stall does not answer until the client gives up.
	Stall bool
	// Status answers with this status and Body, or with an HTML page if Body is empty.
	Status int
	Body   string
	// Delay answers correctly, but later.
	Delay time.Duration

	// Hit, if set, is called when the fault begins.
	Hit func()
}

// Fail adds a fault. If several faults match a request, the oldest applies.
func (s *Server) Fail(f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, &f)
}

// Heal removes all faults.
func (s *Server) Heal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
}

// Received returns the requests with SQL since the last call, in order, including those that failed with a fault: of each, its
// statements with "; " between them.
func (s *Server) Received() []string {
	var texts []string
	for _, statements := range s.takeReceived() {
		texts = append(texts, strings.Join(statements, "; "))
	}
	return texts
}

func (s *Server) takeReceived() [][]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.received
	s.received = nil
	return all
}

// record stores the request's SQL texts for Received, and returns the fault that matches the request, or nil.
func (s *Server) record(r pipelineRequest) *Fault {
	var texts []string
	add := func(t sqlText) {
		if t.SQL != nil {
			texts = append(texts, *t.SQL)
		}
	}
	for _, each := range r.Requests {
		add(each.sqlText)
		if each.Stmt != nil {
			add(each.Stmt.sqlText)
		}
		if each.Batch != nil {
			for _, step := range each.Batch.Steps {
				add(step.Stmt.sqlText)
			}
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(texts) > 0 {
		s.received = append(s.received, texts)
	}
	for i, f := range s.faults {
		for _, text := range texts {
			if !strings.Contains(text, f.Match) {
				continue
			}
			hit := *f
			if f.Times == 1 {
				s.faults = slices.Delete(s.faults, i, i+1)
			}
			if f.Times > 1 {
				f.Times--
			}
			return &hit
		}
	}
	return nil
}

// apply fails or delays the request.
func (f *Fault) apply(w http.ResponseWriter, r *http.Request) {
	if f.Hit != nil {
		f.Hit()
	}
	switch {
	case f.Delay > 0:
		select {
		case <-time.After(f.Delay):
		case <-r.Context().Done():
		}
	case f.Stall:
		<-r.Context().Done()
	case f.Status != 0:
		body, kind := f.Body, "application/json"
		if body == "" {
			body, kind = fmt.Sprintf("<html><h1>%d %s</h1></html>", f.Status, http.StatusText(f.Status)), "text/html"
		}
		w.Header().Set("Content-Type", kind)
		w.WriteHeader(f.Status)
		_, _ = io.WriteString(w, body)
	default:
		panic(http.ErrAbortHandler)
	}
}

// Do runs commands, one per line:
//
//	drop | stall | status=CODE | delay=DURATION   add a fault, with
//	    [after] [times=N] [sql=TEXT…]             After, Times and Match; TEXT is the rest of the line
//	expire | end-transactions | heal              ExpireStreams, EndTransactions, Heal
func (s *Server) Do(commands string) error {
	for line := range strings.Lines(commands) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		if err := s.do(line); err != nil {
			return fmt.Errorf("%q: %w", line, err)
		}
	}
	return nil
}

func (s *Server) do(line string) (err error) {
	switch line {
	case "expire":
		s.ExpireStreams()
		return nil
	case "end-transactions":
		s.EndTransactions()
		return nil
	case "heal":
		s.Heal()
		return nil
	}
	var f Fault
	line, f.Match, _ = strings.Cut(line, "sql=")
	for word := range strings.FieldsSeq(line) {
		key, value, _ := strings.Cut(word, "=")
		switch key {
		case "after":
			f.After = true
		case "drop":
			f.Drop = true
		case "stall":
			f.Stall = true
		case "times":
			f.Times, err = strconv.Atoi(value)
		case "status":
			f.Status, err = strconv.Atoi(value)
		case "delay":
			f.Delay, err = time.ParseDuration(value)
		default:
			err = fmt.Errorf("%q is not a known word", word)
		}
		if err != nil {
			return err
		}
	}
	if !f.Drop && !f.Stall && f.Status == 0 && f.Delay == 0 {
		return errors.New("one of drop, stall, status and delay is needed")
	}
	s.Fail(f)
	return nil
}

// Tell calls Do, and fails the test on an error.
func (s *Server) Tell(t testing.TB, commands string) {
	t.Helper()
	if err := s.Do(commands); err != nil {
		t.Fatalf("dbtest: %v", err)
	}
}

func (s *Server) control(w http.ResponseWriter, r *http.Request) {
	commands, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
	if err == nil {
		err = s.Do(string(commands))
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
	}
}
