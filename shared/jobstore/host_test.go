package jobstore

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"left4me/shared/db/dbtest"
	"left4me/shared/job"
)

// moreHosts adds two hosts to the fixture's.
func (w *fixture) moreHosts(t *testing.T) {
	t.Helper()
	dbtest.AddHost(t, w.DB, "h2", start)
	dbtest.AddHost(t, w.DB, "h3", start)
}

// on claims the next job for a worker on a host, which must be the one expected; 0 for none.
func (w *fixture) on(t *testing.T, host string, want int64) Claim {
	t.Helper()
	c, _, err := w.Store.Claim(t.Context(), Worker{"agent", host}, runnable())
	if err != nil || c.JobID != want {
		t.Fatalf("on %q job %d was claimed, %v, want %d", host, c.JobID, err, want)
	}
	return c
}

func (w *fixture) finishAll(t *testing.T) {
	t.Helper()
	w.exec(t, "UPDATE jobs SET state = 'succeeded', attempt = 1, started_at = 1, finished_at = 1, lease_until = NULL WHERE finished_at IS NULL")
}

func testEachHost(t *testing.T, w *fixture) {
	w.moreHosts(t)
	for _, o := range job.Runnable() {
		a := about{overlay: 1, server: 1}
		r := a.request(o)
		r.Host = ""
		want := int64(3)
		if o.Place == job.Anywhere {
			want = 1
		}
		first := w.ask(t, r)
		if n := w.number(t, "SELECT COUNT(DISTINCT COALESCE(host_id, '')) FROM jobs WHERE finished_at IS NULL"); !first.New || first.Several != (want > 1) || n != want {
			t.Errorf("%s: %+v, on %d hosts, want %d", o.Name, first, n, want)
		}
		if again := w.ask(t, r); (o.Coalesce != job.Never) == again.New || again.Several != (want > 1) {
			t.Errorf("%s again: %+v", o.Name, again)
		}
		if n := w.number(t, "SELECT COUNT(*) FROM jobs WHERE finished_at IS NULL"); o.Coalesce != job.Never && n != want {
			t.Errorf("%s: %d jobs after asking twice, want %d", o.Name, n, want)
		}
		w.finishAll(t)

		// One host has the job already: only the others get one.
		if o.Place == job.Anywhere || o.Coalesce == job.Never {
			continue
		}
		r.Host = "h2"
		if one := w.ask(t, r); one.Several {
			t.Errorf("%s on one host: %+v", o.Name, one)
		}
		r.Host = ""
		if rest := w.ask(t, r); !rest.New || !rest.Several || w.number(t, "SELECT COUNT(*) FROM jobs WHERE finished_at IS NULL") != want {
			t.Errorf("%s beside that of one host: %+v", o.Name, rest)
		}
		if j := w.get(t, w.ask(t, r).ID); j.HostID == "" || j.HostName != j.HostID || !j.SeveralHosts {
			t.Errorf("%s: %+v", o.Name, j)
		}
		w.finishAll(t)
	}
	// Of several requests each is asked of each host.
	var got []Enqueued
	got, err := w.EnqueueAll(t.Context(), w.DB, []Request{buildOf(1, 0), buildOf(2, 0), buildOf(1, 0)})
	if err != nil || !got[0].New || !got[1].New || got[2].ID == 0 || w.number(t, "SELECT COUNT(*) FROM jobs WHERE finished_at IS NULL") != 6 {
		t.Errorf("%+v, %v", got, err)
	}
	// A host that is not there any more gets no job.
	r := buildOf(9, 0)
	r.Host = "gone"
	if e := w.ask(t, r); e.ID != 0 || w.number(t, "SELECT COUNT(*) FROM jobs WHERE subject_id = 9") != 0 {
		t.Errorf("a job of no host: %+v", e)
	}
}

func testWhoClaims(t *testing.T, w *fixture) {
	w.moreHosts(t)
	r := buildOf(1, 0)
	r.Host = "h2"
	build := w.enqueue(t, r)
	w.pass(time.Second)
	refresh := w.enqueue(t, Request{Operation: job.RefreshWorkshopItems})
	w.on(t, "h3", refresh)
	w.exec(t, "DELETE FROM jobs WHERE id = ?", refresh)
	w.on(t, testHost, 0)
	w.on(t, "", 0)
	for host, why := range map[string]string{"": "it is a job of host h2 (h2), whose agent runs it", testHost: "it is a job of host h2 (h2), whose agent runs it"} {
		var b *BlockedError
		if _, err := w.Store.ClaimJob(t.Context(), Worker{"shell", host}, build, job.BuildOverlay); !errors.As(err, &b) || b.Why != why {
			t.Errorf("ClaimJob on %q: %v", host, err)
		}
	}
	if c := w.on(t, "h2", build); c.Host != "h2" {
		t.Errorf("%+v", c)
	}

	// A lost one is taken over by its host only; one that runs anywhere by any.
	refresh = w.enqueue(t, Request{Operation: job.RefreshWorkshopItems})
	w.pass(job.BuildOverlay.Lease)
	w.on(t, testHost, 0)
	w.finish(t, w.on(t, "h2", build), job.Succeeded)
	if c := w.on(t, "", refresh); c.Host != "" {
		t.Errorf("%+v", c)
	}
	w.pass(job.RefreshWorkshopItems.Lease)
	w.on(t, testHost, refresh)
}

func testFirstHost(t *testing.T, w *fixture) {
	w.exec(t, "DELETE FROM hosts")
	first := w.build(t, 1)
	if e := w.ask(t, buildOf(1, 0)); e.New || e.ID != first {
		t.Errorf("a second request: %+v", e)
	}
	garbage := w.enqueue(t, Request{Operation: job.CollectGarbage})
	refresh := w.enqueue(t, Request{Operation: job.RefreshWorkshopItems})
	w.exec(t, "DELETE FROM jobs WHERE id = ?", refresh)
	w.on(t, testHost, 0)
	if _, err := w.ClaimJob(t.Context(), "shell", first, job.BuildOverlay); err == nil || !strings.Contains(err.Error(), "it waits for the first host") {
		t.Errorf("ClaimJob: %v", err)
	}
	dbtest.AddHost(t, w.DB, testHost, start)
	refresh = w.enqueue(t, Request{Operation: job.RefreshWorkshopItems})
	if err := w.TakeWaiting(t.Context(), w.DB, testHost); err != nil {
		t.Fatal(err)
	}
	if e := w.ask(t, buildOf(1, 0)); e.New || e.ID != first {
		t.Errorf("a request of the host: %+v", e)
	}
	if n := w.number(t, "SELECT COUNT(*) FROM job_locks WHERE resource IN ('game@h1', 'overlay:1@h1')"); n != 3 {
		t.Errorf("%d locks on the host", n)
	}
	if j := w.get(t, refresh); j.HostID != "" {
		t.Errorf("the refresh is %+v", j)
	}
	w.finish(t, w.on(t, testHost, first), job.Succeeded)
	w.on(t, testHost, garbage)

	// A host whose id changes keeps its jobs, and what they hold.
	w.exec(t, "UPDATE hosts SET id = 'h9'")
	w.pass(job.CollectGarbage.Lease)
	if c := w.on(t, "h9", garbage); c.Host != "h9" || w.number(t, "SELECT held FROM job_locks WHERE resource = 'game@h9'") != 1 {
		t.Errorf("%+v", c)
	}
}

func testEndOfHost(t *testing.T, w *fixture) {
	w.moreHosts(t)
	ids := map[string][]int64{}
	for _, host := range []string{testHost, "h2"} {
		for overlay := range int64(3) {
			r := buildOf(1+overlay, 0)
			r.Host = host
			ids[host] = append(ids[host], w.enqueue(t, r))
		}
	}
	running := w.on(t, "h2", ids["h2"][0])
	if err := w.HandBack(t.Context(), w.on(t, "h2", ids["h2"][1])); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := w.EndOfHost(t.Context(), w.DB, "h2"); err != nil {
			t.Fatal(err)
		}
	}
	for i, want := range []job.State{job.Failed, job.Cancelled, job.Cancelled} {
		if j := w.state(t, ids["h2"][i], want); j.Error != "its host was removed" {
			t.Errorf("%+v", j)
		}
		w.state(t, ids[testHost][i], job.Queued)
	}
	if _, err := w.Renew(t.Context(), running); !errors.Is(err, ErrLost) {
		t.Errorf("its worker: %v", err)
	}
}

func testSilentHost(t *testing.T, w *fixture) {
	w.moreHosts(t)
	build := func(host string) int64 {
		t.Helper()
		r := buildOf(1, 0)
		r.Host = host
		return w.enqueue(t, r)
	}
	sweep := func() {
		t.Helper()
		if ended, err := w.Sweep(t.Context()); len(ended) != 0 || err != nil {
			t.Fatal(ended, err)
		}
	}
	heard := func(host string) { w.exec(t, "UPDATE hosts SET seen_at = ? WHERE id = ?", w.at.UnixMilli(), host) }

	// The host is lost while it builds, or has handed its build back. All others go on.
	for _, handsBack := range []bool{false, true} {
		heard("h2")
		id := build("h2")
		c := w.on(t, "h2", id)
		if handsBack {
			if err := w.HandBack(t.Context(), c); err != nil {
				t.Fatal(err)
			}
		}
		refresh := w.enqueue(t, Request{Operation: job.RefreshWorkshopItems})
		w.pass(job.BuildOverlay.Lease)
		sweep()
		w.on(t, testHost, 0) // the host may still take it over
		if _, err := w.ClaimJob(t.Context(), "shell", refresh, job.RefreshWorkshopItems); err == nil ||
			!strings.Contains(err.Error(), fmt.Sprintf("job %d (build_overlay, running) holds game", id)) {
			t.Errorf("ClaimJob: %v", err)
		}
		w.pass(HostSilentAfter)
		sweep()
		running := w.on(t, testHost, refresh)

		// The host is back: it waits for the refresh, and nothing else has taken what is on its disk.
		heard("h2")
		next := build("h2")
		w.on(t, "h2", 0)
		if _, err := w.Store.ClaimJob(t.Context(), Worker{"shell", "h2"}, id, job.BuildOverlay); err == nil ||
			!strings.Contains(err.Error(), fmt.Sprintf("job %d (refresh_workshop_items, running) holds game", refresh)) {
			t.Errorf("ClaimJob: %v", err)
		}
		w.finish(t, running, job.Succeeded)
		c = w.on(t, "h2", id)
		w.on(t, "h2", 0)
		if held := w.number(t, "SELECT COUNT(*) FROM job_locks WHERE job_id = ? AND held = 1", id); held != 3 {
			t.Errorf("it holds %d locks", held)
		}
		w.finish(t, c, job.Succeeded)
		w.finish(t, w.on(t, "h2", next), job.Succeeded)
	}

	// What waits on a silent host keeps nobody waiting, however long.
	w.enqueue(t, Request{Operation: job.CollectGarbage, Host: "h2"})
	w.pass(job.CollectGarbage.StarvesAfter + time.Hour)
	id := build("h3")
	w.finish(t, w.on(t, "h3", id), job.Succeeded)
}
