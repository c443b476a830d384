package main

import (
	"database/sql"
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"

	"left4me/shared/db"
	"left4me/shared/host"
	"left4me/shared/overlay"
	"left4me/shared/route"
	"left4me/templates/fntest"
)

// There is one row for each host, with what its agent has reported last and what is to be done there.
func TestOneRowForEachHost(t *testing.T) {
	s := fntest.New(t)
	root := s.Person("root", true)
	v := s.Visitor(root, route.AdminHosts, build)
	says := func(selector, pattern string) {
		t.Helper()
		part := v.Get("/admin/hosts").Page().Find(selector)
		part.Find("*").BeforeHtml(" ") // each part is a word of its own to a reader
		if shown := strings.Join(strings.Fields(part.Text()), " "); !regexp.MustCompile(pattern).MatchString(shown) {
			t.Errorf("%s says %q, want %s", selector, shown, pattern)
		}
	}
	says("main", `No host agent has reported yet`)

	report := func(ago time.Duration, h host.Host) {
		t.Helper()
		hosts := host.NewStore(s.Env.DB, func() time.Time { return s.Env.Now().Add(-ago) }, s.Env.Jobs)
		h.ID, h.Version, h.Agent.Disk = h.Name+"1", "1.2", h.Name
		_, err := hosts.Register(t.Context(), h)
		if err := errors.Join(err, hosts.Report(t.Context(), h)); err != nil {
			t.Fatal(err)
		}
	}
	report(time.Hour, host.Host{Name: "attic", Address: "192.0.2.1", Command: "agent", DiskTotal: 100 << 30, DiskFree: 1 << 30,
		MeasuredAt: s.Env.Now().Add(-3 * time.Hour), Usage: host.Usage{CacheFiles: 3, CacheBytes: 5 << 30, Overlays: 1, OverlayBytes: 7 << 20}})
	report(0, host.Host{Name: "cellar", Command: "up"})
	for _, name := range []string{"maps", "more"} {
		if _, err := overlay.NewStore(s.Env.DB, s.Env.Now, s.Env.Jobs).Create(t.Context(), root, name, "workshop"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Env.DB.ExecContext(t.Context(), `UPDATE overlay_hosts SET last_build_status = 'failed' WHERE host_id = 'attic1' AND overlay_id = 1`); err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{
		`INSERT INTO releases (host_id, build_id, bytes, installed_at) VALUES ('attic1', 15000001, 9663676416, :now - 7200000), ('attic1', 15000003, 1, 1)`,
		`UPDATE hosts SET newest_build_id = 15000002, game_checked_at = :now WHERE id = 'attic1'`,
	} {
		if _, err := s.Env.DB.ExecContext(t.Context(), statement, sql.Named("now", db.Millis(s.Env.Now()))); err != nil {
			t.Fatal(err)
		}
	}
	says("table.hosts tbody", `^attic 192.0.2.1 id attic1 silent since [^ ]+ [^ ]+ [^ ]+ [0-9:]+ UTC localrun agent, 1.2 2 waiting 1 failed 1 overlay 7.0 MiB, links left out `+
		`5.0 GiB 3 files, counted 3 hours ago 1.0 GiB of 100 GiB release 15000001 9.0 GiB, installed 2 hours ago release 15000002 on Steam Update game on attic Check Steam on attic Remove… attic `+
		`cellar id cellar1 here last report just now localrun up, 1.2 2 waiting not counted yet not counted yet not known yet not installed Install game on cellar$`)
	page := v.Get("/admin/hosts").Page()
	if bad := page.Find("main .bad").Length(); bad != 4 {
		t.Errorf("of a silent agent, a failed overlay, an old release and a nearly full disk %d are marked", bad)
	}
	if to := page.Find("td.act a").AttrOr("href", ""); to != "/admin/hosts/attic1/delete" {
		t.Errorf("the button leads to %q", to)
	}
}
