package main

import (
	"database/sql"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"left4me/shared/db/dbtest"
	"left4me/shared/route"
	"left4me/templates/fntest"
	"left4me/templates/web"
)

// BenchmarkHosts is M16: the page of one of 1,000 overlays with 20 items each, which are built on one host, or on 20 hosts.
func BenchmarkHosts(b *testing.B) {
	for _, hosts := range []int{1, 20} {
		s := fntest.New(b)
		for n := range hosts {
			dbtest.AddHost(b, s.Env.DB, fmt.Sprint("h", 1+n), time.Now())
		}
		anna := s.Person("anna", true)
		for _, statement := range []string{
			`WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)
			INSERT INTO overlays (id, name, type, user_id, uid, created_at) SELECT i, 'maps ' || i, 'workshop', :anna, i, 0 FROM n`,
			`INSERT INTO workshop_items (id, steam_id, title, file_url, file_size, time_updated, created_at)
			SELECT id, id, 'Item ' || id, 'https://cdn.steamusercontent.com/ugc/1/2/', 1, 1, 0 FROM overlays`,
			`INSERT INTO overlay_workshop_items (overlay_id, workshop_item_id, added_at) SELECT o.id, i.id, 0 FROM overlays o CROSS JOIN workshop_items i WHERE (i.id + o.id) % 50 = 0`,
			`INSERT INTO item_hosts (workshop_item_id, host_id, last_downloaded_at, downloaded_time_updated, downloaded_file_size)
			SELECT i.id, h.id, 1, 1, 1 FROM workshop_items i CROSS JOIN hosts h`,
			`INSERT INTO overlay_links (overlay_id, workshop_item_id, host_id)
			SELECT a.overlay_id, a.workshop_item_id, h.id FROM overlay_workshop_items a CROSS JOIN hosts h`,
			`UPDATE overlay_hosts SET directory_at = 1, last_build_status = 'ok', last_build_at = 1`,
		} {
			if _, err := s.Env.DB.ExecContext(b.Context(), statement, sql.Named("anna", anna.ID)); err != nil {
				b.Fatal(err)
			}
		}
		cookies := http.Header{"Cookie": {"left4me_session=" + s.Visitor(anna, route.OverlayShow, build).Session()}}
		handler := web.Function(s.Env, route.OverlayShow, build(s.Env))
		b.Run(fmt.Sprintf("page/%d", hosts), func(b *testing.B) {
			for b.Loop() {
				request := httptest.NewRequestWithContext(b.Context(), http.MethodGet, route.OverlayShow.URL(500), nil)
				request.Header, request.Host = cookies, s.Env.Settings.PublicURL.Host
				answer := httptest.NewRecorder()
				if handler.ServeHTTP(answer, request); answer.Code != http.StatusOK {
					b.Fatalf("%d: %s", answer.Code, answer.Body)
				}
			}
		})
	}
}
