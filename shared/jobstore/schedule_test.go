package jobstore

import (
	"sync"
	"testing"
	"time"

	"left4me/shared/job"
)

var slot = time.Date(2026, 11, 21, 4, 0, 0, 0, time.UTC)

func (w *fixture) fire(t *testing.T, slot time.Time, want string) *Enqueued {
	t.Helper()
	e, err := w.Fire(t.Context(), job.DailyRefresh, slot)
	if err != nil {
		t.Fatal(err)
	}
	if got := e.Sentence(job.RefreshWorkshopItems); got != want {
		t.Errorf("slot %s: %q, want %q", slot, got, want)
	}
	return e
}

func testSlots(t *testing.T, w *fixture) {
	first := w.fire(t, slot, "enqueued refresh_workshop_items job 1")
	if j, err := w.Get(t.Context(), first.ID); err != nil || j.UserID != 0 || j.State != job.Queued {
		t.Errorf("the job: %+v, %v", j, err)
	}
	w.fire(t, slot.In(time.FixedZone("", 3600)), "refresh_workshop_items job 1 already queued")
	w.fire(t, time.Time{}, "refresh_workshop_items job 1 already queued")
	w.fire(t, slot.Add(24*time.Hour), "refresh_workshop_items job 1 already queued")

	w.finish(t, w.claim(t, first.ID), job.Succeeded)
	if e := w.fire(t, slot, "refresh_workshop_items job 1 already queued"); e.State != job.Succeeded {
		t.Errorf("the slot's job is %s", e.State)
	}
	w.fire(t, slot.Add(24*time.Hour), "refresh_workshop_items job 1 already queued")
	second := w.fire(t, slot.Add(48*time.Hour), "enqueued refresh_workshop_items job 2")
	w.finish(t, w.claim(t, second.ID), job.Succeeded)
	w.fire(t, time.Time{}, "enqueued refresh_workshop_items job 3")

	// A slot whose job is long gone stays fired, until it is forgotten itself.
	if _, err := w.DB.ExecContext(t.Context(), `DELETE FROM jobs`); err != nil {
		t.Fatal(err)
	}
	w.fire(t, slot, "refresh_workshop_items job 1 already queued")
	w.fire(t, slot.Add(keepSlots), "enqueued refresh_workshop_items job 4")
	w.fire(t, slot.Add(keepSlots+25*time.Hour), "refresh_workshop_items job 4 already queued")
	var slots int
	if err := w.DB.QueryRowContext(t.Context(), `SELECT COUNT(*) FROM schedule_slots`).Scan(&slots); err != nil || slots != 3 {
		t.Errorf("%d slots are kept, want the newest 3 of 5: %v", slots, err)
	}
}

func testSlotsRace(t *testing.T, w *fixture) {
	const timers = 8
	for day := range 5 {
		var racing sync.WaitGroup
		fired := make([]*Enqueued, timers)
		for n := range timers {
			racing.Go(func() {
				var err error
				if fired[n], err = w.Fire(t.Context(), job.DailyRefresh, slot.AddDate(0, 0, day)); err != nil {
					t.Error(err)
				}
			})
		}
		racing.Wait()
		newOnes := 0
		for _, e := range fired {
			if e.New {
				newOnes++
			}
			if e.ID != fired[0].ID {
				t.Errorf("day %d: jobs %d and %d", day, fired[0].ID, e.ID)
			}
		}
		if newOnes != 1 {
			t.Errorf("day %d: %d timers enqueued a job", day, newOnes)
		}
		// So that coalescing cannot be what made it one.
		w.finish(t, w.claim(t, fired[0].ID), job.Succeeded)
		if e, err := w.Fire(t.Context(), job.DailyRefresh, slot.AddDate(0, 0, day)); err != nil || e.New || e.ID != fired[0].ID {
			t.Errorf("day %d: a late timer got %+v, %v", day, e, err)
		}
	}
}

func testMissed(t *testing.T, w *fixture) {
	missed := func(slot time.Time, want bool) {
		t.Helper()
		got, err := w.Missed(t.Context(), job.DailyRefresh, slot)
		if err != nil || got != want {
			t.Errorf("slot %s is missed: %v, %v, want %v", slot, got, err, want)
		}
	}
	missed(slot, false)
	missed(slot, false)
	missed(slot.AddDate(0, 0, 1), true)
	missed(slot.AddDate(0, 0, -1), true) // a clock that was put back

	// One that was only seen may still be fired, by another timer.
	w.fire(t, slot, "enqueued refresh_workshop_items job 1")
	missed(slot, false)
	w.fire(t, slot.AddDate(0, 0, 1), "refresh_workshop_items job 1 already queued")
	missed(slot.AddDate(0, 0, 1), false)
	missed(slot.AddDate(0, 0, 2), true)
}
