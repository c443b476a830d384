// Package supervisor tells systemd how a long-lived command of localrun is doing, by the protocol of sd_notify(3): that it
// is ready, that it is alive, that it is stopping. It also leaves systemd its listening socket over a restart, so that what
// comes meanwhile waits instead of being refused (file descriptor store, systemd.service(5)).
//
// Without systemd it does nothing. It restarts nothing itself: what is not alive is silent, and systemd acts on that.
package sdnotify

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// Check says whether a part of left4me is alive; the error says what is wrong. It must not take longer than its context.
type Check func(ctx context.Context) error

// Run reports that the command is ready, and as long as all checks pass that it is alive, as often as systemd wants to know
// (WatchdogSec=). When ctx ends, it reports that the command is stopping.
func Run(ctx context.Context, log *slog.Logger, checks ...Check) error {
	if _, err := daemon.SdNotify(false, daemon.SdNotifyReady); err != nil {
		return fmt.Errorf("tell systemd that all is ready: %w", err)
	}
	within, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		return fmt.Errorf("read how often systemd wants to hear of us: %w", err)
	}
	watch(ctx, log, within, checks)
	if _, err := daemon.SdNotify(false, daemon.SdNotifyStopping); err != nil {
		log.Warn("cannot tell systemd that this is the end", "error", err.Error())
	}
	return nil
}

func watch(ctx context.Context, log *slog.Logger, within time.Duration, checks []Check) {
	if within == 0 {
		<-ctx.Done()
		return
	}
	every := within / 3 // two reports may be late before systemd loses patience
	ticks := time.NewTicker(every)
	defer ticks.Stop()
	for {
		if err := all(ctx, every, checks); err == nil {
			_, err = daemon.SdNotify(false, daemon.SdNotifyWatchdog)
			if err != nil {
				log.Warn("cannot tell systemd that all is well", "error", err.Error())
			}
		} else if ctx.Err() == nil {
			log.Error("not well; systemd restarts what stays so", "error", err.Error(), "watchdog", within)
		}
		select {
		case <-ticks.C:
		case <-ctx.Done():
			return
		}
	}
}

func all(ctx context.Context, within time.Duration, checks []Check) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	var errs []error
	for _, check := range checks {
		errs = append(errs, check(ctx))
	}
	return errors.Join(errs...)
}
