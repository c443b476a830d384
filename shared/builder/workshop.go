package builder

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sethvargo/go-retry"
	"golang.org/x/sync/errgroup"

	"left4me/shared/jobstore"
	"left4me/shared/linkfarm"
	"left4me/shared/overlay"
	"left4me/shared/steam"
	"left4me/shared/vpkcache"
	"left4me/shared/workshop"
)

const (
	// downloadAttempts and maxRetryAfter are product.md P23's.
	downloadAttempts = 3
	maxRetryAfter    = 60 * time.Second
)

// tally counts what a build did, for its last line.
type tally struct {
	downloaded, cached, skipped int
	links                       linkfarm.Result
	errors                      int
}

func (t tally) line(name string) string {
	return fmt.Sprintf("workshop overlay '%s': downloaded=%d cached=%d skipped=%d created=%d removed=%d unchanged=%d errors=%d", name,
		t.downloaded, t.cached, t.skipped, t.links.Created+t.links.Replaced, t.links.Removed, t.links.Unchanged, t.errors)
}

// buildWorkshop downloads what is missing or stale and then makes the links right. When an item cannot be had, the others
// are still fetched, but no link is touched: a partial overlay is never presented as a good one.
func buildWorkshop(ctx context.Context, h *Host, o overlay.Overlay) error {
	var t tally
	err := h.workshop(ctx, o, &t)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		t.errors = max(t.errors, 1)
		h.Report.Warnf("workshop overlay '%s' failed: %v", o.Name, err)
	}
	h.Report.Infof("%s", t.line(o.Name))
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

	var wanted []string // names in the cache, and of the links
	var stale []workshop.Item
	for _, i := range items {
		if err := ctx.Err(); err != nil {
			return err
		}
		if i.FileURL == "" {
			t.skipped++
			h.Report.Warnf("workshop item %s skipped: no file_url (steam result: %s)", i.SteamID, i.LastError)
			continue
		}
		wanted = append(wanted, filepath.Base(h.Cache.Path(i.SteamID)))
		fresh := false
		if !i.DownloadedAt.IsZero() {
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
	if len(stale) > 0 {
		if err := h.Overlays.Unsettled(ctx, o.ID); err != nil {
			return err
		}
		if err := h.fetchAll(ctx, stale, t, len(wanted)); err != nil {
			return err
		}
		if err := h.Cache.SyncDir(); err != nil {
			return fmt.Errorf("sync the cache: %w", err)
		}
	}
	return h.link(ctx, o, wanted, t)
}

// link makes the links of the overlay exactly those of the wanted names.
func (h *Host) link(ctx context.Context, o overlay.Overlay, wanted []string, t *tally) error {
	root, err := os.OpenRoot(filepath.Join(h.OverlaysDir, o.Path()))
	if err != nil {
		return fmt.Errorf("open overlays/%s: %w", o.Path(), cause(err))
	}
	defer root.Close()
	seen, err := linkfarm.Observe(root)
	if err != nil {
		return err
	}
	changes, err := linkfarm.Plan(wanted, seen, h.Cache.Dir())
	if err != nil {
		return err
	}
	if err := changes.Err(); err != nil {
		t.errors = len(changes.Conflicts)
		return err
	}
	if len(changes.Create)+len(changes.Replace)+len(changes.Remove) > 0 {
		if err := h.Overlays.Unsettled(ctx, o.ID); err != nil {
			return err
		}
	}
	t.links, err = linkfarm.Apply(ctx, root, changes)
	return err
}

func file(i workshop.Item) vpkcache.File {
	return vpkcache.File{SteamID: i.SteamID, URL: i.FileURL, Size: i.FileSize, Updated: i.Updated}
}

// fetchAll brings the stale items into the cache, several at once, and counts each. The error lists those that failed.
func (h *Host) fetchAll(ctx context.Context, stale []workshop.Item, t *tally, all int) error {
	m := newMeter(h.Report, stale, all)
	var mu sync.Mutex
	failures := map[string]error{}
	group, ctx := errgroup.WithContext(ctx)
	// The cache itself limits the transfers; as many items again may be in their checks meanwhile.
	group.SetLimit(2 * h.Parallel)
	for _, i := range stale {
		group.Go(func() error {
			downloaded, err := h.fetch(ctx, i, m)
			m.done(i, err == nil)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err != nil:
				failures[i.SteamID] = err
				return h.Items.DownloadFailed(ctx, i, err)
			case downloaded:
				t.downloaded++
			default:
				t.cached++
			}
			return h.Items.Downloaded(ctx, i)
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	t.errors = len(failures)
	return summary(stale, failures)
}

// summary is the job's error: every failed item with its reason while there are few, by number when there are many.
func summary(items []workshop.Item, failures map[string]error) error {
	if len(failures) == 0 {
		return nil
	}
	const most = 5
	var said []string
	for _, i := range items {
		if err := failures[i.SteamID]; err != nil {
			said = append(said, fmt.Sprintf("%s (%v)", i.SteamID, err))
		}
	}
	text := strings.Join(said[:min(most, len(said))], "; ")
	if more := len(said) - most; more > 0 {
		text += fmt.Sprintf("; and %d more", more)
	}
	return fmt.Errorf("%d of %d downloads failed, links are as they were: %s", len(failures), len(items), text)
}

// fetch makes the attempts that one item gets, with pauses between them.
func (h *Host) fetch(ctx context.Context, i workshop.Item, m *meter) (downloaded bool, err error) {
	h.Report.Infof("workshop %s download starts: %d bytes, %q", i.SteamID, i.FileSize, i.Title)
	m.started(i)
	attempt := 0
	var last error
	growing := retry.WithMaxRetries(downloadAttempts-1, retry.NewExponential(h.FirstPause))
	pauses := retry.BackoffFunc(func() (time.Duration, bool) {
		pause, stop := growing.Next()
		if status, ok := errors.AsType[*steam.StatusError](last); ok && status.RetryAfter > pause {
			pause = min(status.RetryAfter, maxRetryAfter)
		}
		if !stop {
			h.Report.Warnf("workshop %s attempt %d/%d failed: %v", i.SteamID, attempt, downloadAttempts, last)
		}
		return pause, stop
	})
	begun := time.Now()
	err = retry.Do(ctx, pauses, func(ctx context.Context) error {
		attempt++
		downloaded, last = h.Cache.Fetch(ctx, file(i), func(n int64) { m.progress(i, n) })
		if last == nil || ctx.Err() != nil || errors.Is(last, vpkcache.ErrDiskFull) {
			return last
		}
		return retry.RetryableError(last)
	})
	switch {
	case ctx.Err() != nil:
		// Fetch leaves nothing when it is cancelled, but the pause after a broken transfer may have been.
		return false, errors.Join(ctx.Err(), h.Cache.Discard(i.SteamID))
	case err != nil:
		h.Report.Warnf("workshop %s download failed after attempt %d/%d: %v", i.SteamID, attempt, downloadAttempts, err)
	case downloaded:
		h.Report.Infof("workshop %s download finished: %d bytes in %s", i.SteamID, i.FileSize, time.Since(begun).Round(time.Millisecond))
	default:
		h.Report.Infof("workshop %s is in the cache already", i.SteamID)
	}
	return downloaded, err
}

// meter adds up the progress of items that are fetched at once.
type meter struct {
	report Report
	mu     sync.Mutex
	p      jobstore.Progress
	bytes  map[string]int64 // by steam id
	active []workshop.Item
}

func newMeter(r Report, stale []workshop.Item, all int) *meter {
	m := &meter{report: r, bytes: map[string]int64{}}
	m.p.ItemsTotal, m.p.ItemsDone = int64(all), int64(all-len(stale))
	for _, i := range stale {
		m.p.BytesTotal += i.FileSize
	}
	r.Progress(m.p)
	return m
}

func (m *meter) started(i workshop.Item) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.active = append(m.active, i)
	m.tell()
}

func (m *meter) progress(i workshop.Item, bytes int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.set(i, bytes)
	m.tell()
}

func (m *meter) done(i workshop.Item, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.active = slices.DeleteFunc(m.active, func(a workshop.Item) bool { return a.ID == i.ID })
	if ok {
		m.p.ItemsDone++
		m.set(i, i.FileSize)
	}
	m.tell()
}

func (m *meter) set(i workshop.Item, bytes int64) {
	m.p.BytesDone += bytes - m.bytes[i.SteamID]
	m.bytes[i.SteamID] = bytes
}

// tell names the items in flight, the longest under way first.
func (m *meter) tell() {
	const most = 2
	var names []string
	for _, i := range m.active[:min(most, len(m.active))] {
		name := i.Title
		if name == "" {
			name = i.SteamID
		}
		names = append(names, name)
	}
	m.p.Current = strings.Join(names, ", ")
	if more := len(m.active) - most; more > 0 {
		m.p.Current += fmt.Sprintf(" and %d more", more)
	}
	m.report.Progress(m.p)
}
