package server

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"left4me/shared/db"
	"left4me/shared/job"
	"left4me/shared/problem"
)

// Run is one row of runs: the time from one start of a server to its end, and what it started with (P57).
type Run struct {
	ID int64
	// JobID is the job that started it.
	JobID int64
	// UserName is who asked for it; empty for nobody.
	UserName string
	Port     int
	// Build is the id of the game's release.
	Build int64
	// Blueprint is the name that the blueprint had. Settings are the blueprint's, as JSON.
	Blueprint string
	Settings  string `api:"-"`
	CreatedAt time.Time
	// StartedAt is when the host's supervisor was asked to start the process.
	StartedAt time.Time
	// EndedAt is when the process was found to have ended, and EndedHow a sentence about that; zero: it has not.
	EndedAt  time.Time
	EndedHow string
	// LastLines are the last lines of the console before the game has ended by itself, which may have been started again; empty if it has not.
	LastLines string
	// Written is what the games of the server had written in its directory at the end of the run, and nil if that is not known.
	Written *Written
}

// Written is what the games of a server have written in its directory since it was made or reset.
type Written struct{ Files, Bytes int64 }

// RunOverlay is an overlay in the stack of a run.
type RunOverlay struct {
	ID   int64
	Name string
	// Mounted is whether the overlay's own directory is mounted. Otherwise Items are what the run has of the overlay.
	Mounted bool
	Items   []RunItem
}

// RunItem is a workshop item in an overlay of a run, in the version that the run has.
type RunItem struct {
	OverlayID int64  `json:"overlay_id"`
	SteamID   string `json:"steam_id"`
	// Title is the one that the item had when the run was prepared.
	Title string `json:"-"`
	// Updated is when Steam published this version, in Unix seconds, and Size its length in bytes.
	Updated int64 `json:"time_updated" api:"unix"`
	Size    int64 `json:"file_size"`
	// Map is whether it has a campaign, as far as is known.
	Map bool `json:"-"`
}

// keptRuns and keptEvents are how many of each a server keeps.
const (
	keptRuns   = 20
	keptEvents = 200
)

// Prepare adds the run that a job is about to start, and returns its id. Runs of the server that have never been started are removed: a job
// was interrupted before.
func (s *Store) Prepare(ctx context.Context, serverID int64, r Run, userID int64) (id int64, err error) {
	err = s.db.InTx(ctx, func(ctx context.Context, q db.Querier) error {
		if err := db.Later(ctx, q, `DELETE FROM runs WHERE server_id = :server AND (started_at IS NULL
			OR ended_at IS NOT NULL AND id NOT IN (SELECT id FROM runs WHERE server_id = :server ORDER BY id DESC LIMIT :kept))`,
			sql.Named("server", serverID), sql.Named("kept", keptRuns)); err != nil {
			return err
		}
		id, err = db.Row(ctx, q, db.Value[int64], `INSERT INTO runs (server_id, job_id, user_id, port, build_id, blueprint, settings, created_at)
			VALUES (:server, :job, NULLIF(:user, 0), :port, :build, :blueprint, :settings, :now) RETURNING id`,
			sql.Named("server", serverID), sql.Named("job", r.JobID), sql.Named("user", userID), sql.Named("port", r.Port), sql.Named("build", r.Build),
			sql.Named("blueprint", r.Blueprint), sql.Named("settings", r.Settings), s.nowArg())
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("add a run of server %d: %w", serverID, err)
	}
	return id, nil
}

// Freeze records the content of a run that has been prepared; titles of items are those in the database. The error is a problem (409) when an overlay in it has been deleted
// meanwhile: from then on it would not be kept from being removed.
func (s *Store) Freeze(ctx context.Context, runID int64, stack []RunOverlay) error {
	type row struct {
		ID      int64  `json:"id"`
		Name    string `json:"name"`
		Mounted bool   `json:"mounted"`
	}
	overlays, items := make([]row, len(stack)), []RunItem{}
	for n, o := range stack {
		overlays[n] = row{o.ID, o.Name, o.Mounted}
		items = append(items, o.Items...)
	}
	overlayRows, err := json.Marshal(overlays)
	if err != nil {
		return err
	}
	itemRows, err := json.Marshal(items)
	if err != nil {
		return err
	}
	err = s.db.InTx(ctx, func(ctx context.Context, q db.Querier) error {
		run, list := sql.Named("run", runID), sql.Named("overlays", string(overlayRows))
		n, err := db.Exec(ctx, q, `INSERT INTO run_overlays (run_id, position, overlay_id, name, mounted)
			SELECT :run, r.key + 1, o.id, r.value ->> 'name', r.value ->> 'mounted' FROM json_each(:overlays) r
			JOIN overlays o ON o.id = r.value ->> 'id' AND o.deleted_at IS NULL`, run, list)
		if err == nil && n < int64(len(stack)) {
			err = problem.Conflict("An overlay of the blueprint was deleted a moment ago. Please start the server again.")
		}
		if err != nil {
			return err
		}
		return db.Later(ctx, q, `INSERT INTO run_items (run_id, overlay_id, steam_id, title, time_updated, file_size)
			SELECT :run, i.value ->> 'overlay_id', i.value ->> 'steam_id', COALESCE(w.title, ''), i.value ->> 'time_updated', i.value ->> 'file_size'
			FROM json_each(:items) i LEFT JOIN workshop_items w ON w.steam_id = i.value ->> 'steam_id'`,
			run, sql.Named("items", string(itemRows)))
	})
	return problem.Wrap(err, "record the content of run %d", runID)
}

// setState is the part of statements that change a server's state.
const setState = `UPDATE servers SET state = :state, state_at = CASE WHEN state = :state THEN state_at ELSE :now END WHERE id = :server`

// SetState records that the host has begun to start or to stop a server.
func (s *Store) SetState(ctx context.Context, serverID int64, state State) error {
	if _, err := db.Exec(ctx, s.db, setState, sql.Named("server", serverID), sql.Named("state", state), s.nowArg()); err != nil {
		return fmt.Errorf("record that server %d is %s: %w", serverID, state, err)
	}
	return nil
}

// Begin records, before the supervisor is asked, that the process of a prepared run is started. The one before must have ended.
func (s *Store) Begin(ctx context.Context, serverID, runID int64) error {
	err := s.db.InTx(ctx, func(ctx context.Context, q db.Querier) error {
		if err := db.Later(ctx, q, `UPDATE runs SET started_at = :now WHERE id = :run`, s.nowArg(), sql.Named("run", runID)); err != nil {
			return err
		}
		return db.Later(ctx, q, setState, sql.Named("server", serverID), sql.Named("state", Starting), s.nowArg())
	})
	if err != nil {
		return fmt.Errorf("record the start of server %d: %w", serverID, err)
	}
	return nil
}

// Answered records, in the transaction that ends its start, that a server is running, with the event e.
func (s *Store) Answered(ctx context.Context, q db.Querier, serverID int64, e Event) error {
	return s.change(ctx, q, serverID, Running, e)
}

// End records that the process of a server has ended, or is known not to run: its run ends, if it has one, and it is in state, with the
// event e. lastLines are those of the console if the process has ended by itself.
func (s *Store) End(ctx context.Context, q db.Querier, serverID int64, state State, how, lastLines string, e Event) error {
	if err := db.Later(ctx, q, `UPDATE runs SET ended_at = :now, ended_how = :how, last_lines = COALESCE(NULLIF(:lines, ''), last_lines)
		WHERE server_id = :server AND started_at IS NOT NULL AND ended_at IS NULL`,
		s.nowArg(), sql.Named("how", how), sql.Named("lines", lastLines), sql.Named("server", serverID)); err != nil {
		return fmt.Errorf("record the end of a run of server %d: %w", serverID, err)
	}
	if err := db.Later(ctx, q, `DELETE FROM server_status WHERE server_id = :server`, sql.Named("server", serverID)); err != nil {
		return fmt.Errorf("record that the game of server %d says nothing any more: %w", serverID, err)
	}
	if err := s.nothingWaits(ctx, q, serverID); err != nil {
		return err
	}
	if err := s.populate(ctx, q, serverID, sql.NullInt64{}); err != nil {
		return err
	}
	return s.change(ctx, q, serverID, state, e)
}

// EndNow is End in a transaction of its own.
func (s *Store) EndNow(ctx context.Context, serverID int64, state State, how, lastLines string, e Event) error {
	return s.db.InTx(ctx, func(ctx context.Context, q db.Querier) error {
		return s.End(ctx, q, serverID, state, how, lastLines, e)
	})
}

// Counted records on q what the games of a server that is off have written.
func (s *Store) Counted(ctx context.Context, q db.Querier, serverID int64, w Written) error {
	if err := db.Later(ctx, q, `UPDATE runs SET files = :files, bytes = :bytes WHERE id = (SELECT MAX(id) FROM runs WHERE server_id = :server AND started_at IS NOT NULL)`,
		sql.Named("files", w.Files), sql.Named("bytes", w.Bytes), sql.Named("server", serverID)); err != nil {
		return fmt.Errorf("record what server %d has written: %w", serverID, err)
	}
	return nil
}

// Restarted records that a server has crashed, with the last lines of its console, and that the supervisor has started it again by itself.
func (s *Store) Restarted(ctx context.Context, serverID int64, how, lastLines string) error {
	err := s.db.InTx(ctx, func(ctx context.Context, q db.Querier) error {
		if err := db.Later(ctx, q, `UPDATE runs SET last_lines = :lines WHERE server_id = :server AND started_at IS NOT NULL AND ended_at IS NULL`,
			sql.Named("lines", lastLines), sql.Named("server", serverID)); err != nil {
			return err
		}
		return s.event(ctx, q, serverID, Event{Kind: "crashed", Text: how})
	})
	if err != nil {
		return fmt.Errorf("record a crash of server %d: %w", serverID, err)
	}
	return nil
}

// Happened records an event on q.
func (s *Store) Happened(ctx context.Context, q db.Querier, serverID int64, e Event) error {
	return s.event(ctx, q, serverID, e)
}

func (s *Store) change(ctx context.Context, q db.Querier, serverID int64, state State, e Event) error {
	if err := db.Later(ctx, q, setState, sql.Named("server", serverID), sql.Named("state", state), s.nowArg()); err != nil {
		return fmt.Errorf("record that server %d is %s: %w", serverID, state, err)
	}
	return s.event(ctx, q, serverID, e)
}

const selectRuns = `SELECT r.id, r.job_id, COALESCE(u.name, ''), r.port, r.build_id, r.blueprint, r.settings, r.created_at, r.started_at, r.ended_at, r.ended_how, r.last_lines, r.files, r.bytes
	FROM runs r LEFT JOIN users u ON u.id = r.user_id WHERE r.started_at IS NOT NULL AND r.server_id = :server ORDER BY r.id DESC LIMIT :limit`

// Runs returns the newest runs of a server that were started, at most limit, the newest first. That one may not have ended.
func (s *Store) Runs(ctx context.Context, serverID int64, limit int) ([]Run, error) {
	all, err := db.Rows(ctx, s.db, func(row db.Scanner) (r Run, err error) {
		var files, bytes sql.NullInt64
		err = row.Scan(&r.ID, &r.JobID, &r.UserName, &r.Port, &r.Build, &r.Blueprint, &r.Settings, db.Moment(&r.CreatedAt), db.Moment(&r.StartedAt),
			db.Moment(&r.EndedAt), &r.EndedHow, &r.LastLines, &files, &bytes)
		if files.Valid {
			r.Written = &Written{files.Int64, bytes.Int64}
		}
		return r, err
	}, selectRuns, sql.Named("server", serverID), sql.Named("limit", limit))
	if err != nil {
		return nil, fmt.Errorf("read the runs of server %d: %w", serverID, err)
	}
	return all, nil
}

// LastRun returns the first of Runs; the zero Run when there is none.
func (s *Store) LastRun(ctx context.Context, serverID int64) (Run, error) {
	all, err := s.Runs(ctx, serverID, 1)
	return append(all, Run{})[0], err
}

// LastStack returns the stack of the newest run of a server that was started, with its items by title.
func (s *Store) LastStack(ctx context.Context, serverID int64) ([]RunOverlay, error) {
	return s.stack(ctx, `(SELECT MAX(id) FROM runs WHERE server_id = :id AND started_at IS NOT NULL)`, serverID)
}

// stack returns the stack of the run that the expression is, of :id, with its items by title.
func (s *Store) stack(ctx context.Context, run string, id int64) ([]RunOverlay, error) {
	return s.readStack(ctx, `SELECT o.overlay_id, o.name, o.mounted, i.steam_id, i.title, i.time_updated, i.file_size, `+isMap+`
		FROM run_overlays o LEFT JOIN run_items i ON i.run_id = o.run_id AND i.overlay_id = o.overlay_id LEFT JOIN workshop_items w ON w.steam_id = i.steam_id
		WHERE o.run_id = `+run+` ORDER BY o.position, i.title COLLATE NOCASE, i.steam_id`, sql.Named("id", id))
}

// isMap is whether any version of the item w has a campaign.
const isMap = `EXISTS (SELECT 1 FROM item_contents c WHERE c.workshop_item_id = w.id AND c.campaigns <> '[]')`

// readStack returns a stack from a query whose rows are an overlay each, with one of its items or NULL.
func (s *Store) readStack(ctx context.Context, query string, args ...any) ([]RunOverlay, error) {
	var stack []RunOverlay
	_, err := db.Rows(ctx, s.db, func(row db.Scanner) (struct{}, error) {
		var o RunOverlay
		var i RunItem
		var steamID, title sql.NullString
		var updated, size sql.NullInt64
		err := row.Scan(&o.ID, &o.Name, &o.Mounted, &steamID, &title, &updated, &size, &i.Map)
		i.SteamID, i.Title, i.Updated, i.Size = steamID.String, title.String, updated.Int64, size.Int64
		if len(stack) == 0 || stack[len(stack)-1].ID != o.ID {
			stack = append(stack, o)
		}
		if i.SteamID != "" {
			i.OverlayID = o.ID
			last := &stack[len(stack)-1]
			last.Items = append(last.Items, i)
		}
		return struct{}{}, err
	}, query, args...)
	if err != nil {
		return nil, fmt.Errorf("read the content of a run: %w", err)
	}
	return stack, nil
}

// Builds returns the ids of the releases that runs on a host use.
func Builds(ctx context.Context, q db.Querier, hostID string) ([]int64, error) {
	ids, err := db.Rows(ctx, q, db.Value[int64], `SELECT DISTINCT r.build_id FROM runs r JOIN servers s ON s.id = r.server_id
		WHERE s.host_id = :host AND r.ended_at IS NULL ORDER BY 1`, sql.Named("host", hostID))
	if err != nil {
		return nil, fmt.Errorf("list the releases that servers use: %w", err)
	}
	return ids, nil
}

// Noticed records what the agent has seen of a server that it watches: that it is in another state, with the event e. Unless that is
// Running, its run has ended. It changes nothing, and returns false, if the server is in another state by now, or a job about it has not
// ended.
func (s *Store) Noticed(ctx context.Context, w Watched, state State, how, lastLines string, e Event) (changed bool, err error) {
	err = s.db.InTx(ctx, func(ctx context.Context, q db.Querier) error {
		n, err := db.Exec(ctx, q, `UPDATE servers SET state = :state, state_at = :now WHERE id = :server AND state = :was AND state_at = :at
			AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.finished_at IS NULL AND j.subject_kind = :kind AND j.subject_id = servers.id)`,
			sql.Named("state", state), s.nowArg(), sql.Named("server", w.ID), sql.Named("was", w.State), sql.Named("at", db.Millis(w.StateAt)), sql.Named("kind", job.Servers))
		if changed = n == 1; err != nil || !changed {
			return err
		}
		if state == Running {
			return s.event(ctx, q, w.ID, e)
		}
		return s.End(ctx, q, w.ID, state, how, lastLines, e)
	})
	if err != nil {
		return false, fmt.Errorf("record that server %d is %s: %w", w.ID, state, err)
	}
	return changed, nil
}
