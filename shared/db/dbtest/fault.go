package dbtest

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Fault is one way in which a server, or the network before it, misbehaves towards a request with SQL. Exactly one of Drop,
// Stall, Status and Delay is set.
type Fault struct {
	// Match limits it to requests one of whose SQL texts contains this.
	Match string
	// Times is how many requests it hits before it is over; 0 means all.
	Times int
	// After lets the request be carried out first, which the client does not learn.
	After bool

	// Drop ends the connection without an answer.
	Drop bool
	// Stall does not answer until the client gives up.
	Stall bool
	// Status answers this status; Body is its body, a page of HTML when empty.
	Status int
	Body   string
	// Delay answers later, and correctly.
	Delay time.Duration

	// Hit, if there is one, is called when the fault begins to have its effect.
	Hit func()
}

// Fail adds a fault. Of those that fit a request the oldest has its effect.
func (s *Server) Fail(f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, &f)
}

// Heal ends all faults.
func (s *Server) Heal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
}

// Asked returns the SQL texts of all requests since the last call, in order: those that a fault kept from running, too.
func (s *Server) Asked() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	asked := s.asked
	s.asked = nil
	return asked
}

// ask notes what is asked and returns the fault that hits it, or nil.
func (s *Server) ask(r pipelineRequest) *Fault {
	var texts []string
	note := func(t sqlText) {
		if t.SQL != nil {
			texts = append(texts, *t.SQL)
		}
	}
	for _, each := range r.Requests {
		note(each.sqlText)
		if each.Stmt != nil {
			note(each.Stmt.sqlText)
		}
		if each.Batch != nil {
			for _, step := range each.Batch.Steps {
				note(step.Stmt.sqlText)
			}
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, texts...)
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

// happen does what a client sees of the fault.
func (f *Fault) happen(w http.ResponseWriter, r *http.Request) {
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

// Do carries out commands, one a line:
//
//	drop | stall | status=CODE | delay=DURATION   a fault, with
//	    [after] [times=N] [sql=TEXT…]             the fields of Fault; TEXT goes to the end of the line
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
			err = fmt.Errorf("%q is no word of a fault", word)
		}
		if err != nil {
			return err
		}
	}
	if !f.Drop && !f.Stall && f.Status == 0 && f.Delay == 0 {
		return fmt.Errorf("it does not say what is to happen")
	}
	s.Fail(f)
	return nil
}

// Tell is Do for tests.
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
