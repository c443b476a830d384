// Package control starts, stops, resets and removes the game servers of one host, as the jobs about servers ask (servers.md P55 to P60). It
// freezes what a run starts with, has the host's supervisor keep the process, and records what has become of it.
//
// Rows belong to shared/server, directories to shared/game/serverdir, mounts to shared/game/launch, processes to shared/game/supervisor.
package control

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strings"
	"time"

	"left4me/shared/blueprint"
	"left4me/shared/db"
	"left4me/shared/game"
	"left4me/shared/game/launch"
	"left4me/shared/game/serverdir"
	"left4me/shared/game/supervisor"
	"left4me/shared/jobstore"
	"left4me/shared/overlay"
	"left4me/shared/problem"
	"left4me/shared/server"
	"left4me/shared/settings"
	"left4me/shared/text"
)

// Report receives the log lines and the progress of a job.
type Report interface {
	// Infof writes a line to the job's stdout, Warnf to its stderr.
	Infof(format string, args ...any)
	Warnf(format string, args ...any)
	Progress(jobstore.Progress)
	// OnSuccess sets a function that writes in the transaction that ends the job as succeeded.
	OnSuccess(write func(ctx context.Context, q db.Querier) error)
}

// Host is the game host that a job runs on.
type Host struct {
	Settings   settings.Settings
	DB         *db.DB
	Jobs       *jobstore.Store
	Servers    *server.Store
	Blueprints *blueprint.Store
	Overlays   *overlay.Store
	Releases   *game.Store
	Supervisor supervisor.Supervisor
	Now        func() time.Time
	// JobID and UserID are the job and who asked for it, 0 for nobody.
	JobID, UserID int64
	Report        Report
}

// New returns this host, for jobs with the settings, database and jobs of a function.
func New(s settings.Settings, d *db.DB, now func() time.Time, jobs *jobstore.Store) Host {
	return Host{
		Settings: s, DB: d, Jobs: jobs, Supervisor: supervisor.New(s), Now: now,
		Servers: server.NewStore(d, now, jobs), Blueprints: blueprint.NewStore(d, now, jobs), Overlays: overlay.NewStore(d, now, jobs), Releases: game.NewStore(d, now, jobs),
	}
}

// Job does, for a job about a server, what the job is for. If the server has been deleted meanwhile, there is nothing to do.
func (h Host) Job(ctx context.Context, jobID, serverID int64, report Report, do func(*Host, context.Context, server.Server) error) error {
	s, err := h.Servers.Get(ctx, serverID)
	if p, ok := problem.As(err); ok && p.Status == http.StatusNotFound {
		report.Infof("server %d was deleted meanwhile; there is nothing to do", serverID)
		return nil
	}
	if err != nil {
		return err
	}
	j, err := h.Jobs.Get(ctx, jobID)
	if err != nil {
		return err
	}
	h.JobID, h.UserID, h.Report = jobID, j.UserID, report
	return do(&h, ctx, s)
}

// consoleLines is how many lines of the console are kept of a run that ended by itself, and maxLine their length in bytes.
const (
	consoleLines = 40
	maxLine      = 500
)

// LastLines returns, as one text, the last lines of a server's console up to the last end of its game, or all of the last ones if it has not
// ended since its start; "" if they cannot be read.
func LastLines(ctx context.Context, s supervisor.Supervisor, serverID int64) string {
	lines, _, err := s.Console(ctx, serverID, math.MaxInt)
	if err != nil {
		return ""
	}
	for n := len(lines) - 1; n >= 0; n-- {
		if strings.HasPrefix(lines[n], launch.EndMark) {
			lines = lines[:n+1] // the next ones are of a process that was started again
			break
		}
	}
	lines = lines[max(0, len(lines)-consoleLines):]
	for n := range lines {
		lines[n] = text.Line(lines[n], maxLine)
	}
	return strings.Join(lines, "\n")
}

// event is an event of the job.
func (h *Host) event(kind, text string) server.Event {
	return server.Event{Kind: kind, Text: text, UserID: h.UserID, JobID: h.JobID}
}

func (h *Host) dir(s server.Server) serverdir.Dir { return serverdir.Of(h.Settings.Root, s) }

// Prepare makes the server's directory.
func (h *Host) Prepare(ctx context.Context, s server.Server) error {
	made, err := h.dir(s).Make(!s.DirectoryAt.IsZero())
	if err != nil {
		return err
	}
	if made {
		h.Report.Infof("server '%s': directory servers/%d made", s.Name, s.ID)
	} else {
		h.Report.Infof("server '%s': directory servers/%d is there; nothing to do", s.Name, s.ID)
	}
	return h.Servers.DirectoryMade(ctx, s.ID)
}

// Stop ends the server's process, if it has one.
func (h *Host) Stop(ctx context.Context, s server.Server) error {
	was, err := h.stop(ctx, s)
	if err != nil {
		return err
	}
	event := server.Event{}
	if was {
		h.Report.Infof("server '%s' has stopped", s.Name)
		event = h.event("stopped", "")
	} else {
		h.Report.Infof("server '%s' was not running", s.Name)
	}
	// Before the files of the run are removed: that may fail, and the server has stopped all the same.
	if err := h.off(ctx, s, server.Stopped, "It was stopped.", "", event); err != nil {
		return err
	}
	return h.dir(s).RemoveRuns(0)
}

// off records that a server is off, with what its games have written.
func (h *Host) off(ctx context.Context, s server.Server, state server.State, how, lastLines string, e server.Event) error {
	written, err := h.dir(s).Written(ctx)
	if err != nil {
		return errors.Join(err, h.Servers.EndNow(ctx, s.ID, state, how, lastLines, e))
	}
	return h.DB.InTx(ctx, func(ctx context.Context, q db.Querier) error {
		return errors.Join(h.Servers.End(ctx, q, s.ID, state, how, lastLines, e), h.Servers.Counted(ctx, q, s.ID, written))
	})
}

// stop ends the server's process, and reports whether it had one.
func (h *Host) stop(ctx context.Context, s server.Server) (was bool, err error) {
	status, err := h.Supervisor.Status(ctx, s.ID)
	if err != nil {
		return false, fmt.Errorf("look whether server '%s' runs: %w", s.Name, err)
	}
	if status.Running {
		if err := h.Servers.SetState(ctx, s.ID, server.Stopping); err != nil {
			return false, err
		}
		h.Report.Infof("server '%s': asking the game to quit", s.Name)
	}
	// Also if it is not running, so that the supervisor does not start it again after a crash.
	if err := h.Supervisor.Stop(ctx, s.ID); err != nil {
		return status.Running, fmt.Errorf("stop server '%s': %w", s.Name, err)
	}
	return status.Running, nil
}

// Reset removes what the game of a server wrote. The error says so if it is running.
func (h *Host) Reset(ctx context.Context, s server.Server) error {
	status, err := h.Supervisor.Status(ctx, s.ID)
	if err != nil {
		return fmt.Errorf("look whether server '%s' runs: %w", s.Name, err)
	}
	if status.Running {
		return fmt.Errorf("server '%s' is running; stop it first: its files cannot be removed while the game uses them", s.Name)
	}
	if s.DirectoryAt.IsZero() {
		h.Report.Infof("server '%s' has no directory yet; nothing to do", s.Name)
		return nil
	}
	if err := h.dir(s).Reset(ctx, h.Report); err != nil {
		return err
	}
	h.Report.OnSuccess(func(ctx context.Context, q db.Querier) error {
		return errors.Join(h.Servers.Happened(ctx, q, s.ID, h.event("reset", "What the game wrote was removed.")), h.Servers.Counted(ctx, q, s.ID, server.Written{}))
	})
	return nil
}

// Remove ends the process of a deleted server and removes its directory.
func (h *Host) Remove(ctx context.Context, s server.Server) error {
	if _, err := h.stop(ctx, s); err != nil {
		return err
	}
	if err := h.dir(s).Remove(ctx, !s.DirectoryAt.IsZero(), h.Report); err != nil {
		return err
	}
	h.Report.OnSuccess(func(ctx context.Context, q db.Querier) error { return h.Servers.Removed(ctx, q, s.ID) })
	return nil
}
