package backup_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"left4me/localrun/backup"
	"left4me/shared/db"
	"left4me/shared/db/dbtest"
	"left4me/shared/db/migrations"
	hosts "left4me/shared/host"
	"left4me/shared/job"
	"left4me/shared/jobstore"
	"left4me/shared/overlay"
	"left4me/shared/workshop"
)

// host is a directory with a database in it.
type host struct {
	*testing.T
	dir string
}

func (h host) path() string { return filepath.Join(h.dir, "left4me.db") }

func (h host) database() *db.DB {
	h.Helper()
	d := dbtest.Open(h, db.FileURL(h.path()))
	if _, err := migrations.Up(h.Context(), d); err != nil {
		h.Fatal(err)
	}
	return d
}

func (h host) exec(d *db.DB, statement string) {
	h.Helper()
	if _, err := d.ExecContext(h.Context(), statement); err != nil {
		h.Fatal(err)
	}
}

func (h host) close(d *db.DB) {
	h.Helper()
	if err := d.Close(); err != nil {
		h.Fatal(err)
	}
}

func (h host) restore(file string) (backup.Restored, error) {
	h.Helper()
	f, err := os.Open(file)
	if err != nil {
		h.Fatal(err)
	}
	defer f.Close()
	return backup.Restore{Path: h.path(), Root: h.dir, Now: time.Now}.From(h.Context(), f, "the backup")
}

// Ids go on above those of the database of before and above those of directories, but not above names that never were ids.
//
// shows: P5
func TestIDsGoOnAboveAllThatThereWere(t *testing.T) {
	h := host{t, t.TempDir()}
	d := h.database()
	h.exec(d, `INSERT INTO users (name, password_hash, created_at) VALUES ('root', '', 0)`)
	h.close(d)
	file := filepath.Join(t.TempDir(), "backup")
	if _, err := backup.ToFile(t.Context(), h.path(), file, false); err != nil {
		t.Fatal(err)
	}
	d = h.database()
	h.exec(d, `INSERT INTO overlays (id, name, type, uid, created_at) VALUES (11, 'eleven', 'external', 'u', 0)`)
	h.exec(d, `DELETE FROM overlays`)
	h.exec(d, `INSERT INTO users (id, name, password_hash, created_at) VALUES (5, 'anna', '', 0)`)
	h.close(d)
	next := func(table, columns string) (id int64) {
		t.Helper()
		d := h.database()
		defer h.close(d)
		if err := d.QueryRowContext(t.Context(), `INSERT INTO `+table+` `+columns+` RETURNING id`).Scan(&id); err != nil {
			t.Fatal(err)
		}
		return id
	}
	if _, err := h.restore(file); err != nil {
		t.Fatal(err)
	}
	if id := next("overlays", `(name, type, uid, created_at) VALUES ('next', 'external', 'v', 0)`); id != 12 {
		t.Errorf("the next overlay is %d", id)
	}
	if id := next("users", `(name, password_hash, created_at) VALUES ('bert', '', 0)`); id != 6 {
		t.Errorf("the next user is %d", id)
	}

	for _, name := range []string{"overlays/20", "overlays/.deleted-21", "overlays/.new-22", "overlays/023", "overlays/+24", "overlays/25x",
		"overlays/9223372036854775807", "overlays/-26", "overlays/.new-.new-27", "servers/3/runs/40/layers", "servers/3/files", "servers/.deleted-4/runs/41"} {
		if err := os.MkdirAll(filepath.Join(h.dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	before := tree(t, h.dir)
	done, err := h.restore(file)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"overlays/.deleted-21", "overlays/.new-22", "overlays/20", "servers/.deleted-4", "servers/3"}; !slices.Equal(done.Unknown, want) {
		t.Errorf("unknown: %q, want %q", done.Unknown, want)
	}
	if after := tree(t, h.dir); !slices.Equal(after, before) {
		t.Errorf("the directories are %q, and were %q", after, before)
	}
	if id := next("overlays", `(name, type, uid, created_at) VALUES ('next', 'external', 'w', 0)`); id != 23 {
		t.Errorf("the next overlay is %d", id)
	}
	d = h.database()
	h.exec(d, `INSERT INTO hosts (id, name, command, version, seen_at, disk_total, disk_free) VALUES ('here', 'here', '', '', 0, 0, 0)`)
	h.exec(d, `INSERT INTO blueprints (name, settings, created_at) VALUES ('b', '{}', 0)`)
	h.close(d)
	if id := next("servers", `(name, host_id, port, blueprint_id, user_id, uid, state_at, created_at) SELECT 'next', 'here', 27015, blueprints.id, users.id, 'u', 0, 0 FROM blueprints, users`); id != 5 {
		t.Errorf("the next server is %d", id)
	}
	if id := next("runs", `(server_id, job_id, port, build_id, blueprint, settings, created_at) VALUES (5, 1, 27015, 1, 'b', '{}', 0)`); id != 42 {
		t.Errorf("the next run is %d", id)
	}
}

// tree lists the directories below dir.
func tree(t *testing.T, dir string) (paths []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.IsDir() {
			paths = append(paths, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

// A backup of an older left4me is migrated, and one of before the first migration is nothing that could be restored.
func TestSchemasOfOtherVersions(t *testing.T) {
	h := host{t, t.TempDir()}
	d := h.database()
	list, err := migrations.List(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	for range list[1:] {
		if _, err := migrations.Down(t.Context(), d); err != nil {
			t.Fatal(err)
		}
	}
	h.exec(d, `INSERT INTO users (name, password_hash, created_at) VALUES ('root', '', 0)`)
	h.exec(d, `INSERT INTO overlays (name, type, uid, created_at, directory_at, last_build_status) VALUES ('maps', 'workshop', 'u', 0, 1, 'ok'), ('gone', 'workshop', 'v', 0, 1, '')`)
	h.exec(d, `UPDATE overlays SET deleted_at = 1 WHERE name = 'gone'`)
	h.exec(d, `INSERT INTO hosts (name, command, version, seen_at, disk_total, disk_free) VALUES ('attic', 'up', '1', 1, 0, 0)`)
	h.exec(d, `INSERT INTO workshop_items (id, steam_id, file_url, last_downloaded_at, created_at) VALUES (1, '7', 'u', 5, 0)`)
	h.exec(d, `INSERT INTO overlay_workshop_items (overlay_id, workshop_item_id, added_at) VALUES (1, 1, 0)`)
	h.close(d)
	file := filepath.Join(t.TempDir(), "backup")
	c, err := backup.ToFile(t.Context(), h.path(), file, false)
	if err != nil || c.People != 1 || c.Overlays != 1 || c.Items != 1 {
		t.Fatalf("%+v, %v", c, err)
	}
	done, err := h.restore(file)
	if err != nil || len(done.Migrations) != len(list)-1 || done.Builds != 1 || done.Contents.Overlays != 1 {
		t.Fatalf("%+v, %v", done, err)
	}
	d = h.database()
	overlays := overlay.NewStore(d, time.Now, jobstore.NewStore(d, time.Now))
	living, err := overlays.Living(t.Context())
	if err != nil || len(living) != 1 {
		t.Fatalf("%v, %v", living, err)
	}
	if o, err := overlays.Get(t.Context(), living[0]); err != nil || o.LastBuildStatus != "" || o.Revision != 2 {
		t.Errorf("%+v, %v", o, err)
	}
	// The agent that starts next is the host of the backup, whichever machine it is on.
	jobs := jobstore.NewStore(d, time.Now)
	if added, err := hosts.NewStore(d, time.Now, jobs).Register(t.Context(), hosts.Host{ID: "new", Name: "cellar", Agent: hosts.Agent{Disk: "1:2"}}); added || err != nil {
		t.Errorf("%v, %v", added, err)
	}
	if build, err := jobs.Get(t.Context(), 1); err != nil || build.HostID != "new" {
		t.Errorf("%+v, %v", build, err)
	}
	if look, err := jobs.Last(t.Context(), job.CheckGame); err != nil || look.HostID != "new" || look.State != job.Queued {
		t.Errorf("%+v, %v", look, err)
	}
	// Which links there are now is not known.
	if items, err := workshop.NewStore(d, time.Now, nil).OfOverlay(t.Context(), 1); err != nil || len(items) != 1 || items[0].State() != workshop.NotLinked {
		t.Errorf("%+v, %v", items, err)
	}
	h.close(d)

	other := host{t, t.TempDir()}
	empty := dbtest.Open(t, db.FileURL(other.path()))
	if _, err := migrations.List(t.Context(), empty); err != nil { // leaves goose's own table
		t.Fatal(err)
	}
	if _, err := backup.ToFile(t.Context(), other.path(), file+"2", false); !errors.Is(err, backup.ErrNothing) {
		t.Errorf("of an empty database: %v", err)
	}
	if _, err := h.restore(other.path()); err == nil || !strings.Contains(err.Error(), "no database of left4me's") {
		t.Errorf("%v", err)
	}
}

// Where the database is reached by way of a link, what the link leads to is replaced.
func TestALinkStaysALink(t *testing.T) {
	h, away := host{t, t.TempDir()}, host{t, t.TempDir()}
	h.close(away.database())
	if err := os.Symlink(away.path(), h.path()); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "backup")
	if _, err := backup.ToFile(t.Context(), h.path(), file, false); err != nil {
		t.Fatal(err)
	}
	done, err := h.restore(file)
	if err != nil || filepath.Dir(done.Previous) != away.dir {
		t.Errorf("%+v, %v", done, err)
	}
	if to, err := os.Readlink(h.path()); err != nil || to != away.path() {
		t.Errorf("%q, %v", to, err)
	}
}
