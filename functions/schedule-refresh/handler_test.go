package main

import (
	"context"
	"testing"
	"time"

	"left4me/shared/fn/fntest"
	"left4me/shared/job"
	"left4me/shared/jobstore"
)

func TestASlotIsFiredOnceAndWakesTheAgentOnce(t *testing.T) {
	s := fntest.New(t)
	rings := 0
	fire := timer{jobs: jobstore.New(s.Env.DB), ring: func(context.Context) { rings++ }}.fire
	slot := time.Date(2026, 11, 21, 4, 0, 0, 0, time.UTC)
	for _, step := range []struct {
		slot  time.Time
		says  string
		rings int
	}{
		{slot, "enqueued refresh_workshop_items job 1", 1},
		{slot, "refresh_workshop_items job 1 already queued", 1},
		{time.Time{}, "refresh_workshop_items job 1 already queued", 1},
	} {
		got, err := fire(t.Context(), step.slot)
		if err != nil || got.Sentence(job.RefreshWorkshopItems) != step.says || rings != step.rings {
			t.Errorf("slot %s: %q, %v, %d rings", step.slot, got.Sentence(job.RefreshWorkshopItems), err, rings)
		}
	}
	if n := s.Count(`SELECT COUNT(*) FROM jobs WHERE operation = 'refresh_workshop_items' AND user_id IS NULL`); n != 1 {
		t.Errorf("%d refreshes that nobody asked for", n)
	}
}

func TestABrokenDatabaseIsAnError(t *testing.T) {
	s := fntest.New(t)
	fire := build(s.Env)
	s.Break()
	if _, err := fire(t.Context(), time.Time{}); err == nil {
		t.Error("the timer was told that all is well")
	}
}
