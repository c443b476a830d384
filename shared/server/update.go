package server

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"time"

	"left4me/shared/account"
	"left4me/shared/blueprint"
	"left4me/shared/db"
	"left4me/shared/job"
	"left4me/shared/jobstore"
)

// Update is what the next start of a running server would change. The zero Update is that of a server for which nothing waits.
type Update struct {
	// Waits is what would change, in words, such as `2 maps are newer, the game is newer`; empty: nothing.
	Waits string
	// Since is when the update began to wait.
	Since time.Time
	// Plan is how far the restart for it is.
	Plan Plan
	// Held is why there is no such restart until something changes or a person acts; empty: the server's policy says when it is.
	Held string
}

// updateColumns are those of p, which a server may lack.
const updateColumns = `COALESCE(p.waits, ''), p.since, p.empty_at, p.restart_at, COALESCE(p.warned, 0), COALESCE(p.held, '')`

// into returns the places for updateColumns.
func (u *Update) into() []any {
	return []any{&u.Waits, db.Moment(&u.Since), db.Moment(&u.Plan.EmptyAt), db.Moment(&u.Plan.RestartAt), &u.Plan.Warned, &u.Held}
}

// Pending is a running server, for the check of its host that restarts it for updates.
type Pending struct {
	Server
	// RunID is its current run.
	RunID int64
	// News is what is new, for players.
	News string
	// Busy is whether a job works or waits that changes the server, or the content of its next run.
	Busy bool
	// FailedOverlay is the name of an overlay in the stack whose last build on the host has failed; empty: none has.
	FailedOverlay string
	// TriedJob is the job that was to restart the server for exactly this update, with its state and error; the zero Job: none was.
	TriedJob jobstore.Job

	humans sql.NullInt64 // that were recorded last
	// compared identifies what the content depended on when it was compared, and compares what it depends on now.
	compared, compares string
	content            string // its hash
}

// inStack are the overlays of the blueprint of the server s, as they are on its host.
const inStack = `blueprint_overlays bo JOIN overlay_hosts oh ON oh.overlay_id = bo.overlay_id AND oh.host_id = s.host_id WHERE bo.blueprint_id = s.blueprint_id`

// newestBuild is the release with which the server s would be started.
const newestBuild = `(SELECT build_id FROM releases WHERE host_id = s.host_id ORDER BY installed_at DESC, build_id DESC LIMIT 1)`

// PendingSQL is what Pending asks. What is linked in an overlay is changed by builds, which record when they end.
const PendingSQL = `SELECT ` + columns + `, r.id,
		r.id || ' ' || s.port || ' ' || s.name || ' ' || COALESCE(` + newestBuild + `, 0) || ' ' || b.settings || COALESCE((SELECT group_concat(built, '') FROM (
			SELECT ' ' || bo.overlay_id || ' ' || oh.last_build_status || COALESCE(oh.last_build_at, '') AS built FROM ` + inStack + ` ORDER BY bo.position)), ''),
		COALESCE(p.compared, ''), COALESCE(p.content, ''), COALESCE(p.news, ''), COALESCE(j.id, 0), COALESCE(j.state, ''), COALESCE(j.error, ''),
		EXISTS (SELECT 1 FROM jobs o WHERE o.finished_at IS NULL AND (o.subject_kind = 'server' AND o.subject_id = s.id OR o.operation = 'refresh_workshop_items'
			OR o.host_id = s.host_id AND (o.operation = 'install' OR o.operation = 'build_overlay' AND o.subject_id IN (SELECT bo.overlay_id FROM ` + inStack + `)))),
		COALESCE((SELECT o.name FROM overlays o WHERE o.id = (SELECT bo.overlay_id FROM ` + inStack + ` AND oh.last_build_status = 'failed' ORDER BY bo.position LIMIT 1)), ''),
		(SELECT humans FROM server_population WHERE server_id = s.id ORDER BY at DESC LIMIT 1)
	FROM ` + from + ` JOIN runs r ON r.server_id = s.id AND r.started_at IS NOT NULL AND r.ended_at IS NULL LEFT JOIN jobs j ON j.id = p.job_id AND p.tried = p.content
	WHERE s.host_id = :host AND s.state = 'running' AND s.deleted_at IS NULL ORDER BY s.id`

// Pending returns the running servers of a host, and records first for which of them an update waits. While a job changes the content, it
// is not compared.
func (s *Store) Pending(ctx context.Context, hostID string) ([]Pending, error) {
	read := func() ([]Pending, error) {
		return db.Rows(ctx, s.db, func(row db.Scanner) (p Pending, err error) {
			err = scanInto(row, &p.Server, &p.RunID, &p.compares, &p.compared, &p.content, &p.News, &p.TriedJob.ID, &p.TriedJob.State, &p.TriedJob.Error, &p.Busy, &p.FailedOverlay, &p.humans)
			p.compares = hash([]byte(p.compares))
			return p, err
		}, PendingSQL, sql.Named("host", hostID))
	}
	all, err := read()
	changed := false
	for _, p := range all {
		if err == nil && !p.Busy && p.compared != p.compares {
			changed = true
			err = s.compare(ctx, p)
		}
	}
	if err == nil && changed {
		all, err = read()
	}
	if err != nil {
		return nil, fmt.Errorf("look for what waits for the servers of this host: %w", err)
	}
	return all, nil
}

// compare records what a start of the server would change, with an event if that is something else than before.
func (s *Store) compare(ctx context.Context, p Pending) error {
	run, err := s.LastRun(ctx, p.ID)
	if err != nil {
		return err
	}
	before, err := s.content(ctx, run)
	if err != nil {
		return err
	}
	next, err := s.next(ctx, p.Server)
	if err != nil {
		return err
	}
	difference := next.Since(before)
	waits, content := difference.String(), next.hash()
	return s.db.InTx(ctx, func(ctx context.Context, q db.Querier) error {
		n, err := db.Exec(ctx, q, `INSERT INTO server_updates AS p (server_id, compared, content, waits, news, since)
			SELECT :server, :compared, :content, :waits, :news, CASE WHEN :waits <> '' THEN :now END
				WHERE EXISTS (SELECT 1 FROM runs WHERE id = :run AND ended_at IS NULL)
			ON CONFLICT (server_id) DO UPDATE SET compared = excluded.compared, content = excluded.content, waits = excluded.waits, news = excluded.news,
				since = CASE WHEN p.waits <> '' AND :waits <> '' THEN p.since ELSE excluded.since END,
				empty_at = CASE WHEN :waits <> '' THEN p.empty_at END, restart_at = CASE WHEN :waits <> '' THEN p.restart_at END,
				warned = CASE WHEN :waits <> '' THEN p.warned ELSE 0 END,
				held = CASE WHEN :waits <> '' THEN p.held ELSE '' END, tried = CASE WHEN :waits <> '' THEN p.tried ELSE '' END`,
			sql.Named("server", p.ID), sql.Named("compared", p.compares), sql.Named("content", content), sql.Named("waits", waits),
			sql.Named("news", difference.News()), s.nowArg(), sql.Named("run", run.ID))
		if err != nil || n == 0 || waits == "" || waits == p.Update.Waits && content == p.content {
			return err
		}
		return s.event(ctx, q, p.ID, Event{Kind: "update waiting", Text: difference.Named()})
	})
}

// next returns what a start of the server would take.
func (s *Store) next(ctx context.Context, of Server) (Content, error) {
	id := sql.Named("server", of.ID)
	c := Content{Port: of.Port}
	_, err := db.Row(ctx, s.db, func(row db.Scanner) (struct{}, error) {
		var settings string
		err := row.Scan(&settings, &c.Build)
		if err == nil {
			c.Settings, err = blueprint.Decode(settings)
		}
		return struct{}{}, err
	}, `SELECT b.settings, COALESCE(`+newestBuild+`, 0) FROM servers s JOIN blueprints b ON b.id = s.blueprint_id WHERE s.id = :server`, id)
	if err != nil {
		return Content{}, fmt.Errorf("read what server %d is started from: %w", of.ID, err)
	}
	c.Settings.Hostname = cmp.Or(c.Settings.Hostname, of.Name)
	c.Stack, err = s.readStack(ctx, `SELECT bo.overlay_id, o.name, l.overlay_id IS NULL, w.steam_id, w.title,
			CASE WHEN l.pinned = 0 THEN i.downloaded_time_updated ELSE v.time_updated END, CASE WHEN l.pinned = 0 THEN i.downloaded_file_size ELSE v.file_size END, `+isMap+`
		FROM servers s JOIN blueprint_overlays bo ON bo.blueprint_id = s.blueprint_id JOIN overlays o ON o.id = bo.overlay_id AND o.deleted_at IS NULL
		LEFT JOIN overlay_links l ON l.overlay_id = o.id AND l.host_id = s.host_id
		LEFT JOIN workshop_items w ON w.id = l.workshop_item_id LEFT JOIN item_hosts i ON i.workshop_item_id = w.id AND i.host_id = s.host_id
		LEFT JOIN item_versions v ON v.workshop_item_id = w.id AND v.time_updated = l.pinned AND v.host_id = s.host_id
		WHERE s.id = :server ORDER BY bo.position, w.title COLLATE NOCASE, w.steam_id`, id)
	return c, err
}

// SavePlan records how far the restart for an update is, and why there is none (see Update.Held), with the event e. It writes nothing if
// neither has changed.
func (s *Store) SavePlan(ctx context.Context, p Pending, plan Plan, held string, e Event) error {
	if plan == p.Update.Plan && held == p.Update.Held {
		return nil
	}
	err := s.db.InTx(ctx, func(ctx context.Context, q db.Querier) error {
		if err := db.Later(ctx, q, `UPDATE server_updates SET empty_at = NULLIF(:empty, 0), restart_at = NULLIF(:restart, 0), warned = :warned, held = :held WHERE server_id = :server AND compared = :compared`,
			sql.Named("empty", millis(plan.EmptyAt)), sql.Named("restart", millis(plan.RestartAt)), sql.Named("warned", plan.Warned), sql.Named("held", held),
			sql.Named("server", p.ID), sql.Named("compared", p.compared)); err != nil {
			return err
		}
		return s.event(ctx, q, p.ID, e)
	})
	if err != nil {
		return fmt.Errorf("record what waits for server %d: %w", p.ID, err)
	}
	return nil
}

// Renew enqueues the restart of a server for the update that waits. If players were told of it, announced is when.
func (s *Store) Renew(ctx context.Context, p Pending, announced time.Time) error {
	err := s.db.InTx(ctx, func(ctx context.Context, q db.Querier) error {
		argument := StartArgument{Restart: true, Update: true}
		if !announced.IsZero() {
			argument.Announced = db.Millis(announced)
		}
		e, err := s.enqueue(ctx, q, job.ServerStart, account.User{}, p.Server, argument)
		if err != nil {
			return err
		}
		if err := db.Flush(ctx, q); err != nil { // its id is needed
			return err
		}
		return db.Later(ctx, q, `UPDATE server_updates SET tried = content, job_id = :job WHERE server_id = :server`, sql.Named("job", e.ID), sql.Named("server", p.ID))
	})
	if err != nil {
		return fmt.Errorf("restart server %d for an update: %w", p.ID, err)
	}
	return nil
}

// Retry records on q that a restart for the update that waits may be tried again.
func (s *Store) Retry(ctx context.Context, q db.Querier, serverID int64) error {
	if err := db.Later(ctx, q, `UPDATE server_updates SET tried = '', held = '', empty_at = NULL WHERE server_id = :server`, sql.Named("server", serverID)); err != nil {
		return fmt.Errorf("record that server %d may be restarted: %w", serverID, err)
	}
	return nil
}

// nothingWaits records on q that the server's run has ended. What was tried is kept, so that a run that does not get the content is not
// restarted again and again.
func (s *Store) nothingWaits(ctx context.Context, q db.Querier, serverID int64) error {
	return db.Later(ctx, q, `UPDATE server_updates SET compared = '', waits = '', since = NULL, empty_at = NULL, restart_at = NULL, warned = 0, held = '' WHERE server_id = :server`,
		sql.Named("server", serverID))
}
