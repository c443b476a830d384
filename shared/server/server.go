// Package server owns game servers as rows (servers.md P55 to P61): who may do what with them, what they are asked to do, their states,
// their runs with the content of each, and what happened to them.
//
// The disk belongs to shared/game/serverdir, processes to shared/game/supervisor.
package server

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"

	"left4me/shared/account"
	"left4me/shared/blueprint"
	"left4me/shared/db"
	"left4me/shared/host"
	"left4me/shared/job"
	"left4me/shared/jobstore"
	"left4me/shared/overlay"
	"left4me/shared/problem"
)

// State is the state of a server (P61). Scripts rely on the values.
type State string

const (
	Stopped  State = "stopped"
	Starting State = "starting"
	Running  State = "running"
	Stopping State = "stopping"
	// Crashed means that its process ended by itself, or did not start.
	Crashed State = "crashed"
	// Unknown means that its host is silent. It is never stored.
	Unknown State = "unknown"
)

// Server is one row of servers.
type Server struct {
	ID   int64
	Name string
	// HostID is the host that it runs on. HostName is that host's name, Address what players connect to, which may be empty, and
	// HostSeenAt when its agent has last reported.
	HostID, HostName, Address string
	HostSeenAt                time.Time
	// HostProblem is why that host cannot run servers, and what to do; empty if it can.
	HostProblem string
	Port        int
	// BlueprintID is what it is started from next, and Blueprint its name.
	BlueprintID int64
	Blueprint   string
	// Overlays are the blueprint's, from the top.
	Overlays  []int64
	OwnerID   int64
	OwnerName string
	// Public is whether everybody may see it (P66).
	Public bool
	// UID is written into the marker inside the server's directory.
	UID string `api:"-"`
	// DirectoryAt is when the host made the directory; zero: not yet.
	DirectoryAt time.Time
	// State is what the host has reported last, and StateAt since when. Pages show that of Now.
	State     State
	StateAt   time.Time
	CreatedAt time.Time
	// WatchedUntil is until when the host copies its console.
	WatchedUntil time.Time `api:"-"`
	// Live is what its game has last said, without the players.
	Live Live
	// Policy says when it is restarted for updates, and Update what waits.
	Policy Policy
	Update Update
}

// Now returns the state and since when the server is in it.
func (s Server) Now(now time.Time) (State, time.Time) {
	if host.Silent(s.HostSeenAt, now) {
		return Unknown, s.HostSeenAt
	}
	return s.State, s.StateAt
}

// IsOff reports whether the server has no process, as far as is known.
func (s Server) IsOff() bool { return s.State == Stopped || s.State == Crashed }

// Endpoint is the address:port that players connect to; without an address if the host's is not known.
func (s Server) Endpoint() string { return net.JoinHostPort(s.Address, strconv.Itoa(s.Port)) }

// Editable returns nil if u may see, start, stop and change s (P55), else a problem (403).
func (s Server) Editable(u account.User) error {
	if u.Admin || u.ID != 0 && s.OwnerID == u.ID {
		return nil
	}
	return problem.Forbidden("This server belongs to somebody else. Ask its owner or an administrator.")
}

// Store reads and writes servers.
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
const NameLength = overlay.NameLength

// Ports of servers. Games are expected at FirstPort and those after it.
const (
	FirstPort = 27015
	MinPort   = 1024
	MaxPort   = 65535
)

// Form is what people choose about a server.
type Form struct {
	Name        string
	Port        int
	BlueprintID int64
	// OwnerID is the account that the server belongs to.
	OwnerID int64
	// Public is whether everybody may see the server, from now on.
	Public bool
	// Policy says when it is restarted for updates. The zero Policy leaves it as it is, which is WhenEmpty for a new server.
	Policy Policy
}

// check returns f without surrounding white space in its name; the error is a problem.
func (f Form) check() (Form, error) {
	name, err := overlay.CleanName("server", f.Name)
	if err != nil {
		return f, err
	}
	if f.Port < MinPort || f.Port > MaxPort {
		return f, problem.Invalid("A port is a number from %d to %d. Game servers are usually at %d and the numbers after it.", MinPort, MaxPort, FirstPort)
	}
	f.Name = name
	return f, nil
}

// choice selects the blueprint :blueprint if :user may see it, and the owner :owner.
const choice = `blueprints b, users o WHERE b.id = :blueprint AND ` + blueprint.Visible + ` AND o.id = :owner`

func (f Form) args(u account.User) []any {
	return []any{sql.Named("name", f.Name), sql.Named("port", f.Port), sql.Named("blueprint", f.BlueprintID), sql.Named("owner", f.OwnerID),
		sql.Named("public", f.Public), sql.Named("policy", f.Policy.String()), sql.Named("user", u.ID), sql.Named("admin", u.Admin)}
}

var errChoice = problem.Invalid("A host, blueprint or account that you chose does not exist any more. Please choose from the lists.")

// Create adds a server on a host for an administrator, and enqueues the job that makes its directory. Errors are problems: 400 for a bad
// name or port, or a host, blueprint or owner that does not exist; 409 for a port that another server of the host has.
func (s *Store) Create(ctx context.Context, u account.User, hostID string, f Form) (id int64, prepare *jobstore.Enqueued, err error) {
	if f.Policy == (Policy{}) {
		f.Policy.Kind = WhenEmpty
	}
	if f, err = f.check(); err != nil {
		return 0, nil, err
	}
	uid, err := uuid.NewRandom()
	if err != nil {
		return 0, nil, fmt.Errorf("create server: %w", err)
	}
	err = s.db.InTx(ctx, func(ctx context.Context, q db.Querier) error {
		of := Server{HostID: hostID}
		err := db.RowsLater(ctx, q, func(all []int64) { of.Overlays = all }, db.Value[int64],
			`SELECT overlay_id FROM blueprint_overlays WHERE blueprint_id = :blueprint ORDER BY position`, sql.Named("blueprint", f.BlueprintID))
		if err != nil {
			return err
		}
		of.ID, err = db.Row(ctx, q, db.Value[int64], `INSERT INTO servers (name, host_id, port, blueprint_id, user_id, is_public, restart_policy, uid, state_at, created_at)
			SELECT :name, h.id, :port, b.id, o.id, :public, :policy, :uid, :now, :now FROM hosts h, `+choice+` AND h.id = :host RETURNING id`,
			append(f.args(u), sql.Named("host", hostID), sql.Named("uid", uid.String()), s.nowArg())...)
		if errors.Is(err, sql.ErrNoRows) {
			return errChoice
		}
		if err == nil {
			err = s.event(ctx, q, of.ID, Event{Kind: "created", UserID: u.ID})
		}
		if err == nil {
			prepare, err = s.enqueue(ctx, q, job.ServerInit, u, of, StartArgument{})
		}
		id = of.ID
		return err
	})
	return id, prepare, s.taken(ctx, err, "create server", hostID, f.Port)
}

// taken returns err, or a problem (409) that names the server that has the port on the host, if err says that one has it.
func (s *Store) taken(ctx context.Context, err error, doing, hostID string, port int) error {
	if !db.IsUnique(err) {
		return problem.Wrap(err, "%s", doing)
	}
	free, ferr := s.FreePort(ctx)
	other, oerr := db.Row(ctx, s.db, db.Value[string], `SELECT name || CASE WHEN deleted_at IS NULL THEN '' ELSE ' (which is being deleted)' END
		FROM servers WHERE host_id = :host AND port = :port`, sql.Named("host", hostID), sql.Named("port", port))
	if ferr != nil || oerr != nil {
		return errors.Join(err, ferr, oerr)
	}
	return problem.Conflict("The server %s has port %d on this host. Port %d is free.", other, port, free)
}

// FreePort returns the lowest port, from FirstPort on, that no server has on any host; MaxPort when there is none.
func (s *Store) FreePort(ctx context.Context) (int, error) {
	port, err := db.Row(ctx, s.db, db.Value[int], `SELECT COALESCE(MIN(p.port), :last) FROM (SELECT :first AS port UNION SELECT port + 1 FROM servers WHERE port >= :first AND port < :last) p
		WHERE p.port NOT IN (SELECT port FROM servers)`, sql.Named("first", FirstPort), sql.Named("last", MaxPort))
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	return port, nil
}

// Change changes what people have chosen about a server. Except for Public, it takes effect when the server is started next. Only administrators change
// the port and the owner; of others, those in f are not used. Errors are problems, as of Create, and 404 when it has been deleted.
func (s *Store) Change(ctx context.Context, u account.User, old Server, f Form) error {
	if !u.Admin {
		f.Port, f.OwnerID = old.Port, old.OwnerID
	}
	if f.Policy == (Policy{}) {
		f.Policy = old.Policy
	}
	f, err := f.check()
	if err != nil {
		return err
	}
	id := sql.Named("id", old.ID)
	err = s.db.InTx(ctx, func(ctx context.Context, q db.Querier) error {
		n, err := db.Exec(ctx, q, `UPDATE servers SET name = :name, port = :port, blueprint_id = :blueprint, user_id = :owner, is_public = :public, restart_policy = :policy WHERE id = :id AND deleted_at IS NULL
			AND (blueprint_id = :blueprint AND user_id = :owner OR EXISTS (SELECT 1 FROM `+choice+`))`, append(f.args(u), id)...)
		if err == nil && n == 0 {
			if _, err = db.Row(ctx, q, db.Value[int], `SELECT 1 FROM servers WHERE id = :id AND deleted_at IS NULL`, id); errors.Is(err, sql.ErrNoRows) {
				err = missing(old.ID)
			} else if err == nil {
				err = errChoice
			}
		}
		if err != nil || f.Policy == old.Policy {
			return err
		}
		return db.Later(ctx, q, `UPDATE server_updates SET empty_at = NULL, restart_at = NULL, warned = 0 WHERE server_id = :id`, id)
	})
	return s.taken(ctx, err, fmt.Sprintf("change server %d", old.ID), old.HostID, f.Port)
}

func missing(id int64) error {
	return problem.NotFound("There is no server %d. It may have been deleted.", id)
}

// StartArgument is the argument of the job server_start.
type StartArgument struct {
	// Restart is whether to stop the server first if it is running.
	Restart bool `json:"restart,omitempty"`
	// Overlays are the overlays that the job has locked.
	Overlays []int64 `json:"overlays"`
	// Update is whether nobody has asked for the restart: it is for an update, and only if nobody plays, or players were told of it.
	Update bool `json:"update,omitempty"`
	// Announced is when players were told that it happens, in Unix milliseconds; 0: they were not told.
	Announced int64 `json:"announced,omitempty"`
}

// Disturbs reports whether the restart would end the game of people who play now and were not told of it, or not for now.
func (a StartArgument) Disturbs(humans int, now time.Time) bool {
	late := now.Sub(db.Time(a.Announced))
	return a.Update && humans > 0 && (late < 0 || late > announcedFor)
}

// enqueue enqueues a job about a server, with locks on the overlays of its blueprint if the operation reads them. The argument is of starts.
func (s *Store) enqueue(ctx context.Context, q db.Querier, o job.Operation, u account.User, of Server, argument StartArgument) (*jobstore.Enqueued, error) {
	r := jobstore.Request{Operation: o, Subject: job.Server(of.ID), Host: of.HostID, UserID: u.ID}
	if o.Reads == job.Overlays {
		for _, id := range of.Overlays {
			r.Reads = append(r.Reads, job.Overlay(id))
		}
	}
	if o.Name == job.ServerStart.Name {
		argument.Overlays = of.Overlays
		r.Argument = argument
	}
	return s.jobs.Enqueue(ctx, q, r)
}

// Start enqueues the start of a server for u, who may be nobody. One that is running is left alone.
func (s *Store) Start(ctx context.Context, u account.User, of Server) (*jobstore.Enqueued, error) {
	return s.request(ctx, job.ServerStart, u, of, StartArgument{})
}

// Restart is Start, but stops a server that is running first.
func (s *Store) Restart(ctx context.Context, u account.User, of Server) (*jobstore.Enqueued, error) {
	return s.request(ctx, job.ServerStart, u, of, StartArgument{Restart: true})
}

// Stop enqueues the stop of a server for u, and cancels its starts.
func (s *Store) Stop(ctx context.Context, u account.User, of Server) (*jobstore.Enqueued, error) {
	return s.request(ctx, job.ServerStop, u, of, StartArgument{})
}

// Reset enqueues for u that what the game wrote is removed. The error is a problem (409) unless the server is off.
func (s *Store) Reset(ctx context.Context, u account.User, of Server) (*jobstore.Enqueued, error) {
	if !of.IsOff() {
		return nil, problem.Conflict("“%s” is %s. Please stop it first: its files cannot be removed while the game uses them.", of.Name, of.State)
	}
	return s.request(ctx, job.ServerReset, u, of, StartArgument{})
}

func (s *Store) request(ctx context.Context, o job.Operation, u account.User, of Server, argument StartArgument) (e *jobstore.Enqueued, err error) {
	err = s.db.InTx(ctx, func(ctx context.Context, q db.Querier) error {
		switch o.Name {
		case job.ServerStop.Name:
			err = s.jobs.CancelAll(ctx, q, job.ServerStart, job.Server(of.ID))
		case job.ServerStart.Name:
			err = s.Retry(ctx, q, of.ID)
		}
		if err != nil {
			return err
		}
		e, err = s.enqueue(ctx, q, o, u, of, argument)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("request %s %d: %w", o.Name, of.ID, err)
	}
	return e, nil
}

// Delete hides a server, cancels its other jobs, and enqueues for u that it is stopped and its directory removed. The error is a problem
// (404) when it has been deleted already.
func (s *Store) Delete(ctx context.Context, u account.User, of Server) (removal *jobstore.Enqueued, err error) {
	err = s.db.InTx(ctx, func(ctx context.Context, q db.Querier) error {
		n, err := db.Exec(ctx, q, `UPDATE servers SET deleted_at = :now WHERE id = :id AND deleted_at IS NULL`, s.nowArg(), sql.Named("id", of.ID))
		if err == nil && n == 0 {
			err = missing(of.ID)
		}
		for _, o := range []job.Operation{job.ServerInit, job.ServerStart, job.ServerReset, job.ServerCommand} {
			if err == nil {
				err = s.jobs.CancelAll(ctx, q, o, job.Server(of.ID))
			}
		}
		if err != nil {
			return err
		}
		removal, err = s.enqueue(ctx, q, job.DeleteServer, u, of, StartArgument{})
		return err
	})
	return removal, problem.Wrap(err, "delete server %d", of.ID)
}

const (
	columns = `s.id, s.name, s.host_id, h.name, h.address, h.seen_at, h.servers_problem, s.port, s.blueprint_id, b.name,
		(SELECT json_group_array(overlay_id) FROM (SELECT overlay_id FROM blueprint_overlays WHERE blueprint_id = s.blueprint_id ORDER BY position)), s.user_id, u.name, s.is_public, s.uid, s.directory_at,
		s.state, s.state_at, s.created_at, s.watched_until, s.restart_policy, ` + updateColumns + `, ` + liveColumns
	from = `servers s JOIN hosts h ON h.id = s.host_id JOIN blueprints b ON b.id = s.blueprint_id JOIN users u ON u.id = s.user_id
		LEFT JOIN server_updates p ON p.server_id = s.id LEFT JOIN server_status l ON l.server_id = s.id`
	selectServer = `SELECT ` + columns + ` FROM ` + from + ` WHERE `
)

func scan(row db.Scanner) (s Server, err error) {
	err = scanInto(row, &s)
	return s, err
}

// scanInto scans columns into s, and the columns that follow them into more.
func scanInto(row db.Scanner, s *Server, more ...any) error {
	var overlays, policy string
	err := row.Scan(slices.Concat([]any{&s.ID, &s.Name, &s.HostID, &s.HostName, &s.Address, db.Moment(&s.HostSeenAt), &s.HostProblem, &s.Port, &s.BlueprintID, &s.Blueprint,
		&overlays, &s.OwnerID, &s.OwnerName, &s.Public, &s.UID, db.Moment(&s.DirectoryAt), &s.State, db.Moment(&s.StateAt), db.Moment(&s.CreatedAt), db.Moment(&s.WatchedUntil), &policy},
		s.Update.into(), s.Live.into(), more)...)
	if err == nil {
		err = json.Unmarshal([]byte(overlays), &s.Overlays)
	}
	if err == nil {
		s.Policy, err = ParsePolicy(policy)
	}
	return err
}

// Get returns the server with that id; the error is a problem (404) when there is none.
func (s *Store) Get(ctx context.Context, id int64) (Server, error) {
	found, err := db.Row(ctx, s.db, scan, selectServer+`s.deleted_at IS NULL AND s.id = :id`, sql.Named("id", id))
	if errors.Is(err, sql.ErrNoRows) {
		return Server{}, missing(id)
	}
	if err != nil {
		return Server{}, fmt.Errorf("read server %d: %w", id, err)
	}
	return found, nil
}

// Named returns the server with that id or that name. The error is a problem: 404 when there is none, 409 when several have the name.
func (s *Store) Named(ctx context.Context, idOrName string) (Server, error) {
	found, err := db.Rows(ctx, s.db, scan, selectServer+`s.deleted_at IS NULL AND (s.id = :id OR s.name = :id) ORDER BY s.id = :id DESC, s.id`, sql.Named("id", idOrName))
	switch {
	case err != nil:
		return Server{}, fmt.Errorf("look for server %s: %w", idOrName, err)
	case len(found) == 0:
		return Server{}, problem.NotFound("There is no server %s. `localrun server list` lists them.", idOrName)
	case len(found) > 1 && strconv.FormatInt(found[0].ID, 10) != idOrName:
		return Server{}, problem.Conflict("%d servers are named %s. Please name one of them by its id.", len(found), idOrName)
	}
	return found[0], nil
}

// Deleted returns a deleted server whose process may still run and whose directory may exist.
func (s *Store) Deleted(ctx context.Context, id int64) (Server, error) {
	found, err := db.Row(ctx, s.db, scan, selectServer+`s.deleted_at IS NOT NULL AND s.id = :id`, sql.Named("id", id))
	if errors.Is(err, sql.ErrNoRows) {
		return Server{}, fmt.Errorf("server %d has not been deleted", id)
	}
	if err != nil {
		return Server{}, fmt.Errorf("read deleted server %d: %w", id, err)
	}
	return found, nil
}

// Removed deletes, in the transaction that ends the removal of a deleted server's directory, its row with its runs and events.
func (s *Store) Removed(ctx context.Context, q db.Querier, id int64) error {
	if err := db.Later(ctx, q, `DELETE FROM servers WHERE id = :id AND deleted_at IS NOT NULL`, sql.Named("id", id)); err != nil {
		return fmt.Errorf("remove the row of server %d: %w", id, err)
	}
	return nil
}

// DirectoryMade records that the host has made the server's directory.
func (s *Store) DirectoryMade(ctx context.Context, id int64) error {
	if _, err := db.Exec(ctx, s.db, `UPDATE servers SET directory_at = :now WHERE id = :id AND directory_at IS NULL`, s.nowArg(), sql.Named("id", id)); err != nil {
		return fmt.Errorf("record the directory of server %d: %w", id, err)
	}
	return nil
}

// nowArg is the parameter :now.
func (s *Store) nowArg() sql.NamedArg { return sql.Named("now", db.Millis(s.now())) }
