package garbage_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"left4me/shared/db"
	"left4me/shared/db/dbtest"
	"left4me/shared/garbage"
	"left4me/shared/jobstore"
	"left4me/shared/vpkcache"
	"left4me/shared/workshop"
)

// host is a LEFT4ME_ROOT whose cache has items 1 to 4. Item 1 is in overlay 1.
type host struct {
	*testing.T
	root string
	db   *db.DB
	garbage.Collector
}

func setUp(t *testing.T) *host {
	t.Helper()
	root := t.TempDir()
	h := &host{T: t, root: root, db: dbtest.New(t)}
	dbtest.AddHost(t, h.db, "here", time.Now())
	h.Collector = garbage.Collector{
		HostID:      "here",
		Versions:    2,
		Cache:       vpkcache.New(filepath.Join(root, "workshop_cache"), nil, vpkcache.Options{}),
		Items:       workshop.NewStore(h.db, time.Now, jobstore.NewStore(h.db, time.Now)),
		OverlaysDir: filepath.Join(root, "overlays"),
	}
	h.exec(`INSERT INTO overlays (id, name, type, uid, created_at) VALUES (1, 'maps', 'workshop', 'u', 0)`)
	for id := 1; id <= 4; id++ {
		h.exec(`INSERT INTO workshop_items (id, steam_id, created_at) VALUES (?, ?, 0)`, id, id)
		h.exec(`INSERT INTO item_hosts (workshop_item_id, host_id, last_downloaded_at, downloaded_file_size) VALUES (?, 'here', 5, 9)`, id)
		h.write(fmt.Sprintf("workshop_cache/%d.vpk", id))
	}
	h.exec(`INSERT INTO overlay_workshop_items (overlay_id, workshop_item_id, added_at) VALUES (1, 1, 0)`)
	return h
}

func (h *host) exec(statement string, args ...any) {
	h.Helper()
	if _, err := h.db.ExecContext(h.Context(), statement, args...); err != nil {
		h.Fatal(err)
	}
}

func (h *host) write(name string) {
	h.Helper()
	path := filepath.Join(h.root, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte("content"), 0o644)); err != nil {
		h.Fatal(err)
	}
}

// link makes a link; a target that does not begin with . or / is below the root.
func (h *host) link(name, target string) {
	h.Helper()
	if !strings.HasPrefix(target, ".") && !strings.HasPrefix(target, "/") {
		target = filepath.Join(h.root, target)
	}
	path := filepath.Join(h.root, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.Symlink(target, path)); err != nil {
		h.Fatal(err)
	}
}

func (h *host) cached() (names []string) {
	h.Helper()
	entries, err := os.ReadDir(h.Cache.Dir())
	if err != nil {
		h.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// report is a job's log.
type report struct {
	lines    []string
	progress jobstore.Progress
	each     func()
}

func (r *report) Infof(format string, args ...any) {
	r.lines = append(r.lines, fmt.Sprintf(format, args...))
	if r.each != nil {
		r.each()
	}
}
func (r *report) Warnf(format string, args ...any) { r.Infof("! "+format, args...) }
func (r *report) Progress(p jobstore.Progress)     { r.progress = p }
func (r *report) last() string                     { return r.lines[len(r.lines)-1] }

func TestLinkedFilesStay(t *testing.T) {
	for name, c := range map[string]struct {
		prepare func(h *host)
		left    string
	}{
		"no links":         {func(h *host) {}, "1"},
		"no item at all":   {func(h *host) { h.write("workshop_cache/9.vpk") }, "1"},
		"left4me's own":    {func(h *host) { h.link("overlays/1/left4dead2/addons/2.vpk", "workshop_cache/2.vpk") }, "1 2"},
		"another name":     {func(h *host) { h.link("overlays/7/left4dead2/addons/mine.vpk", "workshop_cache/3.vpk") }, "1 3"},
		"relative":         {func(h *host) { h.link("overlays/7/left4dead2/addons/mine.vpk", "../../../../workshop_cache/3.vpk") }, "1 3"},
		"elsewhere in it":  {func(h *host) { h.link("overlays/7/maps/deep/m", "workshop_cache/4.vpk") }, "1 4"},
		"hidden":           {func(h *host) { h.link("overlays/1/left4dead2/addons/.2.vpk.X", "workshop_cache/2.vpk") }, "1 2"},
		"being deleted":    {func(h *host) { h.link("overlays/.deleted-5/left4dead2/addons/2.vpk", "workshop_cache/2.vpk") }, "1 2"},
		"nobody's overlay": {func(h *host) { h.link("overlays/notes/2.vpk", "workshop_cache/2.vpk") }, "1 2"},
		"the overlay held": {func(h *host) {
			h.exec(`INSERT INTO overlay_workshop_items (overlay_id, workshop_item_id, added_at) VALUES (1, 2, 0)`)
		}, "1 2"},
		"a deleted overlay": {func(h *host) { h.exec(`UPDATE overlays SET deleted_at = 1`) }, "1"},
		"by two links": {func(h *host) {
			h.link("elsewhere/two.vpk", "workshop_cache/2.vpk")
			h.link("overlays/7/left4dead2/addons/two.vpk", "elsewhere/two.vpk")
		}, "1 2"},
		"by another name of the cache": {func(h *host) {
			h.link("cache", "workshop_cache")
			h.link("overlays/7/left4dead2/addons/two.vpk", "cache/2.vpk")
		}, "1 2"},
		"in add-ons that are elsewhere": {func(h *host) {
			h.link("srv/addons/two.vpk", "workshop_cache/2.vpk")
			h.link("overlays/7/left4dead2/addons", "srv/addons")
		}, "1 2"},
		"in an overlay that is elsewhere": {func(h *host) {
			h.link("srv/seven/left4dead2/addons/two.vpk", "workshop_cache/2.vpk")
			h.link("overlays/7", "srv/seven")
		}, "1 2"},
		"overlays are elsewhere": {func(h *host) {
			h.link("srv/1/left4dead2/addons/2.vpk", "workshop_cache/2.vpk")
			h.link("overlays", "srv")
		}, "1 2"},
		"to the whole cache":  {func(h *host) { h.link("overlays/7/left4dead2/addons/all", "workshop_cache") }, "1 2 3 4"},
		"to all of left4me's": {func(h *host) { h.link("overlays/7/up", "../..") }, "1 2 3 4"},
		"to other folders":    {func(h *host) { h.link("overlays/7/up", "/proc/self") }, "1"},
		"that lead nowhere": {func(h *host) {
			h.link("overlays/7/left4dead2/addons/9.vpk", "workshop_cache/9.vpk")
			h.link("overlays/7/left4dead2/addons/2.vpk", "./2.vpk")
			h.link("overlays/7/left4dead2/addons/3.vpk", "workshop_cache/3.vpk/more")
			h.link("overlays/8", "overlays/8")
		}, "1"},
		"that were elsewhere once": {func(h *host) { h.link("overlays/7/left4dead2/addons/2.vpk", "/nowhere/2.vpk") }, "1"},
	} {
		t.Run(name, func(t *testing.T) {
			h := setUp(t)
			c.prepare(h)
			before, err := h.Find(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			r := &report{}
			if err := h.Collect(t.Context(), r); err != nil {
				t.Fatal(err)
			}
			var want []string
			for id := range strings.FieldsSeq(c.left) {
				want = append(want, id+".vpk")
			}
			if got := h.cached(); !slices.Equal(got, want) {
				t.Errorf("left: %q, want %q; log:\n%s", got, want, strings.Join(r.lines, "\n"))
			}
			if after, err := h.Find(t.Context()); err != nil || len(after.Files) != 0 || r.progress.ItemsDone != int64(len(before.Files)) || r.progress.BytesDone != before.Bytes() {
				t.Errorf("then %+v, %v; progress %+v of %d", after, err, r.progress, len(before.Files))
			}
		})
	}
}

// If links cannot be read, no file is removed.
func TestAnUnreadableFolderKeepsAllFiles(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("root reads every folder")
	}
	h := setUp(t)
	h.link("overlays/7/closed/x", "workshop_cache/2.vpk")
	closed := filepath.Join(h.root, "overlays/7/closed")
	if err := os.Chmod(closed, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Chmod(closed, 0o755) })
	if err := h.Collect(t.Context(), &report{}); err == nil || !strings.Contains(err.Error(), "overlays/7/closed: permission denied") {
		t.Errorf("%v", err)
	}
	if n := len(h.cached()); n != 4 {
		t.Errorf("%d files left", n)
	}
}

func TestItemsOfRemovedFilesAreNotDownloaded(t *testing.T) {
	h := setUp(t)
	if err := h.Collect(t.Context(), &report{}); err != nil {
		t.Fatal(err)
	}
	counts, err := h.Items.Count(t.Context())
	if err != nil || counts != (workshop.Counts{Failing: 4}) {
		t.Errorf("%+v, %v", counts, err)
	}
	h.exec(`UPDATE workshop_items SET file_url = 'https://cdn.example/f', file_size = 9`)
	if counts, err = h.Items.Count(t.Context()); err != nil || counts != (workshop.Counts{Ready: 1, Unused: 3}) {
		t.Errorf("%+v, %v", counts, err)
	}
	// A refresh does not download an advanced item that is in no overlay.
	h.exec(`UPDATE workshop_items SET time_updated = 7`)
	if outdated, err := h.Items.Outdated(t.Context(), "here", []int64{1, 2, 3, 4}); err != nil || len(outdated) != 1 || outdated[0].SteamID != "1" {
		t.Errorf("%+v, %v", outdated, err)
	}
}

func TestARunCancelledAtAnyStepIsCompletedByTheNext(t *testing.T) {
	for after := 1; ; after++ {
		h := setUp(t)
		h.write("workshop_cache/2.vpk.partial")
		ctx, cancel := context.WithCancel(t.Context())
		r := &report{}
		r.each = func() {
			if len(r.lines) == after {
				cancel()
			}
		}
		err := h.Collect(ctx, r)
		done := err == nil
		cancel()
		if left := len(h.cached()); !done && (!errors.Is(err, context.Canceled) || left != 5-after) {
			t.Errorf("cancelled after %d lines: %v, %d files left", after, err, left)
		}
		if err := h.Collect(t.Context(), &report{}); err != nil || len(h.cached()) != 1 {
			t.Errorf("the next run: %v, left %q", err, h.cached())
		}
		if done {
			return
		}
	}
}

func TestAFileThatCannotBeRemovedKeepsNoOtherFile(t *testing.T) {
	h := setUp(t)
	found, err := h.Find(t.Context())
	if err != nil || len(found.Files) != 3 {
		t.Fatalf("%+v, %v", found, err)
	}
	// The file that locks item 3 cannot be created.
	if err := os.Mkdir(filepath.Join(h.Cache.Dir(), "3.vpk.partial"), 0o755); err != nil {
		t.Fatal(err)
	}
	r := &report{}
	err = h.Collect(t.Context(), r)
	if err == nil || !strings.HasPrefix(err.Error(), "1 of 3 files could not be removed: 3.vpk.partial in the cache is a directory") {
		t.Errorf("%v", err)
	}
	if got, want := h.cached(), []string{"1.vpk", "3.vpk", "3.vpk.partial"}; !slices.Equal(got, want) {
		t.Errorf("left: %q", got)
	}
	if r.last() != "garbage: removed=2 bytes=14 linked=0 busy=0 errors=1" {
		t.Errorf("log %q", r.lines)
	}
	h.db.Close()
	if err := h.Collect(t.Context(), &report{}); err == nil {
		t.Error("Find succeeded without the database")
	}
}
