package job_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"slices"
	"testing"
	"text/tabwriter"

	"left4me/shared/job"
)

var update = flag.Bool("update", false, "write the golden files anew")

// What may run beside what. shared/jobstore tries every cell with real jobs.
//
// shows: P33
func TestMatrix(t *testing.T) {
	one := job.Subject{OverlayID: 1, ServerID: 1, BlueprintOverlays: []int64{1}}
	var out bytes.Buffer
	for i, section := range []struct {
		name  string
		other job.Subject
	}{
		{"the same overlay, the same server", one},
		{"the same overlay, two servers", job.Subject{OverlayID: 1, ServerID: 2, BlueprintOverlays: []int64{1}}},
		{"two overlays, two servers", job.Subject{OverlayID: 2, ServerID: 2, BlueprintOverlays: []int64{2}}},
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
				conflict := job.Conflict(a.Locks(one), b.Locks(section.other))
				if conflict != job.Conflict(b.Locks(section.other), a.Locks(one)) {
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
		t.Errorf("what may run beside what has changed; go test ./shared/job -update writes it anew:\n%s", out.Bytes())
	}
}

func TestOperationsAreWhole(t *testing.T) {
	seen := map[string]bool{}
	for _, o := range job.All() {
		if seen[o.Name] {
			t.Errorf("two operations are named %s", o.Name)
		}
		seen[o.Name] = true
		if o.Attempts != 3 {
			t.Errorf("%s runs %d times at most, P35 says 3", o.Name, o.Attempts)
		}
		if o.Lease <= 0 || o.TimeLimit <= o.Lease {
			t.Errorf("%s: lease %v, time limit %v", o.Name, o.Lease, o.TimeLimit)
		}
		if len(o.Locks(job.Subject{OverlayID: 1, ServerID: 1})) == 0 {
			t.Errorf("%s locks nothing", o.Name)
		}
		for _, s := range o.Coalesce {
			if s.Ended() {
				t.Errorf("%s would be swallowed by a job that has ended", o.Name)
			}
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
	if slices.Contains(job.BuildOverlay.Coalesce, job.Running) {
		t.Error("a running build would swallow a change made after its start (P34)")
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
