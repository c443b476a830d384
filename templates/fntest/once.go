package fntest

import (
	"database/sql"
	"fmt"
	"net/http"
	"testing"

	"left4me/shared/db/dbtest"
	"left4me/shared/fn"
	"left4me/shared/job"
	"left4me/shared/route"
	"left4me/templates/web"
)

// TestAsksOnHost tests the function of a route that enqueues a job of o on the host of the path.
func TestAsksOnHost(t *testing.T, r route.Route, build func(*fn.Env) web.Handler, o job.Operation) {
	s := New(t)
	root := s.Person("root", true)
	v := s.Visitor(root, r, build)
	for _, host := range []string{"attic", "cellar"} {
		dbtest.AddHost(t, s.Env.DB, host, s.Env.Now())
	}
	for range 2 { // the second finds the job of the first
		if got := v.Post(r.URL("cellar")); got.StatusCode != http.StatusSeeOther || got.Location() != "/jobs/1" {
			t.Errorf("%d to %s", got.StatusCode, got.Location())
		}
	}
	if got := v.Post(r.URL("nobody")); got.StatusCode != http.StatusNotFound || got.Text("#error") == "" {
		t.Errorf("a host that is not there: %d %s", got.StatusCode, got.Body)
	}
	if n := s.Count(`SELECT COUNT(*) FROM jobs WHERE operation = :operation AND user_id = :user AND host_id = 'cellar'`,
		sql.Named("operation", o.Name), sql.Named("user", root.ID)); n != 1 || s.Count(`SELECT COUNT(*) FROM jobs`) != 1 {
		t.Errorf("%d jobs on the host", n)
	}
}

// TestAsksOnce tests the function of a route that enqueues one job of o, of which there can be only one at a time: what the first
// and a second request say.
func TestAsksOnce(t *testing.T, r route.Route, build func(*fn.Env) web.Handler, o job.Operation) {
	path := r.URL()
	s := New(t)
	root := s.Person("root", true)
	v := s.Visitor(root, r, build)
	enqueued, already := "enqueued %s job %d", "%s job %d already queued"
	for _, step := range []struct {
		before, says string
		job          int
	}{
		{"", enqueued, 1},
		{"", already, 1},
		{`UPDATE jobs SET state = 'running', attempt = 1, started_at = 1, lease_until = 1`, already, 1},
		{`UPDATE jobs SET state = 'cancelling'`, already, 1},
		{`UPDATE jobs SET state = 'cancelled', finished_at = 1, lease_until = NULL`, enqueued, 2},
	} {
		if step.before != "" {
			if _, err := s.Env.DB.ExecContext(t.Context(), step.before); err != nil {
				t.Fatal(err)
			}
		}
		got, says := v.Post(path), fmt.Sprintf(step.says, o.Name, step.job)
		if got.StatusCode != http.StatusSeeOther || got.Header.Get("Location") != "/admin/jobs" || got.Notice() != says {
			t.Errorf("%d to %q, saying %q, want %q", got.StatusCode, got.Header.Get("Location"), got.Notice(), says)
		}
	}
	if n := s.Count(`SELECT COUNT(*) FROM jobs WHERE operation = :operation AND user_id = :user`,
		sql.Named("operation", o.Name), sql.Named("user", root.ID)); n != 2 {
		t.Errorf("%d jobs requested by root, want 2", n)
	}
}
