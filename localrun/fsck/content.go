package fsck

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"left4me/shared/builder"
	"left4me/shared/db"
	"left4me/shared/job"
	"left4me/shared/jobstore"
	"left4me/shared/linkfarm"
	"left4me/shared/overlay"
	"left4me/shared/owned"
	"left4me/shared/steam"
	"left4me/shared/vpkcache"
	"left4me/shared/workshop"
)

// version is one version of an item's file: its time in Unix seconds and its size in bytes.
type version struct{ updated, size int64 }

func (v version) String() string {
	return fmt.Sprintf("%d bytes of %s", v.size, time.Unix(v.updated, 0).UTC().Format(time.RFC3339))
}

// files checks that each file in the cache is whole and right, and that each file that is recorded is there.
func (e *examination) files(ctx context.Context) error {
	stored, err := e.cache.List()
	if err != nil {
		return fmt.Errorf("look at the cache: %w", err)
	}
	found := map[steam.ID]vpkcache.Stored{}
	for _, f := range stored {
		if !f.Partial {
			found[f.SteamID] = f
		}
	}
	type item struct {
		id            steam.ID
		url           string
		offered, have version
		recorded      bool
	}
	items, err := db.Rows(ctx, e.DB, func(row db.Scanner) (i item, err error) {
		err = row.Scan(&i.id, &i.url, &i.offered.updated, &i.offered.size, &i.have.updated, &i.have.size, &i.recorded)
		return i, err
	}, `SELECT w.steam_id, w.file_url, w.time_updated, w.file_size, COALESCE(h.downloaded_time_updated, 0), COALESCE(h.downloaded_file_size, 0),
			h.last_downloaded_at IS NOT NULL
		FROM workshop_items w LEFT JOIN item_hosts h ON h.workshop_item_id = w.id AND h.host_id = :host ORDER BY length(w.steam_id), w.steam_id`, sql.Named("host", e.ID))
	if err != nil {
		return fmt.Errorf("read what the cache has: %w", err)
	}
	for _, i := range items {
		file, there := found[i.id]
		if !there {
			if i.recorded {
				e.repairable("cache", e.forget(i.id), "%s is not there; the database says that it has %s", i.id.FileName(), i.have)
			}
			continue
		}
		v := version{file.Info.ModTime().Unix(), file.Info.Size()}
		switch {
		case v != i.offered && (v != i.have || !i.recorded):
			e.repairable("cache", e.forget(i.id), "%s has %s; the database says %s", i.id.FileName(), v, cmp.Or(i.have, i.offered))
		case v == i.offered && e.Content:
			e.content(file, vpkcache.File{SteamID: i.id, URL: i.url, Size: v.size, Updated: v.updated})
		}
	}
	return ctx.Err()
}

// content checks the SHA-1 of a file that is what Steam offers.
func (e *examination) content(file vpkcache.Stored, offered vpkcache.File) {
	got, want, err := e.cache.SHA1(offered)
	switch {
	case err != nil:
		e.report("cache", "look at the disk's own log", "%s cannot be read: %v", file.Name(), err)
	case got != want:
		e.repairable("cache", func(ctx context.Context) (string, error) {
			if err := e.cache.Remove(file); err != nil {
				return "", err
			}
			return e.forget(file.SteamID)(ctx)
		}, "%s has the SHA-1 %s; Steam's file has %s", file.Name(), got, want)
	}
}

// forget returns a repair that records that an item is not downloaded, and asks for builds of the overlays that hold it: they download it.
func (e *examination) forget(id steam.ID) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		if err := e.items.NotDownloaded(ctx, e.ID, []steam.ID{id}); err != nil {
			return "", err
		}
		holders, err := db.Rows(ctx, e.DB, db.Value[int64], `SELECT o.id FROM overlays o JOIN overlay_workshop_items a ON a.overlay_id = o.id
			JOIN workshop_items w ON w.id = a.workshop_item_id WHERE w.steam_id = :id AND o.deleted_at IS NULL`, sql.Named("id", id))
		if err != nil {
			return "", err
		}
		var builds []jobstore.Request
		for _, o := range holders {
			builds = append(builds, jobstore.Request{Operation: job.BuildOverlay, Subject: job.Overlay(o), Host: e.ID})
		}
		_, err = e.jobs.EnqueueAll(ctx, e.DB, builds)
		return fmt.Sprintf("asked for builds of %d overlays, which download it", len(builds)), err
	}
}

// overlays checks the directories and links of the host's overlays.
func (e *examination) overlays(ctx context.Context) error {
	type row struct {
		overlay.Overlay
		kind              string
		made, deleted, ok bool
		busy              bool // a job about it is waiting or at work
	}
	all, err := db.Rows(ctx, e.DB, func(r db.Scanner) (o row, err error) {
		err = r.Scan(&o.ID, &o.Name, &o.UID, &o.kind, &o.made, &o.deleted, &o.ok, &o.busy)
		return o, err
	}, `SELECT o.id, o.name, o.uid, o.type, h.directory_at IS NOT NULL, o.deleted_at IS NOT NULL, h.last_build_status = 'ok' AND h.revision = o.revision,
			EXISTS (SELECT 1 FROM jobs j WHERE j.subject_kind = 'overlay' AND j.subject_id = o.id AND j.host_id = :host AND j.finished_at IS NULL)
		FROM overlays o JOIN overlay_hosts h ON h.overlay_id = o.id WHERE h.host_id = :host ORDER BY o.id`, sql.Named("host", e.ID))
	if err != nil {
		return fmt.Errorf("read the overlays: %w", err)
	}
	repairs := map[int64]func(context.Context) (string, error){}
	for _, o := range all {
		repairs[o.ID] = nil
		build, dir := e.request(job.BuildOverlay, job.Overlay(o.ID)), builder.Directory(e.Settings.OverlaysDir(), o.Overlay)
		err := dir.Check()
		if err == nil && o.kind == overlay.Workshop.Name && !o.deleted {
			if err := e.links(ctx, o.ID, o.ok, build); err != nil {
				return err
			}
		}
		if o.busy {
			continue // the job will change the rest
		}
		repairs[o.ID] = build
		switch {
		case o.deleted:
			repairs[o.ID] = e.request(job.DeleteOverlay, job.Overlay(o.ID))
			e.repairable(overlayName(o.ID), repairs[o.ID], "it was deleted, and is not removed yet")
		case errors.Is(err, fs.ErrNotExist) && o.made:
			e.repairable(overlayName(o.ID), build, "its directory is not there")
		case err != nil && !errors.Is(err, fs.ErrNotExist):
			e.report(overlayName(o.ID), "", "%v", err)
		}
	}
	return e.others(e.Settings.OverlaysDir(), "overlay", repairs)
}

// links checks the links of a workshop overlay. If built is true, they must be exactly those of its enabled items that Steam offers, and perhaps
// those of others whose last copy is kept.
func (e *examination) links(ctx context.Context, id int64, built bool, build func(context.Context) (string, error)) error {
	root, err := os.OpenRoot(filepath.Join(e.Settings.OverlaysDir(), fmt.Sprint(id)))
	if err != nil {
		return err
	}
	defer root.Close()
	seen, err := linkfarm.Observe(root)
	if err != nil {
		e.report(overlayName(id), "look at the directory", "%v", err)
		return nil
	}
	items, err := e.items.OfOverlay(ctx, id)
	if err != nil {
		return err
	}
	linked, err := e.items.Links(ctx, id, e.ID)
	if err != nil {
		return err
	}
	for _, i := range items {
		file := e.cache.Path(i.SteamID)
		if i.Pinned != 0 {
			file = e.cache.VersionPath(i.SteamID, i.Pinned)
		}
		_, recorded := linked[i.ID]
		switch got := seen.Links[i.LinkFile()]; {
		case !built:
		case i.Disabled && got != "":
			e.repairable(overlayName(id), build, "item %s is disabled, and has a link", i.SteamID)
		case !i.Disabled && i.FileURL != "" && got != file:
			e.repairable(overlayName(id), build, "item %s has the link %q instead of one to its file", i.SteamID, got)
		case recorded != (got != ""):
			e.repairable(overlayName(id), build, "item %s: has it a link? The database says %t", i.SteamID, recorded)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(seen.Links)) {
		rel, err := filepath.Rel(e.cache.Dir(), seen.Links[name])
		if err != nil || !filepath.IsLocal(rel) {
			continue // not ours
		}
		if _, err := os.Lstat(seen.Links[name]); errors.Is(err, fs.ErrNotExist) {
			e.repairable(overlayName(id), build, "the link %s leads to a file that is not there", name)
		} else if built && !slices.ContainsFunc(items, func(i workshop.Item) bool { return i.LinkFile() == name }) {
			e.repairable(overlayName(id), build, "the link %s is of no item", name)
		}
	}
	return nil
}

// others checks the directories in parent with names of rows' directories: none may be of no row, or be left of a job that has ended. repairs
// has what removes the latter, by the id of the row; nil: a job is at work.
func (e *examination) others(parent, kind string, repairs map[int64]func(context.Context) (string, error)) error {
	directories, err := owned.List(parent)
	for _, d := range directories {
		repair, known := repairs[d.ID]
		_, err := os.Lstat(filepath.Join(parent, fmt.Sprint(d.ID)))
		switch path := e.below(filepath.Join(parent, d.Name)); {
		case !known:
			e.report(kind+"s", "left4me never uses or removes it; remove it by hand if nobody needs it", "%s is the directory of no %s of this host", path, kind)
		case repair != nil && errors.Is(err, fs.ErrNotExist):
			e.repairable(fmt.Sprint(kind, " ", d.ID), repair, "%s is left of a job that was interrupted", path)
		}
	}
	return err
}
