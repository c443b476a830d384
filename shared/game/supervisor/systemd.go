package supervisor

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/coreos/go-systemd/v22/dbus"
	"golang.org/x/sys/unix"
)

// systemd are the units left4me-server@{id}.service. A polkit rule lets the agent's user start and stop them.
type systemd struct{ consoles }

func unit(serverID int64) string { return fmt.Sprintf("left4me-server@%d.service", serverID) }

func unitInstalled() bool {
	for _, dir := range []string{"/etc/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"} {
		if _, err := os.Stat(filepath.Join(dir, "left4me-server@.service")); err == nil {
			return true
		}
	}
	return false
}

// with connects to systemd and calls do.
func with(ctx context.Context, do func(*dbus.Conn) error) error {
	conn, err := dbus.NewSystemConnectionContext(ctx)
	if err != nil {
		return fmt.Errorf("reach systemd: %w", err)
	}
	defer conn.Close()
	return do(conn)
}

// Start implements Supervisor.
func (s systemd) Start(ctx context.Context, serverID int64) error {
	if err := s.begin(serverID); err != nil {
		return err
	}
	return with(ctx, func(conn *dbus.Conn) error {
		// Earlier crashes do not count against a start that somebody has asked for. The error says that the unit has not failed.
		_ = conn.ResetFailedUnitContext(ctx, unit(serverID))
		return finish(ctx, "start", serverID, conn.StartUnitContext)
	})
}

// Stop implements Supervisor.
func (systemd) Stop(ctx context.Context, serverID int64) error {
	return with(ctx, func(conn *dbus.Conn) error { return finish(ctx, "stop", serverID, conn.StopUnitContext) })
}

// finish asks for a change of a unit and waits until systemd has made it.
func finish(ctx context.Context, verb string, serverID int64, ask func(ctx context.Context, name, mode string, done chan<- string) (int, error)) error {
	done := make(chan string, 1)
	if _, err := ask(ctx, unit(serverID), "replace", done); err != nil {
		return fmt.Errorf("%s %s: %w", verb, unit(serverID), err)
	}
	select {
	case result := <-done:
		if result != "done" {
			return fmt.Errorf("%s %s: the result is %q; `journalctl -u %[2]s` says more", verb, unit(serverID), result)
		}
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Status implements Supervisor.
func (systemd) Status(ctx context.Context, serverID int64) (s Status, err error) {
	err = with(ctx, func(conn *dbus.Conn) error {
		all, err := conn.GetAllPropertiesContext(ctx, unit(serverID))
		if err != nil {
			return fmt.Errorf("look at %s: %w", unit(serverID), err)
		}
		switch all["ActiveState"] {
		case "active", "activating", "deactivating", "reloading":
			s.Running = true
		}
		if micros, _ := all["ExecMainStartTimestamp"].(uint64); micros > 0 {
			s.Since = time.UnixMicro(int64(micros))
		}
		code, _ := all["ExecMainCode"].(int32)
		number, _ := all["ExecMainStatus"].(int32)
		s.Exit = ended(code, number)
		return nil
	})
	return s, err
}

// ended says how a process ended, by the code and status that systemd has of it (waitid(2)); empty if it has not, or with success.
func ended(code, status int32) string {
	const exited, killed, dumped = 1, 2, 3
	switch {
	case code == exited && status != 0:
		return fmt.Sprintf("exit code %d", status)
	case code == killed || code == dumped:
		return "ended by signal " + unix.SignalName(unix.Signal(status))
	}
	return ""
}
