package builder

import (
	"context"
	"fmt"

	"left4me/shared/overlay"
	"left4me/shared/owned"
)

// Directory returns the directory of an overlay in overlaysDir.
func Directory(overlaysDir string, o overlay.Overlay) owned.Directory {
	return owned.Directory{
		Parent: overlaysDir, ID: o.ID, Kind: "overlay", Name: o.Name,
		Marker: fmt.Sprintf("This directory belongs to left4me's overlay %d.\n%s\n", o.ID, o.UID),
		Retry:  "build again", Kept: "; the cache is as it was",
	}
}

// ensureDirectory creates the overlay's directory if it is missing, records that, and reports whether it was missing.
func (h *Host) ensureDirectory(ctx context.Context, o overlay.Overlay) (made bool, err error) {
	recordedAt, err := h.Overlays.DirectoryAt(ctx, o.ID, h.HostID)
	if err == nil {
		made, err = Directory(h.OverlaysDir, o).Ensure(!recordedAt.IsZero())
	}
	if err == nil && recordedAt.IsZero() {
		err = h.Overlays.DirectoryMade(ctx, o.ID, h.HostID)
	}
	return made, err
}
