// Package builder builds overlays on the game host: it creates, fills and removes their directories below
// LEFT4ME_ROOT/overlays, which no other package changes (product.md P1, P6, P18 to P27).
//
// It does not ask Steam for metadata. The files in the cache belong to shared/vpkcache, the links to shared/linkfarm, and jobs
// with their logs to the caller, who implements Report.
package builder

import (
	"context"
	"fmt"

	"left4me/shared/jobstore"
	"left4me/shared/overlay"
)

// Report receives what a build does, one line for each step. Its methods may be called by several goroutines at once.
type Report interface {
	// Infof writes a line to the job's stdout, Warnf to its stderr.
	Infof(format string, args ...any)
	Warnf(format string, args ...any)
	// Progress replaces the job's progress. Its bytes are those of the files to download.
	Progress(jobstore.Progress)
}

// Host builds overlays on this host.
type Host struct {
	// OverlaysDir is LEFT4ME_ROOT/overlays. It need not exist.
	OverlaysDir string
	Overlays    *overlay.Store
	// Fetcher downloads workshop items. All builders use its Report.
	Fetcher
}

// Builder builds one overlay. When its context ends it stops at any point; what it has done by then is consistent, and the next
// build completes it.
type Builder func(ctx context.Context, h *Host, o overlay.Overlay) error

// registry has the Builder of each overlay type.
var registry = map[overlay.Type]Builder{
	overlay.External: buildExternal,
	overlay.Workshop: buildWorkshop,
}

// Build builds o with the Builder of its type. Errors can be shown in the job's log.
func Build(ctx context.Context, h *Host, o overlay.Overlay) error {
	build, ok := registry[o.Type]
	if !ok {
		return fmt.Errorf("there is no builder for overlays of type %q", o.Type)
	}
	return build(ctx, h, o)
}

// buildExternal creates the directory if it is missing, and changes nothing in it.
func buildExternal(ctx context.Context, h *Host, o overlay.Overlay) error {
	made, err := h.ensureDirectory(ctx, o)
	if err != nil {
		return err
	}
	if made {
		h.Report.Infof("external overlay '%s': directory overlays/%s made; fill it by hand", o.Name, o.Path())
	} else {
		h.Report.Infof("external overlay '%s': directory overlays/%s is there; nothing to do", o.Name, o.Path())
	}
	return nil
}
