// Package overlay owns overlays as rows: the table of their types, their names and owners, and who may do what with them
// (product.md P1 to P9). Directories belong to shared/builder, items to shared/workshop.
package overlay

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"

	"left4me/shared/account"
	"left4me/shared/db"
	"left4me/shared/job"
	"left4me/shared/jobstore"
	"left4me/shared/problem"
	"left4me/shared/webhook"
)

// Overlay is one row of overlays.
type Overlay struct {
	ID   int64
	Name string
	// Type is a row of the table of types, or for a type that this version does not know one with nothing but a name.
	Type *Type
	// OwnerID is zero for a system-wide overlay.
	OwnerID   int64
	OwnerName string
	// UID is written into the marker file inside the overlay's directory.
	UID string `api:"-"`
	// Revision counts the changes of what the overlay should hold.
	Revision int64
	// LastBuildStatus is `ok` if the overlay is built on all hosts, `failed` if the last build failed on any, and else empty: it was
	// never built, or has changed since.
	LastBuildStatus string
	// LastBuildAt is when the last build ended, of those that failed if any did, and LastBuildJobID its job; zero: none has ended.
	LastBuildAt    time.Time
	LastBuildJobID int64
	// KeepsLost is whether items that Steam does not offer any more stay linked to their last copy (P75).
	KeepsLost bool
}

// Path is the overlay's directory below LEFT4ME_ROOT/overlays: the digits of its id.
func (o Overlay) Path() string { return strconv.FormatInt(o.ID, 10) }

// Visible returns nil if u may see o (P7), else a problem (403).
func (o Overlay) Visible(u account.User) error {
	if u.Admin || o.Type.System || o.owned(u) {
		return nil
	}
	return problem.Forbidden("This overlay belongs to somebody else. Ask its owner or an administrator.")
}

// Editable returns nil if u may change, build and delete o (P8), else a problem (403).
func (o Overlay) Editable(u account.User) error {
	if err := o.Visible(u); err != nil || u.Admin || o.owned(u) && !o.Type.System {
		return err
	}
	return problem.Forbidden("Only administrators change %s overlays.", o.Type.Name)
}

func (o Overlay) owned(u account.User) bool { return o.OwnerID != 0 && o.OwnerID == u.ID }

// Store reads and writes overlays.
type Store struct {
	db   *db.DB
	now  func() time.Time
	jobs *jobstore.Store
}

// NewStore returns a Store on d that takes the time from now and enqueues jobs in jobs.
func NewStore(d *db.DB, now func() time.Time, jobs *jobstore.Store) *Store {
	return &Store{db: d, now: now, jobs: jobs}
}

// NameLength is the longest name, in characters.
const NameLength = 64

// CleanName returns the name of an overlay, or of what else is named in the same way, without surrounding white space. The error is a
// problem (400), in which what says what it is the name of.
func CleanName(what, name string) (string, error) {
	name = strings.TrimSpace(name)
	switch n := utf8.RuneCountInString(name); {
	case n == 0:
		return "", problem.Invalid("Please give the %s a name.", what)
	case n > NameLength:
		return "", problem.Invalid("A name has at most %d characters; this one has %d.", NameLength, n)
	case !utf8.ValidString(name) || strings.IndexFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }) >= 0:
		return "", problem.Invalid("The name has characters that cannot be shown. Please type it again.")
	}
	return name, nil
}

// Create inserts an overlay for u, enqueues its first build and returns its id. The overlay belongs to u unless its type is a
// system type. Errors are problems: 400 for a bad name or an unknown type, 403 for a type that u may not create, 409 for a
// duplicate name, 429 beyond u's limits.
func (s *Store) Create(ctx context.Context, u account.User, name, typeName string) (int64, error) {
	name, err := CleanName("overlay", name)
	if err != nil {
		return 0, err
	}
	t, known := typeNamed(typeName)
	switch {
	case !known:
		return 0, problem.Invalid("There is no overlay type “%s”. Please choose one from the list.", typeName)
	case !t.creatableBy(u):
		return 0, problem.Forbidden("Only administrators create %s overlays.", t.Name)
	}
	o := Overlay{OwnerID: u.ID, OwnerName: u.Name}
	if t.System {
		o.OwnerID = 0
	}
	uid, err := uuid.NewRandom()
	if err != nil {
		return 0, fmt.Errorf("create overlay: %w", err)
	}
	err = s.db.InTx(ctx, func(ctx context.Context, q db.Querier) error {
		if err := account.CountAction(ctx, q, s.now(), u); err != nil {
			return err
		}
		most := sql.NullInt64{}
		if u.Limits != nil {
			most = sql.NullInt64{Int64: int64(u.Limits.Overlays), Valid: true}
		}
		o.ID, err = db.Row(ctx, q, db.Value[int64], `INSERT INTO overlays (name, type, user_id, uid, created_at)
			SELECT :name, :type, NULLIF(:owner, 0), :uid, :now
			WHERE :most IS NULL OR (SELECT COUNT(*) FROM overlays WHERE user_id = :owner) < :most RETURNING id`,
			sql.Named("name", name), sql.Named("type", t.Name), sql.Named("owner", o.OwnerID), sql.Named("uid", uid.String()), s.nowArg(), sql.Named("most", most))
		if errors.Is(err, sql.ErrNoRows) {
			return problem.TooMany(0, "You already have as many overlays as one person may have (%d, with those that are still being deleted). "+
				"Please delete one that you no longer need, or ask an administrator.", u.Limits.Overlays)
		}
		if err != nil {
			return err
		}
		_, err = s.jobs.Enqueue(ctx, q, BuildOf(o.ID, u.ID))
		return err
	})
	if db.IsUnique(err) {
		return 0, taken(name, u, o)
	}
	if err != nil {
		return 0, fmt.Errorf("create overlay: %w", u.Refused(err))
	}
	return o.ID, nil
}

// taken returns the problem (409) for a duplicate name, in words for u. The owner of o has another overlay of that name.
func taken(name string, u account.User, o Overlay) error {
	switch {
	case o.OwnerID == 0:
		return problem.Conflict("There already is a system-wide overlay named “%s”. Please choose another name.", name)
	case o.OwnerID == u.ID:
		return problem.Conflict("You already have an overlay named “%s”. Please choose another name.", name)
	}
	return problem.Conflict("%s already has an overlay named “%s”. Please choose another name.", o.OwnerName, name)
}

// Settings are what a person may change of an overlay itself.
type Settings struct {
	Name string
	// KeepsLost is Overlay.KeepsLost.
	KeepsLost bool
}

// Settings returns the settings that o has.
func (o Overlay) Settings() Settings { return Settings{o.Name, o.KeepsLost} }

// Change gives o, which u may change, other settings, and enqueues a build if they change what it should hold. Errors are problems: 400
// for a bad name, 409 for a duplicate one, 404 when the overlay has been deleted.
func (s *Store) Change(ctx context.Context, u account.User, o Overlay, to Settings) error {
	name, err := CleanName("overlay", to.Name)
	if err != nil {
		return err
	}
	err = s.db.InTx(ctx, func(ctx context.Context, q db.Querier) error {
		n, err := db.Exec(ctx, q, `UPDATE overlays SET name = :name, keeps_lost = :keeps WHERE id = :id AND deleted_at IS NULL`,
			sql.Named("name", name), sql.Named("keeps", to.KeepsLost), sql.Named("id", o.ID))
		if err == nil && n == 0 {
			err = missing(o.ID)
		}
		if err != nil || to.KeepsLost == o.KeepsLost {
			return err
		}
		if err := Changed(ctx, q, o.ID); err != nil {
			return err
		}
		_, err = s.jobs.Enqueue(ctx, q, BuildOf(o.ID, u.ID))
		return err
	})
	if db.IsUnique(err) {
		return taken(name, u, o)
	}
	return problem.Wrap(err, "change overlay %d", o.ID)
}

func missing(id int64) error {
	return problem.NotFound("There is no overlay %d. It may have been deleted.", id)
}

// BuildOf returns the request for a build of an overlay by a user; 0 for nobody.
func BuildOf(id, userID int64) jobstore.Request {
	return jobstore.Request{Operation: job.BuildOverlay, Subject: job.Overlay(id), UserID: userID}
}

// Builds returns the requests, by nobody, for a build of each overlay.
func Builds(ids []int64) []jobstore.Request {
	requests := make([]jobstore.Request, len(ids))
	for i, id := range ids {
		requests[i] = BuildOf(id, 0)
	}
	return requests
}

// RequestBuild enqueues a build of an overlay for u. The error is a problem (429) beyond u's limits.
func (s *Store) RequestBuild(ctx context.Context, u account.User, id int64) (build *jobstore.Enqueued, err error) {
	err = s.db.InTx(ctx, func(ctx context.Context, q db.Querier) error {
		if err := account.CountAction(ctx, q, s.now(), u); err != nil {
			return err
		}
		build, err = s.jobs.Enqueue(ctx, q, BuildOf(id, u.ID))
		return err
	})
	if err != nil {
		return nil, u.Refused(err)
	}
	return build, nil
}

// Delete hides an overlay, which frees its name, cancels its builds, and enqueues the removal of its directory for u. The error
// is a problem: 404 when the overlay has been deleted already, 409 when it is in the stack of a blueprint, or a running server has its directory mounted.
func (s *Store) Delete(ctx context.Context, u account.User, id int64) (removal *jobstore.Enqueued, err error) {
	err = s.db.InTx(ctx, func(ctx context.Context, q db.Querier) error {
		n, err := db.Exec(ctx, q, `UPDATE overlays SET deleted_at = :now WHERE id = :id AND deleted_at IS NULL
			AND NOT EXISTS (SELECT 1 FROM blueprint_overlays WHERE overlay_id = :id)
			AND NOT EXISTS (SELECT 1 FROM `+mounted+`)`, s.nowArg(), sql.Named("id", id))
		if err != nil {
			return fmt.Errorf("delete overlay %d: %w", id, err)
		}
		if n == 0 {
			return notDeleted(ctx, q, id)
		}
		// The removal waits for a running build, whose result is not needed any more.
		if err := s.jobs.CancelAll(ctx, q, job.BuildOverlay, job.Overlay(id)); err != nil {
			return err
		}
		removal, err = s.jobs.Enqueue(ctx, q, jobstore.Request{Operation: job.DeleteOverlay, Subject: job.Overlay(id), UserID: u.ID})
		return err
	})
	return removal, err
}

// mounted are the servers s whose runs have mounted the directory of the overlay :id.
const mounted = `run_overlays o JOIN runs r ON r.id = o.run_id AND r.ended_at IS NULL JOIN servers s ON s.id = r.server_id WHERE o.overlay_id = :id AND o.mounted = 1`

// notDeleted returns the problem of an overlay that Delete leaves alone.
func notDeleted(ctx context.Context, q db.Querier, id int64) error {
	const named = 5
	for _, use := range []struct{ names, sentence string }{
		{`SELECT '“' || b.name || '”' || COALESCE(' of ' || u.name, '') FROM blueprint_overlays o JOIN blueprints b ON b.id = o.blueprint_id
			LEFT JOIN users u ON u.id = b.user_id WHERE o.overlay_id = :id ORDER BY b.name`,
			"Servers are started with this overlay: it is in the stack of the blueprint %s. Take it out there first. Nothing was deleted."},
		{`SELECT DISTINCT '“' || s.name || '”' FROM ` + mounted + ` ORDER BY 1`,
			"Running servers use the directory of this overlay: %s. Stop them, or restart them without it, first. Nothing was deleted."},
	} {
		users, err := db.Rows(ctx, q, db.Value[string], use.names+` LIMIT :limit`, sql.Named("id", id), sql.Named("limit", named+1))
		if err != nil {
			return fmt.Errorf("read what uses overlay %d: %w", id, err)
		}
		if len(users) > named {
			users[named] = "others"
		}
		if len(users) > 0 {
			return problem.Conflict(use.sentence, strings.Join(users, ", "))
		}
	}
	return missing(id)
}

// Deleted returns a deleted overlay whose directory may still exist.
func (s *Store) Deleted(ctx context.Context, id int64) (Overlay, error) {
	o, err := db.Row(ctx, s.db, scan, selectOverlay+`o.deleted_at IS NOT NULL AND o.id = :id`, sql.Named("id", id))
	if errors.Is(err, sql.ErrNoRows) {
		return Overlay{}, fmt.Errorf("overlay %d has not been deleted", id)
	}
	if err != nil {
		return Overlay{}, fmt.Errorf("read deleted overlay %d: %w", id, err)
	}
	return o, nil
}

// AllDeleted returns the ids of the deleted overlays whose directories may still exist on a host.
func (s *Store) AllDeleted(ctx context.Context, host string) ([]int64, error) {
	ids, err := db.Rows(ctx, s.db, db.Value[int64], `SELECT o.id FROM overlays o JOIN overlay_hosts h ON h.overlay_id = o.id AND h.host_id = :host
		WHERE o.deleted_at IS NOT NULL ORDER BY o.id`, sql.Named("host", host))
	if err != nil {
		return nil, fmt.Errorf("list deleted overlays: %w", err)
	}
	return ids, nil
}

// Living returns the ids of the overlays that have not been deleted.
func (s *Store) Living(ctx context.Context) ([]int64, error) {
	ids, err := db.Rows(ctx, s.db, db.Value[int64], `SELECT id FROM overlays WHERE deleted_at IS NULL ORDER BY id`)
	if err != nil {
		return nil, fmt.Errorf("list the ids of overlays: %w", err)
	}
	return ids, nil
}

// IDs returns the ids of all overlays that have a row, including deleted ones.
func (s *Store) IDs(ctx context.Context) ([]int64, error) {
	ids, err := db.Rows(ctx, s.db, db.Value[int64], `SELECT id FROM overlays`)
	if err != nil {
		return nil, fmt.Errorf("list the ids of overlays: %w", err)
	}
	return ids, nil
}

// Removed records, in the transaction that ends the removal of a deleted overlay's directory, that a host does not have it any more.
// With the last host, the overlay's row and its associations with items go. The items and their files in the cache stay.
func (s *Store) Removed(ctx context.Context, q db.Querier, id int64, host string) error {
	_, err := db.Exec(ctx, q, `DELETE FROM overlay_hosts WHERE overlay_id = :id AND host_id = :host
		AND EXISTS (SELECT 1 FROM overlays WHERE id = :id AND deleted_at IS NOT NULL)`, sql.Named("id", id), sql.Named("host", host))
	if err == nil {
		err = Purge(ctx, q)
	}
	if err != nil {
		return fmt.Errorf("record the removal of overlay %d: %w", id, err)
	}
	return nil
}

// Purge deletes, in the transaction q, the rows of the deleted overlays that no host has any more.
func Purge(ctx context.Context, q db.Querier) error {
	return db.Later(ctx, q, `DELETE FROM overlays WHERE deleted_at IS NOT NULL AND NOT EXISTS (SELECT 1 FROM overlay_hosts WHERE overlay_id = overlays.id)`)
}

const (
	columns = `o.id, o.name, o.type, COALESCE(o.user_id, 0), COALESCE(u.name, ''), o.uid, o.revision,
		o.last_build_status, o.last_build_at, COALESCE(o.last_build_job_id, 0), o.keeps_lost`
	from          = `overlays o LEFT JOIN users u ON u.id = o.user_id`
	selectOverlay = `SELECT ` + columns + ` FROM ` + from + ` WHERE `
	selectVisible = selectOverlay + `o.deleted_at IS NULL`
)

func scan(row db.Scanner) (o Overlay, err error) {
	err = scanInto(row, &o)
	return o, err
}

// scanInto scans columns into o, and the columns that follow them into more.
func scanInto(row db.Scanner, o *Overlay, more ...any) error {
	var typeName string
	err := row.Scan(append([]any{&o.ID, &o.Name, &typeName, &o.OwnerID, &o.OwnerName, &o.UID, &o.Revision,
		&o.LastBuildStatus, db.Moment(&o.LastBuildAt), &o.LastBuildJobID, &o.KeepsLost}, more...)...)
	o.Type, _ = typeNamed(typeName)
	return err
}

// Get returns the overlay with that id; the error is a problem (404) when there is none.
func (s *Store) Get(ctx context.Context, id int64) (Overlay, error) {
	o, err := db.Row(ctx, s.db, scan, selectVisible+` AND o.id = :id`, sql.Named("id", id))
	if errors.Is(err, sql.ErrNoRows) {
		return Overlay{}, missing(id)
	}
	if err != nil {
		return Overlay{}, fmt.Errorf("read overlay %d: %w", id, err)
	}
	return o, nil
}

// TypeCount is how many overlays of a type exist.
type TypeCount struct {
	Type     *Type
	Overlays int
}

// Count counts the overlays of each type that has any.
func (s *Store) Count(ctx context.Context) ([]TypeCount, error) {
	all, err := db.Rows(ctx, s.db, scanCount, `SELECT type, COUNT(*) FROM overlays WHERE deleted_at IS NULL GROUP BY type ORDER BY type`)
	if err != nil {
		return nil, fmt.Errorf("count overlays: %w", err)
	}
	return all, nil
}

func scanCount(row db.Scanner) (TypeCount, error) {
	var c TypeCount
	var typeName string
	err := row.Scan(&typeName, &c.Overlays)
	c.Type, _ = typeNamed(typeName)
	return c, err
}

// Changed records, in the transaction of the change, that overlays should hold something else: until builds have read the new
// revision, an overlay has no build status.
func Changed(ctx context.Context, q db.Querier, ids ...int64) error {
	list, err := json.Marshal(ids)
	arg := sql.Named("ids", string(list))
	if err == nil {
		err = db.Later(ctx, q, `UPDATE overlays SET revision = revision + 1, last_build_status = '' WHERE id IN (SELECT value FROM json_each(:ids))`, arg)
	}
	if err == nil {
		err = db.Later(ctx, q, `UPDATE overlay_hosts SET last_build_status = '' WHERE overlay_id IN (SELECT value FROM json_each(:ids))
			AND last_build_status <> ''`, arg)
	}
	if err != nil {
		return fmt.Errorf("mark %d overlays as changed: %w", len(ids), err)
	}
	return nil
}

// HostBuild is how an overlay's last build on one host went.
type HostBuild struct {
	HostID string
	// Status, At and JobID are as LastBuildStatus, LastBuildAt and LastBuildJobID of an Overlay.
	Status string
	At     time.Time
	JobID  int64
}

// HostBuilds returns the last builds of the overlay with that id, one for each host.
func (s *Store) HostBuilds(ctx context.Context, id int64) ([]HostBuild, error) {
	all, err := db.Rows(ctx, s.db, func(row db.Scanner) (b HostBuild, err error) {
		err = row.Scan(&b.HostID, &b.Status, db.Moment(&b.At), &b.JobID)
		return b, err
	}, `SELECT host_id, last_build_status, last_build_at, COALESCE(last_build_job_id, 0) FROM overlay_hosts WHERE overlay_id = :id`, sql.Named("id", id))
	if err != nil {
		return nil, fmt.Errorf("read the builds of overlay %d: %w", id, err)
	}
	return all, nil
}

// DirectoryAt returns when a host made the overlay's directory; the zero time: not yet.
func (s *Store) DirectoryAt(ctx context.Context, id int64, host string) (at time.Time, err error) {
	at, err = db.Row(ctx, s.db, func(row db.Scanner) (at time.Time, err error) {
		err = row.Scan(db.Moment(&at))
		return at, err
	}, `SELECT directory_at FROM overlay_hosts WHERE overlay_id = :id AND host_id = :host`, sql.Named("id", id), sql.Named("host", host))
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return time.Time{}, fmt.Errorf("read the directory of overlay %d: %w", id, err)
	}
	return at, nil
}

// DirectoryMade records that a host has made the overlay's directory.
func (s *Store) DirectoryMade(ctx context.Context, id int64, host string) error {
	if _, err := db.Exec(ctx, s.db, `UPDATE overlay_hosts SET directory_at = :now WHERE overlay_id = :id AND host_id = :host AND directory_at IS NULL`,
		s.nowArg(), sql.Named("id", id), sql.Named("host", host)); err != nil {
		return fmt.Errorf("record the directory of overlay %d: %w", id, err)
	}
	return nil
}

// OnHost is an overlay as it is on one host.
type OnHost struct {
	Overlay
	// MadeAt is when the host made the overlay's directory; zero: not yet.
	MadeAt time.Time
	// Built is whether a build has ever succeeded there, and Status is LastBuildStatus of that host alone.
	Built  bool
	Status string
}

// OnHost returns the overlays with these ids that have not been deleted, in the order of the ids, as they are on a host.
func (s *Store) OnHost(ctx context.Context, ids []int64, host string) ([]OnHost, error) {
	list, err := json.Marshal(ids)
	if err != nil {
		return nil, err
	}
	all, err := db.Rows(ctx, s.db, func(row db.Scanner) (o OnHost, err error) {
		err = scanInto(row, &o.Overlay, db.Moment(&o.MadeAt), &o.Built, &o.Status)
		return o, err
	}, `SELECT `+columns+`, h.directory_at, h.revision > 0, h.last_build_status FROM `+from+` JOIN json_each(:ids) i ON i.value = o.id
		JOIN overlay_hosts h ON h.overlay_id = o.id AND h.host_id = :host WHERE o.deleted_at IS NULL ORDER BY i.key`,
		sql.Named("ids", string(list)), sql.Named("host", host))
	if err != nil {
		return nil, fmt.Errorf("read %d overlays: %w", len(ids), err)
	}
	return all, nil
}

// ClearBuildStatus records that a build is about to change the overlay's directory on a host: until that build has succeeded, the
// status of the one before does not count.
func (s *Store) ClearBuildStatus(ctx context.Context, id int64, host string) error {
	if _, err := db.Exec(ctx, s.db, `UPDATE overlay_hosts SET last_build_status = '' WHERE overlay_id = :id AND host_id = :host AND last_build_status = 'ok'`,
		sql.Named("id", id), sql.Named("host", host)); err != nil {
		return fmt.Errorf("clear the build status of overlay %d: %w", id, err)
	}
	return nil
}

// RecordBuild records, in the transaction that ends the build's job, that a build of o as it was read succeeded on a host. If the overlay
// has changed since, its status stays empty until the build that the change enqueued. The overlay's links have been recorded.
func (s *Store) RecordBuild(ctx context.Context, q db.Querier, o Overlay, host string, jobID int64) error {
	if _, err := db.Exec(ctx, q, `UPDATE overlay_hosts SET last_build_status = 'ok', last_build_at = :now, last_build_job_id = :job, revision = :revision
		WHERE overlay_id = :id AND host_id = :host AND :revision = (SELECT revision FROM overlays WHERE id = :id)`,
		s.nowArg(), sql.Named("job", jobID), sql.Named("id", o.ID), sql.Named("host", host), sql.Named("revision", o.Revision)); err != nil {
		return fmt.Errorf("record the build of overlay %d: %w", o.ID, err)
	}
	return webhook.Built(ctx, q, s.now(), o.ID, host, jobID)
}

// nowArg is the parameter :now.
func (s *Store) nowArg() sql.NamedArg { return sql.Named("now", db.Millis(s.now())) }
