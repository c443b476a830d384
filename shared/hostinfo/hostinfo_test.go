package hostinfo_test

import (
	"testing"
	"time"

	"left4me/shared/db/dbtest"
	"left4me/shared/db/migrations"
	"left4me/shared/hostinfo"
)

func TestReportReplacesTheLastReport(t *testing.T) { dbtest.Each(t, testReportReplacesTheLastReport) }

func testReportReplacesTheLastReport(t *testing.T, open dbtest.Backend) {
	now := time.Unix(1_790_000_000, 0)
	s := hostinfo.NewStore(open(t), func() time.Time { return now })
	report := func(h hostinfo.Host) {
		t.Helper()
		if err := s.Report(t.Context(), h); err != nil {
			t.Fatal(err)
		}
	}
	list := func() []hostinfo.Host {
		t.Helper()
		all, err := s.List(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	if all := list(); len(all) != 0 {
		t.Errorf("before any report: %v", all)
	}

	attic := hostinfo.Host{Name: "attic", Command: "agent", Version: "1", DiskTotal: 100, DiskFree: 40}
	report(attic)
	attic.SeenAt = now
	cellar := hostinfo.Host{Name: "cellar", Command: "up", Version: "1", Root: "/srv/left4me", DiskTotal: 1 << 42, DiskFree: 1 << 41, MeasuredAt: now,
		Usage: hostinfo.Usage{CacheFiles: 3, CacheBytes: 1 << 40, Overlays: 2, OverlayBytes: 7, GarbageKnown: true, GarbageFiles: 1, GarbageBytes: 1 << 33}}
	now = now.Add(hostinfo.Every)
	report(cellar)
	cellar.SeenAt = now
	if all := list(); len(all) != 2 || all[0] != cellar || all[1] != attic {
		t.Errorf("two hosts: %+v", all)
	}

	now = now.Add(hostinfo.Every)
	cellar.DiskFree, cellar.Version = 5, "2"
	report(cellar)
	cellar.SeenAt = now
	if all := list(); len(all) != 2 || all[0] != cellar {
		t.Errorf("after a second report: %+v", all)
	}
	if !hostinfo.Silent(time.Time{}, now) {
		t.Error("an agent that has never reported is not silent")
	}
	if cellar.Silent(now.Add(2*hostinfo.Every)) || !cellar.Silent(now.Add(4*hostinfo.Every)) {
		t.Error("an agent is silent only after it has missed two reports")
	}

	now = now.Add(31 * 24 * time.Hour)
	report(cellar)
	if all := list(); len(all) != 1 || all[0].Name != "cellar" {
		t.Errorf("a month later: %+v", all)
	}
}

// Pages and agents are updated before or after a migration.
func TestBeforeAMigration(t *testing.T) { dbtest.Each(t, testBeforeAMigration) }

func testBeforeAMigration(t *testing.T, open dbtest.Backend) {
	d := open(t)
	hosts := hostinfo.NewStore(d, time.Now)
	for _, migration := range []string{"00007_host_root.sql", "00002_garbage.sql"} {
		for reverted := ""; reverted != migration; {
			steps, err := migrations.Down(t.Context(), d)
			if err != nil {
				t.Fatal(err)
			}
			reverted = steps[0].File
		}
		for range 2 {
			if err := hosts.Report(t.Context(), hostinfo.Host{Name: "attic", Command: "up", Version: "1", Root: "/srv", Usage: hostinfo.Usage{CacheFiles: 3, GarbageKnown: true}}); err != nil {
				t.Fatal(err)
			}
		}
		all, err := hosts.List(t.Context())
		if err != nil || len(all) != 1 || all[0].Name != "attic" || all[0].Usage.CacheFiles != 3 || all[0].Usage.GarbageKnown != (migration != "00002_garbage.sql") || all[0].Root != "" {
			t.Errorf("before %s: %+v, %v", migration, all, err)
		}
	}
}
