package workshop_test

import (
	"log/slog"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"left4me/shared/account"
	"left4me/shared/db"
	"left4me/shared/db/dbtest"
	"left4me/shared/jobstore"
	"left4me/shared/overlay"
	"left4me/shared/problem"
	"left4me/shared/steam"
	"left4me/shared/steam/steamtest"
	"left4me/shared/workshop"
)

type fixture struct {
	*workshop.Store
	client   *steam.Client
	steam    *steamtest.Server
	db       *db.DB
	overlays *overlay.Store
	anna     account.User
	overlay  overlay.Overlay
}

func setUp(t *testing.T, open dbtest.Backend, text string) fixture {
	t.Helper()
	fake := steamtest.Start(t, text)
	d := open(t)
	dbtest.AddHost(t, d, "here", time.Now())
	w := fixture{
		Store:    workshop.NewStore(d, time.Now, jobstore.NewStore(d, time.Now)),
		client:   steam.NewClient(fake.URL, slog.New(slog.DiscardHandler)),
		steam:    fake,
		db:       d,
		overlays: overlay.NewStore(d, time.Now, jobstore.NewStore(d, time.Now)),
	}
	w.anna = account.User{ID: 1, Name: "anna"}
	w.exec(t, `INSERT INTO users (id, name, password_hash, created_at) VALUES (?, ?, 'she never signs in', 0)`, w.anna.ID, w.anna.Name)
	w.overlay = w.make(t, "maps")
	return w
}

func (w fixture) make(t *testing.T, name string) overlay.Overlay {
	t.Helper()
	id, err := w.overlays.Create(t.Context(), w.anna, name, overlay.Workshop.Name)
	if err != nil {
		t.Fatal(err)
	}
	w.exec(t, `DELETE FROM jobs WHERE subject_id = ?`, id)
	o, err := w.overlays.Get(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func (w fixture) held(t *testing.T, o overlay.Overlay) []steam.ID {
	t.Helper()
	items, err := w.OfOverlay(t.Context(), o.ID)
	if err != nil {
		t.Fatal(err)
	}
	ids := []steam.ID{}
	for _, i := range items {
		ids = append(ids, i.SteamID)
	}
	return ids
}

func (w fixture) builds(t *testing.T) int {
	t.Helper()
	return w.count(t, `SELECT COUNT(*) FROM jobs WHERE operation = 'build_overlay'`)
}

func (w fixture) count(t *testing.T, query string) (n int) {
	t.Helper()
	if err := w.db.QueryRowContext(t.Context(), query).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestAddKeepsTheOrderAndCountsExistingItems(t *testing.T) {
	dbtest.Each(t, testAddKeepsTheOrderAndCountsExistingItems)
}

func testAddKeepsTheOrderAndCountsExistingItems(t *testing.T, open dbtest.Backend) {
	w := setUp(t, open, "item 1 title=One\nitem 2\nitem 3\n")
	a, err := w.Add(t.Context(), w.client, w.anna, w.overlay, []steam.ID{"2", "1"}, workshop.Auto, nil)
	if err != nil || a.New != 2 || a.Already != 0 || a.JobID == 0 {
		t.Fatalf("Add = %+v, %v", a, err)
	}
	again, err := w.Add(t.Context(), w.client, w.anna, w.overlay, []steam.ID{"1", "3", "2"}, workshop.Auto, nil)
	if err != nil || again.New != 1 || again.Already != 2 || again.JobID != a.JobID {
		t.Errorf("Add = %+v, %v, want one new one and the queued build %d", again, err, a.JobID)
	}
	if got := w.held(t, w.overlay); !slices.Equal(got, []steam.ID{"1", "2", "3"}) && !slices.Equal(got, []steam.ID{"2", "1", "3"}) {
		t.Errorf("the overlay holds %v", got)
	}
	w.steam.Forget()
	none, err := w.Add(t.Context(), w.client, w.anna, w.overlay, []steam.ID{"1"}, workshop.Items, nil)
	if err != nil || none.New != 0 || none.Already != 1 || none.JobID != 0 {
		t.Errorf("Add of what is there = %+v, %v", none, err)
	}
	if w.steam.Count("details") != 0 {
		t.Error("Steam was asked about an item that is there already")
	}
	lost, err := w.Add(t.Context(), w.client, w.anna, w.overlay, []steam.ID{"1", "404", "2"}, workshop.Auto, nil)
	if err != nil || lost.New != 0 || lost.Already != 2 || lost.Lost != 1 || lost.JobID != 0 {
		t.Errorf("Add of what is there and an item that Steam does not have = %+v, %v", lost, err)
	}
	if held := w.held(t, w.overlay); len(held) != 3 || w.builds(t) != 1 {
		t.Errorf("the overlay holds %v, and %d builds are queued, want one", held, w.builds(t))
	}
}

// If anything is wrong with the input, nothing is added.
func TestAddIsAllOrNothing(t *testing.T) { dbtest.Each(t, testAddIsAllOrNothing) }

func testAddIsAllOrNothing(t *testing.T, open dbtest.Backend) {
	text := "item 1\nitem 2 app=730 title=\"Dust II\"\nitem 3 result=9\ncollection 80 children=1,2\ncollection 90\n" +
		"collection 70 children=71\ncollection 71 children=72\ncollection 72 children=73\ncollection 73 children=74\n" +
		"collection 74 children=75\ncollection 75 children=76\ncollection 76 children=77\ncollection 77 children=1\n" +
		"collection 60 children=1,61\ncollection 61 children=4\n"
	for name, c := range map[string]struct {
		ids    []steam.ID
		mode   workshop.Mode
		fault  string
		status int
		says   string
	}{
		"another game's item":        {[]steam.ID{"1", "2"}, workshop.Auto, "", http.StatusBadRequest, "Item 2 (“Dust II”)"},
		"nothing that exists":        {[]steam.ID{"3", "404"}, workshop.Auto, "", http.StatusBadRequest, "none of these 2 items"},
		"one that does not exist":    {[]steam.ID{"404"}, workshop.Auto, "", http.StatusBadRequest, "no item 404"},
		"a collection with one":      {[]steam.ID{"80"}, workshop.Auto, "", http.StatusBadRequest, "Item 2"},
		"an empty collection":        {[]steam.ID{"90"}, workshop.Auto, "", http.StatusBadRequest, "holds no items"},
		"nested too deep":            {[]steam.ID{"70"}, workshop.Auto, "", http.StatusBadRequest, "nested more than 5 deep"},
		"a nested one is private":    {[]steam.ID{"60"}, workshop.Auto, "collections omit=61", http.StatusBadRequest, "Collection 61, inside another one"},
		"that one is pasted, too":    {[]steam.ID{"61", "60"}, workshop.Auto, "collections omit=61", http.StatusBadRequest, "Collection 61, inside another one"},
		"no collection":              {[]steam.ID{"1"}, workshop.Collections, "", http.StatusBadRequest, "1 is not a collection"},
		"a mode that does not exist": {[]steam.ID{"1"}, "collections", "", http.StatusBadRequest, "input mode"},
		"Steam is down":              {[]steam.ID{"1"}, workshop.Items, "api status=400", http.StatusBadGateway, "steam api error: steam answered 400"},
	} {
		t.Run(name, func(t *testing.T) {
			w := setUp(t, open, text+c.fault)
			a, err := w.Add(t.Context(), w.client, w.anna, w.overlay, c.ids, c.mode, nil)
			p, ok := problem.As(err)
			if !ok || p.Status != c.status || !strings.Contains(p.Sentence, c.says) {
				t.Errorf("Add = %+v, %v, want %d with %q", a, err, c.status, c.says)
			}
			if held := w.held(t, w.overlay); len(held) != 0 || w.builds(t) != 0 {
				t.Errorf("the overlay holds %v and has %d builds", held, w.builds(t))
			}
		})
	}
}

func TestAddAlsoAddsItemsWithoutADownload(t *testing.T) {
	dbtest.Each(t, testAddAlsoAddsItemsWithoutADownload)
}

func testAddAlsoAddsItemsWithoutADownload(t *testing.T, open dbtest.Backend) {
	w := setUp(t, open, "item 1\nitem 2 result=9\nitem 3 trap=true\nitem 4\ndetails omit=4\n")
	a, err := w.Add(t.Context(), w.client, w.anna, w.overlay, []steam.ID{"1", "2", "3", "4"}, workshop.Auto, nil)
	if err != nil || a.New != 4 || !slices.Equal(a.Unavailable, []steam.ID{"2", "3", "4"}) {
		t.Fatalf("Add = %+v, %v", a, err)
	}
	items, err := w.OfOverlay(t.Context(), w.overlay.ID)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"", "steam result 9", "steam offers no direct download for this item", "steam returned no entry for this item"}
	for i, item := range items {
		if item.LastError != want[i] || (item.FileURL == "") != (want[i] != "") {
			t.Errorf("item %s: last_error %q, file_url %q", item.SteamID, item.LastError, item.FileURL)
		}
	}
}

func TestCollectionsBecomeTheirItems(t *testing.T) { dbtest.Each(t, testCollectionsBecomeTheirItems) }

func testCollectionsBecomeTheirItems(t *testing.T, open dbtest.Backend) {
	w := setUp(t, open, "item 1\nitem 2\nitem 3\nitem 4\ncollection 10 children=1,11,2\ncollection 11 children=3,10,12\ncollection 12 children=2,11\n")
	a, err := w.Add(t.Context(), w.client, w.anna, w.overlay, []steam.ID{"4", "10", "1"}, workshop.Auto, nil)
	if err != nil {
		t.Fatal(err)
	}
	if a.New != 4 || a.Collections != 3 {
		t.Errorf("Add = %+v", a)
	}
	if held := w.held(t, w.overlay); len(held) != 4 {
		t.Errorf("the overlay holds %v", held)
	}
}

// Items are shared: a change that Add finds affects all overlays with the item, and no others.
func TestAddRebuildsOtherOverlaysWhoseItemsChanged(t *testing.T) {
	dbtest.Each(t, testAddRebuildsOtherOverlaysWhoseItemsChanged)
}

func testAddRebuildsOtherOverlaysWhoseItemsChanged(t *testing.T, open dbtest.Backend) {
	w := setUp(t, open, "item 1\nitem 2\nitem 3\n")
	others, bystander := w.make(t, "others"), w.make(t, "bystander")
	for o, id := range map[overlay.Overlay]steam.ID{others: "1", bystander: "2"} {
		if _, err := w.Add(t.Context(), w.client, w.anna, o, []steam.ID{id}, workshop.Items, nil); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.db.ExecContext(t.Context(), `DELETE FROM jobs`); err != nil {
		t.Fatal(err)
	}
	w.steam.Tell(t, "update 1 size=70KiB")
	if _, err := w.Add(t.Context(), w.client, w.anna, w.overlay, []steam.ID{"1", "3"}, workshop.Items, nil); err != nil {
		t.Fatal(err)
	}
	var built []int64
	rows, err := w.db.QueryContext(t.Context(), `SELECT subject_id FROM jobs ORDER BY subject_id`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var id int64
		if err := rows.Scan(&id); err != nil {
			t.Fatal(err)
		}
		built = append(built, id)
	}
	if want := []int64{w.overlay.ID, others.ID}; rows.Err() != nil || !slices.Equal(built, want) {
		t.Errorf("builds of %v, %v, want %v", built, rows.Err(), want)
	}
}

func TestRemoveLeavesTheItemToOthers(t *testing.T) { dbtest.Each(t, testRemoveLeavesTheItemToOthers) }

func testRemoveLeavesTheItemToOthers(t *testing.T, open dbtest.Backend) {
	w := setUp(t, open, "item 1\n")
	if _, err := w.Add(t.Context(), w.client, w.anna, w.overlay, []steam.ID{"1"}, workshop.Items, nil); err != nil {
		t.Fatal(err)
	}
	items, err := w.OfOverlay(t.Context(), w.overlay.ID)
	if err != nil {
		t.Fatal(err)
	}
	w.exec(t, `DELETE FROM jobs`)
	if removed, build, err := w.Remove(t.Context(), w.anna, w.overlay, []int64{items[0].ID}); err != nil || len(removed) != 1 || removed[0].SteamID != "1" || !build.New || w.builds(t) != 1 {
		t.Errorf("Remove = %v, %v, %v and %d builds", removed, build, err, w.builds(t))
	}
	w.exec(t, `DELETE FROM jobs`)
	if _, _, err := w.Remove(t.Context(), w.anna, w.overlay, []int64{items[0].ID}); err == nil || w.builds(t) != 0 {
		t.Error("removing it again is no error")
	} else if p, ok := problem.As(err); !ok || p.Status != http.StatusNotFound {
		t.Errorf("removing it again: %v, want a 404", err)
	}
	var rows int
	if err := w.db.QueryRowContext(t.Context(), `SELECT COUNT(*) FROM workshop_items`).Scan(&rows); err != nil || rows != 1 {
		t.Errorf("%d items are left, %v", rows, err)
	}
}

// Several items are removed with one build. One that is not there, or is in another overlay, is left alone.
func TestRemoveSeveral(t *testing.T) { dbtest.Each(t, testRemoveSeveral) }

func testRemoveSeveral(t *testing.T, open dbtest.Backend) {
	w := setUp(t, open, "item 1\nitem 2\nitem 3\nitem 4\n")
	w.holds(t, w.overlay, "1", "2", "3")
	other := w.make(t, "other")
	w.holds(t, other, "3", "4")
	all, err := w.OfOverlay(t.Context(), w.overlay.ID)
	if err != nil {
		t.Fatal(err)
	}
	removed, build, err := w.Remove(t.Context(), w.anna, w.overlay, []int64{all[2].ID, all[0].ID, all[2].ID + 1, 99})
	if err != nil || len(removed) != 2 || !reflect.DeepEqual(removed, []workshop.Item{all[0], all[2]}) || !build.New || w.builds(t) != 1 {
		t.Errorf("Remove = %v, %v, %v and %d builds", removed, build, err, w.builds(t))
	}
	var left int
	if err := w.db.QueryRowContext(t.Context(), `SELECT COUNT(*) FROM overlay_workshop_items`).Scan(&left); err != nil || left != 3 {
		t.Errorf("%d associations are left, %v", left, err)
	}
	if _, _, err := w.Remove(t.Context(), w.anna, w.overlay, []int64{all[0].ID, all[2].ID}); err == nil || !strings.Contains(err.Error(), "None of those items") {
		t.Errorf("removing them again: %v", err)
	}
}

func TestRestoredItemsAreWhereTheyWere(t *testing.T) {
	dbtest.Each(t, testRestoredItemsAreWhereTheyWere)
}

func testRestoredItemsAreWhereTheyWere(t *testing.T, open dbtest.Backend) {
	w := setUp(t, open, "item 1\nitem 2\nitem 3\n")
	w.holds(t, w.overlay, "1", "2", "3")
	w.exec(t, `UPDATE overlay_workshop_items SET added_at = 100 - workshop_item_id`)
	order := func() (ids []steam.ID) {
		t.Helper()
		all, err := w.OfOverlay(t.Context(), w.overlay.ID)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range all {
			ids = append(ids, i.SteamID)
		}
		return ids
	}
	before := order()
	all, err := w.OfOverlay(t.Context(), w.overlay.ID)
	if err != nil {
		t.Fatal(err)
	}
	removed, _, err := w.Remove(t.Context(), w.anna, w.overlay, []int64{all[1].ID})
	if err != nil {
		t.Fatal(err)
	}
	again := removed[0]
	if _, err := w.Add(t.Context(), w.client, w.anna, w.overlay, []steam.ID{again.SteamID}, workshop.Items, nil); err != nil {
		t.Fatal(err)
	}
	if got := order(); slices.Equal(got, before) {
		t.Fatalf("an item that was added again is at its old place by itself: %v", got)
	}
	if _, _, err := w.Remove(t.Context(), w.anna, w.overlay, []int64{again.ID}); err != nil {
		t.Fatal(err)
	}
	// Times in the future, and of items that are not there, change nothing.
	places := map[steam.ID]time.Time{again.SteamID: again.AddedAt, "99": again.AddedAt, before[0]: time.Now().Add(time.Hour)}
	if _, err := w.Add(t.Context(), w.client, w.anna, w.overlay, []steam.ID{again.SteamID}, workshop.Items, places); err != nil {
		t.Fatal(err)
	}
	if got := order(); !slices.Equal(got, before) {
		t.Errorf("after an item was put back the order is %v, want %v", got, before)
	}
}
