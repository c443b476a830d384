package watch

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"left4me/shared/game/supervisor"
	"left4me/shared/server"
	"left4me/shared/text"
	"left4me/shared/wake"
)

// maxLine is the longest line of a console that is copied, in bytes.
const maxLine = 500

// Consoles copies the last lines of the consoles of one host's servers to the database while somebody watches them (servers.md P64).
type Consoles struct {
	Servers    *server.Store
	Supervisor supervisor.Supervisor
	// Host is the host's id.
	Host string
	// Every is how often consoles are copied while somebody watches.
	Every time.Duration
	// Woken has Run look whether somebody watches.
	Woken wake.Signal
	Log   *slog.Logger

	said map[int64][]string // by server: the last lines in the database
}

// Run copies until ctx ends. While nobody watches, it only looks whether somebody does.
func (c *Consoles) Run(ctx context.Context) {
	failure := ""
	for ctx.Err() == nil {
		watched, err := c.copy(ctx)
		switch {
		case err == nil:
			failure = ""
		case ctx.Err() == nil && err.Error() != failure:
			failure = err.Error()
			c.Log.Error("cannot copy consoles; trying on", "error", failure)
		}
		var again <-chan time.Time
		if watched && err == nil {
			again = time.After(c.Every)
		}
		select {
		case <-again:
		case <-c.Woken:
		case <-ctx.Done():
		}
	}
}

// copy copies what is new once, and reports whether somebody watches.
func (c *Consoles) copy(ctx context.Context) (watched bool, err error) {
	ids, err := c.Servers.WatchedConsoles(ctx, c.Host)
	if err != nil {
		return false, err
	}
	said := map[int64][]string{}
	for _, id := range ids {
		before, known := c.said[id]
		if !known {
			lines, err := c.Servers.Console(ctx, id, 0)
			if err != nil {
				return true, err
			}
			for _, l := range lines {
				before = append(before, l.Text)
			}
		}
		now, unfinished, err := c.Supervisor.Console(ctx, id, server.ConsoleLines+1)
		if err != nil {
			return true, err
		}
		if unfinished {
			now = now[:len(now)-1]
		}
		for n := range now {
			now[n] = text.Line(now[n], maxLine)
		}
		added := newLines(before, now)
		if len(added) > 0 {
			if err := c.Servers.AddConsole(ctx, id, added); err != nil {
				return true, err
			}
			before = append(before, added...)
		}
		said[id] = slices.Clone(before[max(0, len(before)-server.ConsoleLines):])
	}
	c.said = said
	return len(ids) > 0, nil
}

// newLines returns those of now that follow what was read before: a console only grows, or is begun anew.
func newLines(before, now []string) []string {
	for same := min(len(before), len(now)); same > 0; same-- {
		if slices.Equal(before[len(before)-same:], now[:same]) {
			now = now[same:]
			break
		}
	}
	return now[max(0, len(now)-server.ConsoleLines):]
}
