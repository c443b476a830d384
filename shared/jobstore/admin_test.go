package jobstore

import (
	"errors"
	"slices"
	"testing"
	"time"

	"left4me/shared/job"
	"left4me/shared/list"
)

func testAdminLists(t *testing.T, w *fixture) {
	if _, err := w.Last(t.Context(), job.RefreshWorkshopItems); !errors.Is(err, ErrNotFound) {
		t.Errorf("the last refresh of none: %v", err)
	}
	end := func(state job.State) int64 {
		t.Helper()
		id := w.build(t, 1)
		w.finish(t, w.claim(t, id), state)
		return id
	}
	succeeded, failed := end(job.Succeeded), end(job.Failed)
	w.pass(time.Minute)
	atWork := w.build(t, 2)
	w.claim(t, atWork)
	waits := w.build(t, 1)
	w.pass(-30 * time.Second) // by another machine's clock
	older := w.build(t, 3)
	cancelled := w.build(t, 4)
	if _, _, err := w.Cancel(t.Context(), cancelled); err != nil {
		t.Fatal(err)
	}

	want := func(what string, want ...int64) func([]Job, error) {
		return func(jobs []Job, err error) {
			t.Helper()
			var got []int64
			for _, j := range jobs {
				got = append(got, j.ID)
			}
			if err != nil || !slices.Equal(got, want) {
				t.Errorf("%s: %v, %v, want %v", what, got, err, want)
			}
		}
	}
	want("live", atWork, older, waits)(w.ListLive(t.Context(), 9))
	want("two live", atWork, older)(w.ListLive(t.Context(), 2))
	ended := func(state job.State) ([]Job, error) {
		page, err := w.ListEnded(t.Context(), list.Query{State: string(state)})
		return page.Rows, err
	}
	want("ended", cancelled, failed, succeeded)(ended(""))
	want("failed", failed)(ended(job.Failed))

	refresh := w.enqueue(t, Request{Operation: job.RefreshWorkshopItems})
	w.build(t, 5)
	if j, err := w.Last(t.Context(), job.RefreshWorkshopItems); err != nil || j.ID != refresh || j.State != job.Queued {
		t.Errorf("the last refresh: %+v, %v", j, err)
	}
}

func testLast(t *testing.T, w *fixture) {
	if j, err := w.LastIn(t.Context(), job.RefreshWorkshopItems, job.Succeeded); !errors.Is(err, ErrNotFound) {
		t.Errorf("of none: %+v, %v", j, err)
	}
	run := func(state job.State) int64 {
		t.Helper()
		id := w.enqueue(t, Request{Operation: job.RefreshWorkshopItems})
		w.finish(t, w.claim(t, id), state)
		return id
	}
	run(job.Failed)
	if j, err := w.LastIn(t.Context(), job.RefreshWorkshopItems, job.Succeeded); !errors.Is(err, ErrNotFound) {
		t.Errorf("of one that failed: %+v, %v", j, err)
	}
	run(job.Succeeded)
	succeeded, failed := run(job.Succeeded), run(job.Failed)
	w.build(t, 5)
	if j, err := w.LastIn(t.Context(), job.RefreshWorkshopItems, job.Succeeded); err != nil || j.ID != succeeded {
		t.Errorf("job %d, %v, want %d", j.ID, err, succeeded)
	}
	if j, err := w.Last(t.Context(), job.RefreshWorkshopItems); err != nil || j.ID != failed {
		t.Errorf("job %d, %v, want %d", j.ID, err, failed)
	}
}
