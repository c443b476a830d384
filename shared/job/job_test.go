package job_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"testing"
	"text/tabwriter"
	"time"

	"left4me/shared/job"
)

var update = flag.Bool("update", false, "write the golden files anew")

// Which operations may run at the same time. shared/jobstore tests every cell with real jobs.
//
// shows: P33
func TestMatrix(t *testing.T) {
	var out bytes.Buffer
	for i, section := range []struct {
		name            string
		overlay, server int64
		host            string
	}{
		{"the same overlay, the same server", 1, 1, "h1"},
		{"the same overlay, two servers", 1, 2, "h1"},
		{"two overlays, two servers", 2, 2, "h1"},
		{"the same overlay, two servers, two hosts", 1, 2, "h2"},
	} {
		if i > 0 {
			fmt.Fprintln(&out)
		}
		fmt.Fprintf(&out, "%s:\n", section.name)
		table := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
		for _, column := range job.All() {
			fmt.Fprintf(table, "\t%s", column.Name)
		}
		fmt.Fprintln(table)
		for _, a := range job.All() {
			fmt.Fprint(table, a.Name)
			for _, b := range job.All() {
				first, second := locks(t, a, "h1", 1, 1), locks(t, b, section.host, section.overlay, section.server)
				conflict := job.Conflict(first, second)
				if conflict != job.Conflict(second, first) {
					t.Errorf("%s and %s conflict in one direction only", a.Name, b.Name)
				}
				fmt.Fprintf(table, "\t%s", map[bool]string{true: "apart", false: "together"}[conflict])
			}
			fmt.Fprintln(table)
		}
		if err := table.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	const golden = "testdata/matrix.golden"
	if *update {
		if err := os.WriteFile(golden, out.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(out.Bytes(), want) {
		t.Errorf("the operations that may run at the same time have changed; go test ./shared/job -update updates the file:\n%s", out.Bytes())
	}
}

// locks returns the locks of a job of o, on that host if it needs one, about that overlay or server, if it is about one. The server mounts the overlay. Anything
// else that a job is about has the server's id.
func locks(t *testing.T, o job.Operation, host string, overlay, server int64) []job.Lock {
	t.Helper()
	var subject job.Subject
	switch o.About {
	case job.System:
	case job.Overlays:
		subject = job.Overlay(overlay)
	default:
		subject = job.Subject{Kind: o.About, ID: server}
	}
	var reads []job.Subject
	if o.Reads == job.Overlays {
		reads = append(reads, job.Overlay(overlay))
	}
	all, err := o.Locks(host, subject, reads...)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestLocksNeedTheRightSubjects(t *testing.T) {
	for name, c := range map[string]struct {
		operation job.Operation
		subject   job.Subject
		reads     []job.Subject
	}{
		"no overlay":          {job.BuildOverlay, job.Subject{}, nil},
		"an overlay of no id": {job.BuildOverlay, job.Overlay(0), nil},
		"another kind":        {job.BuildOverlay, job.Server(1), nil},
		"a subject too many":  {job.RefreshWorkshopItems, job.Overlay(1), nil},
		"reads nothing":       {job.BuildOverlay, job.Overlay(1), []job.Subject{job.Overlay(2)}},
		"reads another kind":  {job.ServerStart, job.Server(1), []job.Subject{job.Server(2)}},
	} {
		if got, err := c.operation.Locks("h1", c.subject, c.reads...); err == nil {
			t.Errorf("%s: %v", name, got)
		}
	}
	for want, s := range map[string]job.Subject{"": {}, "overlay:5": job.Overlay(5), "server:3": job.Server(3)} {
		if s.String() != want {
			t.Errorf("%q, want %q", s.String(), want)
		}
	}
}

func TestOperationsAreComplete(t *testing.T) {
	seen := map[string]bool{}
	for _, o := range job.All() {
		if seen[o.Name] {
			t.Errorf("two operations are named %s", o.Name)
		}
		seen[o.Name] = true
		// A command is not sent a second time.
		if want := map[bool]int{true: 1, false: 3}[o.Name == job.ServerCommand.Name]; o.MaxLost != want {
			t.Errorf("%s may lose %d workers, P35 says 3", o.Name, o.MaxLost)
		}
		if (o.StarvesAfter == 15*time.Minute) != o.Alone {
			t.Errorf("%s starves after %v, P36 says 15 minutes of what runs alone", o.Name, o.StarvesAfter)
		}
		if o.Title == "" {
			t.Errorf("%s has no title", o.Name)
		}
		if o.Lease <= 0 || o.TimeLimit <= o.Lease {
			t.Errorf("%s: lease %v, time limit %v", o.Name, o.Lease, o.TimeLimit)
		}
		if found, err := job.ByName(o.Name); err != nil || found.Name != o.Name {
			t.Errorf("ByName(%q) = %v, %v", o.Name, found.Name, err)
		}
	}
	if _, err := job.ByName("rm"); err == nil || err.Error() != `unknown job operation "rm"` {
		t.Errorf("ByName of no operation: %v", err)
	}
	for _, o := range job.Runnable() {
		if o.Function == "" {
			t.Errorf("%s is runnable without a function", o.Name)
		}
	}
	if job.BuildOverlay.Coalesce != job.WhileQueued {
		t.Error("build_overlay must coalesce only while queued, so that no change is lost (P34)")
	}
}

func TestStates(t *testing.T) {
	for state, ended := range map[job.State]bool{
		job.Queued: false, job.Running: false, job.Cancelling: false,
		job.Succeeded: true, job.Failed: true, job.Cancelled: true,
	} {
		if state.Ended() != ended {
			t.Errorf("%s.Ended() = %v", state, !ended)
		}
	}
}
