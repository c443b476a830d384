// Package autorestart restarts the game servers of a host for updates that wait, as their policies say (servers.md P63). It is part of the
// check of a host's servers, keeps nothing in memory, and can be stopped at any point.
//
// When to restart belongs to server.Policy, what waits to server.Store, and the restart itself to the job server_start.
package autorestart

import (
	"context"
	"fmt"
	"slices"
	"time"

	"left4me/shared/job"
	"left4me/shared/server"
)

// Host restarts the servers of one host.
type Host struct {
	Servers *server.Store
	// ID is the host's id.
	ID string
	// Now returns the time in the host's time zone.
	Now func() time.Time
	// Say shows a line to the players of a server. It returns when the game has accepted it.
	Say func(ctx context.Context, on server.Check, line string) error
}

// Check is to be called with the host's running servers when they have been asked what they are doing. It warns players and enqueues restarts.
func (h Host) Check(ctx context.Context, looked []server.Check) error {
	all, err := h.Servers.Pending(ctx, h.ID)
	if err != nil {
		return err
	}
	for _, p := range all {
		on := server.Check{ServerID: p.ID} // did not answer
		if n := slices.IndexFunc(looked, func(c server.Check) bool { return c.ServerID == p.ID && c.RunID == p.RunID }); n >= 0 {
			on = looked[n]
		}
		if err := h.Servers.Populate(ctx, p, seen(on)); err != nil {
			return err
		}
		if p.Update.Waits == "" {
			continue
		}
		if err := h.check(ctx, p, on); err != nil {
			return err
		}
	}
	return nil
}

func seen(on server.Check) server.Seen {
	return server.Seen{Answering: on.Now.Answering, Humans: on.Now.Humans}
}

func (h Host) check(ctx context.Context, p server.Pending, on server.Check) error {
	was := p.Update.Plan
	held := whyHeld(p)
	if p.Busy || held != "" {
		// Who has been seen before does not count any more when this is over.
		plan := was
		plan.EmptyAt = time.Time{}
		if p.Busy {
			held = p.Update.Held
		}
		return h.save(ctx, p, plan, held)
	}
	step, plan := p.Policy.Next(was, p.Update.Since, seen(on), h.Now())
	if step.Restart {
		return h.Servers.Renew(ctx, p, plan.RestartAt)
	}
	if step.Warn == 0 {
		return h.save(ctx, p, plan, "")
	}
	if err := h.Say(ctx, on, warning(step.Warn, p.News)); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		was.EmptyAt = plan.EmptyAt
		return h.save(ctx, p, was, fmt.Sprintf("Players could not be warned: %s. This is tried again at every check.", err))
	}
	var e server.Event
	if was.Warned == 0 {
		e = server.Event{Kind: "announced", Text: fmt.Sprintf("Players were told %d minutes ahead that the server will be restarted for: %s.", step.Warn, p.News)}
	}
	return h.Servers.SavePlan(ctx, p, plan, "", e)
}

// save saves the plan, with an event if there is a new reason to hold the restart.
func (h Host) save(ctx context.Context, p server.Pending, plan server.Plan, held string) error {
	var e server.Event
	if held != "" && held != p.Update.Held {
		e = server.Event{Kind: "not restarted", Text: held, JobID: p.TriedJob.ID}
	}
	return h.Servers.SavePlan(ctx, p, plan, held, e)
}

// warning is the line that players see.
func warning(minutes int, news string) string {
	unit := "minutes"
	if minutes == 1 {
		unit = "minute"
	}
	return fmt.Sprintf("This server restarts in %d %s. New: %s", minutes, unit, news)
}

// whyHeld returns why the server is not restarted until something changes or a person acts; empty: it may be.
func whyHeld(p server.Pending) string {
	switch {
	case p.Policy.Kind == server.Never:
		return ""
	case p.TriedJob.ID != 0 && p.TriedJob.State == job.Failed:
		return "The restart for this update failed: " + p.TriedJob.Error
	case p.TriedJob.ID != 0 && p.TriedJob.State == job.Cancelled:
		return "The restart for this update was cancelled."
	case p.TriedJob.ID != 0:
		return "The server was restarted for this update, but what it started with still differs."
	case p.FailedOverlay != "":
		return fmt.Sprintf("The last build of overlay “%s” failed.", p.FailedOverlay)
	}
	return ""
}
