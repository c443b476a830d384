// Package blueprint owns blueprints (servers.md P52 to P54): stacks of overlays with game settings, from which servers are started.
//
// It writes no files: what becomes of a stack and of the settings on a host belongs to shared/game.
package blueprint

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"left4me/shared/account"
	"left4me/shared/db"
	"left4me/shared/jobstore"
	"left4me/shared/list"
	"left4me/shared/overlay"
	"left4me/shared/problem"
	"left4me/shared/text"
)

// Blueprint is one row of blueprints.
type Blueprint struct {
	ID   int64
	Name string
	// OwnerID is zero for a system-wide blueprint.
	OwnerID   int64
	OwnerName string
	Settings  Settings `api:"-"`
}

// Visible returns nil if u may see b, else a problem (403).
func (b Blueprint) Visible(u account.User) error {
	if b.OwnerID == 0 || u.Admin || b.OwnerID == u.ID {
		return nil
	}
	return problem.Forbidden("This blueprint belongs to somebody else. Ask its owner or an administrator.")
}

// Editable returns nil if u may change and delete b, else a problem (403).
func (b Blueprint) Editable(u account.User) error {
	if err := b.Visible(u); err != nil || u.Admin || b.OwnerID != 0 {
		return err
	}
	return problem.Forbidden("Only administrators change blueprints for everybody.")
}

// Store reads and writes blueprints.
type Store struct {
	db   *db.DB
	now  func() time.Time
	jobs *jobstore.Store
}

// NewStore returns a Store on d that takes the time from now and enqueues jobs in jobs.
func NewStore(d *db.DB, now func() time.Time, jobs *jobstore.Store) *Store {
	return &Store{d, now, jobs}
}

// Create inserts a blueprint with an empty stack and default settings, and returns its id. It belongs to u, or to nobody if system is true.
// Errors are problems: 400 for a bad name, 403 for a system-wide one of somebody who is no administrator, 409 for a duplicate name, 429
// beyond u's limits.
func (s *Store) Create(ctx context.Context, u account.User, name string, system bool) (id int64, err error) {
	if name, err = overlay.CleanName("blueprint", name); err != nil {
		return 0, err
	}
	b := Blueprint{OwnerID: u.ID}
	if system {
		if !u.Admin {
			return 0, problem.Forbidden("Only administrators create blueprints for everybody.")
		}
		b.OwnerID = 0
	}
	settings, err := Default().encode()
	if err != nil {
		return 0, err
	}
	most := sql.NullInt64{}
	if u.Limits != nil {
		most = sql.NullInt64{Int64: int64(u.Limits.Overlays), Valid: true}
	}
	err = s.db.InTx(ctx, func(ctx context.Context, q db.Querier) error {
		if err := account.CountAction(ctx, q, s.now(), u); err != nil {
			return err
		}
		id, err = db.Row(ctx, q, db.Value[int64], `INSERT INTO blueprints (name, user_id, settings, created_at) SELECT :name, NULLIF(:owner, 0), :settings, :now
			WHERE :most IS NULL OR (SELECT COUNT(*) FROM blueprints WHERE user_id = :owner) < :most RETURNING id`,
			sql.Named("name", name), sql.Named("owner", b.OwnerID), sql.Named("settings", settings), sql.Named("now", db.Millis(s.now())), sql.Named("most", most))
		if errors.Is(err, sql.ErrNoRows) {
			return problem.TooMany(0, "You already have as many blueprints as one person may have (%d). Please delete one that you no longer need, "+
				"or ask an administrator.", u.Limits.Overlays)
		}
		return err
	})
	if db.IsUnique(err) {
		return 0, taken(name, u, b)
	}
	if err != nil {
		return 0, problem.Wrap(u.Refused(err), "create blueprint")
	}
	return id, nil
}

// taken returns the problem (409) for a duplicate name, in words for u. The owner of b has another blueprint of that name.
func taken(name string, u account.User, b Blueprint) error {
	switch {
	case b.OwnerID == 0:
		return problem.Conflict("There already is a blueprint for everybody named “%s”. Please choose another name.", name)
	case b.OwnerID == u.ID:
		return problem.Conflict("You already have a blueprint named “%s”. Please choose another name.", name)
	}
	return problem.Conflict("%s already has a blueprint named “%s”. Please choose another name.", b.OwnerName, name)
}

func missing(id int64) error {
	return problem.NotFound("There is no blueprint %d. It may have been deleted.", id)
}

// Save gives b, which u may change, another name and other settings. Errors are problems: 400 for a bad name or a setting that the game
// would not understand, 403 for launch arguments that somebody changes who is no administrator, 409 for a duplicate name, 404 when the
// blueprint has been deleted.
func (s *Store) Save(ctx context.Context, u account.User, b Blueprint, name string, settings Settings) error {
	name, err := overlay.CleanName("blueprint", name)
	if err == nil {
		err = settings.Check()
	}
	if err != nil {
		return err
	}
	if !u.Admin && !slices.Equal(settings.Arguments, b.Settings.Arguments) {
		return problem.Forbidden("Only administrators set launch arguments.")
	}
	text, err := settings.encode()
	if err != nil {
		return err
	}
	err = s.change(ctx, b.ID, `UPDATE blueprints SET name = :name, settings = :settings WHERE id = :id`, sql.Named("name", name), sql.Named("settings", text))
	if db.IsUnique(err) {
		return taken(name, u, b)
	}
	return err
}

// change runs a statement about the blueprint :id. The error is a problem (404) if it changes nothing.
func (s *Store) change(ctx context.Context, id int64, statement string, args ...any) error {
	n, err := db.Exec(ctx, s.db, statement, append(args, sql.Named("id", id))...)
	if err != nil {
		return fmt.Errorf("change blueprint %d: %w", id, err)
	}
	if n == 0 {
		return missing(id)
	}
	return nil
}

// Delete deletes a blueprint. The error is a problem: 404 when that has happened already, 409 when servers are started from it.
func (s *Store) Delete(ctx context.Context, id int64) error {
	err := s.change(ctx, id, `DELETE FROM blueprints WHERE id = :id AND NOT EXISTS (SELECT 1 FROM servers WHERE blueprint_id = :id)`)
	if _, isProblem := problem.As(err); !isProblem {
		return err
	}
	servers, lookErr := db.Rows(ctx, s.db, db.Value[string], `SELECT name FROM servers WHERE blueprint_id = :id ORDER BY name COLLATE NOCASE, id`, sql.Named("id", id))
	switch {
	case lookErr != nil:
		return fmt.Errorf("look for the servers of blueprint %d: %w", id, lookErr)
	case len(servers) > 0:
		return problem.Conflict("Servers are started from this blueprint: %s. Please delete them, or give them another blueprint, first. Nothing was deleted.", text.List(servers, 10, ", "))
	}
	return err
}

const (
	columns = `b.id, b.name, COALESCE(b.user_id, 0), COALESCE(u.name, ''), b.settings`
	from    = `blueprints b LEFT JOIN users u ON u.id = b.user_id`
)

// scanInto scans columns into b, and the columns that follow them into more.
func scanInto(row db.Scanner, b *Blueprint, more ...any) error {
	var settings string
	err := row.Scan(append([]any{&b.ID, &b.Name, &b.OwnerID, &b.OwnerName, &settings}, more...)...)
	if err == nil {
		b.Settings, err = Decode(settings)
	}
	return err
}

// Get returns the blueprint with that id; the error is a problem (404) when there is none.
func (s *Store) Get(ctx context.Context, id int64) (Blueprint, error) {
	b, err := db.Row(ctx, s.db, func(row db.Scanner) (b Blueprint, err error) {
		err = scanInto(row, &b)
		return b, err
	}, `SELECT `+columns+` FROM `+from+` WHERE b.id = :id`, sql.Named("id", id))
	if errors.Is(err, sql.ErrNoRows) {
		return Blueprint{}, missing(id)
	}
	if err != nil {
		return Blueprint{}, fmt.Errorf("read blueprint %d: %w", id, err)
	}
	return b, nil
}

// Listed is a row of the list of blueprints.
type Listed struct {
	Blueprint
	// Overlays counts those in its stack.
	Overlays int
}

const overlaysSQL = `(SELECT COUNT(*) FROM blueprint_overlays o WHERE o.blueprint_id = b.id)`

// Visible is whether the user :user, who is an administrator if :admin is true, may see the blueprint b.
const Visible = `(:admin OR b.user_id IS NULL OR b.user_id = :user)`

// Listing is the list of blueprints.
var Listing = list.Source[Listed]{
	Columns: columns + `, ` + overlaysSQL,
	From:    from,
	Where:   Visible + ` AND b.name LIKE :text ESCAPE '\'`,
	Key:     `b.id`,
	Order:   map[string]string{"": `b.name COLLATE NOCASE, b.id`, "name": `b.name COLLATE NOCASE`, "owner": `u.name`, "overlays": overlaysSQL},
	Size:    200,
	Counted: true,
	Scan: func(row db.Scanner) (l Listed, err error) {
		err = scanInto(row, &l.Blueprint, &l.Overlays)
		return l, err
	},
}

// List returns a page of the blueprints that u may see.
func (s *Store) List(ctx context.Context, u account.User, q list.Query) (list.Page[Listed], error) {
	page, err := Listing.Read(ctx, s.db, q, sql.Named("admin", u.Admin), sql.Named("user", u.ID), q.TextArg())
	if err != nil {
		return page, fmt.Errorf("list blueprints: %w", err)
	}
	return page, nil
}
