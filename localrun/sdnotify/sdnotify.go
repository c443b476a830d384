// Package sdnotify tells systemd by the protocol of sd_notify(3) that a long-lived command of localrun is ready, alive or
// stopping. It also lets systemd keep the listening socket during a restart, so that new connections wait instead of being
// refused (file descriptor store, systemd.service(5)).
//
// Without systemd it does nothing. It restarts nothing: systemd restarts a command that does not report that it is alive.
package sdnotify

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// Check returns an error if a part of left4me is not alive. It must return when its context ends.
type Check func(ctx context.Context) error

// Run reports that the command is ready, and then regularly that it is alive while all checks pass (WatchdogSec=). When ctx
// ends, it reports that the command is stopping.
func Run(ctx context.Context, log *slog.Logger, checks ...Check) error {
	if _, err := daemon.SdNotify(false, daemon.SdNotifyReady); err != nil {
		return fmt.Errorf("tell systemd that all is ready: %w", err)
	}
	timeout, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		return fmt.Errorf("read systemd's watchdog timeout: %w", err)
	}
	watch(ctx, log, timeout, checks)
	if _, err := daemon.SdNotify(false, daemon.SdNotifyStopping); err != nil {
		log.Warn("cannot tell systemd that localrun is stopping", "error", err.Error())
	}
	return nil
}

// watch reports that the command is alive, often enough for systemd's watchdog timeout. A timeout of 0 disables it.
func watch(ctx context.Context, log *slog.Logger, timeout time.Duration, checks []Check) {
	if timeout == 0 {
		<-ctx.Done()
		return
	}
	interval := timeout / 3 // so that two reports may be lost
	ticks := time.NewTicker(interval)
	defer ticks.Stop()
	for {
		if err := runChecks(ctx, interval, checks); err == nil {
			_, err = daemon.SdNotify(false, daemon.SdNotifyWatchdog)
			if err != nil {
				log.Warn("cannot tell systemd that all is well", "error", err.Error())
			}
		} else if ctx.Err() == nil {
			log.Error("not well; systemd restarts what stays so", "error", err.Error(), "watchdog", timeout)
		}
		select {
		case <-ticks.C:
		case <-ctx.Done():
			return
		}
	}
}

func runChecks(ctx context.Context, timeout time.Duration, checks []Check) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var errs []error
	for _, check := range checks {
		errs = append(errs, check(ctx))
	}
	return errors.Join(errs...)
}
