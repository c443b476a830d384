package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"left4me/shared/builder"
	"left4me/shared/db"
	"left4me/shared/db/dbtest"
	"left4me/shared/host"
	"left4me/shared/jobstore"
	"left4me/shared/settings"
	"left4me/shared/steam"
	"left4me/shared/steam/steamtest"
	"left4me/shared/workshop"
)

// report records a run's lines and calls on for each of them.
type report struct {
	mu       sync.Mutex
	out, err []string
	progress []jobstore.Progress
	on       func(line string)
}

func (r *report) Infof(format string, args ...any) { r.add(&r.out, fmt.Sprintf(format, args...)) }
func (r *report) Warnf(format string, args ...any) { r.add(&r.err, fmt.Sprintf(format, args...)) }

func (r *report) add(to *[]string, line string) {
	r.mu.Lock()
	*to = append(*to, line)
	r.mu.Unlock()
	if r.on != nil {
		r.on(line)
	}
}

func (r *report) Progress(p jobstore.Progress) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.progress = append(r.progress, p)
}

func (r *report) last() string { return r.out[len(r.out)-1] }

type fixture struct {
	runner
	db    *db.DB
	steam *steamtest.Server
}

// setUp returns a fixture in which overlay 1 holds the items with odd ids and overlay 2 those with even ones. All files are in the
// cache, as after a build.
func setUp(t testing.TB, text string, ids ...steam.ID) *fixture {
	t.Helper()
	fake := steamtest.Start(t, text)
	d := dbtest.New(t)
	hosts, err := steam.ParseHosts(fake.Host())
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	root := t.TempDir()
	items := workshop.NewStore(d, time.Now, jobstore.NewStore(d, time.Now))
	w := &fixture{db: d, steam: fake, runner: runner{
		steam:   steam.NewClient(fake.URL, log),
		fetcher: builder.NewFetcher(settings.Settings{Root: root, SteamHosts: hosts, DownloadParallel: 8}, items, log),
		root:    root,
	}}
	w.fetcher.FirstPause = time.Millisecond
	if w.fetcher.HostID, err = host.EnsureID(root); err != nil {
		t.Fatal(err)
	}
	dbtest.AddHost(t, d, w.fetcher.HostID, time.Now())
	w.exec(t, `INSERT INTO overlays (name, type, uid, created_at) VALUES ('odd', 'workshop', 'odd', 0), ('even', 'workshop', 'even', 0)`)
	details, err := w.runner.steam.Details(t.Context(), ids)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := items.Save(t.Context(), d, details); err != nil {
		t.Fatal(err)
	}
	w.exec(t, `INSERT INTO overlay_workshop_items (overlay_id, workshop_item_id, added_at) SELECT 2 - CAST(steam_id AS INTEGER) % 2, id, 1 FROM workshop_items`)
	var all []workshop.Item
	for _, o := range []int64{1, 2} {
		held, err := items.OfOverlay(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range held {
			if i.FileURL != "" {
				all = append(all, i)
			}
		}
	}
	if len(all) <= 10 { // larger catalogs are about metadata
		fetcher := w.fetcher
		fetcher.Report = &report{}
		if done, err := fetcher.Fetch(t.Context(), all, len(all)); err != nil || done.Err() != nil {
			t.Fatal(err, done.Err())
		}
	}
	w.exec(t, `UPDATE overlays SET last_build_status = 'ok'`)
	fake.Forget()
	return w
}

func (w *fixture) exec(t testing.TB, query string) {
	t.Helper()
	if _, err := w.db.ExecContext(t.Context(), query); err != nil {
		t.Fatal(err)
	}
}

// texts returns the values of a query's only column in one line.
func (w *fixture) texts(t *testing.T, query string) string {
	t.Helper()
	rows, err := w.db.QueryContext(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var all []string
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}
	if rows.Err() != nil {
		t.Fatal(rows.Err())
	}
	return strings.Join(all, " ")
}

const queued = `SELECT subject_id FROM jobs WHERE operation = 'build_overlay' AND state = 'queued' AND user_id IS NULL ORDER BY subject_id`

// wantCached checks that the cached file of an item is Steam's, or, when whole is false, that it is not.
func (w *fixture) wantCached(t *testing.T, id steam.ID, whole bool) {
	t.Helper()
	content, err := os.ReadFile(w.fetcher.Cache.Path(id))
	if err != nil {
		t.Error(err)
		return
	}
	file := w.steam.File(string(id))
	right := make([]byte, file.Size)
	if _, err := file.ReadAt(right, 0); err != nil || slices.Equal(content, right) != whole {
		t.Errorf("the cached file of %s is what Steam has: %v, want %v (%v)", id, !whole, whole, err)
	}
}

func TestARefreshDownloadsAdvancedItemsAndRebuildsTheirOverlays(t *testing.T) {
	w := setUp(t, "item 1\nitem 2\nitem 3\nitem 4\nitem 5\nitem 6 trap=true\n", "1", "2", "3", "4", "5", "6")
	w.steam.Tell(t, "update 1 size=70KiB title=\"New one\" updated=1800000000\nremove 3\nitem 4 app=730\ndetails omit=5\n")
	r := &report{}
	if err := w.run(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if got, want := r.last(), "refresh: items=6 changed=1 unavailable=2 foreign=1 missing=1 downloaded=1 failed=0 overlays=1"; got != want {
		t.Errorf("last line %q, want %q", got, want)
	}
	for _, line := range []string{`workshop item 1 changed: "New one", 71680 bytes, updated 2027-01-15T08:00:00Z`, "overlay 1: build job 1 enqueued", "refreshed 6 of 6 items"} {
		if !slices.Contains(r.out, line) {
			t.Errorf("no line %q in %q", line, r.out)
		}
	}
	if want := []string{
		"workshop item 3 is not available: steam result 9",
		"workshop item 6 is not available: steam offers no direct download for this item",
		"workshop item 5 is missing: steam returned no entry for this item",
		"workshop item 4 skipped: it is for another game now (app 730)",
	}; !slices.Equal(r.err, want) {
		t.Errorf("stderr %q, want %q", r.err, want)
	}
	if got := w.texts(t, queued); got != "1" {
		t.Errorf("builds of %q, want that of overlay 1", got)
	}
	w.wantCached(t, "1", true)
	w.wantCached(t, "2", true)
	if n := w.steam.Count("content"); n != 1 {
		t.Errorf("%d downloads", n)
	}
	if p := r.progress[len(r.progress)-1]; p.ItemsDone != 6 || p.ItemsTotal != 6 || p.BytesDone != 70<<10 || p.BytesTotal != 70<<10 {
		t.Errorf("progress at the end: %+v", p)
	}
	for n, p := range r.progress[1:] {
		if p.ItemsDone < r.progress[n].ItemsDone {
			t.Errorf("the progress goes back: %+v, then %+v", r.progress[n], p)
		}
	}

	w.exec(t, `DELETE FROM jobs`)
	again := &report{}
	if err := w.run(t.Context(), again); err != nil || w.texts(t, queued) != "" {
		t.Errorf("a second refresh: %v, builds of %q", err, w.texts(t, queued))
	}
	if got, want := again.last(), "refresh: items=6 changed=0 unavailable=2 foreign=1 missing=1 downloaded=0 failed=0 overlays=0"; got != want {
		t.Errorf("a second refresh: last line %q, want %q", got, want)
	}
}

// One bad file is reported and does not affect the others. The next refresh tries it again.
func TestADownloadThatFailsStopsNothing(t *testing.T) {
	w := setUp(t, "item 1\nitem 2\nitem 3\n", "1", "2", "3")
	w.steam.Tell(t, "update 1\nupdate 2\nupdate 3\ncontent/2 status=404\n")
	r := &report{}
	if err := w.run(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if got, want := r.last(), "refresh: items=3 changed=3 unavailable=0 foreign=0 missing=0 downloaded=2 failed=1 overlays=2"; got != want {
		t.Errorf("last line %q, want %q", got, want)
	}
	if len(r.err) != 3 || !strings.HasPrefix(r.err[0], "workshop 2 attempt 1/3 failed: ") || !strings.HasPrefix(r.err[2], "workshop 2 download failed after attempt 3/3: ") {
		t.Errorf("stderr %q", r.err)
	}
	if got := w.texts(t, `SELECT last_error FROM workshop_items WHERE last_error <> ''`); !strings.HasPrefix(got, "download failed: ") || !strings.Contains(got, "404") {
		t.Errorf("last_error %q", got)
	}
	w.wantCached(t, "1", true)
	w.wantCached(t, "2", false)
	w.wantCached(t, "3", true)

	w.steam.Reset()
	r = &report{}
	if err := w.run(t.Context(), r); err != nil || !strings.Contains(r.last(), "changed=0 unavailable=0 foreign=0 missing=0 downloaded=1 failed=0") {
		t.Errorf("the next refresh: %q, %v", r.out, err)
	}
	w.wantCached(t, "2", true)
}

// On a machine without the cache a refresh updates only metadata. Builds on the host download the files.
func TestWithoutTheCacheNothingIsDownloaded(t *testing.T) {
	for name, root := range map[string]func(t *testing.T, w *fixture) string{
		"no such directory": func(_ *testing.T, w *fixture) string { return filepath.Join(w.root, "nowhere") },
		"of no host":        func(t *testing.T, _ *fixture) string { return t.TempDir() },
	} {
		t.Run(name, func(t *testing.T) {
			w := setUp(t, "item 1\nitem 2\n", "1", "2")
			w.steam.Tell(t, "update 1\n")
			w.root = root(t, w)
			r := &report{}
			if err := w.run(t.Context(), r); err != nil {
				t.Fatal(err)
			}
			if got, want := r.last(), "refresh: items=2 changed=1 unavailable=0 foreign=0 missing=0 downloaded=0 failed=0 overlays=1"; got != want {
				t.Errorf("last line %q, want %q", got, want)
			}
			if !slices.Contains(r.out, "the cache is not on this machine: builds on the game host download what advanced") || w.steam.Count("content") != 0 {
				t.Errorf("%d downloads; it says %q", w.steam.Count("content"), r.out)
			}
			if w.texts(t, queued) != "1" {
				t.Errorf("builds of %q", w.texts(t, queued))
			}
			if p := r.progress[len(r.progress)-1]; p.ItemsDone != 2 {
				t.Errorf("progress at the end: %+v", p)
			}
		})
	}
}

func TestWhenSteamFailsTheSavedBatchesKeepTheirBuilds(t *testing.T) {
	w := setUp(t, catalogOf(250), numbers(250)...)
	for _, id := range numbers(250) {
		w.steam.Tell(t, "update "+string(id))
	}
	w.steam.Tell(t, "details/250 status=503\n")
	r := &report{on: func(line string) {
		if line == "refreshed 200 of 250 items" {
			w.steam.Tell(t, "details/250 status=403") // which is not tried again
		}
	}}
	err := w.run(t.Context(), r)
	if err == nil || err.Error() != "steam api error: steam answered 403" {
		t.Errorf("run: %v", err)
	}
	if got, want := r.last(), "refresh: items=200 changed=200 unavailable=0 foreign=0 missing=0 downloaded=0 failed=0 overlays=2"; got != want {
		t.Errorf("last line %q, want %q", got, want)
	}
	if !slices.Contains(r.err, "refresh failed: steam api error: steam answered 403") || w.texts(t, queued) != "1 2" {
		t.Errorf("stderr %q, builds of %q", r.err, w.texts(t, queued))
	}
	if n := w.texts(t, `SELECT COUNT(*) FROM workshop_items WHERE time_updated > 1740856166`); n != "200" {
		t.Errorf("%s rows are saved, want 200", n)
	}
}

func TestARefreshCancelledAtAnyStepLeavesCompleteRows(t *testing.T) {
	for _, at := range []string{"refresh starts", "workshop item 3 changed", "refreshed 4 of 4", "1 download starts", "attempt 1/3"} {
		t.Run(at, func(t *testing.T) {
			w := setUp(t, "item 1\nitem 2\nitem 3\nitem 4\n", "1", "2", "3", "4")
			w.fetcher.FirstPause = time.Hour // a pause must not hold up a cancel
			w.steam.Tell(t, "update 1 size=2MiB\nupdate 3 size=200KiB\ncontent/1 hold=100KiB\ncontent/3 cut=50000 times=1\n")
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			r := &report{on: func(line string) {
				if strings.Contains(line, at) {
					cancel()
				}
			}}
			if err := w.run(ctx, r); !errors.Is(err, context.Canceled) {
				t.Fatalf("run: %v, %q", err, r.out)
			}
			if strings.HasPrefix(r.last(), "refresh: ") {
				t.Error("a cancelled refresh has a summary")
			}
			if left, _ := filepath.Glob(filepath.Join(w.fetcher.Cache.Dir(), "*.partial")); len(left) != 0 {
				t.Errorf("left behind: %v", left)
			}
			saved, builds := "2", "1"
			if at == "refresh starts" {
				saved, builds = "0", ""
			}
			if n := w.texts(t, `SELECT COUNT(*) FROM workshop_items WHERE time_updated > 1740856166`); n != saved || w.texts(t, queued) != builds {
				t.Errorf("%s rows are saved, builds of %q; want %s, %q", n, w.texts(t, queued), saved, builds)
			}

			// The next refresh completes it.
			w.steam.Reset()
			r = &report{}
			if err := w.run(t.Context(), r); err != nil || !strings.Contains(r.last(), "downloaded=2 ") {
				t.Errorf("the next refresh: %q, %v", r.out, err)
			}
			w.wantCached(t, "1", true)
			w.wantCached(t, "3", true)
		})
	}
}

func numbers(n int) []steam.ID {
	all := make([]steam.ID, n)
	for i := range all {
		all[i] = steam.ID(strconv.Itoa(i + 1))
	}
	return all
}

// catalogOf returns a catalog of the items 1 to n.
func catalogOf(n int) string {
	var b strings.Builder
	for _, id := range numbers(n) {
		fmt.Fprintf(&b, "item %s size=1KiB\n", id)
	}
	return b.String()
}

// Files of an earlier version of left4me are read without a download, and new ones after theirs.
//
// shows: P70
func TestARefreshReadsWhatIsInTheFiles(t *testing.T) {
	w := setUp(t, "item 1 campaign=Harbour maps=h1_docks\nitem 2 files=sound/a.wav\nitem 3 garbled\n", "1", "2", "3")
	w.steam.Tell(t, "update 2 files=models/v_models/saw.mdl")
	if err := w.run(t.Context(), &report{}); err != nil {
		t.Fatal(err)
	}
	if n := w.steam.Count("content"); n != 1 {
		t.Errorf("%d downloads", n)
	}
	if got := w.texts(t, `SELECT kind || unknown FROM item_contents JOIN workshop_items ON id = workshop_item_id ORDER BY steam_id`); got != "campaign weapon its index is broken" {
		t.Errorf("read: %q", got)
	}
}
