// Package garbage decides which files of the workshop cache nobody needs, and removes them: those of items that no overlay
// holds, and what broken downloads have left. Never one that a link below the overlays' directories leads to, whoever has
// made it.
//
// Files are shared/vpkcache's to remove; links are only looked at. Nobody may build meanwhile, for a build looks at a file and
// links to it a moment later: the locks of the job collect_garbage see to that.
package garbage

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"left4me/shared/builder"
	"left4me/shared/jobstore"
	"left4me/shared/vpkcache"
	"left4me/shared/workshop"
)

// Collector looks for garbage on one host.
type Collector struct {
	Cache *vpkcache.Cache
	Items *workshop.Store
	// OverlaysDir is LEFT4ME_ROOT/overlays. It need not exist.
	OverlaysDir string
}

// Found is what a look at the cache has found.
type Found struct {
	// Files are those that can go.
	Files []vpkcache.Stored
	// Linked are those that no overlay holds, and that stay for a link's sake.
	Linked []Linked
}

// Linked is a file that a link leads to.
type Linked struct {
	vpkcache.Stored
	// Link is the way to the link from LEFT4ME_ROOT: `overlays/3/left4dead2/addons/own.vpk`.
	Link string
}

// Bytes is what removing the files would give back.
func (f Found) Bytes() (n int64) {
	for _, file := range f.Files {
		n += file.Bytes()
	}
	return n
}

// Find looks, and changes nothing. The error of a folder whose links cannot be read names it: without knowing them nothing
// can be called garbage.
func (c Collector) Find(ctx context.Context) (Found, error) {
	var found Found
	stored, err := c.Cache.List()
	if err != nil {
		return found, fmt.Errorf("look at the cache: %w", err)
	}
	held, err := c.Items.Held(ctx)
	if err != nil {
		return found, err
	}
	var unheld []vpkcache.Stored
	for _, s := range stored {
		if s.Partial {
			found.Files = append(found.Files, s)
		} else if !held[s.SteamID] {
			unheld = append(unheld, s)
		}
	}
	if len(unheld) == 0 {
		return found, nil
	}
	links, err := look(ctx, c.OverlaysDir, c.Cache.Dir())
	if err != nil {
		return Found{}, err
	}
	for _, s := range unheld {
		if link, is := links.to(s); is {
			found.Linked = append(found.Linked, Linked{s, link})
		} else {
			found.Files = append(found.Files, s)
		}
	}
	return found, nil
}

// Reason says why a file can go.
func Reason(s vpkcache.Stored) string {
	if s.Partial {
		return "left of a broken download"
	}
	return "no overlay holds it"
}

// Collect removes what Find finds, with a line for each file. A file that cannot be removed does not keep the others from
// going; the error, at the end, names it. Stopped by ctx, it leaves the rest for the next time.
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
	// Before they go: a row never speaks of a file that is not there.
	var ids []string
	for _, f := range found.Files {
		if !f.Partial {
			ids = append(ids, f.SteamID)
		}
	}
	if err := c.Items.Removed(ctx, ids); err != nil {
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
	return failure(failed, len(found.Files))
}

func failure(failed []string, files int) error {
	if len(failed) == 0 {
		return nil
	}
	const most = 5
	said := strings.Join(failed[:min(most, len(failed))], "; ")
	if more := len(failed) - most; more > 0 {
		said += fmt.Sprintf("; and %d more", more)
	}
	return fmt.Errorf("%d of %d files could not be removed: %s", len(failed), files, said)
}
