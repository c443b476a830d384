package server

import (
	"strings"
	"testing"
	"time"

	"left4me/shared/server"
)

var noon = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

func people(ago time.Duration, humans int) server.Population {
	return server.Population{At: noon.Add(-ago), Known: humans >= 0, Humans: humans}
}

// shows: P63
func TestTheChartSaysInWordsWhatItShows(t *testing.T) {
	if c := chartOf(nil, noon); c.known {
		t.Error("something is known of a server that nobody has looked at")
	}
	if c := chartOf([]server.Population{people(30*time.Hour, 0)}, noon); c.sentence() != "Nobody has played in the last 24 hours. The server answered for 24 h 0 min." || c.curve != "M0 8H288" {
		t.Errorf("%q, %s", c.sentence(), c.curve)
	}
	c := chartOf([]server.Population{people(30*time.Hour, 2), people(20*time.Hour, 0), people(10*time.Hour, -1), people(2*time.Hour, 3), people(time.Hour, 12), people(59*time.Minute, 1)}, noon)
	if want := "At most 12 players in the last 24 hours, first at 11:00 UTC. Somebody played for 6 h 0 min of the 16 h 0 min in which the server answered."; c.sentence() != want {
		t.Errorf("%q, want %q", c.sentence(), want)
	}
	if want := "M0 10H48V12H168M264 9H276V0H277V11H288"; c.curve != want {
		t.Errorf("%s, want %s", c.curve, want)
	}
	if want := "M0 12V10H48V12H168V12ZM264 12V9H276V0H277V11H288V12Z"; c.area != want {
		t.Errorf("%s, want %s", c.area, want)
	}
	var parts []string
	for _, p := range c.parts {
		parts = append(parts, p.from.Format("15:04 ")+p.text())
	}
	if want := "11:00 for 1 hour: at most 12 players; 10:00 for 1 hour: at most 3 players; 02:00 for 8 hours: no answer; 16:00 for 10 hours: nobody; 12:00 for 4 hours: at most 2 players"; strings.Join(parts, "; ") != want {
		t.Errorf("%q", parts)
	}
}

// However often the number changes, the page stays short.
func TestTheChartIsBounded(t *testing.T) {
	var all []server.Population
	for n := range 24 * 360 {
		all = append(all, people(24*time.Hour-time.Duration(n)*10*time.Second, n%32))
	}
	if c := chartOf(all, noon); len(c.curve) > 4096 || len(c.area) > 4096 {
		t.Errorf("%d and %d bytes", len(c.curve), len(c.area))
	}
}
