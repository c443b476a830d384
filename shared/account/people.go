package account

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"left4me/shared/db"
	"left4me/shared/list"
	"left4me/shared/problem"
)

// Person is a User as administrators see it.
type Person struct {
	User
	// Disabled people cannot sign in.
	Disabled bool
	// Last is the only administrator who may sign in, and so must stay one.
	Last      bool
	CreatedAt time.Time
	// LastSignIn is zero for somebody who never signed in.
	LastSignIn time.Time
}

const (
	personColumns = `users.id, name, is_admin, is_disabled, NOT ` + notLastSQL + `, created_at, last_sign_in_at`
	selectPerson  = `SELECT ` + personColumns + ` FROM users`
)

func scanPerson(row db.Scanner) (Person, error) {
	var p Person
	err := row.Scan(&p.ID, &p.Name, &p.Admin, &p.Disabled, &p.Last, db.Moment(&p.CreatedAt), db.Moment(&p.LastSignIn))
	return p, err
}

// States of people by which their list can be limited.
const (
	Enabled  = "enabled"
	Disabled = "disabled"
)

// Listing is the list of people.
var Listing = list.Source[Person]{
	Columns: personColumns,
	From:    `users`,
	Where:   `name LIKE :text ESCAPE '\' AND :state IN ('', CASE is_disabled WHEN 0 THEN '` + Enabled + `' ELSE '` + Disabled + `' END)`,
	Key:     `users.id`,
	Order: map[string]string{
		"": `name`, "name": `name`, "role": `is_admin`, "state": `is_disabled`, "created": `created_at`, "seen": `last_sign_in_at`,
	},
	States:  []string{Enabled, Disabled},
	Size:    200,
	Counted: true,
	Scan:    scanPerson,
}

// People returns a page of the list of people, in its own order by name.
func (s *Store) People(ctx context.Context, q list.Query) (list.Page[Person], error) {
	page, err := Listing.Read(ctx, s.db, q, q.TextArg(), q.StateArg())
	if err != nil {
		return page, fmt.Errorf("list people: %w", err)
	}
	return page, nil
}

// Person returns one person. The error is a problem (404) when there is no such person.
func (s *Store) Person(ctx context.Context, id int64) (Person, error) {
	p, err := db.Row(ctx, s.db, scanPerson, selectPerson+` WHERE id = :id`, sql.Named("id", id))
	if errors.Is(err, sql.ErrNoRows) {
		return Person{}, problem.NotFound("There is no such person.")
	}
	if err != nil {
		return Person{}, fmt.Errorf("read user %d: %w", id, err)
	}
	return p, nil
}

// Counts says how many people there are.
type Counts struct {
	// People counts those who may sign in, Administrators the administrators among them, and Disabled those who may not.
	People, Administrators, Disabled int
}

// Count counts the people.
func (s *Store) Count(ctx context.Context) (Counts, error) {
	c, err := db.Row(ctx, s.db, scanCounts, `SELECT COUNT(*) FILTER (WHERE is_disabled = 0), COUNT(*) FILTER (WHERE is_disabled = 0 AND is_admin = 1),
		COUNT(*) FILTER (WHERE is_disabled = 1) FROM users`)
	if err != nil {
		return Counts{}, fmt.Errorf("count people: %w", err)
	}
	return c, nil
}

func scanCounts(row db.Scanner) (c Counts, err error) {
	err = row.Scan(&c.People, &c.Administrators, &c.Disabled)
	return c, err
}

// SetAdmin makes a person an administrator, or no longer one, and returns the person. Errors are problems: 404 when there is
// no such person, 409 for the last administrator.
func (s *Store) SetAdmin(ctx context.Context, id int64, admin bool) (Person, error) {
	if admin {
		return s.change(ctx, id, change{name: "promote", set: `is_admin = 1`})
	}
	return s.change(ctx, id, change{name: "demote", set: `is_admin = 0`, notLast: true})
}

// Disable keeps a person from signing in, ends their sessions, revokes their tokens, and returns the person. Errors are problems: 404 when there is
// no such person, 409 for the last administrator.
func (s *Store) Disable(ctx context.Context, id int64) (Person, error) {
	return s.change(ctx, id, change{name: "disable", set: `is_disabled = 1`, notLast: true, endsSessions: true})
}

// Enable lets a person sign in again, and returns the person. The error is a problem (404) when there is no such person.
func (s *Store) Enable(ctx context.Context, id int64) (Person, error) {
	return s.change(ctx, id, change{name: "enable", set: `is_disabled = 0`})
}

// ResetPassword gives a person a random password, ends their sessions, revokes their tokens, and returns the person and the password. The error
// is a problem (404) when there is no such person.
func (s *Store) ResetPassword(ctx context.Context, id int64) (Person, string, error) {
	password := RandomPassword()
	p, err := s.setPassword(ctx, id, password)
	if err != nil {
		return Person{}, "", err
	}
	return p, password, nil
}

func (s *Store) setPassword(ctx context.Context, id int64, password string) (Person, error) {
	hash, err := hashPassword(password)
	if err != nil {
		return Person{}, fmt.Errorf("set the password of user %d: %w", id, err)
	}
	return s.change(ctx, id, change{name: "set the password of", set: `password_hash = :hash`, args: []any{sql.Named("hash", hash)}, endsSessions: true})
}

// SetPassword gives the person of that name a password, ends their sessions, and returns the person. The error is a problem (400)
// for an invalid password, or ErrNoUser when nobody has that name.
func (s *Store) SetPassword(ctx context.Context, name, password string) (Person, error) {
	if err := CheckPassword(password); err != nil {
		return Person{}, err
	}
	id, err := db.Row(ctx, s.db, db.Value[int64], `SELECT id FROM users WHERE name = :name`, sql.Named("name", name))
	if errors.Is(err, sql.ErrNoRows) {
		err = ErrNoUser
	}
	if err != nil {
		return Person{}, fmt.Errorf("set the password of %s: %w", name, err)
	}
	return s.setPassword(ctx, id, password)
}

// change is an administrator's change of one row of users.
type change struct {
	// name is for the log.
	name string
	// set is the SET clause, with its args.
	set  string
	args []any
	// notLast refuses the change for the last administrator who may sign in.
	notLast bool
	// endsSessions signs the person out everywhere, and revokes their tokens.
	endsSessions bool
}

// notLastSQL is whether somebody is not the last administrator. It is a condition of the UPDATE itself, so that one of two
// administrators who demote each other at once remains.
const notLastSQL = `(is_admin = 0 OR is_disabled = 1 OR EXISTS (
	SELECT 1 FROM users other WHERE other.id <> users.id AND other.is_admin = 1 AND other.is_disabled = 0))`

func (s *Store) change(ctx context.Context, id int64, c change) (Person, error) {
	update := `UPDATE users SET ` + c.set + ` WHERE id = :id`
	if c.notLast {
		update += ` AND ` + notLastSQL
	}
	var p Person
	err := s.db.InTx(ctx, func(ctx context.Context, q db.Querier) error {
		n := 0
		err := db.RowsLater(ctx, q, func(ids []int64) { n = len(ids) }, db.Value[int64], update+` RETURNING id`, append(c.args, sql.Named("id", id))...)
		if err != nil {
			return err
		}
		p, err = db.Row(ctx, q, scanPerson, selectPerson+` WHERE id = :id`, sql.Named("id", id))
		switch {
		case errors.Is(err, sql.ErrNoRows):
			return problem.NotFound("There is no such person.")
		case err != nil:
			return err
		case n == 0:
			return problem.Conflict("%s is the last administrator. Please make somebody else an administrator first.", p.Name)
		case c.endsSessions:
			if err = db.Later(ctx, q, `DELETE FROM sessions WHERE user_id = :id`, sql.Named("id", id)); err == nil {
				err = db.Later(ctx, q, `DELETE FROM api_tokens WHERE user_id = :id`, sql.Named("id", id))
			}
		}
		return err
	})
	if err != nil {
		return Person{}, problem.Wrap(err, "%s user %d", c.name, id)
	}
	return p, nil
}
