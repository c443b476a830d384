// Package overlay owns overlays as rows: their names, types and owners, and who may do what with them (product.md P1 to
// P9). Directories are shared/builder's, items are shared/workshop's.
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
	"left4me/shared/problem"
)

// Type is the value of overlays.type.
type Type string

const (
	// External overlays are filled by hand by an administrator and belong to everybody.
	External Type = "external"
	// Workshop overlays hold workshop items and belong to who made them.
	Workshop Type = "workshop"
)

// Types returns every type that u may create.
func Types(u account.User) []Type {
	if u.Admin {
		return []Type{Workshop, External}
	}
	return []Type{Workshop}
}

// Overlay is one row, without those that are deleted.
type Overlay struct {
	ID   int64
	Name string
	Type Type
	// OwnerID is zero for a system-wide overlay.
	OwnerID   int64
	OwnerName string
	// UID is what the marker inside the directory must say.
	UID string
	// DirectoryAt is when the game host made the directory; zero: not yet.
	DirectoryAt time.Time
	// Revision counts the changes of what the overlay should hold.
	Revision int64
	// LastBuildStatus is `ok`, `failed`, or empty when what it should hold has changed since, or it never was built.
	LastBuildStatus string
	LastBuildAt     time.Time
	// LastBuildJobID is the job of that build; zero when none has ended.
	LastBuildJobID int64
	// Items is the number of its workshop items.
	Items int
}

// Path is the overlay's directory below LEFT4ME_ROOT/overlays: the digits of its id.
func (o Overlay) Path() string { return strconv.FormatInt(o.ID, 10) }

// VisibleTo reports whether u may see o (P7).
func (o Overlay) VisibleTo(u account.User) bool {
	return u.Admin || o.Type == External || o.owned(u)
}

// EditableBy reports whether u may change, build and delete o (P8).
func (o Overlay) EditableBy(u account.User) bool {
	return u.Admin || o.Type == Workshop && o.owned(u)
}

// owned is false for a system-wide overlay, whoever asks.
func (o Overlay) owned(u account.User) bool { return o.OwnerID != 0 && o.OwnerID == u.ID }

// Store reads and writes overlays.
type Store struct {
	db  *db.DB
	now func() time.Time
}

// NewStore returns a Store on d that takes the time from now.
func NewStore(d *db.DB, now func() time.Time) *Store {
	return &Store{db: d, now: now}
}

// NameLength is the longest name, in characters.
const NameLength = 64

// CleanName returns name without surrounding white space; the error is a problem.
func CleanName(name string) (string, error) {
	name = strings.TrimSpace(name)
	switch n := utf8.RuneCountInString(name); {
	case n == 0:
		return "", problem.Invalid("Please give the overlay a name.")
	case n > NameLength:
		return "", problem.Invalid("A name has at most %d characters; this one has %d.", NameLength, n)
	case !utf8.ValidString(name) || strings.IndexFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }) >= 0:
		return "", problem.Invalid("The name has characters that cannot be shown. Please type it anew.")
	}
	return name, nil
}

// Create inserts an overlay for u on q, which is the transaction that also enqueues its first build. A workshop overlay
// becomes u's own, an external one everybody's. Errors are problems for an unknown type, a type that u may not create,
// and a name that is faulty or taken.
func (s *Store) Create(ctx context.Context, q db.Querier, u account.User, name string, typ Type) (int64, error) {
	name, err := CleanName(name)
	if err != nil {
		return 0, err
	}
	var owner sql.NullInt64
	switch typ {
	case Workshop:
		owner = sql.NullInt64{Int64: u.ID, Valid: true}
	case External:
		if !u.Admin {
			return 0, problem.Forbidden("Only administrators create external overlays.")
		}
	default:
		return 0, problem.Invalid("There is no overlay type “%s”. Please choose one from the list.", typ)
	}
	uid, err := uuid.NewRandom()
	if err != nil {
		return 0, fmt.Errorf("create overlay: %w", err)
	}
	var id int64
	err = q.QueryRowContext(ctx, `INSERT INTO overlays (name, type, user_id, uid, created_at) VALUES (?, ?, ?, ?, ?) RETURNING id`,
		name, string(typ), owner, uid.String(), db.Millis(s.now())).Scan(&id)
	if db.IsUnique(err) {
		return 0, taken(name, u, Overlay{OwnerID: owner.Int64, OwnerName: u.Name})
	}
	if err != nil {
		return 0, fmt.Errorf("create overlay: %w", err)
	}
	return id, nil
}

// taken tells u that whose o is has another overlay of that name.
func taken(name string, u account.User, o Overlay) error {
	switch {
	case o.OwnerID == 0:
		return problem.Conflict("There already is a system-wide overlay named “%s”. Please choose another name.", name)
	case o.OwnerID == u.ID:
		return problem.Conflict("You already have an overlay named “%s”. Please choose another name.", name)
	}
	return problem.Conflict("%s already has an overlay named “%s”. Please choose another name.", o.OwnerName, name)
}

// Rename gives o, which u may change, another name. Errors are problems for a name that is faulty or taken, and for an
// overlay that has been deleted meanwhile (404).
func (s *Store) Rename(ctx context.Context, u account.User, o Overlay, name string) error {
	name, err := CleanName(name)
	if err != nil {
		return err
	}
	result, err := s.db.ExecContext(ctx, `UPDATE overlays SET name = ? WHERE id = ? AND deleted_at IS NULL`, name, o.ID)
	if db.IsUnique(err) {
		return taken(name, u, o)
	}
	if err != nil {
		return fmt.Errorf("rename overlay %d: %w", o.ID, err)
	}
	return one(result, o.ID)
}

// one is the problem (404) of a statement that found no overlay with that id.
func one(result sql.Result, id int64) error {
	n, err := result.RowsAffected()
	if err != nil {
		return fmt.Errorf("write overlay %d: %w", id, err)
	}
	if n == 0 {
		return missing(id)
	}
	return nil
}

func missing(id int64) error {
	return problem.NotFound("There is no overlay %d. It may have been deleted.", id)
}

// Delete hides an overlay on q, which is the transaction that also enqueues the removal of its directory; its name is free
// from then on. The error is a problem (404) when it is hidden already.
func (s *Store) Delete(ctx context.Context, q db.Querier, id int64) error {
	result, err := q.ExecContext(ctx, `UPDATE overlays SET deleted_at = ? WHERE id = ? AND deleted_at IS NULL`, db.Millis(s.now()), id)
	if err != nil {
		return fmt.Errorf("delete overlay %d: %w", id, err)
	}
	return one(result, id)
}

// Deleted returns a deleted overlay whose directory may still be there.
func (s *Store) Deleted(ctx context.Context, id int64) (Overlay, error) {
	o, err := scan(s.db.QueryRowContext(ctx, selectDeleted+` AND o.id = ?`, id))
	if errors.Is(err, sql.ErrNoRows) {
		return Overlay{}, fmt.Errorf("overlay %d is not one that was deleted", id)
	}
	if err != nil {
		return Overlay{}, fmt.Errorf("read deleted overlay %d: %w", id, err)
	}
	return o, nil
}

// AllDeleted returns the ids of the deleted overlays whose directories may still be there.
func (s *Store) AllDeleted(ctx context.Context) ([]int64, error) {
	rows, err := s.db.QueryContext(ctx, `SELECT id FROM overlays WHERE deleted_at IS NOT NULL ORDER BY id`)
	if err != nil {
		return nil, fmt.Errorf("list deleted overlays: %w", err)
	}
	defer rows.Close()
	var ids []int64
	for rows.Next() {
		var id int64
		if err := rows.Scan(&id); err != nil {
			return nil, fmt.Errorf("list deleted overlays: %w", err)
		}
		ids = append(ids, id)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("list deleted overlays: %w", err)
	}
	return ids, nil
}

// IDs returns the ids of all overlays that have a row, deleted ones included.
func (s *Store) IDs(ctx context.Context) (map[int64]bool, error) {
	rows, err := s.db.QueryContext(ctx, `SELECT id FROM overlays`)
	if err != nil {
		return nil, fmt.Errorf("list the ids of overlays: %w", err)
	}
	defer rows.Close()
	ids := map[int64]bool{}
	for rows.Next() {
		var id int64
		if err := rows.Scan(&id); err != nil {
			return nil, fmt.Errorf("list the ids of overlays: %w", err)
		}
		ids[id] = true
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("list the ids of overlays: %w", err)
	}
	return ids, nil
}

// Forget removes the row of a deleted overlay and what it held on q, which is the transaction that ends the removal of its
// directory. Items and files in the cache stay.
func (s *Store) Forget(ctx context.Context, q db.Querier, id int64) error {
	if _, err := q.ExecContext(ctx, `DELETE FROM overlays WHERE id = ? AND deleted_at IS NOT NULL`, id); err != nil {
		return fmt.Errorf("forget overlay %d: %w", id, err)
	}
	return nil
}

const selectOverlay = `SELECT o.id, o.name, o.type, o.user_id, COALESCE(u.name, ''), o.uid, o.directory_at, o.revision,
	o.last_build_status, o.last_build_at, COALESCE(o.last_build_job_id, 0), (SELECT COUNT(*) FROM overlay_workshop_items i WHERE i.overlay_id = o.id)
	FROM overlays o LEFT JOIN users u ON u.id = o.user_id WHERE o.deleted_at IS `

const (
	selectLive    = selectOverlay + `NULL`
	selectDeleted = selectOverlay + `NOT NULL`
)

func scan(row interface{ Scan(...any) error }) (Overlay, error) {
	var o Overlay
	var owner, directoryAt, builtAt sql.NullInt64
	err := row.Scan(&o.ID, &o.Name, &o.Type, &owner, &o.OwnerName, &o.UID, &directoryAt, &o.Revision,
		&o.LastBuildStatus, &builtAt, &o.LastBuildJobID, &o.Items)
	o.OwnerID = owner.Int64
	o.DirectoryAt = db.NullTime(directoryAt)
	o.LastBuildAt = db.NullTime(builtAt)
	return o, err
}

// Get returns the overlay with that id; the error is a problem (404) when there is none.
func (s *Store) Get(ctx context.Context, id int64) (Overlay, error) {
	o, err := scan(s.db.QueryRowContext(ctx, selectLive+` AND o.id = ?`, id))
	if errors.Is(err, sql.ErrNoRows) {
		return Overlay{}, missing(id)
	}
	if err != nil {
		return Overlay{}, fmt.Errorf("read overlay %d: %w", id, err)
	}
	return o, nil
}

// Visible returns the overlay with that id if u may see it; the error is a problem: 404, or 403.
func (s *Store) Visible(ctx context.Context, u account.User, id int64) (Overlay, error) {
	o, err := s.Get(ctx, id)
	if err == nil && !o.VisibleTo(u) {
		err = problem.Forbidden("This overlay belongs to somebody else. Ask its owner or an administrator.")
	}
	if err != nil {
		return Overlay{}, err
	}
	return o, nil
}

// Editable returns the overlay with that id if u may change it; the error is a problem: 404, or 403.
func (s *Store) Editable(ctx context.Context, u account.User, id int64) (Overlay, error) {
	o, err := s.Visible(ctx, u, id)
	if err == nil && !o.EditableBy(u) {
		err = problem.Forbidden("Only administrators change external overlays.")
	}
	if err != nil {
		return Overlay{}, err
	}
	return o, nil
}

// List returns what u may see (P7), by name.
func (s *Store) List(ctx context.Context, u account.User) ([]Overlay, error) {
	rows, err := s.db.QueryContext(ctx, selectLive+` AND (? OR o.type = ? OR o.user_id = ?) ORDER BY o.name COLLATE NOCASE, o.id`,
		u.Admin, string(External), u.ID)
	if err != nil {
		return nil, fmt.Errorf("list overlays: %w", err)
	}
	defer rows.Close()
	var all []Overlay
	for rows.Next() {
		o, err := scan(rows)
		if err != nil {
			return nil, fmt.Errorf("list overlays: %w", err)
		}
		all = append(all, o)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("list overlays: %w", err)
	}
	return all, nil
}

// Changed records on q that overlays should hold something else now: until a build has read the new revision, the last build
// of one says nothing about it.
func Changed(ctx context.Context, q db.Querier, ids ...int64) error {
	list, err := json.Marshal(ids)
	if err == nil {
		_, err = q.ExecContext(ctx, `UPDATE overlays SET revision = revision + 1, last_build_status = '' WHERE id IN (SELECT value FROM json_each(?))`, string(list))
	}
	if err != nil {
		return fmt.Errorf("mark %d overlays as changed: %w", len(ids), err)
	}
	return nil
}

// DirectoryMade records that the game host has made the overlay's directory.
func (s *Store) DirectoryMade(ctx context.Context, id int64) error {
	if _, err := s.db.ExecContext(ctx, `UPDATE overlays SET directory_at = ? WHERE id = ? AND directory_at IS NULL`, db.Millis(s.now()), id); err != nil {
		return fmt.Errorf("record the directory of overlay %d: %w", id, err)
	}
	return nil
}

// Unsettled records that a build is about to change what the last one left: until it has ended well, the overlay is not
// known to be good.
func (s *Store) Unsettled(ctx context.Context, id int64) error {
	if _, err := s.db.ExecContext(ctx, `UPDATE overlays SET last_build_status = '' WHERE id = ? AND last_build_status = 'ok'`, id); err != nil {
		return fmt.Errorf("mark overlay %d as being built: %w", id, err)
	}
	return nil
}

// Built records on q, the transaction that ends the build job with that id, that a build which read this revision went well. An
// overlay that has changed since stays without a verdict: the build that its change enqueued will give one.
func (s *Store) Built(ctx context.Context, q db.Querier, id, revision, jobID int64) error {
	if _, err := q.ExecContext(ctx, `UPDATE overlays SET last_build_status = 'ok', last_build_at = ?, last_build_job_id = ? WHERE id = ? AND revision = ?`,
		db.Millis(s.now()), jobID, id, revision); err != nil {
		return fmt.Errorf("record the build of overlay %d: %w", id, err)
	}
	return nil
}
