package main

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"left4me/shared/db"
	"left4me/shared/db/dbtest"
)

// away makes the database refuse every new job.
const away = `CREATE TRIGGER tr_away BEFORE INSERT ON jobs BEGIN SELECT RAISE(ABORT, 'the database is away'); END`

func TestRemovalsAreAskedForAgainEveryDay(t *testing.T) {
	d := dbtest.New(t) // outside the bubble, as the driver leaves a goroutine
	dbtest.AddHost(t, d, "here", time.Now())
	synctest.Test(t, func(t *testing.T) {
		var said strings.Builder
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		ended := make(chan struct{})
		begin := time.Now()
		for _, step := range []struct {
			at     time.Duration
			before string // what has happened until then
			want   []string
		}{
			{0, `INSERT INTO overlays (id, uid, name, type, created_at, deleted_at) VALUES
				(1, 'a', 'gone', 'external', 1, 2), (2, 'b', 'here', 'external', 1, NULL), (3, 'c', 'gone too', 'external', 1, 2)`,
				[]string{"1 queued", "3 queued"}},
			{23 * time.Hour, `UPDATE jobs SET state = 'cancelled', finished_at = 1 WHERE subject_id = 1`,
				[]string{"1 cancelled", "3 queued"}},
			{25 * time.Hour, ``, // nothing for the one that still waits
				[]string{"1 cancelled", "3 queued", "1 queued"}},
			{49 * time.Hour, `UPDATE jobs SET state = 'cancelled', finished_at = 1 WHERE state = 'queued'; ` + away,
				[]string{"1 cancelled", "3 cancelled", "1 cancelled"}},
			{73 * time.Hour, `DROP TRIGGER tr_away; DELETE FROM overlays WHERE id = 3`,
				[]string{"1 cancelled", "3 cancelled", "1 cancelled", "1 queued"}},
		} {
			if _, err := d.ExecContext(t.Context(), step.before); err != nil {
				t.Fatal(err)
			}
			if step.at == 0 {
				go func() {
					completeRemovals(ctx, d, "here", slog.New(slog.NewTextHandler(&said, nil)))
					close(ended)
				}()
			}
			time.Sleep(step.at - time.Since(begin))
			synctest.Wait()
			if got := removals(t, d); !slices.Equal(got, step.want) {
				t.Errorf("after %v: %q, want %q", step.at, got, step.want)
			}
		}
		stop()
		<-ended
		if got := strings.Count(said.String(), "the database is away"); got != 1 {
			t.Errorf("the database was away once, the log says so %d times: %s", got, &said)
		}
	})
}

// removals are all jobs that remove an overlay, oldest first.
func removals(t *testing.T, d *db.DB) (jobs []string) {
	t.Helper()
	rows, err := d.QueryContext(t.Context(), `SELECT subject_id || ' ' || state FROM jobs WHERE operation = 'delete_overlay' ORDER BY id`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var one string
		if err := rows.Scan(&one); err != nil {
			t.Fatal(err)
		}
		jobs = append(jobs, one)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return jobs
}
