package builder

import (
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"left4me/shared/db"
	"left4me/shared/durable"
	"left4me/shared/linkfarm"
	"left4me/shared/overlay"
	"left4me/shared/text"
	"left4me/shared/workshop"
)

// tally is what a build reports in its last line.
type tally struct {
	downloaded, cached, skipped int
	links                       linkfarm.Result
	errors                      int
}

func (t tally) line(o overlay.Overlay) string {
	return fmt.Sprintf("%s overlay '%s': downloaded=%d cached=%d skipped=%d created=%d removed=%d unchanged=%d errors=%d", o.Type.Name, o.Name,
		t.downloaded, t.cached, t.skipped, t.links.Created+t.links.Replaced, t.links.Removed, t.links.Unchanged, t.errors)
}

// LinkItems implements overlay.Builder: it downloads items that are missing or outdated and then makes the links right. If a
// download fails, the other items are still downloaded, but no link is changed: a partial overlay never counts as a good one.
func (h *Host) LinkItems(ctx context.Context, o overlay.Overlay) error {
	var t tally
	err := h.workshop(ctx, o, &t)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		t.errors = max(t.errors, 1)
		h.Report.Warnf("%s overlay '%s' failed: %s", o.Type.Name, o.Name, db.Reason(err))
	}
	h.Report.Infof("%s", t.line(o))
	return err
}

func (h *Host) workshop(ctx context.Context, o overlay.Overlay, t *tally) error {
	made, err := h.ensureDirectory(ctx, o)
	if err != nil {
		return err
	}
	if made {
		h.Report.Infof("directory overlays/%s made", o.Path())
	}
	items, err := h.Items.OfOverlay(ctx, o.ID)
	if err != nil {
		return err
	}

	var wanted, stale []workshop.Item
	disabled := 0
	for _, i := range items {
		if err := ctx.Err(); err != nil {
			return err
		}
		if i.Disabled {
			disabled++
			continue
		}
		if i.FileURL == "" {
			t.skipped++
			h.Report.Warnf("workshop item %s skipped: no file_url (steam result: %s)", i.SteamID, strings.TrimPrefix(i.LastError, "steam result "))
			kept, err := h.Cache.Has(i.SteamID)
			if err != nil {
				return err
			}
			if o.KeepsLost && (kept || i.Pinned != 0) {
				wanted = append(wanted, i)
			}
			continue
		}
		wanted = append(wanted, i)
		if i.StaysBehind() {
			t.cached++
			continue
		}
		fresh := false
		// An item that is not current goes through Fetch even when its file is fresh, because Fetch corrects its row.
		if i.Current() {
			if fresh, err = h.Cache.Fresh(file(i)); err != nil {
				return err
			}
		}
		if fresh {
			t.cached++
		} else {
			stale = append(stale, i)
		}
	}
	if disabled > 0 {
		h.Report.Infof("disabled items: %d", disabled)
	}
	var fetched Fetched
	if len(stale) > 0 {
		if err := h.Overlays.ClearBuildStatus(ctx, o.ID, h.HostID); err != nil {
			return err
		}
		if fetched, err = h.Fetch(ctx, stale, len(wanted)); err != nil {
			return err
		}
		t.downloaded += fetched.Downloaded
		t.cached += fetched.Cached
		t.errors = len(fetched.Failed)
	}
	if err := h.ReadContents(ctx, o.ID); err != nil {
		return err
	}
	if err := fetched.Err(); err != nil {
		return fmt.Errorf("%w; links are as they were", err)
	}
	if err := h.keepPinned(ctx, wanted); err != nil {
		t.errors++
		return err
	}
	return h.link(ctx, o, wanted, t)
}

// keepPinned keeps the versions that items are pinned to. The error names those that this host does not have.
func (h *Host) keepPinned(ctx context.Context, items []workshop.Item) error {
	var missing []string
	for _, i := range items {
		if i.Pinned == 0 {
			continue
		}
		kept, err := h.Cache.Keep(i.SteamID, i.Pinned)
		if err == nil && !kept {
			missing = append(missing, fmt.Sprintf("%s (version of %s)", i.SteamID, time.Unix(i.Pinned, 0).UTC().Format("2006-01-02 15:04:05")))
			err = h.Items.VersionGone(ctx, h.HostID, i.SteamID, i.Pinned)
		}
		if err != nil {
			return err
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("this host does not have the pinned version of %s; Steam offers only the newest, so unpin it, or copy the file from another host "+
			"to the same place in workshop_cache/versions; links are as they were", text.List(missing, 5, ", "))
	}
	return nil
}

// link changes the overlay's links to exactly those of the wanted items.
func (h *Host) link(ctx context.Context, o overlay.Overlay, wanted []workshop.Item, t *tally) error {
	root, err := os.OpenRoot(filepath.Join(h.OverlaysDir, o.Path()))
	if err != nil {
		return fmt.Errorf("open overlays/%s: %w", o.Path(), durable.Cause(err))
	}
	defer root.Close()
	seen, err := linkfarm.Observe(root)
	if err != nil {
		return err
	}
	links := make([]linkfarm.Link, len(wanted))
	for n, i := range wanted {
		links[n] = linkfarm.Link{Name: i.LinkFile(), Target: h.Cache.Path(i.SteamID)}
		if i.Pinned != 0 {
			links[n].Target = h.Cache.VersionPath(i.SteamID, i.Pinned)
		}
	}
	changes, err := linkfarm.Plan(links, seen, h.Cache.Dir())
	if err != nil {
		return err
	}
	if err := changes.Err(); err != nil {
		t.errors = len(changes.Conflicts)
		return err
	}
	if len(changes.Create)+len(changes.Replace)+len(changes.Remove) > 0 {
		if err := h.Overlays.ClearBuildStatus(ctx, o.ID, h.HostID); err != nil {
			return err
		}
	}
	unwanted, err := h.Items.Links(ctx, o.ID, h.HostID)
	if err != nil {
		return err
	}
	h.linked = map[int64]int64{}
	for _, i := range wanted {
		if pinned, linked := unwanted[i.ID]; !linked || pinned != i.Pinned {
			h.linked[i.ID] = i.Pinned
		} else {
			delete(unwanted, i.ID)
		}
	}
	if len(unwanted) > 0 {
		if err := h.Items.Unlink(ctx, o.ID, h.HostID, slices.Collect(maps.Keys(unwanted))); err != nil {
			return err
		}
	}
	if t.links, err = linkfarm.Apply(ctx, root, changes); err != nil {
		return err
	}
	if err := h.compare(ctx, o, filesOf(wanted, seen)); err != nil {
		return err
	}
	for _, c := range h.compared {
		if c.OverlayID == c.OtherID && c.Paths > 0 {
			h.Report.Infof("%d files are in several items with different content; the overlay's page lists them", c.Paths)
		}
	}
	return nil
}

// filesOf names the files of an overlay with links to items, and with what else was seen beside them.
func filesOf(items []workshop.Item, seen linkfarm.Observed) string {
	sum := sha256.New()
	for _, i := range items {
		updated, size := i.Updated, i.FileSize
		if i.FileURL == "" {
			updated, size = i.DownloadedUpdated, i.DownloadedSize
		}
		fmt.Fprintln(sum, i.LinkFile(), i.SteamID, updated, size, i.Pinned)
	}
	for _, name := range slices.Sorted(maps.Keys(seen.Others)) {
		fmt.Fprintf(sum, "%q\n", name)
	}
	return shortSum(sum)
}
