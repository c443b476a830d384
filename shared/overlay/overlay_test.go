package overlay_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"left4me/shared/account"
	"left4me/shared/db"
	"left4me/shared/db/dbtest"
	"left4me/shared/job"
	"left4me/shared/jobstore"
	"left4me/shared/list"
	"left4me/shared/overlay"
	"left4me/shared/problem"
)

type fixture struct {
	*overlay.Store
	db                *db.DB
	admin, anna, bert account.User
}

func setUp(t *testing.T, open dbtest.Backend) fixture {
	t.Helper()
	d := open(t)
	dbtest.AddHost(t, d, "here", time.Now())
	w := fixture{Store: overlay.NewStore(d, time.Now, jobstore.NewStore(d, time.Now)), db: d}
	people := account.NewStore(d, time.Now)
	for _, u := range []struct {
		name  string
		admin bool
		into  *account.User
	}{{"root", true, &w.admin}, {"anna", false, &w.anna}, {"bert", false, &w.bert}} {
		made, err := people.Create(t.Context(), u.name, "a password", u.admin)
		if err != nil {
			t.Fatal(err)
		}
		*u.into = made
	}
	return w
}

func (w fixture) make(t *testing.T, u account.User, name string, typ *overlay.Type) overlay.Overlay {
	t.Helper()
	id, err := w.Create(t.Context(), u, name, typ.Name)
	if err != nil {
		t.Fatal(err)
	}
	o, err := w.Get(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func status(err error) int {
	if p, ok := problem.As(err); ok {
		return p.Status
	}
	return 0
}

func TestPermissionToCreate(t *testing.T) {
	w := setUp(t, dbtest.New)
	for _, c := range []struct {
		name   string
		user   account.User
		typ    string
		status int
	}{
		{"anybody makes workshop overlays", w.anna, "workshop", 0},
		{"administrators too", w.admin, "workshop", 0},
		{"external ones are for administrators", w.anna, "external", http.StatusForbidden},
		{"administrators make external ones", w.admin, "external", 0},
		{"an unknown type is no default", w.admin, "worksop", http.StatusBadRequest},
		{"no type is no default", w.admin, "", http.StatusBadRequest},
	} {
		id, err := w.Create(t.Context(), c.user, c.name, c.typ)
		if status(err) != c.status {
			t.Errorf("%s: %v, want %d", c.name, err, c.status)
		}
		if err != nil {
			continue
		}
		o, err := w.Get(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		want := c.user.ID
		if c.typ == "external" {
			want = 0
		}
		if o.OwnerID != want {
			t.Errorf("%s: it belongs to %d, want %d", c.name, o.OwnerID, want)
		}
	}
}

func TestNames(t *testing.T) { dbtest.Each(t, testNames) }

func testNames(t *testing.T, open dbtest.Backend) {
	w := setUp(t, open)
	for name, want := range map[string]int{
		"":                       http.StatusBadRequest,
		" \t ":                   http.StatusBadRequest,
		strings.Repeat("ä", 64):  0,
		strings.Repeat("ä", 65):  http.StatusBadRequest,
		"a\x00b":                 http.StatusBadRequest,
		"a\u202eb":               http.StatusBadRequest,
		"\xff":                   http.StatusBadRequest,
		"  Dead Air (fixed) 😀  ": 0,
	} {
		id, err := w.Create(t.Context(), w.anna, name, "workshop")
		if status(err) != want {
			t.Errorf("Create(%q) = %v, want %d", name, err, want)
		}
		if err != nil {
			continue
		}
		if o, err := w.Get(t.Context(), id); err != nil || o.Name != strings.TrimSpace(name) {
			t.Errorf("Create(%q) made %q, %v", name, o.Name, err)
		}
	}
}

func TestNamesAreUniqueForOnePersonAndForTheSystem(t *testing.T) {
	dbtest.Each(t, testNamesAreUniqueForOnePersonAndForTheSystem)
}

func testNamesAreUniqueForOnePersonAndForTheSystem(t *testing.T, open dbtest.Backend) {
	w := setUp(t, open)
	for _, c := range []struct {
		user   account.User
		typ    *overlay.Type
		status int
	}{
		{w.anna, overlay.Workshop, 0},
		{w.bert, overlay.Workshop, 0},
		{w.anna, overlay.Workshop, http.StatusConflict},
		{w.admin, overlay.External, 0},
		{w.admin, overlay.External, http.StatusConflict},
		{w.admin, overlay.Workshop, 0},
	} {
		if _, err := w.Create(t.Context(), c.user, " my-maps ", c.typ.Name); status(err) != c.status {
			t.Errorf("%s makes a second %s my-maps: %v, want %d", c.user.Name, c.typ.Name, err, c.status)
		}
	}
}

func TestPermissionToSeeAndToEdit(t *testing.T) { dbtest.Each(t, testPermissionToSeeAndToEdit) }

func testPermissionToSeeAndToEdit(t *testing.T, open dbtest.Backend) {
	w := setUp(t, open)
	annas := w.make(t, w.anna, "annas", overlay.Workshop)
	external := w.make(t, w.admin, "everybody's", overlay.External)
	const ok, forbidden = 0, http.StatusForbidden
	for _, c := range []struct {
		name          string
		user          account.User
		overlay       overlay.Overlay
		visible, edit int
	}{
		{"the owner", w.anna, annas, ok, ok},
		{"an administrator", w.admin, annas, ok, ok},
		{"somebody else", w.bert, annas, forbidden, forbidden},
		{"anybody, an external one", w.bert, external, ok, forbidden},
		{"an administrator, an external one", w.admin, external, ok, ok},
	} {
		if err := c.overlay.Visible(c.user); status(err) != c.visible {
			t.Errorf("%s sees it: %v, want %d", c.name, err, c.visible)
		}
		if err := c.overlay.Editable(c.user); status(err) != c.edit {
			t.Errorf("%s changes it: %v, want %d", c.name, err, c.edit)
		}
		page, err := w.List(t.Context(), c.user, list.Query{})
		if err != nil {
			t.Fatal(err)
		}
		listed := false
		for _, o := range page.Rows {
			listed = listed || o.ID == c.overlay.ID
		}
		if listed != (c.visible == ok) {
			t.Errorf("%s has it in the list: %v", c.name, listed)
		}
	}
	if _, err := w.Get(t.Context(), 999); status(err) != http.StatusNotFound {
		t.Errorf("an overlay that does not exist: %v, want 404", err)
	}
}

func TestIDsAreNotReused(t *testing.T) { dbtest.Each(t, testIDsAreNotReused) }

func testIDsAreNotReused(t *testing.T, open dbtest.Backend) {
	w := setUp(t, open)
	first := w.make(t, w.anna, "first", overlay.Workshop)
	if _, err := w.db.ExecContext(t.Context(), `DELETE FROM overlays`); err != nil {
		t.Fatal(err)
	}
	second := w.make(t, w.anna, "first", overlay.Workshop)
	if second.ID <= first.ID || second.UID == first.UID {
		t.Errorf("after %d (%s) came %d (%s)", first.ID, first.UID, second.ID, second.UID)
	}
	if second.Path() != "2" {
		t.Errorf("path = %q", second.Path())
	}
}

func TestRename(t *testing.T) { dbtest.Each(t, testRename) }

func testRename(t *testing.T, open dbtest.Backend) {
	w := setUp(t, open)
	maps := w.make(t, w.anna, "maps", overlay.Workshop)
	w.make(t, w.anna, "taken", overlay.Workshop)
	w.make(t, w.bert, "berts", overlay.Workshop)
	external := w.make(t, w.admin, "shared", overlay.External)
	w.make(t, w.admin, "configs", overlay.External)
	for _, c := range []struct {
		user    account.User
		overlay overlay.Overlay
		name    string
		status  int
		says    string
	}{
		{w.anna, maps, "  more maps ", 0, ""},
		{w.anna, maps, "more maps", 0, ""},
		{w.anna, maps, "berts", 0, ""},
		{w.anna, maps, "shared", 0, ""},
		{w.anna, maps, " ", http.StatusBadRequest, "give the overlay a name"},
		{w.anna, maps, strings.Repeat("x", 65), http.StatusBadRequest, "at most 64"},
		{w.anna, maps, "taken", http.StatusConflict, "You already have an overlay named “taken”"},
		{w.admin, maps, "taken", http.StatusConflict, "anna already has an overlay named “taken”"},
		{w.admin, external, "configs", http.StatusConflict, "already is a system-wide overlay"},
		{w.admin, external, "taken", 0, ""},
	} {
		before, err := w.Get(t.Context(), c.overlay.ID)
		if err != nil {
			t.Fatal(err)
		}
		err = w.Change(t.Context(), c.user, before, overlay.Settings{Name: c.name, KeepsLost: true})
		if status(err) != c.status || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s renames %s to %q: %v, want %d", c.user.Name, before.Name, c.name, err, c.status)
		}
		after, err := w.Get(t.Context(), c.overlay.ID)
		if err != nil {
			t.Fatal(err)
		}
		want := before
		if c.status == 0 {
			want.Name = strings.TrimSpace(c.name)
		}
		if after != want {
			t.Errorf("renamed to %q it is %+v, want %+v", c.name, after, want)
		}
	}
}

// Another name needs no build; whether lost items stay linked does.
func TestASettingIsBuilt(t *testing.T) { dbtest.Each(t, testASettingIsBuilt) }

func testASettingIsBuilt(t *testing.T, open dbtest.Backend) {
	w := setUp(t, open)
	o := w.make(t, w.anna, "maps", overlay.Workshop)
	if _, err := w.db.ExecContext(t.Context(), `DELETE FROM jobs`); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		to   overlay.Settings
		jobs int
	}{
		{overlay.Settings{Name: "more", KeepsLost: true}, 0},
		{overlay.Settings{Name: "more"}, 1},
		{overlay.Settings{Name: "more"}, 1},
	} {
		if err := w.Change(t.Context(), w.anna, o, c.to); err != nil {
			t.Fatal(err)
		}
		revision := o.Revision
		var err error
		if o, err = w.Get(t.Context(), o.ID); err != nil || o.Settings() != c.to {
			t.Fatal(o, err)
		}
		jobs, err := db.Row(t.Context(), w.db, db.Value[int], `SELECT COUNT(*) FROM jobs`)
		if err != nil || jobs != c.jobs {
			t.Errorf("%+v: %d jobs, %v", c.to, jobs, err)
		}
		if changed := o.Revision > revision; changed != (c.jobs == 1 && revision == 1) {
			t.Errorf("%+v: revision %d after %d", c.to, o.Revision, revision)
		}
	}
}

func TestADeletedOverlayIsHiddenAndItsNameFree(t *testing.T) {
	dbtest.Each(t, testADeletedOverlayIsHiddenAndItsNameFree)
}

func testADeletedOverlayIsHiddenAndItsNameFree(t *testing.T, open dbtest.Backend) {
	w := setUp(t, open)
	o := w.make(t, w.anna, "maps", overlay.Workshop)
	if _, err := w.Deleted(t.Context(), o.ID); err == nil {
		t.Error("an overlay that was not deleted is")
	}
	if err := w.Removed(t.Context(), w.db, o.ID, "here"); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Delete(t.Context(), w.anna, o.ID); err != nil {
		t.Fatal(err)
	}
	_, again := w.Delete(t.Context(), w.anna, o.ID)
	for what, err := range map[string]error{
		"deleting": again,
		"renaming": w.Change(t.Context(), w.anna, o, overlay.Settings{Name: "other"}),
		"seeing": func() error {
			_, err := w.Get(t.Context(), o.ID)
			return err
		}(),
	} {
		if status(err) != http.StatusNotFound {
			t.Errorf("%s a deleted overlay: %v", what, err)
		}
	}
	if page, err := w.List(t.Context(), w.admin, list.Query{}); err != nil || len(page.Rows) != 0 {
		t.Errorf("the list has %v, %v", page.Rows, err)
	}
	if ids, err := w.AllDeleted(t.Context(), "here"); err != nil || !slices.Equal(ids, []int64{o.ID}) {
		t.Errorf("deleted ones: %v, %v", ids, err)
	}
	if d, err := w.Deleted(t.Context(), o.ID); err != nil || d != o {
		t.Errorf("%+v, %v, want %+v", d, err, o)
	}
	if again := w.make(t, w.anna, "maps", overlay.Workshop); again.ID <= o.ID {
		t.Errorf("overlay %d came after %d", again.ID, o.ID)
	}
	if err := w.Removed(t.Context(), w.db, o.ID, "here"); err != nil {
		t.Fatal(err)
	}
	if ids, err := w.AllDeleted(t.Context(), "here"); err != nil || len(ids) != 0 {
		t.Errorf("deleted ones: %v, %v", ids, err)
	}
}

// A build that has read the items before they were changed must not set the status of the overlay to ok.
func TestABuildIsRecordedOnlyForTheRevisionItRead(t *testing.T) {
	dbtest.Each(t, testABuildIsRecordedOnlyForTheRevisionItRead)
}

func testABuildIsRecordedOnlyForTheRevisionItRead(t *testing.T, open dbtest.Backend) {
	w := setUp(t, open)
	o := w.make(t, w.anna, "maps", overlay.Workshop)
	if err := overlay.Changed(t.Context(), w.db, o.ID); err != nil {
		t.Fatal(err)
	}
	if err := w.RecordBuild(t.Context(), w.db, o, "here", 7); err != nil {
		t.Fatal(err)
	}
	now, err := w.Get(t.Context(), o.ID)
	if err != nil || now.LastBuildStatus != "" {
		t.Errorf("after a build of an older revision: %q, %v", now.LastBuildStatus, err)
	}
	if err := w.RecordBuild(t.Context(), w.db, now, "here", 8); err != nil {
		t.Fatal(err)
	}
	if now, err = w.Get(t.Context(), o.ID); err != nil || now.LastBuildStatus != "ok" || now.LastBuildAt.IsZero() || now.LastBuildJobID != 8 {
		t.Errorf("after a build: %q at %v, %v", now.LastBuildStatus, now.LastBuildAt, err)
	}
	if err := overlay.Changed(t.Context(), w.db, o.ID); err != nil {
		t.Fatal(err)
	}
	if now, err = w.Get(t.Context(), o.ID); err != nil || now.LastBuildStatus != "" {
		t.Errorf("after another change it still says %q, %v", now.LastBuildStatus, err)
	}
}

func TestEveryFieldIsRead(t *testing.T) { dbtest.Each(t, testEveryFieldIsRead) }

func testEveryFieldIsRead(t *testing.T, open dbtest.Backend) {
	w := setUp(t, open)
	o := w.make(t, w.anna, "maps", overlay.Workshop)
	if err := w.RecordBuild(t.Context(), w.db, o, "here", 7); err != nil {
		t.Fatal(err)
	}
	o, err := w.Get(t.Context(), o.ID)
	if err != nil {
		t.Fatal(err)
	}
	dbtest.Filled(t, o)
}

// Each entry of the table of types must be complete.
func TestEveryTypeIsComplete(t *testing.T) {
	names := map[string]bool{}
	for _, typ := range overlay.Types(account.User{Admin: true}) {
		if typ.Name == "" || typ.Title == "" || typ.Hint == "" || typ.Build == nil || names[typ.Name] {
			t.Errorf("incomplete, or a name that another type has: %+v", typ)
		}
		names[typ.Name] = true
	}
}

// Creating an overlay enqueues its first build, and deleting it enqueues its removal, in the same transaction.
func TestCreatingAndDeletingEnqueueTheirJobs(t *testing.T) {
	dbtest.Each(t, testCreatingAndDeletingEnqueueTheirJobs)
}

func testCreatingAndDeletingEnqueueTheirJobs(t *testing.T, open dbtest.Backend) {
	w := setUp(t, open)
	o := w.make(t, w.anna, "maps", overlay.Workshop)
	build, err := w.RequestBuild(t.Context(), w.anna, o.ID)
	if err != nil || build.New {
		t.Errorf("a build of a new overlay: %+v, %v, want the queued one", build, err)
	}
	if _, err := w.Create(t.Context(), w.anna, "maps", overlay.Workshop.Name); status(err) != http.StatusConflict {
		t.Errorf("a duplicate name: %v", err)
	}
	removal, err := w.Delete(t.Context(), w.anna, o.ID)
	if err != nil || !removal.New {
		t.Errorf("Delete = %+v, %v", removal, err)
	}
	page, err := jobstore.NewStore(w.db, time.Now).List(t.Context(), jobstore.Everyone, list.Query{})
	jobs := page.Rows
	if err != nil || len(jobs) != 2 {
		t.Fatalf("%d jobs, %v", len(jobs), err)
	}
	for i, want := range []jobstore.Job{
		{ID: removal.ID, Operation: job.DeleteOverlay.Name, State: job.Queued},
		{ID: build.ID, Operation: job.BuildOverlay.Name, State: job.Cancelled},
	} {
		if j := jobs[i]; j.ID != want.ID || j.Operation != want.Operation || j.State != want.State || j.UserID != w.anna.ID {
			t.Errorf("job %d: %+v, want %+v of anna's", i, j, want)
		}
	}
}

// A type of a newer version, after a downgrade, is shown by its name.
func TestAnUnknownTypeHasOnlyAName(t *testing.T) { dbtest.Each(t, testAnUnknownTypeHasOnlyAName) }

func testAnUnknownTypeHasOnlyAName(t *testing.T, open dbtest.Backend) {
	w := setUp(t, open)
	id := w.make(t, w.anna, "maps", overlay.Workshop).ID
	if _, err := w.db.ExecContext(t.Context(), `UPDATE overlays SET type = 'torrent'`); err != nil {
		t.Fatal(err)
	}
	o, err := w.Get(t.Context(), id)
	if err != nil || o.Type.Name != "torrent" || o.Type.Title != "torrent" || o.Type.Build != nil {
		t.Errorf("%+v, %v", o.Type, err)
	}
	if anna, bert := o.Visible(w.anna), o.Visible(w.bert); anna != nil || status(bert) != http.StatusForbidden {
		t.Errorf("its owner sees it: %v; somebody else: %v", anna, bert)
	}
}

func TestThereIsAMostThatSomebodyOwns(t *testing.T) { dbtest.Each(t, testThereIsAMostThatSomebodyOwns) }

func testThereIsAMostThatSomebodyOwns(t *testing.T, open dbtest.Backend) {
	w := setUp(t, open)
	w.anna.Limits = &account.Limits{Overlays: 3, ActionsPerMinute: 1000}
	create := func(name string) error {
		_, err := w.Create(t.Context(), w.anna, name, overlay.Workshop.Name)
		return err
	}
	count := func(query string) (n int) {
		t.Helper()
		if err := w.db.QueryRowContext(t.Context(), query).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	var all sync.WaitGroup
	for n := range 8 { // at once
		all.Go(func() {
			if err := create(fmt.Sprint("maps ", n)); err != nil && status(err) != http.StatusTooManyRequests {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if overlays, jobs := count(`SELECT COUNT(*) FROM overlays`), count(`SELECT COUNT(*) FROM jobs`); overlays != 3 || jobs != 3 {
		t.Fatalf("%d overlays with %d builds, want 3", overlays, jobs)
	}
	before := count(`SELECT actions_until FROM users WHERE name = 'anna'`)
	if err := create("more"); status(err) != http.StatusTooManyRequests || !strings.Contains(err.Error(), "as many overlays as one person may have (3,") {
		t.Errorf("one more: %v", err)
	}
	if count(`SELECT actions_until FROM users WHERE name = 'anna'`) != before {
		t.Error("what was refused counts as an action")
	}

	// Deleting makes room when the directory is gone.
	id := int64(count(`SELECT MIN(id) FROM overlays`))
	if _, err := w.Delete(t.Context(), w.anna, id); err != nil {
		t.Fatal(err)
	}
	if err := create("more"); status(err) != http.StatusTooManyRequests {
		t.Errorf("with one that is being deleted: %v", err)
	}
	if err := w.Removed(t.Context(), w.db, id, "here"); err != nil {
		t.Fatal(err)
	}
	if err := create("more"); err != nil {
		t.Errorf("with one deleted: %v", err)
	}
	w.make(t, w.bert, "maps", overlay.Workshop)
	for n := range 5 {
		w.make(t, w.admin, fmt.Sprint("maps ", n), overlay.Workshop)
	}
}
