// Package builder makes overlays on the game host what the database says: a registry of builders by overlay type, and the
// directories themselves (product.md P1, P6, P18 to P27).
//
// It asks Steam for no metadata, and it is the only owner of the directories below LEFT4ME_ROOT/overlays; the files in the
// cache are shared/vpkcache's, the links shared/linkfarm's. Jobs and their logs are the caller's, behind Report.
package builder

import (
	"context"
	"fmt"

	"left4me/shared/jobstore"
	"left4me/shared/overlay"
)

// Report is where a build says what it does, one line a step. Its methods may be called by several goroutines at once.
type Report interface {
	// Infof writes a line to the job's stdout, Warnf to its stderr.
	Infof(format string, args ...any)
	Warnf(format string, args ...any)
	// Progress replaces what is known of how far the build is; its bytes are those of the files that have to be fetched.
	Progress(jobstore.Progress)
}

// Host is what builders work with.
type Host struct {
	// OverlaysDir is LEFT4ME_ROOT/overlays. It need not exist.
	OverlaysDir string
	Overlays    *overlay.Store
	// Fetcher brings workshop items into the cache, and has the Report for all that a builder does.
	Fetcher
}

// Builder makes one overlay right. It can be stopped by its context at any point: what it has done by then is consistent,
// and the next build completes it.
type Builder func(ctx context.Context, h *Host, o overlay.Overlay) error

// registry is where another type of overlay joins.
var registry = map[overlay.Type]Builder{
	overlay.External: buildExternal,
	overlay.Workshop: buildWorkshop,
}

// Build makes o right by the builder of its type. The error of a type without a builder names it; other errors are fit to
// be shown in the job's log.
func Build(ctx context.Context, h *Host, o overlay.Overlay) error {
	build, ok := registry[o.Type]
	if !ok {
		return fmt.Errorf("there is no builder for overlays of type %q", o.Type)
	}
	return build(ctx, h, o)
}

// buildExternal makes the directory if it is missing and touches nothing.
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
