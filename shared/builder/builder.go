// Package builder builds overlays on the game host: it implements the builds of shared/overlay's types, and creates and removes
// the overlays' directories (product.md P1, P6, P18 to P27).
//
// Only this package changes directories below LEFT4ME_ROOT/overlays. Files in the cache belong to shared/vpkcache, links to
// shared/linkfarm. It does not ask Steam for metadata. Jobs and their logs belong to the caller, behind Report.
package builder

import (
	"context"
	"fmt"

	"left4me/shared/db"
	"left4me/shared/jobstore"
	"left4me/shared/overlay"
	"left4me/shared/workshop"
)

// Report receives the log lines and the progress of a job. Its methods may be called by several goroutines at once.
type Report interface {
	// Infof writes a line to the job's stdout, Warnf to its stderr.
	Infof(format string, args ...any)
	Warnf(format string, args ...any)
	// Progress replaces the progress. Its bytes are those of the files that have to be downloaded.
	Progress(jobstore.Progress)
}

// Host is an overlay.Builder for the disk of one game host.
type Host struct {
	// OverlaysDir is LEFT4ME_ROOT/overlays. It need not exist.
	OverlaysDir string
	Overlays    *overlay.Store
	// Fetcher downloads workshop items into the cache. Its Report is also that of the builds.
	Fetcher

	compared []workshop.Comparison // what the last build has found
	linked   map[int64]int64       // the items that the last build has linked and that were not linked before, as Store.Link takes them
}

var _ overlay.Builder = (*Host)(nil)

// Build runs the build of o's type. The error for an unknown type names it. All errors may be shown in the job's log.
func Build(ctx context.Context, h *Host, o overlay.Overlay) error {
	if o.Type.Build == nil {
		return fmt.Errorf("there is no builder for overlays of type %q", o.Type.Name)
	}
	return o.Type.Build(h, ctx, o)
}

// Record records, in the transaction that ends a successful Build of o by a job, what that build has done.
func (h *Host) Record(ctx context.Context, q db.Querier, o overlay.Overlay, jobID int64) error {
	if len(h.linked) > 0 {
		if err := h.Items.Link(ctx, q, o.ID, h.HostID, h.linked); err != nil {
			return err
		}
	}
	if len(h.compared) > 0 {
		if err := workshop.SaveConflicts(ctx, q, h.compared); err != nil {
			return err
		}
	}
	return h.Overlays.RecordBuild(ctx, q, o, h.HostID, jobID)
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
	return h.compare(ctx, o, "")
}
