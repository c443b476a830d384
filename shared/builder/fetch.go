package builder

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/sethvargo/go-retry"
	"golang.org/x/sync/errgroup"

	"left4me/shared/jobstore"
	"left4me/shared/settings"
	"left4me/shared/steam"
	"left4me/shared/text"
	"left4me/shared/vpkcache"
	"left4me/shared/workshop"
)

// The attempts to download an item (product.md P23).
const (
	downloadAttempts = 3
	firstPause       = time.Second
	maxRetryAfter    = 60 * time.Second
)

// partialAge is how long a partial file stays without being written, so that a later job can resume the download.
const partialAge = 24 * time.Hour

// Fetcher downloads items into the cache, with several attempts for each (product.md P22 to P24).
type Fetcher struct {
	// HostID is the id of the host that has the cache.
	HostID string
	Cache  *vpkcache.Cache
	Items  *workshop.Store
	// Report is where the current job reports what it does.
	Report Report
	// FirstPause is the pause after an item's first failed attempt; each further one is twice as long.
	FirstPause time.Duration

	parallel int
	keep     int // versions of each item
	log      *slog.Logger
}

// NewFetcher returns a Fetcher that downloads into the cache of s from its content hosts, records results in items and logs
// them (steam.LogDownloaded and so on).
func NewFetcher(s settings.Settings, items *workshop.Store, log *slog.Logger) Fetcher {
	return Fetcher{
		Cache:      vpkcache.New(s.CacheDir(), steam.NewContent(s.SteamHosts, s.DownloadMinRate), vpkcache.Options{Transfers: s.DownloadParallel}),
		Items:      items,
		FirstPause: firstPause,
		parallel:   s.DownloadParallel,
		keep:       s.Versions,
		log:        log,
	}
}

// Fetched is the result of Fetch.
type Fetched struct {
	// Downloaded counts the items that were downloaded, Cached those that another process had downloaded meanwhile.
	Downloaded, Cached int
	// Failed are the items whose attempts all failed, in the order of Fetch's items.
	Failed []Failure

	items int
}

// Failure is an item that could not be downloaded, with the reason.
type Failure struct {
	SteamID steam.ID
	Err     error
}

// Err returns nil when nothing failed, and otherwise an error that lists the first failures.
func (f Fetched) Err() error {
	if len(f.Failed) == 0 {
		return nil
	}
	var all []string
	for _, failure := range f.Failed {
		all = append(all, fmt.Sprintf("%s (%v)", failure.SteamID, failure.Err))
	}
	return fmt.Errorf("%d of %d downloads failed: %s", len(f.Failed), f.items, text.List(all, 5, "; "))
}

// Fetch downloads items into the cache, several at once, records each result, syncs the cache's directory, and removes old
// leftovers of broken downloads from it. An item that fails does not stop the others. all is the number of items of the whole job:
// in the reported progress, all others are done already. The error is ctx's, the database's or the disk's.
func (f *Fetcher) Fetch(ctx context.Context, items []workshop.Item, all int) (Fetched, error) {
	m := newMeter(f.Report, items, all)
	done := Fetched{items: len(items)}
	failures := make([]error, len(items))
	var mu sync.Mutex
	group, groupCtx := errgroup.WithContext(ctx)
	// The cache itself limits the transfers. As many items again may be checked meanwhile.
	group.SetLimit(2 * f.parallel)
	for n, i := range items {
		group.Go(func() error {
			downloaded, err := f.fetch(groupCtx, i, m)
			m.done(i, err == nil)
			if groupCtx.Err() != nil {
				return groupCtx.Err()
			}
			if err != nil {
				failures[n] = err
				return f.Items.DownloadFailed(groupCtx, i, f.HostID, err)
			}
			mu.Lock()
			if downloaded {
				done.Downloaded++
			} else {
				done.Cached++
			}
			mu.Unlock()
			if err := f.Items.Downloaded(groupCtx, i, f.HostID); err != nil || !downloaded {
				return err
			}
			old, err := f.Items.ForgetVersions(groupCtx, i.ID, f.HostID, f.keep)
			for _, version := range old {
				err = errors.Join(err, f.Cache.RemoveVersion(i.SteamID, version))
			}
			return err
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
	if err := f.Cache.DiscardBefore(time.Now().Add(-partialAge)); err != nil {
		f.Report.Warnf("remove leftovers of broken downloads: %v", err)
	}
	return done, nil
}

func file(i workshop.Item) vpkcache.File {
	return vpkcache.File{SteamID: i.SteamID, URL: i.FileURL, Size: i.FileSize, Updated: i.Updated}
}

// fetch makes the attempts to download one item, with pauses between them.
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
		if !isDiskError(last) {
			steam.LogFailed(f.log, steam.SourceContent, kind(last), last)
		}
		return retry.RetryableError(last)
	})
	switch {
	case ctx.Err() != nil:
		// A cancelled Cache.Fetch leaves nothing, but the context may have ended in the pause after a broken transfer.
		return false, errors.Join(ctx.Err(), f.Cache.Discard(i.SteamID))
	case err != nil:
		steam.LogNotDownloaded(f.log, i.SteamID, err)
		f.Report.Warnf("workshop %s download failed after attempt %d/%d: %v", i.SteamID, attempt, downloadAttempts, err)
	case downloaded:
		steam.LogDownloaded(f.log, i.SteamID, i.FileSize)
		f.Report.Infof("workshop %s download finished: %d bytes in %s", i.SteamID, i.FileSize, time.Since(begun).Round(time.Millisecond))
	default:
		f.Report.Infof("workshop %s is in the cache already", i.SteamID)
	}
	return downloaded, err
}

// kind is steam.Kind, but `file` for a file that differs from Steam's description.
func kind(err error) string {
	if vpkcache.IsWrongFile(err) {
		return "file"
	}
	return steam.Kind(err)
}

// isDiskError reports whether an attempt failed because of this host's disk.
func isDiskError(err error) bool {
	var path *fs.PathError
	var link *os.LinkError
	return errors.As(err, &path) || errors.As(err, &link)
}

// meter adds up the progress of items that are downloaded at the same time.
type meter struct {
	report Report
	mu     sync.Mutex
	p      jobstore.Progress
	bytes  map[steam.ID]int64
	active []workshop.Item
}

func newMeter(r Report, items []workshop.Item, all int) *meter {
	m := &meter{report: r, bytes: map[steam.ID]int64{}}
	m.p.ItemsTotal, m.p.ItemsDone = int64(all), int64(all-len(items))
	for _, i := range items {
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

// tell reports the progress, with the titles of the items that are being downloaded in the order of their start.
func (m *meter) tell() {
	var names []string
	for _, i := range m.active {
		names = append(names, cmp.Or(i.Title, string(i.SteamID)))
	}
	m.p.Current = text.List(names, 2, " · ")
	m.report.Progress(m.p)
}
