// Package supervisor starts and stops the processes of game servers through what keeps them on this host (servers.md P59): systemd, or
// where it does not, processes of localrun's. Neither needs the agent or a job to stay alive.
//
// How a process begins belongs to shared/game/launch.
package supervisor

import (
	"context"
	"os"
	"time"

	"left4me/shared/settings"
)

// Status says whether the process of a server runs.
type Status struct {
	Running bool
	// Since is when it was last started.
	Since time.Time
	// Exit says how the last process ended, such as `exit code 1`; empty if that is not known, or if it ended as it should.
	Exit string
}

// Supervisor keeps the processes of this host's servers. A game that ends by itself is started again, at most 5 times a minute.
type Supervisor interface {
	// Start starts the run that the server's directory names, unless a process of the server runs already.
	Start(ctx context.Context, serverID int64) error
	// Stop asks the game to end, waits, and after launch.StopTime kills it. It returns when no process is left.
	Stop(ctx context.Context, serverID int64) error
	Status(ctx context.Context, serverID int64) (Status, error)
	// Console returns the last lines that the game has written since Start, at most so many. The last of them is unfinished if no line break
	// follows it yet. If the game was started again meanwhile, what it wrote before that ends with a line that begins with launch.EndMark.
	Console(ctx context.Context, serverID int64, lines int) (all []string, unfinished bool, err error)
	// ShortenConsole removes all but the end of a console that has become large. Lines that the game writes at the same moment may get lost.
	ShortenConsole(serverID int64) error
}

// New returns the supervisor that s.ServerSupervisor names; if it names none, systemd if its unit is installed and systemd runs, else the other.
func New(s settings.Settings) Supervisor {
	switch s.ServerSupervisor {
	case settings.Systemd:
		return systemd{consoles{s.Root}}
	case settings.NoSupervisor:
		return kept{consoles{s.Root}, localrun()}
	}
	_, noSystemd := os.Stat("/run/systemd/system")
	if noSystemd == nil && unitInstalled() {
		return systemd{consoles{s.Root}}
	}
	return kept{consoles{s.Root}, localrun()}
}

// End is for a localrun that ends and has nobody left to show or stop the servers: it stops them, except those that systemd keeps.
func End(ctx context.Context, s settings.Settings) error {
	if k, ok := New(s).(kept); ok {
		return k.stopAll(ctx)
	}
	return nil
}
