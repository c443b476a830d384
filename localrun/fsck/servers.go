package fsck

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"left4me/localrun/watch"
	"left4me/shared/db"
	"left4me/shared/game/launch"
	"left4me/shared/game/serverdir"
	"left4me/shared/job"
	"left4me/shared/jobstore"
	"left4me/shared/server"
	"left4me/shared/steam"
)

// servers checks the servers of the host: their directories, processes, the frozen content of what runs, and that nothing is left of runs that
// have ended.
func (e *examination) servers(ctx context.Context) error {
	type row struct {
		server.Server
		made, deleted, busy bool
		watched             bool  // the host's agent runs; the next one starts the server again
		run                 int64 // that has started and has not ended; 0: none
	}
	all, err := db.Rows(ctx, e.DB, func(r db.Scanner) (s row, err error) {
		err = r.Scan(&s.ID, &s.Name, &s.UID, &s.State, &s.made, &s.deleted, &s.busy, &s.watched, &s.run)
		return s, err
	}, `SELECT s.id, s.name, s.uid, s.state, s.directory_at IS NOT NULL, s.deleted_at IS NOT NULL,
			EXISTS (SELECT 1 FROM jobs j WHERE j.subject_kind = 'server' AND j.subject_id = s.id AND j.finished_at IS NULL),
			h.stopped_at IS NULL AND h.seen_at > :silent, COALESCE((SELECT id FROM runs r WHERE r.server_id = s.id AND r.started_at IS NOT NULL AND r.ended_at IS NULL), 0)
		FROM servers s JOIN hosts h ON h.id = s.host_id WHERE s.host_id = :host ORDER BY s.id`,
		sql.Named("host", e.ID), sql.Named("silent", db.Millis(e.Now().Add(-jobstore.HostSilentAfter))))
	if err != nil {
		return fmt.Errorf("read the servers: %w", err)
	}
	repairs := map[int64]func(context.Context) (string, error){}
	for _, s := range all {
		if repairs[s.ID] = nil; s.busy {
			continue // the job will change it
		}
		name, dir := serverName(s.ID), serverdir.Of(e.Settings.Root, s.Server)
		status, err := e.Supervisor.Status(ctx, s.ID)
		if err != nil {
			return fmt.Errorf("look at the process of server %d: %w", s.ID, err)
		}
		repairs[s.ID] = e.request(job.ServerInit, job.Server(s.ID))
		off := s.IsOff()
		switch {
		case s.deleted:
			repairs[s.ID] = e.request(job.DeleteServer, job.Server(s.ID))
			e.repairable(name, repairs[s.ID], "it was deleted, and is not removed yet")
			continue
		case off && status.Running:
			e.repairable(name, e.look, "it is %s, and a process of it runs", s.State)
		case !off && !status.Running && s.watched:
			e.repairable(name, e.look, "it is %s, and no process of it runs", s.State)
		case off && s.run != 0:
			e.repairable(name, e.look, "it is %s, and run %d has not ended", s.State, s.run)
		}
		switch err := dir.Check(); {
		case errors.Is(err, fs.ErrNotExist) && s.made:
			e.repairable(name, repairs[s.ID], "its directory is not there")
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			e.report(name, "", "%v", err)
		default:
			if err := e.runs(ctx, name, dir, s.run, s.State, status.Running); err != nil {
				return err
			}
		}
	}
	if err := e.mounts(); err != nil {
		return err
	}
	return e.others(filepath.Join(e.Settings.Root, launch.Servers), "server", repairs)
}

// look has the agent's part look that records which servers have ended, and which run.
func (e *examination) look(ctx context.Context) (string, error) {
	w := watch.Watcher{DB: e.DB, Root: e.Settings.Root, Servers: server.NewStore(e.DB, e.Now, e.jobs), Supervisor: e.Supervisor, Host: e.ID, Enqueued: func(context.Context) {}, Log: slog.New(slog.DiscardHandler)}
	return "recorded what is", w.Look(ctx, false)
}

// runs checks the directories of a server's runs: the run that goes on has what it started with, and nothing is left of others. One that has
// crashed stays until the next start.
func (e *examination) runs(ctx context.Context, name string, dir serverdir.Dir, run int64, state server.State, running bool) error {
	entries, err := os.ReadDir(dir.Path(launch.Runs))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, entry := range entries {
		if id, err := strconv.ParseInt(entry.Name(), 10, 64); err == nil && id != run && state != server.Crashed {
			e.repairable(name, func(context.Context) (string, error) {
				return "removed", dir.RemoveRuns(run)
			}, "the files of run %d are left, which has ended", id)
		}
	}
	if run == 0 || !running {
		return nil
	}
	type item struct {
		overlay, updated, size int64
		id                     string
	}
	items, err := db.Rows(ctx, e.DB, func(row db.Scanner) (i item, err error) {
		err = row.Scan(&i.overlay, &i.id, &i.updated, &i.size)
		return i, err
	}, `SELECT overlay_id, steam_id, time_updated, file_size FROM run_items WHERE run_id = :run`, sql.Named("run", run))
	if err != nil {
		return fmt.Errorf("read the content of run %d: %w", run, err)
	}
	for _, i := range items {
		path := filepath.Join(e.Settings.Root, dir.Layer(run, i.overlay), "left4dead2", "addons", i.id+".vpk")
		info, err := os.Stat(path)
		if errors.Is(err, fs.ErrNotExist) {
			info, err = named(filepath.Dir(path), version{i.updated, i.size})
		}
		if err != nil || (version{info.ModTime().Unix(), info.Size()}) != (version{i.updated, i.size}) {
			e.report(name, "restart it", "%s is not the file that run %d started with", e.below(path), run)
		}
	}
	return nil
}

// named returns the file of that version in a directory that has the name of a mutation instead of an item's id.
func named(dir string, v version) (fs.FileInfo, error) {
	entries, err := os.ReadDir(dir)
	for _, entry := range entries {
		if _, err := steam.ParseID(strings.TrimSuffix(entry.Name(), ".vpk")); err == nil {
			continue
		}
		if info, err := entry.Info(); err == nil && (version{info.ModTime().Unix(), info.Size()}) == v {
			return info, nil
		}
	}
	return nil, cmp.Or(err, fs.ErrNotExist)
}

// mounts reports what is mounted in the directories of servers. A run's mounts are in a namespace of its own, which ends with its last process.
func (e *examination) mounts() error {
	all, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(all)) {
		if fields := strings.Fields(line); len(fields) > 4 && strings.HasPrefix(fields[4], filepath.Join(e.Settings.Root, launch.Servers)+"/") {
			e.report("servers", "unmount it if left4me is not to leave it alone", "something is mounted at %s", e.below(fields[4]))
		}
	}
	return nil
}
