// Package watch looks after the game servers of this host while its agent runs: it starts those again that a reboot has ended, and records
// which have ended by themselves (servers.md P60, P61). It keeps no process.
package watch

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"

	"left4me/shared/account"
	"left4me/shared/db"
	"left4me/shared/game/control"
	"left4me/shared/game/launch"
	"left4me/shared/game/serverdir"
	"left4me/shared/game/supervisor"
	"left4me/shared/server"
	"left4me/shared/wake"
)

// Watcher looks after the servers of one host.
type Watcher struct {
	DB         *db.DB
	Servers    *server.Store
	Supervisor supervisor.Supervisor
	// Host is the host's id, and Root its LEFT4ME_ROOT.
	Host, Root string
	// Every is how often Run looks, and CheckEvery how often while servers have processes.
	Every, CheckEvery time.Duration
	// Check asks the games of the host's running servers what they are doing. It is called after each look that found processes.
	Check func(context.Context) error
	// Woken has Run look at once, because a server may have been started.
	Woken wake.Signal
	// Enqueued is called when a job has been enqueued.
	Enqueued func(context.Context)
	Log      *slog.Logger

	seen map[int64]process // of each server
}

// process is a process of a server.
type process struct {
	run   int64
	since time.Time
}

// Run looks until ctx ends, at first at once: then servers that should be running and are not are started again.
func (w *Watcher) Run(ctx context.Context) {
	looked := false
	failure := ""
	for ctx.Err() == nil {
		pause := w.Every
		err := w.Look(ctx, !looked)
		if err == nil {
			looked = true
		}
		if err == nil && len(w.seen) > 0 {
			pause = w.CheckEvery
			err = w.Check(ctx)
		}
		switch {
		case err == nil:
			failure = ""
		case ctx.Err() == nil && err.Error() != failure:
			failure = err.Error() // logged once, because a database may be unreachable for hours
			w.Log.Error("cannot look after the servers; trying on", "error", failure)
		}
		select {
		case <-time.After(pause):
		case <-w.Woken:
		case <-ctx.Done():
		}
	}
}

// Look looks once at the servers of which no job is about to change the state. With restart, those that should be running and are not are
// started again; otherwise they have ended by themselves.
func (w *Watcher) Look(ctx context.Context, restart bool) error {
	all, err := w.Servers.Watch(ctx, w.Host)
	if err != nil {
		return err
	}
	seen := map[int64]process{}
	for _, s := range all {
		status, err := w.Supervisor.Status(ctx, s.ID)
		if err != nil {
			return err
		}
		if status.Running {
			seen[s.ID] = process{s.RunID, status.Since}
		}
		if s.Busy {
			continue
		}
		log := w.Log.With("server", s.ID, "name", s.Name)
		before, known := w.seen[s.ID]
		switch {
		case status.Running && s.State == server.Running && known && before.run == s.RunID && !before.since.Equal(status.Since):
			lines := control.LastLines(ctx, w.Supervisor, s.ID)
			if strings.HasSuffix(lines, launch.EndedWell) {
				log.Info("server was restarted by systemd, which somebody has asked to")
				err = w.Servers.Happened(ctx, w.DB, s.ID, server.Event{Kind: "restarted", Text: "Somebody asked systemd to. The content is the same."})
				break
			}
			log.Warn("server crashed and was started again by the supervisor")
			err = w.Servers.Restarted(ctx, s.ID, "It ended by itself, and was started again with the same content.", lines)
		case status.Running && s.State == server.Running:
		case status.Running: // the job that was about to change that was lost
			_, err = w.Servers.Noticed(ctx, s, server.Running, "", "", server.Event{Kind: "started"})
		case restart && s.State != server.Stopping:
			log.Info("server is started again, because it was running before")
			if err = w.start(ctx, s.ID); err == nil {
				w.Enqueued(ctx)
			}
		case s.State == server.Stopping:
			err = w.ended(ctx, s, server.Stopped, "It was stopped.", "", server.Event{Kind: "stopped"})
		default:
			how := "It ended by itself."
			if status.Exit != "" {
				how = "It ended by itself: " + status.Exit + "."
			}
			log.Warn("server crashed", "how", how)
			err = w.ended(ctx, s, server.Crashed, how, control.LastLines(ctx, w.Supervisor, s.ID), server.Event{Kind: "crashed", Text: how})
		}
		if err != nil {
			return err
		}
	}
	w.seen = seen
	for id := range seen {
		err = errors.Join(err, w.Supervisor.ShortenConsole(id))
	}
	return err
}

// ended records that a server has ended, and what its games have written.
func (w *Watcher) ended(ctx context.Context, s server.Watched, state server.State, how, lastLines string, e server.Event) error {
	changed, err := w.Servers.Noticed(ctx, s, state, how, lastLines, e)
	if err != nil || !changed {
		return err
	}
	written, err := serverdir.Of(w.Root, server.Server{ID: s.ID}).Written(ctx)
	if err == nil {
		err = w.Servers.Counted(ctx, w.DB, s.ID, written)
	}
	return err
}

func (w *Watcher) start(ctx context.Context, id int64) error {
	s, err := w.Servers.Get(ctx, id)
	if err == nil {
		_, err = w.Servers.Start(ctx, account.User{}, s)
	}
	return err
}
