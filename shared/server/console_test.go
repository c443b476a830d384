package server_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"left4me/shared/db/dbtest"
	"left4me/shared/server"
)

// shows: P64
func TestTheLastLinesOfAConsoleAreKept(t *testing.T) {
	dbtest.Each(t, testTheLastLinesOfAConsoleAreKept)
}

func testTheLastLinesOfAConsoleAreKept(t *testing.T, open dbtest.Backend) {
	w := setUp(t, open)
	friday, sunday := w.make(t, "friday", 27015), w.make(t, "sunday", 27016)
	add := func(s server.Server, lines ...string) {
		t.Helper()
		if err := w.AddConsole(t.Context(), s.ID, lines); err != nil {
			t.Fatal(err)
		}
	}
	read := func(s server.Server, after int64) (lines []string, last int64) {
		t.Helper()
		all, err := w.Console(t.Context(), s.ID, after)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range all {
			lines, last = append(lines, l.Text), l.ID
		}
		return lines, last
	}
	add(friday, "one", `tw"o`)
	add(sunday, "other")
	lines, last := read(friday, 0)
	if !slices.Equal(lines, []string{"one", `tw"o`}) {
		t.Errorf("%q", lines)
	}
	var many []string
	for n := range server.ConsoleLines + 50 {
		many = append(many, fmt.Sprint(n))
	}
	add(friday, many[:100]...)
	add(friday, many[100:]...)
	if lines, _ := read(friday, last); !slices.Equal(lines, many[50:]) {
		t.Errorf("%d lines from %q on", len(lines), lines[0])
	}
	if lines, _ := read(sunday, 0); !slices.Equal(lines, []string{"other"}) {
		t.Errorf("%q", lines)
	}
}

// shows: P64
func TestAConsoleIsWatchedForAWhile(t *testing.T) { dbtest.Each(t, testAConsoleIsWatchedForAWhile) }

func testAConsoleIsWatchedForAWhile(t *testing.T, open dbtest.Backend) {
	w := setUp(t, open)
	s := w.make(t, "friday", 27015)
	w.jobs.TakeEnqueued()
	watch := func() (wakes bool) {
		t.Helper()
		if err := w.WatchConsole(t.Context(), w.get(t, s.ID)); err != nil {
			t.Fatal(err)
		}
		return w.jobs.TakeEnqueued()
	}
	watched := func(host string) int {
		t.Helper()
		all, err := w.WatchedConsoles(t.Context(), host)
		if err != nil {
			t.Fatal(err)
		}
		return len(all)
	}
	if watched("here") != 0 || !watch() || watched("here") != 1 || watched("there") != 0 {
		t.Error("who watches is not known on the server's host alone")
	}
	until := w.get(t, s.ID).WatchedUntil
	*w.now = w.now.Add(5 * time.Second)
	if watch() || !w.get(t, s.ID).WatchedUntil.Equal(until) {
		t.Error("each question writes")
	}
	*w.now = w.now.Add(15 * time.Second)
	if watch(); !w.get(t, s.ID).WatchedUntil.After(until) {
		t.Error("who goes on watching is forgotten")
	}
	*w.now = w.now.Add(time.Minute)
	if watched("here") != 0 {
		t.Error("who does not watch any more is not forgotten")
	}
}
