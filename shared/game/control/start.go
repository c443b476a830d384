package control

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"left4me/shared/account"
	"left4me/shared/db"
	"left4me/shared/game/a2s"
	"left4me/shared/game/launch"
	"left4me/shared/game/serverdir"
	"left4me/shared/jobstore"
	"left4me/shared/overlay"
	"left4me/shared/server"
)

// answerTime is how long a game may take until it answers. Tests change it.
var answerTime = 5 * time.Minute

// stoppedToRestart is how a run has ended that another one replaces.
const stoppedToRestart = "It was stopped to be started again."

const (
	// askEvery is how often it is asked, and askTime how long an answer may take.
	askEvery = 250 * time.Millisecond
	askTime  = time.Second
)

// StartAs starts a run of a server as the job's argument asks. If the blueprint has overlays by now that the job has not locked, another job
// does it.
func (h *Host) StartAs(ctx context.Context, s server.Server, asked server.StartArgument) error {
	for _, id := range s.Overlays {
		if !slices.Contains(asked.Overlays, id) {
			if asked.Update {
				h.Report.Infof("server '%s': its blueprint has other overlays now; it is restarted later", s.Name)
				return h.later(s)
			}
			request := h.Servers.Start
			if asked.Restart {
				request = h.Servers.Restart
			}
			again, err := request(ctx, account.User{ID: h.UserID}, s)
			if err != nil {
				return err
			}
			h.Report.Infof("server '%s': its blueprint has other overlays now; job %d starts it", s.Name, again.ID)
			return nil
		}
	}
	return h.Start(ctx, s, asked)
}

// Start starts a run of a server and waits until the game answers. A server that runs is left alone, or, if a restart is asked, is stopped
// as soon as the next run is ready: if that fails, it runs on. A restart for an update waits for another time if it would disturb people.
func (h *Host) Start(ctx context.Context, s server.Server, asked server.StartArgument) error {
	status, err := h.Supervisor.Status(ctx, s.ID)
	if err != nil {
		return fmt.Errorf("look whether server '%s' runs: %w", s.Name, err)
	}
	before, err := h.Servers.LastRun(ctx, s.ID)
	if err != nil {
		return err
	}
	alive := status.Running && before.ID != 0 && before.EndedAt.IsZero()
	switch {
	case alive && before.JobID == h.JobID:
		h.Report.Infof("server '%s': the game has been started already", s.Name)
		return h.wait(ctx, s, before)
	case !alive && asked.Update && s.IsOff():
		h.Report.Infof("server '%s' is not running any more; nothing to do", s.Name)
		return nil
	case alive && !asked.Restart:
		h.Report.Infof("server '%s' is running already; nothing to do", s.Name)
		return nil
	case !alive:
		if err := h.Servers.SetState(ctx, s.ID, server.Starting); err != nil {
			return err
		}
		before.ID = 0
	}
	next, err := h.ready(ctx, s, status.Running)
	if err != nil && alive {
		h.Report.Warnf("server '%s' is not restarted, and runs on as it was", s.Name)
		return errors.Join(err, h.removeRuns(s, true))
	}
	if err == nil && alive && asked.Update {
		info, err := h.ask(ctx, before.Port)
		if err != nil {
			h.Report.Infof("server '%s' does not answer, so that nobody knows who plays; it is restarted later", s.Name)
			return h.later(s)
		}
		now, err := h.Servers.Get(ctx, s.ID)
		if err != nil {
			return err
		}
		humans := info.Players
		if l := now.Live; l.RunID == before.ID && l.Answering && l.Connected == info.Players && l.Bots == info.Bots {
			humans = l.Humans // the check also knows who is a bot
		}
		if asked.Disturbs(humans, h.Now()) {
			h.Report.Infof("server '%s' is not empty any more (players: %d); it is restarted later", s.Name, humans)
			return h.later(s)
		}
	}
	if err == nil {
		_, err = h.stop(ctx, s)
	}
	if err == nil {
		how := stoppedToRestart
		if !alive && s.State != server.Stopping { // by an earlier run of the job
			how = "It was not running any more when it was started again."
		}
		err = h.Servers.EndNow(ctx, s.ID, server.Starting, how, "", server.Event{})
	}
	if err == nil {
		err = CheckPort(s.Port)
	}
	if err == nil {
		err = h.dir(s).Use(next.ID)
	}
	if err != nil {
		return h.notStarted(ctx, s, err)
	}
	if err := h.Servers.Begin(ctx, s.ID, next.ID); err != nil {
		return err
	}
	if err := h.Supervisor.Start(ctx, s.ID); err != nil {
		return h.failed(ctx, s, fmt.Errorf("start server '%s': %w", s.Name, err))
	}
	return h.wait(ctx, s, next)
}

// later has the end of the job record that the restart for an update may be tried again.
func (h *Host) later(s server.Server) error {
	h.Report.OnSuccess(func(ctx context.Context, q db.Querier) error { return h.Servers.Retry(ctx, q, s.ID) })
	return nil
}

// ask asks the game on a port once what it is doing.
func (h *Host) ask(ctx context.Context, port int) (a2s.Answer, error) {
	ctx, stop := context.WithTimeout(ctx, askTime)
	defer stop()
	return a2s.Info(ctx, netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(port)))
}

// ready makes everything ready that the next run of a server needs, in a directory of its own. What a process uses that is running stays.
func (h *Host) ready(ctx context.Context, s server.Server, running bool) (server.Run, error) {
	fail := func(err error) (server.Run, error) { return server.Run{}, err }
	release, found, err := h.Releases.Newest(ctx, h.DB, s.HostID)
	if err != nil {
		return fail(err)
	}
	if !found {
		return fail(errors.New("the game is not installed on this host yet. An administrator installs it under Admin, Hosts, or with `localrun install`"))
	}
	b, err := h.Blueprints.Get(ctx, s.BlueprintID)
	if err != nil {
		return fail(err)
	}
	if err := b.Settings.Check(); err != nil {
		return fail(fmt.Errorf("blueprint '%s': %w", b.Name, err))
	}
	kept := b.Settings
	kept.Hostname = cmp.Or(kept.Hostname, s.Name)
	settings, err := json.Marshal(kept)
	if err != nil {
		return fail(err)
	}
	layers, err := h.Overlays.OnHost(ctx, s.Overlays, s.HostID)
	if err != nil {
		return fail(err)
	}
	if err := h.Prepare(ctx, s); err != nil {
		return fail(err)
	}
	run := server.Run{JobID: h.JobID, Port: s.Port, Build: release.BuildID, Blueprint: b.Name, Settings: string(settings)}
	if run.ID, err = h.Servers.Prepare(ctx, s.ID, run, h.UserID); err != nil {
		return fail(err)
	}
	dir := h.dir(s)
	if err := h.removeRuns(s, running); err != nil {
		return fail(err)
	}
	stack, paths, err := h.freeze(ctx, dir, run.ID, layers)
	if err != nil {
		return fail(err)
	}
	if err := h.Servers.Freeze(ctx, run.ID, stack); err != nil {
		return fail(err)
	}
	return run, dir.Write(launch.Plan{
		ServerID: s.ID, RunID: run.ID, Release: release.BuildID, Layers: paths, Port: s.Port, Args: b.Settings.LaunchArguments(s.Port),
	}, b.Settings.ServerConfig(s.Name))
}

// removeRuns removes what was made ready for runs of a server, except for the one whose process is running.
func (h *Host) removeRuns(s server.Server, running bool) error {
	dir, used := h.dir(s), int64(0)
	if running {
		// Rows may name another run: those that a backup has brought back.
		var err error
		if used, err = dir.Current(); err != nil {
			return err
		}
	}
	return dir.RemoveRuns(used)
}

// freeze makes the layers of a run. It returns its stack and the paths of the layers below LEFT4ME_ROOT, from the top.
func (h *Host) freeze(ctx context.Context, dir serverdir.Dir, run int64, layers []overlay.OnHost) (stack []server.RunOverlay, paths []string, err error) {
	items, copied := 0, 0
	for n, o := range layers {
		h.Report.Progress(jobstore.Progress{ItemsDone: int64(n), ItemsTotal: int64(len(layers)), Current: o.Name})
		switch {
		case o.MadeAt.IsZero() || !o.Built:
			return nil, nil, fmt.Errorf("overlay '%s' has not been built on this host yet; build it, or take it out of the blueprint", o.Name)
		case o.Status == "failed":
			h.Report.Warnf("the last build of overlay '%s' failed; the server gets what its last successful build has linked", o.Name)
		case o.Status == "":
			h.Report.Warnf("overlay '%s' has changed since its last build; the server gets what that build has linked", o.Name)
		}
		if !o.Type.HoldsItems {
			stack = append(stack, server.RunOverlay{ID: o.ID, Name: o.Name, Mounted: true})
			paths = append(paths, filepath.Join("overlays", o.Path()))
			continue
		}
		frozen, err := dir.Freeze(ctx, run, h.Settings.OverlaysDir(), h.Settings.CacheDir(), o.ID)
		if err != nil {
			return nil, nil, fmt.Errorf("overlay '%s': %w", o.Name, err)
		}
		if frozen.Others > 0 {
			h.Report.Warnf("overlay '%s': %d files that left4me did not put there are left out", o.Name, frozen.Others)
		}
		items, copied = items+len(frozen.Items), copied+frozen.Copied
		stack = append(stack, server.RunOverlay{ID: o.ID, Name: o.Name, Items: frozen.Items})
		paths = append(paths, dir.Layer(run, o.ID))
	}
	h.Report.Infof("server '%s': %d overlays with %d items are frozen; %d files had to be copied", dir.Name, len(layers), items, copied)
	return stack, paths, nil
}

// notStarted records that a start failed before it came to a process.
func (h *Host) notStarted(ctx context.Context, s server.Server, why error) error {
	reason := db.Reason(why)
	if cause := context.Cause(ctx); errors.Is(cause, jobstore.ErrCancelled) {
		reason = "cancelled"
	} else if cause != nil {
		return why // it goes on in another run of the job
	}
	ctx = context.WithoutCancel(ctx)
	status, err := h.Supervisor.Status(ctx, s.ID)
	if err == nil {
		err = h.removeRuns(s, status.Running)
	}
	return errors.Join(why, err, h.off(ctx, s, server.Stopped, "", "", h.event("not started", reason)))
}

// wait waits until the game of a run that has begun answers. It ends a game that does not.
func (h *Host) wait(ctx context.Context, s server.Server, run server.Run) error {
	h.Report.Progress(jobstore.Progress{Current: fmt.Sprintf("waiting until the game answers on port %d", run.Port)})
	h.Report.Infof("server '%s': waiting until the game answers on port %d", s.Name, run.Port)
	begun := time.Now()
	var first time.Time
	for {
		status, err := h.Supervisor.Status(ctx, s.ID)
		if first.IsZero() {
			first = status.Since
		}
		switch {
		case ctx.Err() != nil:
			return h.interrupted(ctx, s)
		case err != nil:
			return h.failed(ctx, s, fmt.Errorf("look whether server '%s' runs: %w", s.Name, err))
		case !status.Running || status.Exit != "" || !status.Since.Equal(first): // the supervisor starts it again
			return h.failed(ctx, s, fmt.Errorf("the game of server '%s' ended before it answered: %s", s.Name, cmp.Or(status.Exit, "it was asked to")))
		case time.Since(begun) > answerTime:
			return h.failed(ctx, s, fmt.Errorf("the game of server '%s' did not answer on port %d within %v, and was stopped", s.Name, run.Port, answerTime))
		}
		info, err := h.ask(ctx, run.Port)
		if err == nil {
			h.Report.Infof("server '%s' answers after %v: %q with map %s", s.Name, time.Since(begun).Round(100*time.Millisecond), info.Name, info.Map)
			return h.answered(ctx, s, run)
		}
		select {
		case <-time.After(askEvery):
		case <-ctx.Done():
		}
	}
}

// answered has the end of the job record that the server is running.
func (h *Host) answered(ctx context.Context, s server.Server, run server.Run) error {
	event := h.event("started", "")
	runs, err := h.Servers.Runs(ctx, s.ID, 2)
	if err != nil {
		return err
	}
	if len(runs) == 2 && runs[1].EndedHow == stoppedToRestart {
		changes, err := h.Servers.Changes(ctx, runs[1], runs[0])
		if err != nil {
			return err
		}
		event = h.event("restarted", changes.Named())
		if event.Text != "" {
			h.Report.Infof("server '%s': %s", s.Name, event.Text)
		}
	}
	h.Report.OnSuccess(func(ctx context.Context, q db.Querier) error { return h.Servers.Answered(ctx, q, s.ID, event) })
	return h.dir(s).RemoveRuns(run.ID)
}

// interrupted is what the end of ctx does to a game that has not answered yet: if the job was cancelled, another one stops it.
func (h *Host) interrupted(ctx context.Context, s server.Server) error {
	if errors.Is(context.Cause(ctx), jobstore.ErrCancelled) {
		stop, err := h.Servers.Stop(context.WithoutCancel(ctx), account.User{}, s)
		if err != nil {
			return errors.Join(ctx.Err(), err)
		}
		h.Report.Infof("server '%s': job %d stops it", s.Name, stop.ID)
	}
	return ctx.Err()
}

// failed ends the game of a run that has begun, records why, and returns why after the last lines of its console.
func (h *Host) failed(ctx context.Context, s server.Server, why error) error {
	lines := LastLines(ctx, h.Supervisor, s.ID)
	for line := range strings.Lines(lines) {
		h.Report.Warnf("console: %s", strings.TrimSuffix(line, "\n"))
	}
	err := h.Supervisor.Stop(ctx, s.ID)
	if ctx.Err() != nil {
		return h.interrupted(ctx, s)
	}
	reason := db.Reason(why)
	return errors.Join(why, err, h.off(ctx, s, server.Crashed, reason, lines, h.event("not started", reason)))
}

// CheckPort returns an error if another program uses the port.
func CheckPort(port int) error {
	address := fmt.Sprintf("0.0.0.0:%d", port)
	udp, err := net.ListenPacket("udp4", address)
	if err == nil {
		err = udp.Close()
	}
	var tcp net.Listener
	if err == nil {
		tcp, err = net.Listen("tcp4", address)
	}
	if err == nil {
		err = tcp.Close()
	}
	if errors.Is(err, unix.EADDRINUSE) {
		return fmt.Errorf("port %d is used by another program on this host; end that program, or give the server another port", port)
	}
	return err
}
