package builder

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sethvargo/go-retry"
	"golang.org/x/sync/errgroup"

	"left4me/shared/jobstore"
	"left4me/shared/steam"
	"left4me/shared/traffic"
	"left4me/shared/vpkcache"
	"left4me/shared/workshop"
)

const (
	// FirstPause and downloadAttempts are product.md P23's, and so is maxRetryAfter.
	FirstPause       = time.Second
	downloadAttempts = 3
	maxRetryAfter    = 60 * time.Second
)

// Fetcher brings items into the cache, with the attempts that each of them gets (product.md P22 to P24). It is what builds
// and the refresh of all items have in common.
type Fetcher struct {
	Cache *vpkcache.Cache
	Items *workshop.Store
	// Parallel is how many items are fetched at once.
	Parallel int
	// FirstPause is the pause after an item's first failed attempt; each further one is twice as long.
	FirstPause time.Duration
	Report     Report
	// Log is told what came of the traffic.
	Log *slog.Logger
}

// Fetched says what a Fetch has done.
type Fetched struct {
	// Downloaded and Cached count the items that are in the cache now, and that somebody else had brought there meanwhile.
	Downloaded, Cached int
	// Failed are those whose attempts are used up, in the order in which they were asked for.
	Failed []Failure

	items int
}

// Failure is an item with the reason why it could not be downloaded.
type Failure struct {
	SteamID string
	Err     error
}

// Err is nil when nothing failed, and else a sentence: every failed item with its reason while there are few, by number
// when there are many.
func (f Fetched) Err() error {
	if len(f.Failed) == 0 {
		return nil
	}
	const most = 5
	var said []string
	for _, failure := range f.Failed[:min(most, len(f.Failed))] {
		said = append(said, fmt.Sprintf("%s (%v)", failure.SteamID, failure.Err))
	}
	text := strings.Join(said, "; ")
	if more := len(f.Failed) - most; more > 0 {
		text += fmt.Sprintf("; and %d more", more)
	}
	return fmt.Errorf("%d of %d downloads failed: %s", len(f.Failed), f.items, text)
}

// Fetch brings items, several at once, into the cache, records for each how that went, and makes the cache's names durable.
// An item that fails does not stop the others. In the progress that it reports, the items are the last of all that the job
// is about. The error is ctx's, the database's or the disk's.
func (f *Fetcher) Fetch(ctx context.Context, items []workshop.Item, all int) (Fetched, error) {
	m := newMeter(f.Report, items, all)
	done := Fetched{items: len(items)}
	failures := make([]error, len(items))
	var mu sync.Mutex
	group, groupCtx := errgroup.WithContext(ctx)
	// The cache itself limits the transfers; as many items again may be in their checks meanwhile.
	group.SetLimit(2 * f.Parallel)
	for n, i := range items {
		group.Go(func() error {
			downloaded, err := f.fetch(groupCtx, i, m)
			m.done(i, err == nil)
			if groupCtx.Err() != nil {
				return groupCtx.Err()
			}
			if err != nil {
				failures[n] = err
				return f.Items.DownloadFailed(groupCtx, i, err)
			}
			mu.Lock()
			if downloaded {
				done.Downloaded++
			} else {
				done.Cached++
			}
			mu.Unlock()
			return f.Items.Downloaded(groupCtx, i)
		})
	}
	if err := group.Wait(); err != nil {
		return Fetched{}, err
	}
	for n, err := range failures {
		if err != nil {
			done.Failed = append(done.Failed, Failure{items[n].SteamID, err})
		}
	}
	if err := f.Cache.SyncDir(); err != nil {
		return Fetched{}, fmt.Errorf("sync the cache: %w", err)
	}
	return done, nil
}

func file(i workshop.Item) vpkcache.File {
	return vpkcache.File{SteamID: i.SteamID, URL: i.FileURL, Size: i.FileSize, Updated: i.Updated}
}

// fetch makes the attempts that one item gets, with pauses between them.
func (f *Fetcher) fetch(ctx context.Context, i workshop.Item, m *meter) (downloaded bool, err error) {
	f.Report.Infof("workshop %s download starts: %d bytes, %q", i.SteamID, i.FileSize, i.Title)
	m.started(i)
	attempt := 0
	var last error
	growing := retry.WithMaxRetries(downloadAttempts-1, retry.NewExponential(f.FirstPause))
	pauses := retry.BackoffFunc(func() (time.Duration, bool) {
		pause, stop := growing.Next()
		if status, ok := errors.AsType[*steam.StatusError](last); ok && status.RetryAfter > pause {
			pause = min(status.RetryAfter, maxRetryAfter)
		}
		if !stop {
			f.Report.Warnf("workshop %s attempt %d/%d failed: %v", i.SteamID, attempt, downloadAttempts, last)
		}
		return pause, stop
	})
	begun := time.Now()
	err = retry.Do(ctx, pauses, func(ctx context.Context) error {
		attempt++
		downloaded, last = f.Cache.Fetch(ctx, file(i), func(n int64) { m.progress(i, n) })
		if last == nil || ctx.Err() != nil || errors.Is(last, vpkcache.ErrDiskFull) {
			return last
		}
		if !ofDisk(last) {
			traffic.SteamFailed(f.Log, traffic.Content, kind(last), last)
		}
		return retry.RetryableError(last)
	})
	switch {
	case ctx.Err() != nil:
		// Fetch leaves nothing when it is cancelled, but the pause after a broken transfer may have been.
		return false, errors.Join(ctx.Err(), f.Cache.Discard(i.SteamID))
	case err != nil:
		traffic.NotDownloaded(f.Log, i.SteamID, err)
		f.Report.Warnf("workshop %s download failed after attempt %d/%d: %v", i.SteamID, attempt, downloadAttempts, err)
	case downloaded:
		traffic.Downloaded(f.Log, i.SteamID, i.FileSize)
		f.Report.Infof("workshop %s download finished: %d bytes in %s", i.SteamID, i.FileSize, time.Since(begun).Round(time.Millisecond))
	default:
		f.Report.Infof("workshop %s is in the cache already", i.SteamID)
	}
	return downloaded, err
}

// kind is steam.Kind, with `file` for what is not the file that Steam describes.
func kind(err error) string {
	if vpkcache.IsWrongFile(err) {
		return "file"
	}
	return steam.Kind(err)
}

// ofDisk reports whether an attempt has failed for this host's disk.
func ofDisk(err error) bool {
	var path *fs.PathError
	var link *os.LinkError
	return errors.As(err, &path) || errors.As(err, &link)
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
	m.p.Current = strings.Join(names, " · ")
	if more := len(m.active) - most; more > 0 {
		m.p.Current += fmt.Sprintf(" and %d more", more)
	}
	m.report.Progress(m.p)
}
