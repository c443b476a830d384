package server

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
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
	// LastLines are the last lines of the console of a run that has ended by itself.
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
	if err := db.Later(ctx, q, `UPDATE runs SET ended_at = :now, ended_how = :how, last_lines = :lines WHERE server_id = :server AND started_at IS NOT NULL AND ended_at IS NULL`,
		s.nowArg(), sql.Named("how", how), sql.Named("lines", lastLines), sql.Named("server", serverID)); err != nil {
		return fmt.Errorf("record the end of a run of server %d: %w", serverID, err)
	}
	if err := db.Later(ctx, q, `DELETE FROM server_status WHERE server_id = :server`, sql.Named("server", serverID)); err != nil {
		return fmt.Errorf("record that the game of server %d says nothing any more: %w", serverID, err)
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

// Restarted records that the supervisor has started a server again by itself.
func (s *Store) Restarted(ctx context.Context, serverID int64, how string) error {
	return s.event(ctx, s.db, serverID, Event{Kind: "crashed", Text: how})
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

const selectRun = `SELECT r.id, r.job_id, COALESCE(u.name, ''), r.port, r.build_id, r.blueprint, r.settings, r.created_at, r.started_at, r.ended_at, r.ended_how, r.last_lines, r.files, r.bytes
	FROM runs r LEFT JOIN users u ON u.id = r.user_id WHERE r.started_at IS NOT NULL AND r.server_id = :server ORDER BY r.id DESC LIMIT 1`

// LastRun returns the newest run of a server that was started, which may have ended; the zero Run when there is none.
func (s *Store) LastRun(ctx context.Context, serverID int64) (Run, error) {
	r, err := db.Row(ctx, s.db, func(row db.Scanner) (r Run, err error) {
		var files, bytes sql.NullInt64
		err = row.Scan(&r.ID, &r.JobID, &r.UserName, &r.Port, &r.Build, &r.Blueprint, &r.Settings, db.Moment(&r.CreatedAt), db.Moment(&r.StartedAt),
			db.Moment(&r.EndedAt), &r.EndedHow, &r.LastLines, &files, &bytes)
		if files.Valid {
			r.Written = &Written{files.Int64, bytes.Int64}
		}
		return r, err
	}, selectRun, sql.Named("server", serverID))
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return Run{}, fmt.Errorf("read the last run of server %d: %w", serverID, err)
	}
	return r, nil
}

// LastStack returns the stack of the newest run of a server that was started, with its items by title.
func (s *Store) LastStack(ctx context.Context, serverID int64) ([]RunOverlay, error) {
	return s.stack(ctx, `(SELECT MAX(id) FROM runs WHERE server_id = :id AND started_at IS NOT NULL)`, serverID)
}

// Stack returns the stack of a run, with its items by title.
func (s *Store) Stack(ctx context.Context, runID int64) ([]RunOverlay, error) {
	return s.stack(ctx, `:id`, runID)
}

func (s *Store) stack(ctx context.Context, run string, id int64) ([]RunOverlay, error) {
	var stack []RunOverlay
	_, err := db.Rows(ctx, s.db, func(row db.Scanner) (struct{}, error) {
		var o RunOverlay
		var i RunItem
		err := row.Scan(&o.ID, &o.Name, &o.Mounted, &i.SteamID, &i.Title, &i.Updated, &i.Size)
		if len(stack) == 0 || stack[len(stack)-1].ID != o.ID {
			stack = append(stack, o)
		}
		if i.SteamID != "" {
			i.OverlayID = o.ID
			last := &stack[len(stack)-1]
			last.Items = append(last.Items, i)
		}
		return struct{}{}, err
	}, `SELECT o.overlay_id, o.name, o.mounted, COALESCE(i.steam_id, ''), COALESCE(i.title, ''), COALESCE(i.time_updated, 0), COALESCE(i.file_size, 0)
		FROM run_overlays o LEFT JOIN run_items i ON i.run_id = o.run_id AND i.overlay_id = o.overlay_id
		WHERE o.run_id = `+run+` ORDER BY o.position, i.title COLLATE NOCASE, i.steam_id`, sql.Named("id", id))
	if err != nil {
		return nil, fmt.Errorf("read the content of a run: %w", err)
	}
	return stack, nil
}

// Difference says which items a run with the stack now has that the one before it did not have, or had in another version, and the other
// way round, such as `1 item new (Urban Flight), 2 items updated (A, B)`; empty if their items are the same.
func Difference(before, now []RunOverlay) string {
	had, has := byID(before), byID(now)
	var added, updated, removed []string
	for _, o := range now {
		for _, i := range o.Items {
			switch old, known := had[i.SteamID]; {
			case !known:
				added = append(added, i.name())
			case old.Updated != i.Updated || old.Size != i.Size:
				updated = append(updated, i.name())
			}
			had[i.SteamID] = i // named once, even if several overlays have it
		}
	}
	for _, o := range before {
		for _, i := range o.Items {
			if _, still := has[i.SteamID]; !still {
				removed = append(removed, i.name())
				has[i.SteamID] = i
			}
		}
	}
	var parts []string
	for _, p := range []struct {
		word  string
		names []string
	}{{"new", added}, {"updated", updated}, {"removed", removed}} {
		const shown = 5
		n := len(p.names)
		if n == 0 {
			continue
		}
		count, list := fmt.Sprintf("%d items", n), strings.Join(p.names[:min(n, shown)], ", ")
		if n == 1 {
			count = "1 item"
		}
		if n > shown {
			list += ", …"
		}
		parts = append(parts, fmt.Sprintf("%s %s (%s)", count, p.word, list))
	}
	return strings.Join(parts, ", ")
}

func byID(stack []RunOverlay) map[string]RunItem {
	all := map[string]RunItem{}
	for _, o := range stack {
		for _, i := range o.Items {
			all[i.SteamID] = i
		}
	}
	return all
}

func (i RunItem) name() string {
	if i.Title == "" {
		return i.SteamID
	}
	return i.Title
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
