package server

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"left4me/shared/account"
	"left4me/shared/blueprint"
	"left4me/shared/db"
	"left4me/shared/job"
	"left4me/shared/jobstore"
	"left4me/shared/list"
)

// stateSQL is the state that pages show: that of Server.Now.
const stateSQL = `CASE WHEN h.seen_at < :silent THEN '` + string(Unknown) + `' ELSE s.state END`

// Listing is the list of servers.
var Listing = list.Source[Server]{
	Columns: columns,
	From:    from,
	Where:   `s.deleted_at IS NULL AND (:admin OR s.user_id = :user) AND s.name LIKE :text ESCAPE '\' AND (:state = '' OR :state = ` + stateSQL + `)`,
	Key:     `s.id`,
	Order: map[string]string{
		"": `s.name COLLATE NOCASE, s.id`, "name": `s.name COLLATE NOCASE`, "state": stateSQL, "blueprint": `b.name COLLATE NOCASE`,
		"host": `h.name COLLATE NOCASE, s.port`, "owner": `u.name`,
	},
	States:  []string{string(Running), string(Starting), string(Stopping), string(Stopped), string(Crashed), string(Unknown)},
	Size:    200,
	Counted: true,
	Scan:    scan,
}

// List returns a page of the servers that u may see.
func (s *Store) List(ctx context.Context, u account.User, q list.Query) (list.Page[Server], error) {
	page, err := Listing.Read(ctx, s.db, q, sql.Named("admin", u.Admin), sql.Named("user", u.ID), q.TextArg(), q.StateArg(),
		sql.Named("silent", db.Millis(s.now().Add(-jobstore.HostSilentAfter))))
	if err != nil {
		return page, fmt.Errorf("list servers: %w", err)
	}
	return page, nil
}

// All returns all servers, by name.
func (s *Store) All(ctx context.Context) ([]Server, error) {
	all, err := db.Rows(ctx, s.db, scan, selectServer+`s.deleted_at IS NULL ORDER BY `+Listing.Order[""])
	if err != nil {
		return nil, fmt.Errorf("list all servers: %w", err)
	}
	return all, nil
}

// Watched is a server for its host's agent to look after.
type Watched struct {
	ID    int64
	Name  string
	State State
	// StateAt is since when it is in that state.
	StateAt time.Time
	// RunID is its run that has begun and not ended; 0: none.
	RunID int64
	// Busy is whether a job about it has not ended, which then records its state.
	Busy bool
}

// WatchSQL is what Watch asks.
const WatchSQL = `SELECT s.id, s.name, s.state, s.state_at, COALESCE((SELECT id FROM runs WHERE server_id = s.id AND started_at IS NOT NULL AND ended_at IS NULL), 0), EXISTS (SELECT 1 FROM jobs j WHERE j.finished_at IS NULL AND j.subject_kind = :kind AND j.subject_id = s.id)
	FROM servers s WHERE s.host_id = :host AND s.state IN ('starting', 'running', 'stopping') AND s.deleted_at IS NULL ORDER BY s.id`

// Watch returns the servers of a host that should have a process, or whose state is about to change.
func (s *Store) Watch(ctx context.Context, hostID string) ([]Watched, error) {
	all, err := db.Rows(ctx, s.db, func(row db.Scanner) (w Watched, err error) {
		err = row.Scan(&w.ID, &w.Name, &w.State, db.Moment(&w.StateAt), &w.RunID, &w.Busy)
		return w, err
	}, WatchSQL,
		sql.Named("host", hostID), sql.Named("kind", job.Servers))
	if err != nil {
		return nil, fmt.Errorf("list the servers of this host: %w", err)
	}
	return all, nil
}

// Off returns the servers of a host that have no process, as far as is known.
func (s *Store) Off(ctx context.Context, hostID string) ([]Server, error) {
	off, err := db.Rows(ctx, s.db, scan, selectServer+`s.deleted_at IS NULL AND s.host_id = :host AND s.state IN ('stopped', 'crashed') ORDER BY s.id`, sql.Named("host", hostID))
	if err != nil {
		return nil, fmt.Errorf("list the servers of this host that are off: %w", err)
	}
	return off, nil
}

// Choice is something that can be chosen in a form. Its id is the value of the form's field.
type Choice struct{ ID, Name string }

// Choices is what forms about servers offer, by name.
type Choices struct{ Hosts, Blueprints, Owners []Choice }

// Choices returns what u may choose. Only administrators choose hosts and owners.
func (s *Store) Choices(ctx context.Context, u account.User) (Choices, error) {
	var all Choices
	_, err := db.Rows(ctx, s.db, func(row db.Scanner) (c Choice, err error) {
		var list int
		err = row.Scan(&list, &c.ID, &c.Name)
		to := []*[]Choice{&all.Hosts, &all.Blueprints, &all.Owners}[list]
		*to = append(*to, c)
		return c, err
	}, `SELECT 0 AS list, id, name FROM hosts WHERE :admin
		UNION ALL SELECT 1, CAST(id AS TEXT), name FROM blueprints b WHERE `+blueprint.Visible+`
		UNION ALL SELECT 2, CAST(id AS TEXT), name FROM users WHERE :admin AND is_disabled = 0
		ORDER BY 1, 3 COLLATE NOCASE, 2`, sql.Named("admin", u.Admin), sql.Named("user", u.ID))
	if err != nil {
		return Choices{}, fmt.Errorf("list what can be chosen for servers: %w", err)
	}
	return all, nil
}
