package builder_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"left4me/shared/account"
	"left4me/shared/builder"
	"left4me/shared/db"
	"left4me/shared/db/dbtest"
	"left4me/shared/jobstore"
	"left4me/shared/overlay"
	"left4me/shared/settings"
	"left4me/shared/steam"
	"left4me/shared/steam/steamtest"
	"left4me/shared/workshop"
)

// report records a build's lines and calls on for each of them.
type report struct {
	mu       sync.Mutex
	out, err []string
	last     jobstore.Progress
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
	r.last = p
}

type fixture struct {
	steam   *steamtest.Server
	db      *db.DB
	host    *builder.Host
	client  *steam.Client
	admin   account.User
	overlay overlay.Overlay
	root    string
}

func setUp(t *testing.T, text string, ids ...steam.ID) *fixture {
	t.Helper()
	fake := steamtest.Start(t, text)
	d := dbtest.New(t)
	dbtest.AddHost(t, d, "here", time.Now())
	hosts, err := steam.ParseHosts(fake.Host())
	if err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	log := slog.New(slog.DiscardHandler)
	w := &fixture{steam: fake, db: d, root: root}
	w.host = &builder.Host{
		OverlaysDir: filepath.Join(root, "overlays"),
		Overlays:    overlay.NewStore(d, time.Now, jobstore.NewStore(d, time.Now)),
		Fetcher: builder.NewFetcher(settings.Settings{Root: root, SteamHosts: hosts, DownloadParallel: 8},
			workshop.NewStore(d, time.Now, jobstore.NewStore(d, time.Now)), log),
	}
	w.host.HostID, w.host.FirstPause = "here", time.Millisecond
	w.client = steam.NewClient(fake.URL, log)
	if w.admin, err = account.NewStore(d, time.Now).Create(t.Context(), "anna", "a password", true); err != nil {
		t.Fatal(err)
	}
	w.overlay = w.make(t, "maps", overlay.Workshop)
	if len(ids) > 0 {
		if _, err := w.host.Items.Add(t.Context(), w.client, w.admin, w.overlay, ids, workshop.Items, nil); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

func (w *fixture) make(t *testing.T, name string, typ *overlay.Type) overlay.Overlay {
	t.Helper()
	id, err := w.host.Overlays.Create(t.Context(), w.admin, name, typ.Name)
	if err != nil {
		t.Fatal(err)
	}
	return w.get(t, id)
}

func (w *fixture) get(t *testing.T, id int64) overlay.Overlay {
	t.Helper()
	o, err := w.host.Overlays.Get(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func (w *fixture) build(ctx context.Context, t *testing.T, on func(string)) (*report, error) {
	t.Helper()
	r, o := &report{on: on}, w.get(t, w.overlay.ID)
	h := *w.host
	h.Report = r
	err := builder.Build(ctx, &h, o)
	if err == nil {
		err = w.db.InTx(t.Context(), func(ctx context.Context, q db.Querier) error { return h.Record(ctx, q, o, 1) })
	}
	return r, err
}

func (w *fixture) addons() string {
	return filepath.Join(w.root, "overlays", w.overlay.Path(), "left4dead2", "addons")
}

// links returns the targets of the links in the addons folder by name; "not a link" for other files.
func (w *fixture) links(t *testing.T) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(w.addons())
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	found := map[string]string{}
	for _, e := range entries {
		target, err := os.Readlink(filepath.Join(w.addons(), e.Name()))
		if err != nil {
			target = "not a link"
		}
		found[e.Name()] = target
	}
	return found
}

// wantLinks checks that the folder has exactly the links of ids, with absolute targets in the cache and the complete files there.
func (w *fixture) wantLinks(t *testing.T, ids ...steam.ID) {
	t.Helper()
	found := w.links(t)
	if names := slices.Sorted(maps.Keys(found)); len(names) != len(ids) {
		t.Errorf("links: %v, want those of %v", names, ids)
	}
	for _, id := range ids {
		want := filepath.Join(w.root, "workshop_cache", id.FileName())
		if found[id.FileName()] != want {
			t.Errorf("link of %s leads to %q, want %q", id, found[id.FileName()], want)
		}
		content, err := os.ReadFile(filepath.Join(w.addons(), id.FileName()))
		if err != nil {
			t.Error(err)
			continue
		}
		file := w.steam.File(string(id))
		right := make([]byte, file.Size)
		if _, err := file.ReadAt(right, 0); err != nil || !slices.Equal(content, right) {
			t.Errorf("the file of %s is not what Steam has (%v)", id, err)
		}
	}
}

func (w *fixture) item(t *testing.T, steamID steam.ID) workshop.Item {
	t.Helper()
	items, err := w.host.Items.OfOverlay(t.Context(), w.overlay.ID)
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range items {
		if i.SteamID == steamID {
			return i
		}
	}
	t.Fatalf("no item %s", steamID)
	return workshop.Item{}
}

const threeItems = "item 1 size=300KiB\nitem 2 version=2\nitem 3 plain=true updated=1700000000\n"

func TestABuildDownloadsAndLinksAndTheNextChangesNothing(t *testing.T) {
	w := setUp(t, threeItems, "1", "2", "3")
	w.steam.Forget()
	r, err := w.build(t.Context(), t, nil)
	if err != nil {
		t.Fatal(err)
	}
	w.wantLinks(t, "1", "2", "3")
	if got, want := r.out[len(r.out)-1], "workshop overlay 'maps': downloaded=3 cached=0 skipped=0 created=3 removed=0 unchanged=0 errors=0"; got != want {
		t.Errorf("last line %q, want %q", got, want)
	}
	if w.steam.Count("details") != 0 {
		t.Error("the build asked Steam for metadata")
	}
	info, err := os.Stat(filepath.Join(w.root, "workshop_cache", "3.vpk"))
	if err != nil || info.ModTime().Unix() != 1700000000 {
		t.Errorf("3.vpk has %v, %v", info.ModTime(), err)
	}
	if i := w.item(t, "1"); i.DownloadedAt.IsZero() || i.State() != "ready" {
		t.Errorf("item 1: %+v is %s", i, i.State())
	}
	if r.last.ItemsDone != 3 || r.last.ItemsTotal != 3 || r.last.BytesDone != r.last.BytesTotal || r.last.BytesTotal == 0 {
		t.Errorf("progress at the end: %+v", r.last)
	}

	content := w.steam.Count("content")
	again, err := w.build(t.Context(), t, nil)
	if err != nil || w.steam.Count("content") != content {
		t.Errorf("second build: %v, %d more downloads", err, w.steam.Count("content")-content)
	}
	if got, want := again.out, []string{"workshop overlay 'maps': downloaded=0 cached=3 skipped=0 created=0 removed=0 unchanged=3 errors=0"}; !slices.Equal(got, want) {
		t.Errorf("second build says %q", got)
	}
}

func TestOutdatedFilesAreDownloadedAgain(t *testing.T) {
	w := setUp(t, threeItems, "1", "2", "3")
	if _, err := w.build(t.Context(), t, nil); err != nil {
		t.Fatal(err)
	}
	cache := filepath.Join(w.root, "workshop_cache")
	for id, change := range map[steam.ID]func() error{
		"1": func() error { return os.Remove(filepath.Join(cache, "1.vpk")) },
		"2": func() error { return os.Chtimes(filepath.Join(cache, "2.vpk"), time.Time{}, time.Unix(5, 0)) },
		"3": func() error {
			_, err := w.db.ExecContext(t.Context(), `UPDATE workshop_items SET last_downloaded_at = NULL WHERE steam_id = '3'`)
			return errors.Join(err, os.Truncate(filepath.Join(cache, "3.vpk"), 10))
		},
	} {
		if err := change(); err != nil {
			t.Fatal(err)
		}
		r, err := w.build(t.Context(), t, nil)
		if err != nil || !strings.Contains(r.out[len(r.out)-1], "downloaded=1 cached=2 ") {
			t.Errorf("item %s: %v, %v", id, r.out, err)
		}
		w.wantLinks(t, "1", "2", "3")
	}
}

// A build was killed after it had renamed the file, or another one has recorded a failure since.
func TestAFreshFileCorrectsItsRow(t *testing.T) {
	w := setUp(t, threeItems, "1", "2", "3")
	if _, err := w.build(t.Context(), t, nil); err != nil {
		t.Fatal(err)
	}
	w.steam.Forget()
	for name, wrong := range map[string]string{
		"never downloaded": `last_downloaded_at = NULL, downloaded_time_updated = 0, downloaded_file_size = 0`,
		"an older version": `downloaded_time_updated = 5, downloaded_file_size = 6`,
		"failed":           `last_error = 'download failed: disk full'`,
	} {
		if _, err := w.db.ExecContext(t.Context(), `UPDATE workshop_items SET `+wrong+` WHERE steam_id = '2'`); err != nil {
			t.Fatal(err)
		}
		r, err := w.build(t.Context(), t, nil)
		if want := "workshop overlay 'maps': downloaded=0 cached=3 skipped=0 created=0 removed=0 unchanged=3 errors=0"; err != nil || r.out[len(r.out)-1] != want {
			t.Errorf("%s: %q, %v", name, r.out, err)
		}
		if got := w.item(t, "2").State(); got != workshop.Ready {
			t.Errorf("%s: then the item is %q", name, got)
		}
	}
	if n := w.steam.Count("content"); n != 0 {
		t.Errorf("%d downloads", n)
	}
}

func TestABuildThatDownloadsRemovesOldLeftovers(t *testing.T) {
	w := setUp(t, "item 1\n", "1")
	cache := w.host.Cache.Dir()
	if err := os.Mkdir(cache, 0o755); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	for name, written := range map[string]time.Time{"8.vpk.partial": now.Add(-25 * time.Hour), "9.vpk.partial": now.Add(-20 * time.Hour)} {
		path := filepath.Join(cache, name)
		if err := errors.Join(os.WriteFile(path, []byte("left"), 0o600), os.Chtimes(path, time.Time{}, written)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.build(t.Context(), t, nil); err != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(filepath.Join(cache, "*.partial")); len(left) != 1 || filepath.Base(left[0]) != "9.vpk.partial" {
		t.Errorf("left: %v", left)
	}
}

func TestItemsWithoutADownloadAreSkippedWithAWarning(t *testing.T) {
	w := setUp(t, "item 1\nitem 2 result=9\nitem 3 trap=true\n", "1", "2", "3")
	r, err := w.build(t.Context(), t, nil)
	if err != nil {
		t.Fatal(err)
	}
	w.wantLinks(t, "1")
	want := []string{
		"workshop item 2 skipped: no file_url (steam result: 9)",
		"workshop item 3 skipped: no file_url (steam result: steam offers no direct download for this item)",
	}
	if !slices.Equal(r.err, want) {
		t.Errorf("stderr %q", r.err)
	}
	if got := r.out[len(r.out)-1]; got != "workshop overlay 'maps': downloaded=1 cached=0 skipped=2 created=1 removed=0 unchanged=0 errors=0" {
		t.Errorf("last line %q", got)
	}
}

// One bad item fails the build. The other items are downloaded all the same.
func TestABadItemFailsTheBuildAndChangesNoLink(t *testing.T) {
	for name, c := range map[string]struct{ fault, reason string }{
		"cut short":                  {"content/2 cut=1000", "length 1000 of 65536 bytes|unexpected EOF"},
		"wrong content":              {"content/2 corrupt=true", "SHA-1"},
		"longer than promised":       {"content/2 grow=10", ""},
		"the preview picture":        {"content/2 picture=true", ""},
		"a page instead of the file": {"content/2 html=true", "HTML"},
		"not there":                  {"content/2 status=404", "404"},
		"a redirect to elsewhere":    {"content/2 redirect=https://example.com/x", "refused"},
	} {
		t.Run(name, func(t *testing.T) {
			w := setUp(t, "item 1\nitem 2\nitem 3\n"+c.fault, "1", "2", "3")
			r, err := w.build(t.Context(), t, nil)
			if err == nil {
				t.Fatal("the build succeeded")
			}
			if !regexp.MustCompile(`1 of 3 downloads failed.*: 2 \(.*(` + c.reason + `)`).MatchString(err.Error()) {
				t.Errorf("the job's error: %v", err)
			}
			w.wantLinks(t)
			for _, id := range []steam.ID{"1", "3"} {
				if got := w.item(t, id).State(); got != "downloaded, not linked yet" {
					t.Errorf("item %s is %q", id, got)
				}
			}
			if got := w.item(t, "2"); !strings.HasPrefix(got.LastError, "download failed: ") || got.State() != got.LastError {
				t.Errorf("item 2 has %q, is %q", got.LastError, got.State())
			}
			retried := 0
			for _, line := range r.err {
				if regexp.MustCompile(`^workshop 2 attempt [12]/3 failed: .`).MatchString(line) {
					retried++
				}
			}
			if retried != 2 || w.steam.Count("content") < 5 {
				t.Errorf("%d lines of failed attempts, %d requests: %q", retried, w.steam.Count("content"), r.err)
			}
			if got := r.out[len(r.out)-1]; got != "workshop overlay 'maps': downloaded=2 cached=0 skipped=0 created=0 removed=0 unchanged=0 errors=1" {
				t.Errorf("last line %q", got)
			}
			if names, _ := filepath.Glob(filepath.Join(w.root, "workshop_cache", "2.vpk")); len(names) != 0 {
				t.Error("a bad file has its final name")
			}

			w.steam.Reset()
			if _, err := w.build(t.Context(), t, nil); err != nil {
				t.Fatalf("after Steam's fault has ended: %v", err)
			}
			w.wantLinks(t, "1", "2", "3")
			for _, id := range []steam.ID{"1", "2", "3"} {
				if got := w.item(t, id).State(); got != "ready" {
					t.Errorf("then item %s is %q", id, got)
				}
			}
			if left, _ := filepath.Glob(filepath.Join(w.root, "workshop_cache", "*.partial")); len(left) != 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

// The last copy of what Steam has lost stays linked, whichever version it is (P18). Without a copy there is no link.
func TestTheLastCopyStaysLinked(t *testing.T) {
	w := setUp(t, threeItems, "1", "2", "3")
	if _, err := w.build(t.Context(), t, nil); err != nil {
		t.Fatal(err)
	}
	refresh := func(news string) {
		t.Helper()
		w.steam.Tell(t, news)
		if _, err := w.host.Items.RefreshOverlay(t.Context(), w.client, w.admin, w.get(t, w.overlay.ID)); err != nil {
			t.Fatal(err)
		}
	}
	refresh("update 2 size=70KiB")
	refresh("remove 1\nremove 2\nremove 3")
	if err := os.Remove(filepath.Join(w.host.Cache.Dir(), "3.vpk")); err != nil {
		t.Fatal(err)
	}
	r, err := w.build(t.Context(), t, nil)
	if want := "workshop overlay 'maps': downloaded=0 cached=0 skipped=3 created=0 removed=1 unchanged=2 errors=0"; err != nil || r.out[len(r.out)-1] != want {
		t.Errorf("%q, %v", r.out, err)
	}
	if links := w.links(t); len(links) != 2 || links["1.vpk"] == "" || links["2.vpk"] == "" {
		t.Errorf("links: %v", links)
	}
	for id, want := range map[steam.ID]string{"1": "not on Steam any more, last copy kept", "2": "not on Steam any more, last copy kept", "3": "not on Steam any more"} {
		if got := w.item(t, id).State(); got != want {
			t.Errorf("item %s is %q, want %q", id, got, want)
		}
	}
	if o := w.get(t, w.overlay.ID); o.LastBuildStatus != "ok" {
		t.Errorf("the overlay is %q", o.LastBuildStatus)
	}
}

// Whatever stops a build, no item counts as linked without its link.
func TestWhatIsRecordedAsLinkedIsLinked(t *testing.T) {
	w := setUp(t, threeItems, "1", "2", "3")
	w.steam.Tell(t, "content/3 status=404")
	recorded := func() (names []string) {
		t.Helper()
		ids, err := w.host.Items.Links(t.Context(), w.overlay.ID, "here")
		if err != nil {
			t.Fatal(err)
		}
		for id := range ids {
			name, err := db.Row(t.Context(), w.db, db.Value[string], `SELECT steam_id || '.vpk' FROM workshop_items WHERE id = ?`, id)
			if err != nil {
				t.Fatal(err)
			}
			names = append(names, name)
		}
		return slices.Sorted(slices.Values(names))
	}
	if _, err := w.build(t.Context(), t, nil); err == nil || len(recorded()) != 0 {
		t.Fatalf("after a failed build %q are recorded (%v)", recorded(), err)
	}
	remove := func(id steam.ID) {
		t.Helper()
		if _, _, err := w.host.Items.Remove(t.Context(), w.admin, w.overlay, []int64{w.item(t, id).ID}); err != nil {
			t.Fatal(err)
		}
	}
	remove("3")
	if _, err := w.build(t.Context(), t, nil); err != nil || !slices.Equal(recorded(), []string{"1.vpk", "2.vpk"}) {
		t.Fatalf("after a good build %q are recorded (%v)", recorded(), err)
	}

	// What was removed counts as linked as long as builds fail, until the links are changed.
	if _, err := w.host.Items.Add(t.Context(), w.client, w.admin, w.overlay, []steam.ID{"3"}, workshop.Items, nil); err != nil {
		t.Fatal(err)
	}
	remove("1")
	if _, err := w.build(t.Context(), t, nil); err == nil || !slices.Equal(recorded(), []string{"1.vpk", "2.vpk"}) {
		t.Errorf("after another failed build %q are recorded (%v)", recorded(), err)
	}
	w.steam.Reset()
	r := &report{}
	h, o := *w.host, w.get(t, w.overlay.ID)
	h.Report = r
	if err := builder.Build(t.Context(), &h, o); err != nil {
		t.Fatal(err)
	}
	// The process dies here: the links are changed, and nothing is recorded any more.
	w.wantLinks(t, "2", "3")
	if got := recorded(); !slices.Equal(got, []string{"2.vpk"}) {
		t.Errorf("after a build that was lost %q are recorded", got)
	}
	if _, err := w.build(t.Context(), t, nil); err != nil || !slices.Equal(recorded(), []string{"2.vpk", "3.vpk"}) {
		t.Errorf("after the next build %q are recorded (%v)", recorded(), err)
	}
}

func TestATemporaryFaultIsRetried(t *testing.T) {
	w := setUp(t, "item 1 size=400KiB\ncontent/1 cut=100000 times=1\n", "1")
	r, err := w.build(t.Context(), t, nil)
	if err != nil {
		t.Fatal(err)
	}
	w.wantLinks(t, "1")
	if len(r.err) != 1 || !strings.HasPrefix(r.err[0], "workshop 1 attempt 1/3 failed: ") {
		t.Errorf("stderr %q", r.err)
	}
}

func TestForeignFilesStay(t *testing.T) {
	w := setUp(t, threeItems, "1", "2", "3")
	if _, err := w.build(t.Context(), t, nil); err != nil {
		t.Fatal(err)
	}
	foreign := map[string]func(string) error{
		"mine.vpk": func(p string) error { return os.WriteFile(p, []byte("mine"), 0o644) },
		"link.vpk": func(p string) error { return os.Symlink("/nowhere/else.vpk", p) },
		"folder":   func(p string) error { return os.Mkdir(p, 0o755) },
	}
	for name, make := range foreign {
		if err := make(filepath.Join(w.addons(), name)); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := w.host.Items.Remove(t.Context(), w.admin, w.overlay, []int64{w.item(t, "2").ID}); err != nil {
		t.Fatal(err)
	}
	r, err := w.build(t.Context(), t, nil)
	if err != nil || !strings.Contains(r.out[len(r.out)-1], "created=0 removed=1 unchanged=2") {
		t.Fatalf("%q, %v", r.out, err)
	}
	found := w.links(t)
	if len(found) != 5 || found["mine.vpk"] != "not a link" || found["link.vpk"] != "/nowhere/else.vpk" || found["folder"] == "" || found["2.vpk"] != "" {
		t.Errorf("the folder holds %v", found)
	}

	// A foreign file with the name of a wanted link fails the build and stays.
	if err := os.Remove(filepath.Join(w.addons(), "1.vpk")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(w.addons(), "1.vpk"), []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(w.addons(), "3.vpk")); err != nil {
		t.Fatal(err)
	}
	r, err = w.build(t.Context(), t, nil)
	if err == nil || !strings.Contains(err.Error(), "left4dead2/addons/1.vpk (a file)") {
		t.Errorf("the job's error: %v", err)
	}
	if got := r.out[len(r.out)-1]; !strings.HasSuffix(got, "created=0 removed=0 unchanged=0 errors=1") {
		t.Errorf("last line %q", got)
	}
	if found := w.links(t); found["1.vpk"] != "not a link" || found["3.vpk"] != "" {
		t.Errorf("the folder holds %v", found)
	}
}

func TestABuildCancelledAtAnyStepIsCompletedByTheNext(t *testing.T) {
	for _, at := range []string{"directory", "1 download starts", "attempt 1/3", "download finished"} {
		t.Run(at, func(t *testing.T) {
			w := setUp(t, "item 1 size=200KiB\nitem 2 size=2MiB\ncontent/1 cut=50000 times=1\ncontent/2 rate=100KiB\n", "1", "2")
			w.host.FirstPause = time.Hour // a pause must not hold up a cancel
			if at == "download finished" {
				w.host.FirstPause = time.Millisecond
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			r, err := w.build(ctx, t, func(line string) {
				if strings.Contains(line, at) {
					cancel()
				}
			})
			if !errors.Is(err, context.Canceled) {
				t.Fatalf("%v, %q", err, r.out)
			}
			w.wantLinks(t)
			if left, _ := filepath.Glob(filepath.Join(w.root, "workshop_cache", "*.partial")); len(left) != 0 {
				t.Errorf("left behind: %v", left)
			}
			if i := w.item(t, "2"); i.LastError != "" {
				t.Errorf("item 2 has last_error %q", i.LastError)
			}
			w.steam.Reset()
			w.host.FirstPause = time.Millisecond
			if _, err := w.build(t.Context(), t, nil); err != nil {
				t.Fatal(err)
			}
			w.wantLinks(t, "1", "2")
		})
	}
}

func TestRetryAfterDelaysTheNextAttempt(t *testing.T) {
	w := setUp(t, "item 1\ncontent/1 status=503 retry-after=1 times=1\n", "1")
	begun := time.Now()
	if _, err := w.build(t.Context(), t, nil); err != nil {
		t.Fatal(err)
	}
	if waited := time.Since(begun); waited < time.Second {
		t.Errorf("the next attempt came after %s", waited)
	}
}

func TestExternalOverlaysKeepTheirFiles(t *testing.T) {
	w := setUp(t, "")
	w.overlay = w.make(t, "by hand", overlay.External)
	r, err := w.build(t.Context(), t, nil)
	if err != nil || len(r.out) != 1 || len(r.err) != 0 {
		t.Fatalf("%q, %q, %v", r.out, r.err, err)
	}
	dir := filepath.Join(w.root, "overlays", w.overlay.Path())
	if err := os.WriteFile(filepath.Join(dir, "mine.txt"), []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	before, err := os.Stat(dir)
	if err != nil {
		t.Fatal(err)
	}
	if r, err := w.build(t.Context(), t, nil); err != nil || len(r.out) != 1 {
		t.Errorf("%q, %v", r.out, err)
	}
	if after, err := os.Stat(dir); err != nil || !after.ModTime().Equal(before.ModTime()) {
		t.Errorf("the directory was touched: %v, %v", after, err)
	}
}

func TestATypeWithoutABuilderIsAnError(t *testing.T) {
	w := setUp(t, "")
	if _, err := w.db.ExecContext(t.Context(), `UPDATE overlays SET type = 'torrent'`); err != nil {
		t.Fatal(err)
	}
	if _, err := w.build(t.Context(), t, nil); err == nil || !strings.Contains(err.Error(), `"torrent"`) {
		t.Errorf("build = %v", err)
	}
	for _, typ := range overlay.Types(w.admin) {
		w.overlay = w.make(t, typ.Name, typ)
		if _, err := w.build(t.Context(), t, nil); err != nil {
			t.Errorf("type %s: %v", typ.Name, err)
		}
	}
}

func TestABuildsLinesNameTheType(t *testing.T) {
	w := setUp(t, "")
	for _, build := range []func(overlay.Builder, context.Context, overlay.Overlay) error{overlay.Builder.LinkItems, overlay.Builder.MakeDirectory} {
		o, r := w.overlay, &report{}
		o.Type = &overlay.Type{Name: "shared", Build: build}
		h := *w.host
		h.Report = r
		if err := builder.Build(t.Context(), &h, o); err != nil {
			t.Fatal(err)
		}
		if last := r.out[len(r.out)-1]; !strings.HasPrefix(last, "shared overlay 'maps': ") {
			t.Errorf("the last line is %q", last)
		}
	}
}

func TestTheDirectoryIsMadeOnceAndForeignOnesAreRefused(t *testing.T) {
	const disagree = "disk and database disagree"
	dirOf := func(w *fixture) string { return filepath.Join(w.root, "overlays", w.overlay.Path()) }
	put := func(w *fixture, marker string) error {
		return errors.Join(os.MkdirAll(dirOf(w), 0o755), os.WriteFile(filepath.Join(dirOf(w), ".left4me-overlay"), []byte(marker), 0o644))
	}
	for name, c := range map[string]struct {
		before func(t *testing.T, w *fixture) error
		says   string
	}{
		"nothing there":   {func(*testing.T, *fixture) error { return nil }, ""},
		"somebody else's": {func(_ *testing.T, w *fixture) error { return os.MkdirAll(dirOf(w), 0o755) }, disagree},
		"another database's": {func(_ *testing.T, w *fixture) error {
			return put(w, "This directory belongs to left4me's overlay 1.\nother\n")
		}, disagree},
		"a link": {func(_ *testing.T, w *fixture) error {
			return errors.Join(os.MkdirAll(w.host.OverlaysDir, 0o755), os.Symlink(w.root, dirOf(w)))
		}, disagree},
		"a crash before recording": {recorded(false), ""},
		"built before":             {recorded(true), ""},
		"built, emptied by hand": {func(t *testing.T, w *fixture) error {
			return errors.Join(recorded(true)(t, w), os.RemoveAll(dirOf(w)), os.Mkdir(dirOf(w), 0o755))
		}, ""},
		"built, removed by hand":       {func(t *testing.T, w *fixture) error { return errors.Join(recorded(true)(t, w), os.RemoveAll(dirOf(w))) }, ""},
		"built, replaced by another's": {func(t *testing.T, w *fixture) error { return errors.Join(recorded(true)(t, w), put(w, "another")) }, disagree},
		"built, a FIFO as its marker": {func(t *testing.T, w *fixture) error {
			return errors.Join(recorded(true)(t, w), replaceMarker(dirOf(w), unix.S_IFIFO))
		}, disagree},
		"built, a very large file as its marker": {func(t *testing.T, w *fixture) error {
			return errors.Join(recorded(true)(t, w), replaceMarker(dirOf(w), unix.S_IFREG))
		}, disagree},
		"a crash while making": {func(_ *testing.T, w *fixture) error {
			return os.MkdirAll(filepath.Join(w.host.OverlaysDir, ".new-"+w.overlay.Path(), "x"), 0o755)
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := setUp(t, "item 1\n", "1")
			if err := c.before(t, w); err != nil {
				t.Fatal(err)
			}
			_, err := w.build(t.Context(), t, nil)
			if c.says != "" {
				if err == nil || !strings.Contains(err.Error(), c.says) {
					t.Errorf("build = %v, want %q", err, c.says)
				}
				if entries, _ := os.ReadDir(filepath.Join(w.root, "workshop_cache")); len(entries) > 0 && !strings.HasPrefix(name, "built, ") {
					t.Error("the build went on")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			w.wantLinks(t, "1")
			if at, err := w.host.Overlays.DirectoryAt(t.Context(), w.overlay.ID, "here"); err != nil || at.IsZero() {
				t.Errorf("the directory was recorded as made at %v, %v", at, err)
			}
			if _, err := os.Stat(filepath.Join(dirOf(w), ".left4me-overlay")); err != nil {
				t.Error(err)
			}
			if left, _ := filepath.Glob(filepath.Join(w.host.OverlaysDir, ".new-*")); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

// recorded builds once. Unless remember is set, it then removes the record of the directory, as if the build had crashed before it.
func recorded(remember bool) func(*testing.T, *fixture) error {
	return func(t *testing.T, w *fixture) error {
		if _, err := w.build(t.Context(), t, nil); err != nil || remember {
			return err
		}
		_, err := w.db.ExecContext(t.Context(), `UPDATE overlay_hosts SET directory_at = NULL`)
		return err
	}
}
