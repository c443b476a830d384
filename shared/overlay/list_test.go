package overlay_test

import (
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"testing"

	"left4me/shared/db/dbtest"
	"left4me/shared/list"
	"left4me/shared/overlay"
)

func (w fixture) exec(t *testing.T, query string, args ...any) {
	t.Helper()
	if _, err := w.db.ExecContext(t.Context(), query, args...); err != nil {
		t.Fatal(err)
	}
}

// names are those of the overlays on a page that root sees.
func (w fixture) names(t *testing.T, q list.Query) string {
	t.Helper()
	page, err := w.List(t.Context(), w.admin, q)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, o := range page.Rows {
		names = append(names, o.Name)
	}
	return strings.Join(names, " ")
}

func TestListOfOverlays(t *testing.T) { dbtest.Each(t, testListOfOverlays) }

func testListOfOverlays(t *testing.T, open dbtest.Backend) {
	w := setUp(t, open)
	for n := range 9 {
		w.exec(t, `INSERT INTO workshop_items (id, steam_id, file_size, created_at) VALUES (?, ?, ?, 0)`, n+1, n+1, n)
	}
	// Each with as many items as it is the n-th, from the largest on.
	for n, name := range []string{"built", "Broken", "new", "running", "queued"} {
		o := w.make(t, w.anna, name, overlay.Workshop)
		w.exec(t, `INSERT INTO overlay_workshop_items (overlay_id, workshop_item_id, added_at) SELECT ?, id, 0 FROM workshop_items ORDER BY id DESC LIMIT ?`, o.ID, n+1)
	}
	w.make(t, w.admin, "external", overlay.External)
	w.exec(t, `UPDATE jobs SET state = 'failed', attempt = 1, started_at = 1, finished_at = 2 WHERE subject_id = 2`)
	w.exec(t, `UPDATE jobs SET state = 'succeeded', attempt = 1, started_at = 1, finished_at = 2 WHERE subject_id IN (1, 3, 6)`)
	w.exec(t, `UPDATE overlays SET last_build_status = 'ok' WHERE id IN (1, 5)`) // the last is being built again
	w.exec(t, `UPDATE jobs SET state = 'running', attempt = 1, started_at = 1, lease_until = 9 WHERE subject_id = 4`)
	w.exec(t, `INSERT INTO jobs (operation, state, subject_kind, subject_id, locks, created_at) VALUES ('build_overlay', 'queued', 'overlay', 4, '[{"resource":"game","write":false}]', 0)`)
	w.exec(t, `INSERT INTO jobs (operation, state, subject_kind, subject_id, locks, created_at) VALUES ('delete_overlay', 'queued', 'overlay', 1, '[{"resource":"game","write":false}]', 0)`)

	page, err := w.List(t.Context(), w.admin, list.Query{Sort: "items"})
	if err != nil {
		t.Fatal(err)
	}
	var rows []string
	for _, o := range page.Rows {
		rows = append(rows, fmt.Sprintf("%s %d %d %s", o.Name, o.Items, o.Size, o.Building))
	}
	if want := []string{"external 0 0 ", "built 1 8 ", "Broken 2 15 ", "new 3 21 ", "running 4 26 running", "queued 5 30 queued"}; !slices.Equal(rows, want) {
		t.Errorf("%q, want %q", rows, want)
	}
	for _, c := range []struct {
		query list.Query
		want  string
	}{
		{list.Query{}, "Broken built external new queued running"},
		{list.Query{Sort: "-name"}, "running queued new external built Broken"},
		{list.Query{Sort: "-size"}, "queued running new Broken built external"},
		{list.Query{Sort: "type"}, "external Broken built new queued running"},
		{list.Query{Sort: "owner"}, "external Broken built new queued running"},
		{list.Query{Sort: "state"}, "queued running built Broken external new"},
		{list.Query{State: overlay.Built}, "built"},
		{list.Query{State: overlay.Failed}, "Broken"},
		{list.Query{State: overlay.BeingBuilt}, "queued running"},
		{list.Query{State: overlay.Outdated}, "external new"},
		{list.Query{Text: "B"}, "Broken built"},
		{list.Query{Text: "B", State: overlay.Failed}, "Broken"},
	} {
		if got := w.names(t, c.query); got != c.want {
			t.Errorf("%+v: %s, want %s", c.query, got, c.want)
		}
	}
	for column := range overlay.Listing.Order {
		_ = w.names(t, list.Query{Sort: column})
	}
}

// Items can be copied to overlays of the same owner and to one's own.
func TestOverlaysBesideAnother(t *testing.T) { dbtest.Each(t, testOverlaysBesideAnother) }

func testOverlaysBesideAnother(t *testing.T, open dbtest.Backend) {
	w := setUp(t, open)
	o := w.make(t, w.anna, "maps", overlay.Workshop)
	w.make(t, w.anna, "weapons", overlay.Workshop)
	w.make(t, w.anna, "Cars", overlay.Workshop)
	w.make(t, w.bert, "berts", overlay.Workshop)
	w.make(t, w.admin, "roots", overlay.Workshop)
	w.make(t, w.admin, "external", overlay.External)
	gone := w.make(t, w.anna, "gone", overlay.Workshop)
	if _, err := w.Delete(t.Context(), w.anna, gone.ID); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		who  string
		want []string
	}{{"anna", []string{"Cars", "weapons"}}, {"root", []string{"Cars", "roots", "weapons"}}} {
		u := w.anna
		if c.who == "root" {
			u = w.admin
		}
		all, err := w.Beside(t.Context(), u, o.ID)
		var names []string
		for _, choice := range all {
			names = append(names, choice.Name)
		}
		if err != nil || !slices.Equal(names, c.want) {
			t.Errorf("%s: %v, %v, want %v", c.who, names, err, c.want)
		}
	}
}

// The list reads only the builds that have not ended, and what the shown overlays hold.
func TestPlansOfTheList(t *testing.T) { dbtest.Each(t, testPlansOfTheList) }

func testPlansOfTheList(t *testing.T, open dbtest.Backend) {
	w := setUp(t, open)
	for _, sort := range []string{"", "state", "-size"} {
		for _, step := range dbtest.Plan(t, w.db, overlay.Listing.SQL(list.Query{Sort: sort}), sql.Named("admin", true), sql.Named("system", "[]"),
			sql.Named("user", 1), sql.Named("text", "%"), sql.Named("state", ""), sql.Named("limit", 9), sql.Named("offset", 0)) {
			if strings.HasPrefix(step, "SCAN") && step != "SCAN o" && !strings.Contains(step, "json_each") || strings.Contains(step, "AUTOMATIC") {
				t.Errorf("sorted by %q: %s", sort, step)
			}
			if strings.HasPrefix(step, "SEARCH j ") && !strings.Contains(step, "ix_jobs_live") {
				t.Errorf("builds are read otherwise than by ix_jobs_live: %s", step)
			}
		}
	}
}
