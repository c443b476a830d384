package game_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"left4me/shared/db"
	"left4me/shared/db/dbtest"
	"left4me/shared/game"
	"left4me/shared/host"
	"left4me/shared/job"
	"left4me/shared/jobstore"
	"left4me/shared/problem"
)

func TestStore(t *testing.T) { dbtest.Each(t, testStore) }

func testStore(t *testing.T, open dbtest.Backend) {
	d, now := open(t), time.UnixMilli(1_790_000_000_000)
	clock := func() time.Time { return now }
	jobs := jobstore.NewStore(d, clock)
	s := game.NewStore(d, clock, jobs)
	for _, id := range []string{"attic", "cellar"} {
		dbtest.AddHost(t, d, id, now)
	}
	newest := func(want int64) {
		t.Helper()
		r, found, err := s.Newest(t.Context(), d, "attic")
		if err != nil || found != (want != 0) || r.BuildID != want {
			t.Errorf("%+v, %v, %v, want %d", r, found, err, want)
		}
		if r, found, err := s.Newest(t.Context(), d, "cellar"); found || err != nil {
			t.Errorf("on the other host: %+v, %v", r, err)
		}
	}
	install := func(newest int64, onDisk ...game.Release) {
		t.Helper()
		now = now.Add(time.Hour)
		err := d.InTx(t.Context(), func(ctx context.Context, q db.Querier) error {
			return s.RecordReleases(ctx, q, "attic", newest, onDisk)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	one, two, three := game.Release{BuildID: 15000001, Bytes: 10}, game.Release{BuildID: 15000002, Bytes: 20}, game.Release{BuildID: 15000003, Bytes: 30}
	newest(0)
	install(one.BuildID, one)
	newest(one.BuildID)
	first := now
	install(one.BuildID, one) // again: nothing new
	if r, _, err := s.Newest(t.Context(), d, "attic"); err != nil || !r.InstalledAt.Equal(first) || r.Bytes != 10 {
		t.Errorf("%+v, %v", r, err)
	}
	install(two.BuildID, one, two)
	newest(two.BuildID)
	install(one.BuildID, one, two) // Steam has taken the newer one back
	newest(one.BuildID)
	install(two.BuildID, two, three) // three is of an install that was not recorded
	newest(two.BuildID)

	now = now.Add(time.Hour)
	if err := d.InTx(t.Context(), func(ctx context.Context, q db.Querier) error { return s.RecordCheck(ctx, q, "attic", 15000004) }); err != nil {
		t.Fatal(err)
	}
	h, err := host.NewStore(d, clock, jobs).Get(t.Context(), "attic")
	if err != nil || h.Game.BuildID != two.BuildID || h.Game.NewestBuildID != 15000004 || !h.Game.CheckedAt.Equal(now) || !h.Game.Outdated() {
		t.Errorf("%+v, %v", h.Game, err)
	}

	if err := d.InTx(t.Context(), game.Forget); err != nil { // after a restoration
		t.Fatal(err)
	}
	newest(0)

	install(one.BuildID, one)
	install(0) // it has been removed by hand
	newest(0)

	if e, err := s.Request(t.Context(), job.Install, "attic", 0); err != nil || !e.New {
		t.Errorf("%+v, %v", e, err)
	}
	if _, err := s.Request(t.Context(), job.Install, "nobody", 0); err == nil {
		t.Error("a job on a host that is not there")
	} else if p, ok := problem.As(err); !ok || p.Status != http.StatusNotFound {
		t.Error(err)
	}
}
