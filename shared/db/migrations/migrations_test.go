package migrations_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"left4me/shared/db"
	"left4me/shared/db/dbtest"
	"left4me/shared/db/migrations"
)

// empty runs the test on an empty database of each kind.
func empty(t *testing.T, test func(t *testing.T, databaseURL string)) {
	t.Run("file", func(t *testing.T) { test(t, db.FileURL(filepath.Join(t.TempDir(), "left4me.db"))) })
	t.Run("server", func(t *testing.T) { test(t, dbtest.ServeEmpty(t).URL) })
}

func TestUpDownUpLeadsToTheSameSchema(t *testing.T) { empty(t, testUpDownUpLeadsToTheSameSchema) }

func testUpDownUpLeadsToTheSameSchema(t *testing.T, databaseURL string) {
	d := dbtest.Open(t, databaseURL)
	steps, err := migrations.Up(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	if len(steps) == 0 {
		t.Fatal("no migration ran")
	}
	first := schema(t, d)
	if again, err := migrations.Up(t.Context(), d); err != nil || len(again) != 0 {
		t.Errorf("a second Up ran %v, %v", again, err)
	}
	for range steps {
		if _, err := migrations.Down(t.Context(), d); err != nil {
			t.Fatal(err)
		}
	}
	if left := schema(t, d); len(left) != 0 {
		t.Errorf("after all the way down there is still %v", left)
	}
	list, err := migrations.List(t.Context(), d)
	if err != nil || len(list) != len(steps) || !list[0].AppliedAt.IsZero() {
		t.Errorf("status = %v, %v", list, err)
	}
	if _, err := migrations.Up(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	if second := schema(t, d); !slices.Equal(first, second) {
		t.Errorf("the schema differs after down and up:\n%v\n%v", first, second)
	}
}

func TestPendingChangesNothing(t *testing.T) {
	d := dbtest.Open(t, db.FileURL(filepath.Join(t.TempDir(), "left4me.db")))
	pending := func() int {
		t.Helper()
		files, newer, err := migrations.Pending(t.Context(), d)
		if err != nil || newer {
			t.Fatal(newer, err)
		}
		return len(files)
	}
	all := pending()
	var tables int
	if err := d.QueryRowContext(t.Context(), `SELECT COUNT(*) FROM sqlite_schema`).Scan(&tables); err != nil || tables != 0 || all == 0 {
		t.Errorf("an empty database lacks %d migrations and then has %d tables (%v)", all, tables, err)
	}
	if _, err := migrations.Up(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	if n := pending(); n != 0 {
		t.Errorf("a current database lacks %d", n)
	}
	if _, err := migrations.Down(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	if n := pending(); n != 1 {
		t.Errorf("after one step back it lacks %d", n)
	}
	if _, err := d.ExecContext(t.Context(), `INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, 1)`); err != nil {
		t.Fatal(err)
	}
	if _, newer, err := migrations.Pending(t.Context(), d); err != nil || !newer {
		t.Errorf("a newer database: %t, %v", newer, err)
	}
}

func TestSeveralProcessesMayMigrateAtOnce(t *testing.T) {
	empty(t, testSeveralProcessesMayMigrateAtOnce)
}

func testSeveralProcessesMayMigrateAtOnce(t *testing.T, databaseURL string) {
	// goose's own table exists already: a process that loses the race to create it pauses for a second.
	if _, err := migrations.List(t.Context(), dbtest.Open(t, databaseURL)); err != nil {
		t.Fatal(err)
	}
	const processes = 6
	var applied atomic.Int64
	var wg sync.WaitGroup
	for range processes {
		d := dbtest.Open(t, databaseURL)
		wg.Go(func() {
			steps, err := migrations.Up(t.Context(), d)
			if err != nil {
				t.Error(err)
			}
			applied.Add(int64(len(steps)))
		})
	}
	wg.Wait()
	d := dbtest.Open(t, databaseURL)
	list, err := migrations.List(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	if n := applied.Load(); n != int64(len(list)) {
		t.Errorf("%d migrations were applied %d times", len(list), n)
	}
	var noted int
	if err := d.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM goose_db_version").Scan(&noted); err != nil || noted != len(list)+1 {
		t.Errorf("%d are noted, %v", noted, err)
	}
}

func TestAMigrationWhoseAnswerIsLostIsNotAppliedTwice(t *testing.T) {
	s := dbtest.ServeEmpty(t)
	d := s.Open(t)
	list, err := migrations.List(t.Context(), d) // which makes goose's own table
	if err != nil {
		t.Fatal(err)
	}
	s.Tell(t, "drop after times=1 sql=COMMIT")
	if steps, err := migrations.Up(t.Context(), d); err != nil || len(steps) != len(list)-1 {
		t.Errorf("did %v, %v", steps, err)
	}
	if _, err := migrations.Down(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	s.Tell(t, "drop times=1 sql=COMMIT")
	steps, err := migrations.Up(t.Context(), d)
	if !errors.Is(err, db.ErrInDoubt) || len(steps) != 0 {
		t.Errorf("did %v, %v", steps, err)
	}
	s.EndTransactions()
	if steps, err = migrations.Up(t.Context(), d); err != nil || len(steps) != 1 {
		t.Errorf("did %v, %v", steps, err)
	}
}

// A server that is far away is migrated quickly, and ends no migration for taking too long.
func TestAServerIsMigratedInFewRequests(t *testing.T) {
	s := dbtest.ServeEmpty(t)
	d := s.Open(t)
	steps, err := migrations.Up(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	const more = 5 // goose looks for its table, makes it, and reads it three times
	if sent := s.Received(); len(sent) > len(steps)+more {
		t.Errorf("%d migrations took %d requests:\n%s", len(steps), len(sent), strings.Join(sent, "\n"))
	}
}

func TestAMigrationThatFailsLeavesNothing(t *testing.T) {
	empty(t, func(t *testing.T, databaseURL string) {
		d := dbtest.Open(t, databaseURL)
		if _, err := d.ExecContext(t.Context(), `CREATE TABLE overlays (a)`); err != nil { // which 00001_first.sql creates, too
			t.Fatal(err)
		}
		before := schema(t, d)
		steps, err := migrations.Up(t.Context(), d)
		if err == nil || len(steps) != 0 || !strings.Contains(err.Error(), "table overlays already exists") {
			t.Errorf("did %v, %v", steps, err)
		}
		if left := schema(t, d); !slices.Equal(left, before) {
			t.Errorf("left %q", left)
		}
		if _, err := d.ExecContext(t.Context(), `DROP TABLE overlays`); err != nil {
			t.Fatal(err)
		}
		if _, err := migrations.Up(t.Context(), d); err != nil {
			t.Error(err)
		}
	})
}

// The statements that goose sends, run by the engine of libSQL's servers.
func TestTheRealEngineGoesUpDownAndUp(t *testing.T) {
	s := dbtest.ServeEmpty(t)
	d := s.Open(t)
	applied, err := migrations.Up(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	up, want := s.ReceivedSteps(), schema(t, d)
	s.Received()
	for range applied {
		if _, err := migrations.Down(t.Context(), d); err != nil {
			t.Fatal(err)
		}
	}
	look := dbtest.Step{Do: "query", SQL: schemaSQL}
	steps := slices.Concat(up, []dbtest.Step{look}, s.ReceivedSteps(), []dbtest.Step{look}, up, []dbtest.Step{look})
	var seen [][]string
	for i, r := range dbtest.Engine(t, steps) {
		if r.Error != "" {
			t.Errorf("%s: %s", r.Error, steps[i].SQL)
		}
		if steps[i] == look {
			list := []string{}
			for _, row := range r.Rows {
				list = append(list, fmt.Sprint(row...))
			}
			seen = append(seen, list)
		}
	}
	if len(up) < 20 || len(seen) != 3 || !slices.Equal(seen[0], want) || len(seen[1]) != 0 || !slices.Equal(seen[2], want) {
		t.Errorf("%d statements up; then, down, and up again:\n%q\nwant\n%q", len(up), seen, want)
	}
}

const schemaSQL = `SELECT type || ' ' || name || ' ' || sql FROM sqlite_schema
	WHERE sql IS NOT NULL AND tbl_name NOT LIKE 'goose%' AND name NOT LIKE 'sqlite_%' ORDER BY 1`

// schema lists everything that left4me's migrations created, without goose's and SQLite's own tables.
func schema(t *testing.T, d *db.DB) []string {
	t.Helper()
	rows, err := d.QueryContext(t.Context(), schemaSQL)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var all []string
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

// Jobs that existed before 00003_subjects.sql get their subjects, and still coalesce.
func TestJobsGetSubjects(t *testing.T) {
	empty(t, func(t *testing.T, databaseURL string) {
		d := dbtest.Open(t, databaseURL)
		steps, err := migrations.Up(t.Context(), d)
		if err != nil {
			t.Fatal(err)
		}
		for range steps[2:] {
			if _, err := migrations.Down(t.Context(), d); err != nil {
				t.Fatal(err)
			}
		}
		const old = `INSERT INTO jobs (operation, state, overlay_id, locks, attempt, lease_until, impatient_at, created_at, started_at, finished_at) VALUES
			('build_overlay', 'succeeded', 5, '[{"resource":"game","write":false}]', 1, NULL, NULL, 1, 1, 1),
			('build_overlay', 'running', 5, '[{"resource":"game","write":false}]', 1, 9, NULL, 1, 1, NULL),
			('build_overlay', 'queued', 5, '[{"resource":"game","write":false}]', 0, NULL, NULL, 1, NULL, NULL),
			('delete_overlay', 'queued', 6, '[{"resource":"game","write":false}]', 0, NULL, NULL, 1, NULL, NULL),
			('refresh_workshop_items', 'queued', NULL, '[{"resource":"game","write":true}]', 0, NULL, 7, 1, NULL, NULL)`
		if _, err := d.ExecContext(t.Context(), old); err != nil {
			t.Fatal(err)
		}
		if _, err := d.ExecContext(t.Context(), `INSERT INTO job_logs (job_id, seq, stream, logged_at, line) VALUES (1, 1, 'stdout', 1, 'done')`); err != nil {
			t.Fatal(err)
		}
		if _, err := migrations.Up(t.Context(), d); err != nil {
			t.Fatal(err)
		}
		look := func() []string {
			t.Helper()
			rows, err := db.Rows(t.Context(), d, db.Value[string], `SELECT concat_ws('|', operation, state, subject_kind, COALESCE(subject_id, '-'),
				COALESCE(queued_key, '-'), COALESCE(live_key, '-'), COALESCE(starving_at, '-'), argument, (SELECT COUNT(*) FROM job_logs WHERE job_id = jobs.id)) FROM jobs ORDER BY id`)
			if err != nil {
				t.Fatal(err)
			}
			return rows
		}
		want := []string{
			"build_overlay|succeeded|overlay|5|-|-|-|{}|1",
			"build_overlay|running|overlay|5|build_overlay overlay:5 {}|-|-|{}|0",
			"build_overlay|queued|overlay|5|build_overlay overlay:5 {}|-|-|{}|0",
			"delete_overlay|queued|overlay|6|-|delete_overlay overlay:6 {}|-|{}|0",
			"refresh_workshop_items|queued||-|-|refresh_workshop_items  {}|7|{}|0",
		}
		if got := look(); !slices.Equal(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
		// Down, and up again.
		for range steps[2:] {
			if _, err := migrations.Down(t.Context(), d); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := migrations.Up(t.Context(), d); err != nil {
			t.Fatal(err)
		}
		if got := look(); !slices.Equal(got, want) {
			t.Errorf("down and up again: %q, want %q", got, want)
		}
	})
}

// What was built before 00004_links.sql is linked; what was not is not known to be.
func TestOverlaysThatAreBuiltGetLinks(t *testing.T) {
	empty(t, func(t *testing.T, databaseURL string) {
		d := dbtest.Open(t, databaseURL)
		steps, err := migrations.Up(t.Context(), d)
		if err != nil {
			t.Fatal(err)
		}
		for range steps[3:] {
			if _, err := migrations.Down(t.Context(), d); err != nil {
				t.Fatal(err)
			}
		}
		for _, statement := range []string{
			`INSERT INTO hosts (name, command, version, seen_at, disk_total, disk_free) VALUES ('attic', 'up', '1', 1, 0, 0)`,
			`INSERT INTO overlays (id, name, type, uid, last_build_status, created_at) VALUES (1, 'a', 'workshop', 'a', 'ok', 0),
				(2, 'b', 'workshop', 'b', 'failed', 0), (3, 'c', 'workshop', 'c', '', 0)`,
			`INSERT INTO workshop_items (id, steam_id, file_url, last_downloaded_at, created_at) VALUES (1, '1', 'u', 5, 0), (2, '2', 'u', NULL, 0), (3, '3', '', 5, 0)`,
			`INSERT INTO overlay_workshop_items (overlay_id, workshop_item_id, added_at) SELECT o.id, w.id, 0 FROM overlays o, workshop_items w`,
		} {
			if _, err := d.ExecContext(t.Context(), statement); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := migrations.Up(t.Context(), d); err != nil {
			t.Fatal(err)
		}
		links, err := db.Rows(t.Context(), d, db.Value[string], `SELECT overlay_id || ' ' || workshop_item_id FROM overlay_links`)
		if err != nil || !slices.Equal(links, []string{"1 1"}) {
			t.Errorf("%q, %v", links, err)
		}
	})
}

// downTo reverts all migrations from file on.
func downTo(t *testing.T, d *db.DB, file string) {
	t.Helper()
	for {
		steps, err := migrations.Down(t.Context(), d)
		if err != nil {
			t.Fatal(err)
		}
		if steps[0].File == file {
			return
		}
	}
}

// Before 00008_hosts.sql a host that was renamed had two rows. The newest one is the host that there is, until its agent takes it.
func TestOneHostRemains(t *testing.T) {
	empty(t, func(t *testing.T, databaseURL string) {
		d := dbtest.Open(t, databaseURL)
		if _, err := migrations.Up(t.Context(), d); err != nil {
			t.Fatal(err)
		}
		downTo(t, d, "00008_hosts.sql")
		for name, seen := range map[string]int{"former": 1, "attic": 2} {
			if _, err := d.ExecContext(t.Context(), `INSERT INTO hosts (name, root, command, version, seen_at, disk_total, disk_free, cache_files, garbage_bytes)
				VALUES (?, '/srv', 'up', '1', ?, 9, 8, 7, 6)`, name, seen); err != nil {
				t.Fatal(err)
			}
		}
		look := func() []string {
			t.Helper()
			rows, err := db.Rows(t.Context(), d, db.Value[string], `SELECT concat_ws('|', id, name, boot, disk, root, command, seen_at, disk_free, cache_files, garbage_bytes) FROM hosts`)
			if err != nil {
				t.Fatal(err)
			}
			return rows
		}
		for range 2 { // down, and up again
			if _, err := migrations.Up(t.Context(), d); err != nil {
				t.Fatal(err)
			}
			if got := look(); !slices.Equal(got, []string{"first|attic|||/srv|up|2|8|7|6"}) {
				t.Errorf("hosts %q", got)
			}
			downTo(t, d, "00008_hosts.sql")
		}
	})
}

// An installation of before 00008_hosts.sql becomes one with a single host: nothing is built again, and pages show what they showed.
func TestAnInstallationBecomesOneHost(t *testing.T) {
	empty(t, func(t *testing.T, databaseURL string) {
		d := dbtest.Open(t, databaseURL)
		if _, err := migrations.Up(t.Context(), d); err != nil {
			t.Fatal(err)
		}
		downTo(t, d, "00008_hosts.sql")
		exec := func(statements ...string) {
			t.Helper()
			for _, s := range statements {
				if _, err := d.ExecContext(t.Context(), s); err != nil {
					t.Fatalf("%s: %v", s, err)
				}
			}
		}
		look := func(query string) []string {
			t.Helper()
			rows, err := db.Rows(t.Context(), d, db.Value[string], query)
			if err != nil {
				t.Fatalf("%s: %v", query, err)
			}
			return rows
		}
		exec(`INSERT INTO hosts (name, root, command, version, seen_at, disk_total, disk_free) VALUES ('attic', '/srv', 'up', '1', 5, 9, 8)`,
			`INSERT INTO overlays (id, name, type, uid, directory_at, revision, last_build_status, last_build_at, last_build_job_id, created_at) VALUES
				(1, 'a', 'workshop', 'a', 3, 7, 'ok', 4, 1, 0), (2, 'b', 'workshop', 'b', 3, 2, 'failed', 6, 2, 0), (3, 'c', 'external', 'c', NULL, 1, '', NULL, NULL, 0)`,
			`INSERT INTO workshop_items (id, steam_id, file_url, time_updated, last_error, last_downloaded_at, downloaded_time_updated, downloaded_file_size, created_at) VALUES
				(1, '1', 'u', 9, '', 5, 9, 0, 0), (2, '2', 'u', 9, 'download failed: once', 5, 8, 7, 0), (3, '3', '', 0, 'steam result 9', NULL, 0, 0, 0)`,
			`INSERT INTO overlay_workshop_items (overlay_id, workshop_item_id, added_at) SELECT 1, id, 0 FROM workshop_items`,
			`INSERT INTO overlay_links (overlay_id, workshop_item_id) VALUES (1, 1), (1, 2)`,
			`INSERT INTO jobs (operation, state, subject_kind, subject_id, queued_key, live_key, locks, attempt, lease_until, created_at, started_at, finished_at) VALUES
				('build_overlay', 'succeeded', 'overlay', 1, NULL, NULL, '[{"resource":"game","write":false}]', 1, NULL, 1, 1, 1),
				('build_overlay', 'running', 'overlay', 2, 'build_overlay overlay:2 {}', NULL, '[{"resource":"game","write":false},{"resource":"overlay:2","write":true}]', 1, 9, 1, 1, NULL),
				('build_overlay', 'queued', 'overlay', 2, 'build_overlay overlay:2 {}', NULL, '[{"resource":"game","write":false},{"resource":"overlay:2","write":true}]', 0, NULL, 1, NULL, NULL),
				('collect_garbage', 'queued', '', NULL, NULL, 'collect_garbage  {}', '[{"resource":"game","write":true}]', 0, NULL, 1, NULL, NULL),
				('refresh_workshop_items', 'queued', '', NULL, NULL, 'refresh_workshop_items  {}', '[{"resource":"game","write":true}]', 0, NULL, 1, NULL, NULL)`,
			`UPDATE job_locks SET held = 1 WHERE job_id = 2`)
		const overlays = `SELECT concat_ws('|', id, revision, last_build_status, last_build_at, last_build_job_id) FROM overlays`
		const items = `SELECT concat_ws('|', id, last_error, last_downloaded_at, downloaded_time_updated, downloaded_file_size) FROM workshop_items`
		const jobs = `SELECT concat_ws('|', id, state, COALESCE(host_id, '-')) FROM jobs`
		const locks = `SELECT concat_ws(' ', job_id, resource, write, held) FROM job_locks WHERE job_id > 1 ORDER BY 1`
		before := map[string][]string{overlays: look(overlays), items: look(items), locks: look(locks)}
		if _, err := migrations.Up(t.Context(), d); err != nil {
			t.Fatal(err)
		}
		for _, query := range []string{overlays, items} {
			if got := look(query); !slices.Equal(got, before[query]) {
				t.Errorf("%s:\n%q, was\n%q", query, got, before[query])
			}
		}
		// The agent gives its host the id that it has made.
		exec(`UPDATE hosts SET id = 'h'`)
		for query, want := range map[string][]string{
			jobs: {"1|succeeded|-", "2|running|h", "3|queued|h", "4|queued|h", "5|queued|-"},
			locks: {"2 game 0 1", "2 game@h 0 1", "2 overlay:2@h 1 1", "3 game 0 0", "3 game@h 0 0", "3 overlay:2@h 1 0",
				"4 game 0 0", "4 game@h 1 0", "5 game 1 0"},
			`SELECT concat_ws('|', overlay_id, host_id, directory_at, revision, last_build_status) FROM overlay_hosts`: {"1|h|3|7|ok", "2|h|3|0|failed", "3|h|0|"},
			`SELECT concat_ws('|', workshop_item_id, host_id, last_error, downloaded_file_size) FROM item_hosts`:       {"1|h||0", "2|h|download failed: once|7"},
			`SELECT concat_ws('|', overlay_id, workshop_item_id, host_id) FROM overlay_links`:                          {"1|1|h", "1|2|h"},
		} {
			if got := look(query); !slices.Equal(got, want) {
				t.Errorf("%s:\n%q, want\n%q", query, got, want)
			}
		}
		downTo(t, d, "00008_hosts.sql")
		for query, want := range before {
			if got := look(query); !slices.Equal(got, want) {
				t.Errorf("down again, %s:\n%q, was\n%q", query, got, want)
			}
		}
	})
}
