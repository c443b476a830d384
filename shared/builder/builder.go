// Package builder makes overlays on the game host what the database says: what the builds of shared/overlay's types do, and the
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

// Host is an overlay.Builder for the disk of one game host.
type Host struct {
	// OverlaysDir is LEFT4ME_ROOT/overlays. It need not exist.
	OverlaysDir string
	Overlays    *overlay.Store
	// Fetcher brings workshop items into the cache, and has the Report for all that a builder does.
	Fetcher
}

var _ overlay.Builder = (*Host)(nil)

// Build makes o's directory what the database says, in the way of o's type. The error for an unknown type names it; all errors
// are fit to be shown in the job's log.
func Build(ctx context.Context, h *Host, o overlay.Overlay) error {
	if o.Type.Build == nil {
		return fmt.Errorf("there is no builder for overlays of type %q", o.Type.Name)
	}
	return o.Type.Build(h, ctx, o)
}

// MakeDirectory implements overlay.Builder.
func (h *Host) MakeDirectory(ctx context.Context, o overlay.Overlay) error {
	made, err := h.ensureDirectory(ctx, o)
	if err != nil {
		return err
	}
	if made {
		h.Report.Infof("%s overlay '%s': directory overlays/%s made; fill it by hand", o.Type.Name, o.Name, o.Path())
	} else {
		h.Report.Infof("%s overlay '%s': directory overlays/%s is there; nothing to do", o.Type.Name, o.Name, o.Path())
	}
	return nil
}
