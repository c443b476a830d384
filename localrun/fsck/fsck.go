// Package fsck checks whether the database and the disk of one host are as left4me guarantees at every moment, whatever was killed or has
// failed: the database, the cache, the overlays' directories and links, the servers and their runs.
//
// It compares rows with what is on the disk, and repairs through the packages that own both. Work that is only waiting, such as a queued build,
// is no problem.
package fsck

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"time"

	"left4me/shared/db"
	"left4me/shared/game/supervisor"
	"left4me/shared/job"
	"left4me/shared/jobstore"
	"left4me/shared/settings"
	"left4me/shared/vpkcache"
	"left4me/shared/workshop"
)

// Host is what is checked: a database, and the disk of one of its hosts.
type Host struct {
	DB       *db.DB
	Settings settings.Settings
	// ID is the host's id.
	ID string
	// Supervisor is that of the host's game servers.
	Supervisor supervisor.Supervisor
	// Content is whether cached files are read as a whole, and compared with the SHA-1 that Steam gives.
	Content bool
	Now     func() time.Time
}

// Problem is something that is not as it must be.
type Problem struct {
	// Of is what has the problem: `database`, `cache`, `overlay 3` or `server 2`.
	Of string
	// Text says what is wrong, and Advice what a person does about it, unless Text or Repair does.
	Text, Advice string
	// Repair repairs it or asks for a job that does, and returns what it has done. Nil: only a person can repair it.
	Repair func(context.Context) (done string, err error)
}

func (p Problem) String() string { return p.Of + ": " + p.Text }

// examination is one run of Examine.
type examination struct {
	Host
	cache    *vpkcache.Cache
	jobs     *jobstore.Store
	items    *workshop.Store
	problems []Problem
}

// Examine returns what is wrong, and changes nothing. While jobs run (see Running), some of it may be what they are about to complete.
func (h Host) Examine(ctx context.Context) ([]Problem, error) {
	jobs := jobstore.NewStore(h.DB, h.Now)
	e := &examination{Host: h, cache: vpkcache.New(h.Settings.CacheDir(), nil, vpkcache.Options{}), jobs: jobs, items: workshop.NewStore(h.DB, h.Now, jobs)}
	for _, check := range []func(context.Context) error{e.database, e.lostJobs, e.locks, e.sums, e.files, e.overlays, e.servers} {
		if err := check(ctx); err != nil {
			return nil, err
		}
	}
	return e.problems, nil
}

// Running returns the ids of the jobs that are at work on the host.
func (h Host) Running(ctx context.Context) ([]int64, error) {
	return db.Rows(ctx, h.DB, db.Value[int64], `SELECT id FROM jobs WHERE state IN ('running', 'cancelling') AND host_id = :host AND lease_until > :now ORDER BY id`,
		sql.Named("host", h.ID), sql.Named("now", db.Millis(h.Now())))
}

// report adds a problem that a person must solve.
func (e *examination) report(of, advice, format string, args ...any) {
	e.problems = append(e.problems, Problem{Of: of, Text: fmt.Sprintf(format, args...), Advice: advice})
}

// repairable adds a problem with what repairs it.
func (e *examination) repairable(of string, repair func(context.Context) (string, error), format string, args ...any) {
	e.problems = append(e.problems, Problem{Of: of, Text: fmt.Sprintf(format, args...), Repair: repair})
}

// request returns a repair that enqueues a job about a subject.
func (e *examination) request(o job.Operation, subject job.Subject) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		asked, err := e.jobs.Enqueue(ctx, e.DB, jobstore.Request{Operation: o, Subject: subject, Host: e.ID})
		if err != nil {
			return "", err
		}
		return asked.Sentence(o), nil
	}
}

// database checks the database itself.
func (e *examination) database(ctx context.Context) error {
	const advice = "restore a backup: localrun restore"
	lines, err := db.Rows(ctx, e.DB, db.Value[string], `PRAGMA integrity_check`)
	if err != nil {
		return fmt.Errorf("check the database: %w", err)
	}
	for _, line := range lines {
		if line != "ok" {
			e.report("database", advice, "%s", line)
		}
	}
	broken, err := db.Rows(ctx, e.DB, func(row db.Scanner) (text string, err error) {
		var table, parent string
		var id, key any
		err = row.Scan(&table, &id, &parent, &key)
		return fmt.Sprintf("row %v of %s refers to a row of %s that does not exist", id, table, parent), err
	}, `PRAGMA foreign_key_check`)
	if err != nil {
		return fmt.Errorf("check the references of the database: %w", err)
	}
	for _, text := range broken {
		e.report("database", advice, "%s", text)
	}
	return nil
}

// lostAfter is how long after the end of its lease a job must have been taken over, if an agent is there.
const lostAfter = time.Minute

// lostJobs finds jobs whose process is gone and that nobody has taken over.
func (e *examination) lostJobs(ctx context.Context) error {
	type lost struct {
		id    int64
		until time.Time
	}
	found, err := db.Rows(ctx, e.DB, func(row db.Scanner) (l lost, err error) {
		err = row.Scan(&l.id, db.Moment(&l.until))
		return l, err
	}, `SELECT id, lease_until FROM jobs WHERE state IN ('running', 'cancelling') AND COALESCE(host_id, :host) = :host AND lease_until BETWEEN 1 AND :before`,
		sql.Named("host", e.ID), sql.Named("before", db.Millis(e.Now().Add(-lostAfter))))
	for _, l := range found {
		e.report("database", "start the host agent, which takes the job over", "job %d has been running without a process since %s", l.id, l.until.UTC().Format(time.RFC3339))
	}
	return err
}

// locks finds jobs that run together and exclude each other (P33).
func (e *examination) locks(ctx context.Context) error {
	found, err := db.Rows(ctx, e.DB, func(row db.Scanner) (text string, err error) {
		var a, b int64
		err = row.Scan(&a, &b, &text)
		return fmt.Sprintf("jobs %d and %d are both at work on %s, and one of them changes it", a, b, text), err
	}, `SELECT a.job_id, b.job_id, a.resource FROM job_locks a JOIN job_locks b ON b.resource = a.resource AND b.job_id > a.job_id
		JOIN jobs j ON j.id = a.job_id AND j.lease_until > :now JOIN jobs k ON k.id = b.job_id AND k.lease_until > :now
		WHERE a.held = 1 AND b.held = 1 AND (a.write = 1 OR b.write = 1)`, sql.Named("now", db.Millis(e.Now())))
	for _, text := range found {
		e.report("database", "cancel both, and report this as a bug of left4me", "%s", text)
	}
	return err
}

// sums checks the columns that sum up other rows.
func (e *examination) sums(ctx context.Context) error {
	overlays, err := db.Rows(ctx, e.DB, db.Value[int64], `SELECT id FROM overlays o WHERE deleted_at IS NULL AND EXISTS (SELECT 1 FROM overlay_hosts WHERE overlay_id = o.id)
		AND last_build_status <> (SELECT CASE WHEN MAX(last_build_status = 'failed') THEN 'failed' WHEN MIN(last_build_status = 'ok') THEN 'ok' ELSE '' END
			FROM overlay_hosts WHERE overlay_id = o.id)`)
	if err != nil {
		return fmt.Errorf("check the status of overlays: %w", err)
	}
	for _, id := range overlays {
		e.repairable(overlayName(id), e.touch(`UPDATE overlay_hosts SET last_build_status = last_build_status WHERE overlay_id = :id`, id),
			"its status is not that of its builds on the hosts")
	}
	items, err := db.Rows(ctx, e.DB, db.Value[int64], `SELECT w.id FROM workshop_items w WHERE EXISTS (SELECT 1 FROM item_hosts WHERE workshop_item_id = w.id)
		AND ((w.downloaded_time_updated, w.downloaded_file_size) = (w.time_updated, w.file_size)) <> (SELECT MIN((h.downloaded_time_updated, h.downloaded_file_size)
			= (w.time_updated, w.file_size)) FROM item_hosts h WHERE h.workshop_item_id = w.id)`)
	if err != nil {
		return fmt.Errorf("check the state of items: %w", err)
	}
	for _, id := range items {
		e.repairable("database", e.touch(`UPDATE item_hosts SET last_error = last_error WHERE workshop_item_id = :id`, id),
			"whether row %d of workshop_items is downloaded is not what the hosts have", id)
	}
	return nil
}

// touch returns a repair that updates rows with an id, whose triggers make the sums again.
func (e *examination) touch(statement string, id int64) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		_, err := e.DB.ExecContext(ctx, statement, sql.Named("id", id))
		return "summed up again", err
	}
}

func overlayName(id int64) string { return fmt.Sprint("overlay ", id) }
func serverName(id int64) string  { return fmt.Sprint("server ", id) }

// below returns path as messages show it: relative to LEFT4ME_ROOT.
func (e *examination) below(path string) string {
	if rel, err := filepath.Rel(e.Settings.Root, path); err == nil {
		return rel
	}
	return path
}
