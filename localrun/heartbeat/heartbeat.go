// Package heartbeat reports to the database, while the host agent runs, that it runs and how much disk space left4me's files
// use (shared/host). It changes no files.
package heartbeat

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"left4me/shared/game/supervisor"
	"left4me/shared/garbage"
	"left4me/shared/host"
	"left4me/shared/settings"
	"left4me/shared/vpkcache"
	"left4me/shared/workshop"
)

const (
	// measureEvery is how often the files are counted without a job in between, because people fill external overlays.
	measureEvery = time.Hour
	// After a count, the next one waits for measureRest times its duration, so that counting takes at most a fiftieth of the
	// time, and at least for shortestRest.
	measureRest  = 50
	shortestRest = 5 * time.Second
)

// Heartbeat reports one host. Create it with New.
type Heartbeat struct {
	host   host.Host // the current report
	last   atomic.Pointer[host.Host]
	worked chan struct{}

	disk    func() (total, free int64, err error)
	measure func(context.Context) (host.Usage, error)
	report  func(context.Context, host.Host) error
	servers func(context.Context) string // why this host cannot run game servers; empty: it can
	log     *slog.Logger
}

// New returns the heartbeat of a registered host, this one.
func New(this host.Host, s settings.Settings, hosts *host.Store, items *workshop.Store, log *slog.Logger) *Heartbeat {
	cache := vpkcache.New(s.CacheDir(), nil, vpkcache.Options{})
	unneeded := garbage.Collector{HostID: this.ID, Versions: s.Versions, Cache: cache, Items: items, OverlaysDir: s.OverlaysDir()}
	return &Heartbeat{
		host:   this,
		worked: make(chan struct{}, 1),
		disk:   func() (int64, int64, error) { return DiskSpace(s.Root) },
		measure: func(ctx context.Context) (host.Usage, error) {
			u, err := usage(ctx, cache, s.OverlaysDir())
			if err != nil {
				return u, err
			}
			found, err := unneeded.Find(ctx)
			if err != nil && ctx.Err() == nil {
				log.Warn("cannot tell what could be removed from the cache", "error", err.Error())
			}
			u.GarbageFiles, u.GarbageBytes, u.GarbageKnown = int64(len(found.Files)), found.Bytes(), err == nil
			return u, ctx.Err()
		},
		report: hosts.Report,
		servers: func(ctx context.Context) string {
			_, p := supervisor.Check(ctx, s)
			return p.String()
		},
		log: log,
	}
}

// Worked tells Run that a job has ended and may have changed files. It does not block.
func (h *Heartbeat) Worked() {
	select {
	case h.worked <- struct{}{}:
	default:
	}
}

// Last returns the last report, even if it could not be written, and false if there was none. SeenAt is not set.
func (h *Heartbeat) Last() (host.Host, bool) {
	if last := h.last.Load(); last != nil {
		return *last, true
	}
	return host.Host{}, false
}

// Run reports until ctx ends: regularly, and soon after a job has ended. The error is host.ErrReplaced: the agent has to end.
func (h *Heartbeat) Run(ctx context.Context) error {
	due := time.Now() // time of the next count
	var rested time.Time
	checked := false
	for {
		if !checked || h.host.ServersProblem != "" { // a problem may be solved meanwhile
			before := h.host.ServersProblem
			if h.host.ServersProblem = h.servers(ctx); h.host.ServersProblem != before && h.host.ServersProblem != "" {
				h.log.Warn("this host cannot run game servers", "problem", h.host.ServersProblem)
			}
			checked = true
		}
		if start := time.Now(); !start.Before(due) {
			counted, err := h.measure(ctx)
			rested = time.Now().Add(max(shortestRest, time.Since(start)*measureRest))
			due = latest(rested, start.Add(measureEvery))
			if err == nil {
				h.host.Usage, h.host.MeasuredAt = counted, start
			} else if ctx.Err() == nil {
				h.log.Warn("cannot count left4me's files", "error", err.Error())
			}
		}
		var err error
		if h.host.DiskTotal, h.host.DiskFree, err = h.disk(); err != nil {
			h.log.Warn("cannot look at the disk", "error", err.Error())
		}
		last := h.host
		h.last.Store(&last)
		err = h.report(ctx, h.host)
		if errors.Is(err, host.ErrReplaced) {
			return err
		}
		if err != nil && ctx.Err() == nil {
			h.log.Warn("cannot report this host", "error", err.Error())
		}
		for next := time.Now().Add(host.Every); time.Now().Before(next) && time.Now().Before(due); {
			select {
			case <-h.worked:
				due = latest(rested, time.Now())
			case <-time.After(min(time.Until(next), time.Until(due))):
			case <-ctx.Done():
				return nil
			}
		}
	}
}

func latest(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

// DiskSpace returns the size of path's disk and the space that this user can still use, in bytes.
func DiskSpace(path string) (total, free int64, err error) {
	var disk unix.Statfs_t
	if err := unix.Statfs(path, &disk); err != nil {
		return 0, 0, fmt.Errorf("disk space of %s: %w", path, err)
	}
	return int64(disk.Blocks) * int64(disk.Bsize), int64(disk.Bavail) * int64(disk.Bsize), nil
}

// usage counts left4me's files.
func usage(ctx context.Context, cache *vpkcache.Cache, overlaysDir string) (u host.Usage, err error) {
	files, size, err := cache.Usage()
	if err != nil {
		return u, fmt.Errorf("count cached files: %w", err)
	}
	u.CacheFiles, u.CacheBytes = int64(files), size
	if u.Overlays, u.OverlayBytes, err = overlayUsage(ctx, overlaysDir); err != nil {
		return u, fmt.Errorf("count files of overlays: %w", err)
	}
	return u, nil
}

// overlayUsage returns the number of overlay directories in dir, and the total size of the regular files below them. It does
// not follow links, and leaves out files that this user cannot read or that disappear meanwhile.
func overlayUsage(ctx context.Context, dir string) (overlays, size int64, err error) {
	err = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission):
			return nil
		case err != nil:
			return err
		case e.IsDir():
			if _, err := strconv.ParseUint(e.Name(), 10, 63); err == nil && filepath.Dir(path) == dir {
				overlays++
			}
		case e.Type().IsRegular():
			if info, err := e.Info(); err == nil {
				size += info.Size()
			}
		}
		return nil
	})
	return overlays, size, err
}
