package overlay_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"left4me/shared/db"
	"left4me/shared/db/dbtest"
	"left4me/shared/list"
	"left4me/shared/overlay"
)

// An overlay is `ok` when it is on all hosts, and `failed` when it has failed on any.
//
// shows: P46
func TestTheStatusSumsUpTheHosts(t *testing.T) { dbtest.Each(t, testTheStatusSumsUpTheHosts) }

func testTheStatusSumsUpTheHosts(t *testing.T, open dbtest.Backend) {
	w := setUp(t, open)
	dbtest.AddHost(t, w.db, "there", time.Now())
	o := w.make(t, w.anna, "maps", overlay.Workshop)
	other := w.make(t, w.anna, "other", overlay.Workshop)
	jobID := int64(100)
	built := func(host string) {
		t.Helper()
		jobID++
		now, err := w.Get(t.Context(), o.ID)
		if err == nil {
			err = w.RecordBuild(t.Context(), w.db, now, host, jobID)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	exec := func(query string, args ...any) {
		t.Helper()
		if _, err := w.db.ExecContext(t.Context(), query, args...); err != nil {
			t.Fatal(err)
		}
	}
	// A build of the overlay on a host, its job, fails.
	failed := func(host string) {
		t.Helper()
		jobID++
		exec(`INSERT INTO jobs (id, operation, state, subject_kind, subject_id, host_id, attempt, locks, created_at, started_at, lease_until)
			VALUES (?, 'build_overlay', 'running', 'overlay', ?, ?, 1, '[{"resource":"game","write":false}]', 1, 1, 9)`, jobID, o.ID, host)
		exec(`UPDATE jobs SET state = 'failed', lease_until = NULL, finished_at = ? WHERE id = ?`, db.Millis(time.Now())-1000, jobID)
	}
	want := func(status string, job int64) {
		t.Helper()
		now, err := w.Get(t.Context(), o.ID)
		if err != nil || now.LastBuildStatus != status || now.LastBuildJobID != job || now.LastBuildAt.IsZero() != (job == 0) {
			t.Errorf("%q by job %d at %v, %v, want %q by %d", now.LastBuildStatus, now.LastBuildJobID, now.LastBuildAt, err, status, job)
		}
	}
	// Each host's own status, and the hosts that the list of overlays names.
	onHosts := func(builds, listed string) {
		t.Helper()
		all, err := w.HostBuilds(t.Context(), o.ID)
		var got []string
		for _, b := range all {
			got = append(got, fmt.Sprintf("%s=%s:%d", b.HostID, b.Status, b.JobID))
		}
		slices.Sort(got)
		if err != nil || strings.Join(got, " ") != builds {
			t.Errorf("%v, %v, want %s", got, err, builds)
		}
		page, err := w.List(t.Context(), w.anna, list.Query{Text: "maps"})
		if err != nil || len(page.Rows) != 1 || strings.Join(page.Rows[0].Hosts, " ") != listed {
			t.Errorf("the list says %+v, %v, want %q", page.Rows, err, listed)
		}
	}
	want("", 0)
	onHosts("here=:0 there=:0", "here there") // both builds wait
	exec(`DELETE FROM jobs`)
	onHosts("here=:0 there=:0", "")
	built("here")
	want("", 101)
	failed("there")
	want("failed", 102)
	onHosts("here=ok:101 there=failed:102", "there")
	built("here")
	want("failed", 102)
	built("there")
	if now, err := w.Get(t.Context(), o.ID); err != nil || now.LastBuildStatus != "ok" {
		t.Errorf("on all hosts: %+v, %v", now, err)
	}
	if err := w.ClearBuildStatus(t.Context(), o.ID, "there"); err != nil {
		t.Fatal(err)
	}
	want("", 104)
	built("there")

	// A new host has not built it yet; one that is gone does not count.
	dbtest.AddHost(t, w.db, "new", time.Now())
	want("", 105)
	failed("new")
	want("failed", 106)
	exec(`DELETE FROM hosts WHERE id = 'new'`)
	want("ok", 105)
	if err := overlay.Changed(t.Context(), w.db, o.ID, other.ID); err != nil {
		t.Fatal(err)
	}
	want("", 105)
}

// shows: P46
func TestADeletedOverlayStaysUntilNoHostHasIt(t *testing.T) {
	dbtest.Each(t, testADeletedOverlayStaysUntilNoHostHasIt)
}

func testADeletedOverlayStaysUntilNoHostHasIt(t *testing.T, open dbtest.Backend) {
	w := setUp(t, open)
	for _, host := range []string{"there", "gone"} {
		dbtest.AddHost(t, w.db, host, time.Now())
	}
	o := w.make(t, w.anna, "maps", overlay.Workshop)
	kept := w.make(t, w.anna, "kept", overlay.Workshop)
	for host, want := range map[string]bool{"here": true, "there": false} {
		if want {
			if err := w.DirectoryMade(t.Context(), o.ID, host); err != nil {
				t.Fatal(err)
			}
		}
		if at, err := w.DirectoryAt(t.Context(), o.ID, host); err != nil || at.IsZero() == want {
			t.Errorf("on %s the directory was made at %v, %v", host, at, err)
		}
	}
	if _, err := w.Delete(t.Context(), w.anna, o.ID); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		host  string
		stays bool
	}{{"here", true}, {"here", true}, {"gone", true}, {"there", false}} {
		if err := w.Removed(t.Context(), w.db, o.ID, step.host); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Deleted(t.Context(), o.ID); (err == nil) != step.stays {
			t.Errorf("after %s has removed it: %v", step.host, err)
		}
		if ids, err := w.AllDeleted(t.Context(), step.host); err != nil || len(ids) != 0 {
			t.Errorf("%s still has %v, %v", step.host, ids, err)
		}
	}
	// One that was not deleted is not removed.
	if err := w.Removed(t.Context(), w.db, kept.ID, "here"); err != nil {
		t.Fatal(err)
	}
	rows, err := db.Rows(t.Context(), w.db, db.Value[string], `SELECT host_id FROM overlay_hosts WHERE overlay_id = ? ORDER BY host_id`, kept.ID)
	if err != nil || !slices.Equal(rows, []string{"gone", "here", "there"}) {
		t.Errorf("hosts %v, %v", rows, err)
	}
}
