package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/dustin/go-humanize"
	"golang.org/x/sys/unix"

	"left4me/shared/account"
	"left4me/shared/db"
	"left4me/shared/db/migrations"
	"left4me/shared/host"
	"left4me/shared/job"
	"left4me/shared/jobstore"
	"left4me/shared/overlay"
	"left4me/shared/owned"
	"left4me/shared/settings"
)

// databaseTimeout limits all checks of the database. Checking a large file takes a while.
const databaseTimeout = 5 * time.Minute

// database checks the database and, if it is sound, its contents.
func (h Host) database(ctx context.Context, s settings.Settings) []Finding {
	ctx, cancel := context.WithTimeout(ctx, databaseTimeout)
	defer cancel()
	saw := databaseName(s)
	path := db.FilePath(s.DatabaseURL)
	if path != "" {
		// Opening a missing file would create it.
		info, err := os.Stat(path)
		if err == nil {
			err = cmp.Or(accessible(path, unix.R_OK|unix.W_OK), writable(filepath.Dir(path)))
		}
		switch {
		case errors.Is(err, os.ErrNotExist):
			return []Finding{{"database", Failed, saw + " is not there yet", "`localrun up` makes it, and `localrun migrate up`"}}
		case err != nil:
			return []Finding{{"database", Failed, err.Error(), toWrite(path, err)}}
		}
		saw += ", " + humanize.IBytes(uint64(info.Size()))
	}
	d, err := db.OpenReadOnly(s.DatabaseURL, s.DatabaseAuthToken)
	if err != nil {
		return []Finding{{"database", Failed, saw + ": " + err.Error(), "look at DATABASE_URL and DATABASE_AUTH_TOKEN"}}
	}
	defer d.Close()
	f := schema(ctx, d, saw)
	if f.Level != OK {
		return []Finding{f}
	}
	found := []Finding{f}
	unreadable := func(err error) []Finding {
		return append(found, Finding{"database", Failed, err.Error(), "run this again; if it stays so, restore a backup"})
	}
	hosts, err := host.NewStore(d, h.Now, jobstore.NewStore(d, h.Now)).List(ctx)
	if err != nil {
		return unreadable(err)
	}
	people, err := h.people(ctx, d)
	if err != nil {
		return unreadable(err)
	}
	id, _ := host.ReadID(s.Root) // empty for a machine without an agent
	found = append(append(found, people), h.agents(id, hosts)...)
	ports, err := h.ports(ctx, d, id)
	if err != nil {
		return unreadable(err)
	}
	found = append(found, ports...)
	left, err := h.leftDirectories(ctx, d, s.OverlaysDir())
	if err != nil {
		return unreadable(err)
	}
	found = append(found, left...)
	refresh, err := h.refresh(ctx, d, hosts)
	if err != nil {
		return unreadable(err)
	}
	found = append(found, refresh)
	if d.Embedded() { // an embedded database has this host's clock
		return found
	}
	clock, err := h.serverClock(ctx, d)
	if err != nil {
		return unreadable(err)
	}
	return append(found, clock)
}

// databaseName returns the path or the URL of the database, without secrets.
func databaseName(s settings.Settings) string {
	if path := db.FilePath(s.DatabaseURL); path != "" {
		return path
	}
	u, err := url.Parse(s.DatabaseURL)
	if err != nil {
		return settings.DatabaseURL
	}
	return u.Redacted()
}

// schema checks that the database can be read, has this version's schema, and is sound.
func schema(ctx context.Context, d *db.DB, saw string) Finding {
	pending, newer, err := migrations.Pending(ctx, d)
	switch {
	case err != nil:
		return Finding{"database", Failed, saw + ": " + err.Error(), "is it a database, is its server running, is DATABASE_AUTH_TOKEN right?"}
	case newer:
		return Finding{"database", Failed, saw + " is of a newer left4me than this one", "install that version, or restore the backup from before"}
	case len(pending) > 0:
		return Finding{"database", Failed, fmt.Sprintf("%s lacks %s", saw, some(pending)), "run `localrun migrate up`"}
	case !d.Embedded():
		return Finding{"database", OK, saw + " answers and is current", ""}
	}
	var verdict string
	if err := d.QueryRowContext(ctx, `PRAGMA quick_check(1)`).Scan(&verdict); err != nil {
		verdict = err.Error()
	}
	if verdict != "ok" {
		return Finding{"database", Failed, saw + " is damaged (" + verdict + ")", "stop left4me and restore a backup"}
	}
	return Finding{"database", OK, saw + ", is current and sound", ""}
}

// serverClock compares this host's clock with that of a libSQL server.
func (h Host) serverClock(ctx context.Context, d *db.DB) (Finding, error) {
	var millis int64
	if err := d.QueryRowContext(ctx, `SELECT CAST(unixepoch('subsec') * 1000 AS INTEGER)`).Scan(&millis); err != nil {
		return Finding{}, fmt.Errorf("ask the database for its time: %w", err)
	}
	return clock(h.Now().Sub(db.Time(millis)), "the database's"), nil
}

func (h Host) people(ctx context.Context, d *db.DB) (Finding, error) {
	n, err := account.NewStore(d, h.Now).Count(ctx)
	switch {
	case err != nil:
		return Finding{}, err
	case n.Administrators > 0:
		return Finding{"people", OK, fmt.Sprintf("%d can sign in, %d of them administrators", n.People, n.Administrators), ""}, nil
	case n.People+n.Disabled > 0:
		return Finding{"people", Failed, "no administrator can sign in", "run `localrun create-user NAME --admin`, or `localrun promote-admin NAME`"}, nil
	}
	return Finding{"people", Warning, "nobody can sign in", "`localrun up` makes the first administrator, or run `localrun create-user NAME --admin`"}, nil
}

// agents checks whether the agents of this host, whose id is id, and of the others have reported recently.
func (h Host) agents(id string, hosts []host.Host) []Finding {
	const do = "start left4me-agent, `localrun agent` or `localrun up`: jobs wait"
	if len(hosts) == 0 {
		return []Finding{{"agent", Warning, "none has been heard of", do}}
	}
	heard := func(last host.Host) string {
		return fmt.Sprintf("`localrun %s` on %s was heard of %s", last.Command, last.Name, humanize.RelTime(last.SeenAt, h.Now(), "ago", "from now"))
	}
	var silent []Finding
	shown := hosts[0] // this host, or else the one that reported last
	for _, other := range hosts {
		switch {
		case !other.Silent(h.Now()):
		case other.ID == id || len(hosts) == 1:
			silent = append(silent, Finding{"agent", Warning, heard(other), do})
		default:
			silent = append(silent, Finding{"agent", Warning, heard(other) + ": its jobs wait", "start its agent, or run `localrun hosts remove " + other.ID + "` if it is gone for good"})
		}
		if other.ID == id || shown.ID != id && other.SeenAt.After(shown.SeenAt) {
			shown = other
		}
	}
	if len(silent) > 0 {
		return silent
	}
	return []Finding{{"agent", OK, heard(shown), ""}}
}

// leftDirectories names the directories in dir that belong to no overlay. A host that was removed keeps those of overlays that were deleted
// since: when its agent starts again it is a new host, which removes nothing that it did not make.
func (h Host) leftDirectories(ctx context.Context, d *db.DB, dir string) ([]Finding, error) {
	directories, err := owned.List(dir)
	if err != nil {
		return nil, nil // the check of the directory says so
	}
	known, err := overlay.NewStore(d, h.Now, jobstore.NewStore(d, h.Now)).IDs(ctx)
	if err != nil {
		return nil, err
	}
	var left []string
	for _, found := range directories {
		if !slices.Contains(known, found.ID) {
			left = append(left, found.Name)
		}
	}
	if len(left) == 0 {
		return nil, nil
	}
	return []Finding{{"overlays", Warning, fmt.Sprintf("in %s, %d are of no overlay (%s)", dir, len(left), some(left)),
		"nothing uses or removes them; if their overlays were deleted while this host was away, remove them by hand"}}, nil
}

// refreshOverdue is the age of the last refresh from which the next one is overdue.
const refreshOverdue = 26 * time.Hour

// refresh checks that something starts the daily refresh: this host's timer, a running `localrun up`, or something else that
// started the last one.
func (h Host) refresh(ctx context.Context, d *db.DB, hosts []host.Host) (Finding, error) {
	for _, host := range hosts {
		if host.Command == "up" && !host.Silent(h.Now()) {
			return Finding{"refresh", OK, "`localrun up` on " + host.Name + " starts it every day", ""}, nil
		}
	}
	switch t := h.Timer(ctx); {
	case t.Active && t.Enabled:
		return Finding{"refresh", OK, timer + " starts it every day, next " + t.Next, ""}, nil
	case t.Active:
		return Finding{"refresh", Warning, timer + " starts it, next " + t.Next + ", but not after this host has started again", "run `systemctl enable " + timer + "`"}, nil
	case t.Enabled:
		return Finding{"refresh", Warning, timer + " is enabled, but stopped", "run `systemctl start " + timer + "`"}, nil
	}
	last, err := jobstore.NewStore(d, time.Now).Last(ctx, job.RefreshWorkshopItems)
	switch {
	case errors.Is(err, jobstore.ErrNotFound):
	case err != nil:
		return Finding{}, err
	case last.UserID == 0 && h.Now().Sub(last.CreatedAt) < refreshOverdue:
		return Finding{"refresh", OK, "the last one was asked for " + humanize.RelTime(last.CreatedAt, h.Now(), "ago", "from now"), ""}, nil
	}
	return Finding{"refresh", Warning, "nothing starts the daily refresh", "run `systemctl enable --now " + timer + "`, or `localrun up`"}, nil
}
