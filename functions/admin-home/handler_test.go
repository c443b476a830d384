package main

import (
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"

	"left4me/shared/db"
	"left4me/shared/host"
	"left4me/shared/job"
	"left4me/shared/jobstore"
	"left4me/shared/overlay"
	"left4me/shared/route"
	"left4me/templates/fntest"
)

func TestOverview(t *testing.T) {
	s := fntest.New(t)
	anna, root := s.Person("anna", false), s.Person("root", true)
	v := s.Visitor(root, route.AdminHome, build)
	says := func(selector, pattern string) {
		t.Helper()
		part := v.Get("/admin").Page().Find(selector)
		part.Find("*").BeforeHtml(" ") // each part is a word of its own to a reader
		shown := strings.Join(strings.Fields(part.Text()), " ")
		if !regexp.MustCompile(pattern).MatchString(shown) {
			t.Errorf("%s says %q, want %s", selector, shown, pattern)
		}
	}
	exec := func(query string, args ...any) {
		t.Helper()
		if _, err := s.Env.DB.ExecContext(t.Context(), query, args...); err != nil {
			t.Fatal(err)
		}
	}
	says("main", `There has not been one yet.*No job is running or waiting.*No host agent has reported yet`)

	s.Overlay(anna, "maps", overlay.Workshop)
	s.Overlay(anna, "more", overlay.Workshop)
	s.Overlay(root, "configs", overlay.External)
	exec(`INSERT INTO workshop_items (steam_id, file_url, created_at) VALUES ('101', 'https://cdn.example/f', 0)`)
	exec(`INSERT INTO workshop_items (steam_id, last_error, created_at) VALUES ('102', 'steam result 9', 0)`)
	exec(`INSERT INTO overlay_workshop_items (overlay_id, workshop_item_id, added_at) VALUES (1, 1, 0)`)
	says(".facts", `People 2 1 administrator Overlays 3 1 external, 2 workshop Workshop items 2 0 ready, 1 waiting, 1 failing Hosts 0$`)
	exec(`DELETE FROM overlay_workshop_items`)
	says(".facts", `Workshop items 2 0 ready, 0 waiting, 1 failing, 1 not in use Hosts 0$`)

	jobs := jobstore.NewStore(s.Env.DB, func() time.Time { return s.Env.Now().Add(-2 * time.Hour) })
	for overlay := range int64(2) {
		if _, err := jobs.Enqueue(t.Context(), s.Env.DB, jobstore.Request{Operation: job.BuildOverlay, Subject: job.Overlay(overlay + 1), UserID: anna.ID}); err != nil {
			t.Fatal(err)
		}
	}
	says("table.queue tbody", `Build overlay queued 2 2 hours ago`)

	now := db.Millis(s.Env.Now())
	exec(`INSERT INTO jobs (id, operation, state, attempt, locks, created_at, started_at, finished_at)
		VALUES (70, 'refresh_workshop_items', 'succeeded', 1, '[{"resource":"game","write":true}]', ?, ?, ?)`, now, now, now)
	exec(`INSERT INTO job_logs VALUES (70, 1, 'stdout', 0, 'first'), (70, 2, 'stdout', 0, 'checked=9 changed=2')`)
	says("section.verdict", `^Refresh of all workshop items Refresh all from Steam succeeded job 70 ended just now checked=9 changed=2$`)

	report := func(ago time.Duration, h host.Host) {
		t.Helper()
		hosts := host.NewStore(s.Env.DB, func() time.Time { return s.Env.Now().Add(-ago) }, s.Env.Jobs)
		h.ID, h.Version, h.Agent.Disk = h.Name, "1.2", h.Name
		_, err := hosts.Register(t.Context(), h)
		if err := errors.Join(err, hosts.Report(t.Context(), h)); err != nil {
			t.Fatal(err)
		}
	}
	report(0, host.Host{Name: "cellar", Command: "up"})
	says(".facts", `Hosts 1$`)
	report(time.Hour, host.Host{Name: "attic", DiskTotal: 100 << 30, DiskFree: 1 << 30})
	says(".facts", `Hosts 2 1 silent, 1 with little free space$`)

	// The unneeded files are the sum of those that running agents have reported.
	says("#garbage", `^Unneeded files No running host agent has been able`)
	report(time.Hour, host.Host{Name: "attic", Usage: host.Usage{GarbageKnown: true, GarbageFiles: 9}})
	says("#garbage", `^Unneeded files No running host agent has been able`)
	for files, want := range map[int64]string{0: `^Unneeded files Every file in the cache is needed\.$`,
		1: `^Unneeded files Remove unneeded files 1 file, 3\.0 MiB that no overlay needs`} {
		report(0, host.Host{Name: "cellar", Command: "up", Usage: host.Usage{GarbageKnown: true, GarbageFiles: files, GarbageBytes: files * 3 << 20}})
		says("#garbage", want)
	}
	report(0, host.Host{Name: "attic", Usage: host.Usage{GarbageKnown: true, GarbageFiles: 9}})
	says("#garbage", `They are on 2 hosts, each of which gets a job of its own\.$`)
	exec(`INSERT INTO jobs (operation, state, locks, created_at) VALUES ('collect_garbage', 'queued', '[{"resource":"game","write":true}]', ?)`, now)
	says("#garbage", `^Unneeded files A job that removes them is queued\.$`)
}
