package heartbeat

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"left4me/shared/host"
	"left4me/shared/settings"
	"left4me/shared/vpkcache"
)

func TestHostsReportRegularlyAndSoonAfterAJob(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		var mu sync.Mutex
		var reports, counts []time.Duration
		var last host.Host
		took := 10 * time.Millisecond
		h := &Heartbeat{
			worked:  make(chan struct{}, 1),
			disk:    func() (int64, int64, error) { return 100, 40, nil },
			servers: func(context.Context) string { return "" },
			measure: func(context.Context) (host.Usage, error) {
				mu.Lock()
				counts = append(counts, time.Since(begin).Round(time.Second))
				files, sleep := len(counts), took
				mu.Unlock()
				time.Sleep(sleep)
				return host.Usage{CacheFiles: int64(files)}, nil
			},
			report: func(_ context.Context, host host.Host) error {
				mu.Lock()
				defer mu.Unlock()
				reports, last = append(reports, time.Since(begin).Round(time.Second)), host
				return errors.New("it goes on without the database")
			},
			log: slog.New(slog.DiscardHandler),
		}
		if _, ok := h.Last(); ok {
			t.Error("there is a last report before the first")
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			if err := h.Run(ctx); err != nil {
				t.Error(err)
			}
			close(ended)
		}()
		at := func(d time.Duration) {
			time.Sleep(d - time.Since(begin))
			synctest.Wait()
		}
		worked := func() {
			h.Worked()
			synctest.Wait()
		}
		want := func(what string, got *[]time.Duration, want ...time.Duration) {
			t.Helper()
			mu.Lock()
			defer mu.Unlock()
			if !slices.Equal(*got, want) {
				t.Errorf("%s at %v, want %v", what, *got, want)
			}
			*got = nil
		}

		at(130 * time.Second)
		want("reports", &reports, 0, time.Minute, 2*time.Minute)
		want("counts", &counts, 0)
		mu.Lock()
		if last.DiskTotal != 100 || last.DiskFree != 40 || last.Usage.CacheFiles != 1 || !last.MeasuredAt.Equal(begin) {
			t.Errorf("report %+v", last)
		}
		mu.Unlock()
		if got, ok := h.Last(); !ok || got != last {
			t.Errorf("the last report is said to be %+v", got)
		}

		// Many jobs lead to a count now, and one a little later.
		for range 10 {
			worked()
		}
		at(136 * time.Second)
		want("counts", &counts, 130*time.Second, 135*time.Second)
		want("reports", &reports, 130*time.Second, 135*time.Second)

		// However long it takes to count, it is a small part of the time.
		mu.Lock()
		took = 3 * time.Second
		mu.Unlock()
		at(150 * time.Second)
		worked()
		at(155 * time.Second)
		worked()
		rest := measureRest * 3 * time.Second
		at(153*time.Second + rest - time.Second)
		want("counts", &counts, 150*time.Second)
		at(153*time.Second + rest + time.Second)
		want("counts", &counts, 153*time.Second+rest)
		at(3 * time.Hour)
		want("counts", &counts, 303*time.Second+measureEvery, 303*time.Second+2*measureEvery)

		stop()
		<-ended
	})
}

func TestUsageCountsFilesAndNotLinks(t *testing.T) {
	root := t.TempDir()
	s, err := settings.Load(func(name string) string { return map[string]string{settings.Root: root}[name] })
	if err != nil {
		t.Fatal(err)
	}
	cache := vpkcache.New(s.CacheDir(), nil, vpkcache.Options{})
	if u, err := usage(t.Context(), cache, s.OverlaysDir()); err != nil || u != (host.Usage{}) {
		t.Errorf("before the first build: %+v, %v", u, err)
	}
	write := func(path string, size int) {
		t.Helper()
		path = filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, make([]byte, size), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("workshop_cache/101.vpk", 1000)
	write("workshop_cache/102.vpk", 2000)
	write("workshop_cache/103.vpk.partial", 50)
	write("overlays/1/left4dead2/addons/own.vpk", 300)
	write("overlays/2/left4dead2/cfg/7/server.cfg", 20)
	write("overlays/notes/readme", 4)
	for name, target := range map[string]string{"overlays/1/left4dead2/addons/101.vpk": "workshop_cache/101.vpk", "overlays/3": "workshop_cache"} {
		if err := os.Symlink(filepath.Join(root, target), filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(root, "overlays/1/closed"), 0); err != nil {
		t.Fatal(err)
	}
	want := host.Usage{CacheFiles: 2, CacheBytes: 3000, Overlays: 2, OverlayBytes: 324}
	if u, err := usage(t.Context(), cache, s.OverlaysDir()); err != nil || u != want {
		t.Errorf("%+v, %v, want %+v", u, err, want)
	}
	if total, free, err := DiskSpace(root); err != nil || total <= 0 || free > total {
		t.Errorf("disk: %d, %d, %v", total, free, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := usage(ctx, cache, s.OverlaysDir()); !errors.Is(err, context.Canceled) {
		t.Errorf("counting goes on after the end: %v", err)
	}
}

func TestAProblemOfServersIsReportedUntilItIsSolved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		asked := 0
		var reported []string
		h := &Heartbeat{
			disk:    func() (int64, int64, error) { return 100, 40, nil },
			measure: func(context.Context) (host.Usage, error) { return host.Usage{}, nil },
			servers: func(context.Context) string {
				if asked++; asked < 3 {
					return "no mounts: allow them"
				}
				return ""
			},
			report: func(_ context.Context, host host.Host) error {
				if reported = append(reported, host.ServersProblem); len(reported) == 4 {
					stop()
				}
				return nil
			},
			log: slog.New(slog.DiscardHandler),
		}
		if err := h.Run(ctx); err != nil {
			t.Error(err)
		}
		if want := []string{"no mounts: allow them", "no mounts: allow them", "", ""}; !slices.Equal(reported, want) || asked != 3 {
			t.Errorf("it reported %q after asking %d times, want %q after 3", reported, asked, want)
		}
	})
}
