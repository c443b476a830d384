// Package garbage finds and removes unneeded files of the workshop cache: files of items that are in no overlay, older versions
// beyond those that are kept, and leftovers of broken downloads. A file is never garbage while a link in an overlay's directory leads to it, even one made by hand.
//
// shared/vpkcache removes the files; links are only read. No build may run at the same time, because a build checks a file and
// links to it a moment later. The locks of the job collect_garbage ensure that.
package garbage

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"left4me/shared/builder"
	"left4me/shared/jobstore"
	"left4me/shared/steam"
	"left4me/shared/text"
	"left4me/shared/vpkcache"
	"left4me/shared/workshop"
)

// Collector finds and removes the garbage of one host.
type Collector struct {
	// HostID is the id of the host.
	HostID string
	Cache  *vpkcache.Cache
	Items  *workshop.Store
	// OverlaysDir is LEFT4ME_ROOT/overlays. It need not exist.
	OverlaysDir string
	// Versions is how many versions of each item the host keeps.
	Versions int
}

// Found is the result of Find.
type Found struct {
	// Files can be removed.
	Files []vpkcache.Stored
	// Linked are files of items that are in no overlay, but that a link leads to. They must stay.
	Linked []Linked
}

// Linked is a file with a link that leads to it.
type Linked struct {
	vpkcache.Stored
	// Link is the link's path relative to LEFT4ME_ROOT: `overlays/3/left4dead2/addons/own.vpk`.
	Link string
}

// Bytes is the disk space that the files use.
func (f Found) Bytes() (n int64) {
	for _, file := range f.Files {
		n += file.Bytes()
	}
	return n
}

// Find finds the garbage and changes nothing. It fails when the links in a folder cannot be read, because then no file is known
// to be garbage; the error names the folder.
func (c Collector) Find(ctx context.Context) (Found, error) {
	var found Found
	stored, err := c.Cache.List()
	if err != nil {
		return found, fmt.Errorf("look at the cache: %w", err)
	}
	used, err := c.Items.UsedSteamIDs(ctx)
	if err != nil {
		return found, err
	}
	var unused []vpkcache.Stored
	for _, s := range stored {
		if s.Partial {
			found.Files = append(found.Files, s)
		} else if !used[s.SteamID] {
			unused = append(unused, s)
		}
	}
	versions, err := c.Cache.Versions()
	if err != nil {
		return found, fmt.Errorf("look at the versions in the cache: %w", err)
	}
	kept, err := c.Items.KeptVersions(ctx, c.HostID, c.Versions)
	if err != nil {
		return found, err
	}
	for _, s := range versions {
		if !slices.Contains(kept[s.SteamID], s.Version) {
			unused = append(unused, s)
		}
	}
	if len(unused) == 0 {
		return found, nil
	}
	links, err := findLinks(ctx, c.OverlaysDir, c.Cache.Dir())
	if err != nil {
		return Found{}, err
	}
	for _, s := range unused {
		if link, linked := links.to(s); linked {
			found.Linked = append(found.Linked, Linked{s, link})
		} else {
			found.Files = append(found.Files, s)
		}
	}
	return found, nil
}

// Reason returns why a file is garbage.
func Reason(s vpkcache.Stored) string {
	if s.Partial {
		return "left of a broken download"
	}
	if s.Version != 0 {
		return "an older version that no overlay is pinned to"
	}
	return "no overlay holds it"
}

// Collect removes the files that Find finds and reports each of them. A file that cannot be removed does not keep the others
// from being removed; the error names it. When ctx ends, the remaining files are left for the next run.
func (c Collector) Collect(ctx context.Context, report builder.Report) error {
	found, err := c.Find(ctx)
	if err != nil {
		return err
	}
	for _, l := range found.Linked {
		report.Infof("kept %s: %d bytes, no overlay holds it, but %s leads to it", l.Name(), l.Bytes(), l.Link)
	}
	p := jobstore.Progress{ItemsTotal: int64(len(found.Files)), BytesTotal: found.Bytes()}
	report.Progress(p)
	// Recorded before the files are removed, so that no item counts as downloaded without its file.
	var ids []steam.ID
	for _, f := range found.Files {
		if !f.Partial && f.Version == 0 {
			ids = append(ids, f.SteamID)
		}
	}
	if err := c.Items.NotDownloaded(ctx, c.HostID, ids); err != nil {
		return err
	}
	var removed, busy int
	var freed int64
	var failed []string
	var stopped error
	for _, f := range found.Files {
		if stopped = ctx.Err(); stopped != nil {
			break
		}
		p.Current = f.Name()
		report.Progress(p)
		if f.Version != 0 {
			if stopped = c.Items.VersionGone(ctx, c.HostID, f.SteamID, f.Version); stopped != nil {
				break
			}
		}
		switch err := c.Cache.Remove(f); {
		case errors.Is(err, vpkcache.ErrBusy):
			busy++
			report.Infof("left %s: %v", f.Name(), err)
		case err != nil:
			failed = append(failed, err.Error())
			report.Warnf("%v", err)
		default:
			removed++
			freed += f.Bytes()
			report.Infof("removed %s: %d bytes, %s", f.Name(), f.Bytes(), Reason(f))
		}
		p.ItemsDone++
		p.BytesDone += f.Bytes()
	}
	report.Progress(p)
	if err := c.Cache.SyncDir(); err != nil {
		failed = append(failed, err.Error())
	}
	report.Infof("garbage: removed=%d bytes=%d linked=%d busy=%d errors=%d", removed, freed, len(found.Linked), busy, len(failed))
	if stopped != nil {
		return stopped
	}
	if len(failed) > 0 {
		return fmt.Errorf("%d of %d files could not be removed: %s", len(failed), len(found.Files), text.List(failed, 5, "; "))
	}
	return nil
}
