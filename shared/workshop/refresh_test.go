package workshop_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"left4me/shared/db"
	"left4me/shared/db/dbtest"
	"left4me/shared/overlay"
	"left4me/shared/problem"
	"left4me/shared/steam"
	"left4me/shared/workshop"
)

// refreshes returns a fixture with an overlay that holds ids and has no jobs.
func refreshes(t *testing.T, open dbtest.Backend, text string, ids ...steam.ID) fixture {
	t.Helper()
	w := setUp(t, open, text)
	w.holds(t, w.overlay, ids...)
	return w
}

// holds adds ids to an overlay and makes it look built: its status is ok, and it has no jobs.
func (w fixture) holds(t *testing.T, o overlay.Overlay, ids ...steam.ID) {
	t.Helper()
	if _, err := w.Add(t.Context(), w.client, w.anna, o, ids, workshop.Items, nil); err != nil {
		t.Fatal(err)
	}
	w.exec(t, `DELETE FROM jobs`)
	w.exec(t, `UPDATE overlays SET last_build_status = 'ok'`)
	w.steam.Forget()
}

func (w fixture) exec(t *testing.T, query string, args ...any) {
	t.Helper()
	if _, err := w.db.ExecContext(t.Context(), query, args...); err != nil {
		t.Fatal(err)
	}
}

// queued returns the overlays with a queued build, each with the person who requested it.
func (w fixture) queued(t *testing.T) map[int64]int64 {
	t.Helper()
	rows, err := w.db.QueryContext(t.Context(), `SELECT subject_id, COALESCE(user_id, 0) FROM jobs WHERE operation = 'build_overlay' AND state = 'queued'`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	found := map[int64]int64{}
	for rows.Next() {
		var o, u int64
		if err := rows.Scan(&o, &u); err != nil {
			t.Fatal(err)
		}
		found[o] = u
	}
	if rows.Err() != nil {
		t.Fatal(rows.Err())
	}
	return found
}

func (w fixture) status(t *testing.T, o overlay.Overlay) string {
	t.Helper()
	now, err := w.overlays.Get(t.Context(), o.ID)
	if err != nil {
		t.Fatal(err)
	}
	return now.LastBuildStatus
}

func (w fixture) row(t *testing.T, steamID steam.ID) workshop.Item {
	t.Helper()
	all, err := w.OfOverlay(t.Context(), w.overlay.ID)
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range all {
		if i.SteamID == steamID {
			return i
		}
	}
	t.Fatalf("no item %s", steamID)
	return workshop.Item{}
}

func ids(items []steam.Item) string {
	var all []string
	for _, i := range items {
		all = append(all, string(i.SteamID))
	}
	return strings.Join(all, ",")
}

func TestRefreshOfAnOverlayUpdatesOnlyItsItems(t *testing.T) {
	dbtest.Each(t, testRefreshOfAnOverlayUpdatesOnlyItsItems)
}

func testRefreshOfAnOverlayUpdatesOnlyItsItems(t *testing.T, open dbtest.Backend) {
	w := refreshes(t, open, "item 1\nitem 2\nitem 3\nitem 4\nitem 5\nitem 6\n", "1", "2", "3", "4", "5")
	w.holds(t, w.make(t, "others"), "6")
	w.exec(t, `UPDATE workshop_items SET last_downloaded_at = 7, last_error = 'download failed: once'`)
	before := w.row(t, "3")
	w.steam.Tell(t, "update 1 size=70KiB title=New filename=new.vpk\nremove 2\nitem 3 app=730 title=\"Dust II\" updated=1900000000\nitem 5 trap=true\ndetails omit=4\n")

	found, err := w.RefreshOverlay(t.Context(), w.client, w.anna, w.overlay)
	if err != nil {
		t.Fatal(err)
	}
	if len(found.Builds) != 1 || found.Builds[0].OverlayID != w.overlay.ID || found.Builds[0].ID == 0 {
		t.Errorf("builds: %+v", found.Builds)
	}
	if got := fmt.Sprint(found.Items, "/", ids(found.Unavailable), "/", ids(found.Missing), "/", ids(found.Foreign)); got != "5/2,5/4/3" {
		t.Errorf("items/unavailable/missing/foreign: %s", got)
	}
	if !strings.HasPrefix(ids(found.Changed), "1") || len(found.Advanced) != 1 || found.Advanced[0] != w.row(t, "1").ID {
		t.Errorf("changed %s, advanced %v", ids(found.Changed), found.Advanced)
	}
	asked := w.steam.Requests()
	if len(asked) != 1 || !slices.Equal(asked[0].IDs, []string{"1", "2", "3", "4", "5"}) {
		t.Errorf("Steam was asked %v", asked)
	}

	updated, _ := w.steam.Item("1")
	if i := w.row(t, "1"); i.Title != "New" || i.Filename != "new.vpk" || i.FileURL != w.steam.FileURL("1") || i.FileSize != 70<<10 || i.Updated != updated.Updated || i.PreviewURL == "" || i.LastError != "" {
		t.Errorf("item 1: %+v", i)
	}
	for id, want := range map[steam.ID]string{"2": "steam result 9", "4": "steam returned no entry for this item", "5": "steam offers no direct download for this item"} {
		if i := w.row(t, id); i.LastError != want || i.FileURL != "" {
			t.Errorf("item %s: last_error %q, file_url %q", id, i.LastError, i.FileURL)
		}
	}
	if after := w.row(t, "3"); !reflect.DeepEqual(after, before) {
		t.Errorf("the row of another game's item went from %+v to %+v", before, after)
	}
	for _, id := range []steam.ID{"1", "2", "3", "4", "5"} {
		if i := w.row(t, id); i.DownloadedAt.UnixMilli() != 7 {
			t.Errorf("item %s: last_downloaded_at was touched: %v", id, i.DownloadedAt)
		}
	}
	if got := w.queued(t); len(got) != 1 || got[w.overlay.ID] != w.anna.ID {
		t.Errorf("builds by overlay and person: %v", got)
	}
}

// A change that one person's refresh finds affects all overlays with the item, and no others.
func TestRefreshOfAnOverlayRebuildsOthersWithChangedItems(t *testing.T) {
	dbtest.Each(t, testRefreshOfAnOverlayRebuildsOthersWithChangedItems)
}

func testRefreshOfAnOverlayRebuildsOthersWithChangedItems(t *testing.T, open dbtest.Backend) {
	w := refreshes(t, open, "item 1\nitem 2\nitem 3\n", "1", "2", "3")
	later, renamed, gone, same, deleted := w.make(t, "later"), w.make(t, "renamed"), w.make(t, "gone"), w.make(t, "same"), w.make(t, "deleted")
	w.steam.Tell(t, "item 4\n")
	w.holds(t, w.overlay, "4")
	w.holds(t, later, "1")
	w.holds(t, renamed, "2")
	w.holds(t, gone, "3")
	w.holds(t, same, "4")
	w.holds(t, deleted, "1", "2")
	w.exec(t, `UPDATE overlays SET deleted_at = 1 WHERE id = ?`, deleted.ID)
	w.steam.Tell(t, "update 1\nitem 2 filename=other.vpk\nremove 3\n")
	if _, err := w.RefreshOverlay(t.Context(), w.client, w.anna, w.overlay); err != nil {
		t.Fatal(err)
	}
	got := w.queued(t)
	if want := map[int64]int64{w.overlay.ID: w.anna.ID, later.ID: 0, renamed.ID: 0}; len(got) != len(want) || got[w.overlay.ID] != w.anna.ID || got[later.ID] != 0 || got[renamed.ID] != 0 {
		t.Errorf("builds by overlay and person: %v, want %v", got, want)
	}
	for o, want := range map[overlay.Overlay]string{w.overlay: "", later: "", renamed: "", gone: "ok", same: "ok"} {
		if got := w.status(t, o); got != want {
			t.Errorf("overlay %s: last_build_status %q, want %q", o.Name, got, want)
		}
	}
}

func TestRefreshOfAnOverlayIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		fault  string
		ids    []steam.ID
		status int
		says   string
		asks   int
	}{
		"without items": {"", nil, http.StatusBadRequest, "overlay has no items", 0},
		"by Steam":      {"details status=403\n", []steam.ID{"1"}, http.StatusBadGateway, "steam api error: steam answered 403", 1},
		"half the way":  {"details/150 status=403\n", numbers(150), http.StatusBadGateway, "steam api error: steam answered 403", 1},
	} {
		t.Run(name, func(t *testing.T) {
			w := refreshes(t, dbtest.New, catalogOf(150), c.ids...)
			for _, id := range c.ids {
				w.steam.Tell(t, "update "+string(id)+" title=New")
			}
			w.steam.Tell(t, c.fault)
			_, err := w.RefreshOverlay(t.Context(), w.client, w.anna, w.overlay)
			p, ok := problem.As(err)
			if !ok || p.Status != c.status || !strings.Contains(p.Sentence, c.says) {
				t.Errorf("Overlay: %v", err)
			}
			if len(w.queued(t)) != 0 || w.status(t, w.overlay) == "" && len(c.ids) > 0 {
				t.Error("a refused refresh left something behind")
			}
			all, err := w.OfOverlay(t.Context(), w.overlay.ID)
			if err != nil || len(all) != len(c.ids) {
				t.Errorf("%d items, %v", len(all), err)
			}
			for _, i := range all {
				if i.Title == "New" {
					t.Errorf("item %s was written", i.SteamID)
				}
			}
			if got := w.steam.Count("api"); got < c.asks || c.asks == 0 && got > 0 {
				t.Errorf("Steam was asked %d times", got)
			}
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

// A libSQL server ends a transaction after 5 s, and each statement takes a round trip.
func TestTheNumberOfStatementsDoesNotDependOnThatOfOverlays(t *testing.T) {
	const overlays, requests = 1000, 5
	var server *dbtest.Server
	w := refreshes(t, func(t testing.TB) *db.DB {
		server = dbtest.Serve(t)
		return server.Open(t)
	}, catalogOf(101), "1")
	w.exec(t, `INSERT INTO overlays (name, type, user_id, uid, created_at)
		SELECT 'overlay ' || value, 'workshop', ?, 'uid ' || value, 0 FROM json_each(?)`, w.anna.ID, strings.ReplaceAll(fmt.Sprint(numbers(overlays)), " ", ","))
	w.exec(t, `INSERT INTO overlay_workshop_items (overlay_id, workshop_item_id, added_at)
		SELECT o.id, i.id, 0 FROM overlays o, workshop_items i WHERE o.id <> ?`, w.overlay.ID)
	w.exec(t, `UPDATE overlays SET last_build_status = 'ok'`)
	for name, change := range map[string]func() error{
		"refresh of all": func() error {
			return w.Refresh(t.Context(), w.client, []steam.ID{"1"}, func(found workshop.Refreshed) {
				if len(found.Builds) != overlays+1 {
					t.Errorf("%d builds", len(found.Builds))
				}
			})
		},
		"refresh of one": func() error {
			_, err := w.RefreshOverlay(t.Context(), w.client, w.anna, w.overlay)
			return err
		},
		"import": func() error {
			a, err := w.Add(t.Context(), w.client, w.anna, w.overlay, numbers(101)[1:], workshop.Items, nil)
			if a.New != 100 {
				t.Errorf("added %+v", a)
			}
			return err
		},
	} {
		w.exec(t, `DELETE FROM jobs`)
		w.steam.Tell(t, "update 1\n")
		server.Received()
		if err := change(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		asked := server.Received()
		if n := len(asked); n == 0 || n > requests {
			t.Errorf("%s: %d requests: %q", name, n, asked)
		}
		if got, want := len(w.queued(t)), overlays+1; name != "import" && got != want {
			t.Errorf("%s: %d builds, want %d", name, got, want)
		}
	}
}

// An interrupted refresh has saved each batch together with its builds, or not at all.
func TestRefreshSavesBatchesTogetherWithTheirBuilds(t *testing.T) {
	dbtest.Each(t, testRefreshSavesBatchesTogetherWithTheirBuilds)
}

func testRefreshSavesBatchesTogetherWithTheirBuilds(t *testing.T, open dbtest.Backend) {
	const n = 350
	for name, c := range map[string]struct {
		fault string
		stop  bool
		says  string
	}{
		"to the end":               {"", false, ""},
		"Steam fails for good":     {"details/1 status=503\n", false, "steam api error: steam answered 403"},
		"it is cancelled":          {"details/1 delay=1h\n", true, "context canceled"},
		"the database has no room": {"", false, "no room"},
	} {
		t.Run(name, func(t *testing.T) {
			w := refreshes(t, open, catalogOf(n), numbers(n)...)
			var overlays []overlay.Overlay
			for first := 1; first <= n; first += 50 {
				o := w.make(t, fmt.Sprint("from ", first))
				w.holds(t, o, numbers(n)[first-1:first-1+50]...)
				overlays = append(overlays, o)
			}
			w.exec(t, `DELETE FROM overlay_workshop_items WHERE overlay_id = ?`, w.overlay.ID)
			for _, id := range numbers(n) {
				w.steam.Tell(t, "update "+string(id))
			}
			w.steam.Tell(t, c.fault)
			if name == "the database has no room" {
				w.exec(t, `CREATE TRIGGER full BEFORE UPDATE ON workshop_items WHEN OLD.steam_id = '70' BEGIN SELECT RAISE(ABORT, 'no room'); END`)
			}

			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			batches, reported := 0, map[int64]bool{}
			err := w.Refresh(ctx, w.client, numbers(n), func(found workshop.Refreshed) {
				batches++
				for _, b := range found.Builds {
					reported[b.OverlayID] = true
				}
				switch {
				case c.stop && batches == 2:
					cancel()
				case c.fault == "details/1 status=503\n" && batches == 1:
					w.steam.Tell(t, "details/1 status=403") // which is not tried again
				}
			})
			switch {
			case c.says == "" && (err != nil || batches != 4):
				t.Fatalf("Each: %v after %d batches", err, batches)
			case c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)):
				t.Fatalf("Each: %v, want %q", err, c.says)
			case c.stop && !errors.Is(err, context.Canceled):
				t.Errorf("Each: %v is no cancel", err)
			case c.says != "" && c.says != "no room" && batches == 0:
				t.Error("no batch was saved before the end, so this shows nothing")
			}
			advanced := map[steam.ID]bool{}
			rows, err := w.db.QueryContext(t.Context(), `SELECT steam_id FROM workshop_items WHERE time_updated > 1740856166`)
			if err != nil {
				t.Fatal(err)
			}
			defer rows.Close()
			for rows.Next() {
				var id steam.ID
				if err := rows.Scan(&id); err != nil {
					t.Fatal(err)
				}
				advanced[id] = true
			}
			queued := w.queued(t)
			for i, o := range overlays {
				var of int
				for _, id := range numbers(n)[i*50 : i*50+50] {
					if advanced[id] {
						of++
					}
				}
				user, has := queued[o.ID]
				if of != 0 && of != 50 {
					t.Errorf("overlay %s: %d of 50 rows of one batch are saved", o.Name, of)
				}
				if has != (of > 0) || has != reported[o.ID] || user != 0 || has != (w.status(t, o) == "") {
					t.Errorf("overlay %s: %d items advanced, build queued %v for person %d, reported %v, status %q", o.Name, of, has, user, reported[o.ID], w.status(t, o))
				}
			}
		})
	}
}

func TestRefreshSendsAtMostFourRequestsAtOnce(t *testing.T) {
	w := setUp(t, dbtest.New, catalogOf(10)+"details hold=1\n")
	go func() {
		if err := w.steam.Await(t.Context(), "details", 4); err != nil {
			t.Error(err)
		}
		w.steam.Reset()
	}()
	if err := w.Refresh(t.Context(), w.client, numbers(2000), func(workshop.Refreshed) {}); err != nil {
		t.Fatal(err)
	}
	if asked, peak := w.steam.Count("details"), w.steam.Peak("details"); asked != 20 || peak != 4 {
		t.Errorf("%d questions, at most %d at once; want 20, and 4", asked, peak)
	}
}

// An item can change without a later time, such as one that is available again. That requires no build (P29), but the overlay no
// longer counts as built. It does if Steam has lost the item, because its last copy stays linked (P18).
func TestOverlaysWithItemsThatChangedOtherwiseDoNotCountAsBuilt(t *testing.T) {
	dbtest.Each(t, testOverlaysWithItemsThatChangedOtherwiseDoNotCountAsBuilt)
}

func testOverlaysWithItemsThatChangedOtherwiseDoNotCountAsBuilt(t *testing.T, open dbtest.Backend) {
	for name, c := range map[string]struct{ before, after, status string }{
		"gone":                    {"", "remove 1", "ok"},
		"left out":                {"", "details omit=1", "ok"},
		"back again":              {"item 1 result=9", "item 1", ""},
		"moved to newer storage":  {"", "item 1 trap=true filename=myl4d2addons/item1.vpk size=1024", ""},
		"an earlier time":         {"", "item 1 updated=1700000000", ""},
		"another size, same time": {"", "item 1 size=5KiB", ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := refreshes(t, open, "item 1\nitem 2\n", "1")
			bystander := w.make(t, "bystander")
			w.holds(t, bystander, "2")
			refresh := func() (builds int) {
				if err := w.Refresh(t.Context(), w.client, []steam.ID{"1", "2"}, func(found workshop.Refreshed) { builds += len(found.Builds) }); err != nil {
					t.Fatal(err)
				}
				return builds
			}
			if c.before != "" {
				w.steam.Tell(t, c.before)
				refresh()
				w.exec(t, `UPDATE overlays SET last_build_status = 'ok'`)
			}
			w.steam.Tell(t, c.after)
			builds := refresh()
			if name != "moved to newer storage" && (builds != 0 || len(w.queued(t)) != 0) {
				t.Errorf("%d builds", builds)
			}
			if w.status(t, w.overlay) != c.status || w.status(t, bystander) != "ok" {
				t.Errorf("last_build_status %q, of the bystander %q", w.status(t, w.overlay), w.status(t, bystander))
			}
			w.exec(t, `UPDATE overlays SET last_build_status = 'ok'`)
			if refresh(); w.status(t, w.overlay) != "ok" {
				t.Error("the same news again is a change")
			}
		})
	}
}

func TestOutdated(t *testing.T) { dbtest.Each(t, testOutdated) }

func testOutdated(t *testing.T, open dbtest.Backend) {
	w := refreshes(t, open, "item 1\nitem 2\nitem 3\nitem 4\nitem 5\n", "1", "2", "3", "4", "5")
	for _, id := range []steam.ID{"1", "2", "3"} {
		if err := w.Downloaded(t.Context(), w.row(t, id), "here"); err != nil {
			t.Fatal(err)
		}
	}
	w.steam.Tell(t, "update 1\nupdate 3\nupdate 4\n")
	var advanced []int64
	if err := w.Refresh(t.Context(), w.client, []steam.ID{"1", "2", "3", "4", "5"}, func(found workshop.Refreshed) { advanced = append(advanced, found.Advanced...) }); err != nil {
		t.Fatal(err)
	}
	w.steam.Tell(t, "remove 3")
	if err := w.Refresh(t.Context(), w.client, []steam.ID{"3"}, func(workshop.Refreshed) {}); err != nil {
		t.Fatal(err)
	}
	for want, also := range map[string][]int64{"1": nil, "1 4": advanced} {
		outdated, err := w.Outdated(t.Context(), "here", also)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, i := range outdated {
			got = append(got, string(i.SteamID))
		}
		if strings.Join(got, " ") != want {
			t.Errorf("Outdated(%v) = %v, want %s", also, got, want)
		}
	}
}

// A build that was slow, or was stopped for a while, reports about the file that it has tried to download, not about the item's next one.
func TestAResultIsRecordedForItsVersionOnly(t *testing.T) {
	dbtest.Each(t, testAResultIsRecordedForItsVersionOnly)
}

func testAResultIsRecordedForItsVersionOnly(t *testing.T, open dbtest.Backend) {
	for name, c := range map[string]struct {
		news       string
		downloaded bool
		want       string
	}{
		"downloaded since":     {"update 1", true, workshop.NotLinked},
		"not downloaded since": {"update 1", false, workshop.WaitingForDownload},
		"another size":         {"item 1 size=5KiB", true, workshop.NotLinked},
		"gone":                 {"remove 1", false, "not on Steam any more"},
	} {
		t.Run(name, func(t *testing.T) {
			w := refreshes(t, open, "item 1\n", "1")
			before := w.row(t, "1")
			w.steam.Tell(t, c.news)
			if err := w.Refresh(t.Context(), w.client, []steam.ID{"1"}, func(workshop.Refreshed) {}); err != nil {
				t.Fatal(err)
			}
			if c.downloaded {
				if err := w.Downloaded(t.Context(), w.row(t, "1"), "here"); err != nil {
					t.Fatal(err)
				}
			}
			want := w.row(t, "1")
			for what, err := range map[string]error{
				"DownloadFailed": w.DownloadFailed(t.Context(), before, "here", errors.New("too late")),
				"Downloaded":     w.Downloaded(t.Context(), before, "here"),
			} {
				if err != nil {
					t.Errorf("%s: %v", what, err)
				}
			}
			if got := w.row(t, "1"); !reflect.DeepEqual(got, want) || got.State() != c.want {
				t.Errorf("the item is %q: %+v, want %q: %+v", got.State(), got, c.want, want)
			}
		})
	}
}
