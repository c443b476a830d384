package server

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"left4me/shared/db"
	"left4me/shared/host"
)

// Live is what the game of a running server has said when it was last asked (P62). The zero Live is that of a server that is not running, or
// has just been started.
type Live struct {
	// RunID is the run whose game was asked.
	RunID int64
	// Answering is whether it answered, and AnsweringAt since when that is so. If it did not, the rest is what it said before.
	Answering   bool
	AnsweringAt time.Time
	Map         string
	// Mode is empty if it is not known.
	Mode  string
	Slots int
	// Connected and Bots are the game's own counts, of which the first may or may not have the bots in it. Humans is how many people play or
	// are about to join, never fewer than there are.
	Connected, Bots, Humans int
	// EmptyAt is since when the server is known to have no human player; zero: it has one, or that is not known.
	EmptyAt time.Time
	// Players are those whose names the game tells; bots are among them. Only Checks and Players read them.
	Players []Player
	// Stale is whether the next check is to ask what only RCON tells: the mode, and who is a bot.
	Stale bool
	// ChangedAt is when anything of this last changed.
	ChangedAt time.Time
}

// Player is somebody who plays on a server.
type Player struct {
	// Name is any text.
	Name  string
	Score int
	// Since is when the player came.
	Since time.Time
	// Number is the game's, by which it kicks the player; 0 if that is not known.
	Number int
	Bot    bool
}

// Known reports whether the game has ever answered in its run.
func (l Live) Known() bool { return l.Slots > 0 }

// Empty reports whether the server is known to have no human player now.
func (l Live) Empty() bool { return !l.EmptyAt.IsZero() }

// Silence is how long ago the game of a server that should run has last answered; false for a server that should not. While its host
// is silent, nobody asks the game.
func (s Server) Silence(now time.Time) (time.Duration, bool) {
	switch {
	case s.State != Running:
		return 0, false
	case s.Live.RunID == 0:
		return now.Sub(s.StateAt), true
	case !s.Live.Answering:
		return now.Sub(s.Live.AnsweringAt), true
	case host.Silent(s.HostSeenAt, now):
		return now.Sub(s.HostSeenAt), true
	}
	return 0, true
}

// Equal reports whether l and other have the same in their rows, but for ChangedAt.
func (l Live) Equal(other Live) bool {
	return l.RunID == other.RunID && l.Answering == other.Answering && l.AnsweringAt.Equal(other.AnsweringAt) && l.Map == other.Map && l.Mode == other.Mode &&
		l.Slots == other.Slots && l.Connected == other.Connected && l.Bots == other.Bots && l.Humans == other.Humans && l.EmptyAt.Equal(other.EmptyAt) && l.Stale == other.Stale &&
		slices.EqualFunc(l.Players, other.Players, func(a, b Player) bool {
			return a.Name == b.Name && a.Score == b.Score && a.Since.Equal(b.Since) && a.Number == b.Number && a.Bot == b.Bot
		})
}

// liveColumns are those of l, which a server may lack.
const liveColumns = `COALESCE(l.run_id, 0), COALESCE(l.answering, 0), l.answering_at, COALESCE(l.map, ''), COALESCE(l.mode, ''), COALESCE(l.slots, 0), COALESCE(l.connected, 0),
		COALESCE(l.bots, 0), COALESCE(l.humans, 0), l.empty_at, COALESCE(l.stale, 0), l.changed_at`

// into returns the places for liveColumns.
func (l *Live) into() []any {
	return []any{&l.RunID, &l.Answering, db.Moment(&l.AnsweringAt), &l.Map, &l.Mode, &l.Slots, &l.Connected, &l.Bots, &l.Humans, db.Moment(&l.EmptyAt), &l.Stale, db.Moment(&l.ChangedAt)}
}

// Check is a running server that is about to be asked, or has been.
type Check struct {
	ServerID int64
	Name     string
	RunID    int64
	// Port is where the run's game answers.
	Port int
	// Before is what it had said before.
	Before Live
	// Now is what it says now. Checks leaves it zero.
	Now Live
}

// Checks returns the running servers of a host.
func (s *Store) Checks(ctx context.Context, hostID string) (all []Check, err error) {
	host := sql.Named("host", hostID)
	of := map[int64][]Player{}
	err = db.Together(ctx, s.db,
		func(ctx context.Context) error {
			_, err := db.Rows(ctx, s.db, func(row db.Scanner) (struct{}, error) {
				var id int64
				p, err := scanPlayer(row, &id)
				of[id] = append(of[id], p)
				return struct{}{}, err
			}, `SELECT `+playerColumns+`, p.server_id FROM servers s JOIN server_players p ON p.server_id = s.id
				WHERE s.host_id = :host AND s.state = 'running' AND s.deleted_at IS NULL ORDER BY p.server_id, p.position`, host)
			return err
		},
		func(ctx context.Context) (err error) {
			all, err = db.Rows(ctx, s.db, func(row db.Scanner) (c Check, err error) {
				err = row.Scan(append([]any{&c.ServerID, &c.Name, &c.RunID, &c.Port}, c.Before.into()...)...)
				return c, err
			}, `SELECT s.id, s.name, r.id, r.port, `+liveColumns+` FROM servers s
				JOIN runs r ON r.server_id = s.id AND r.started_at IS NOT NULL AND r.ended_at IS NULL
				LEFT JOIN server_status l ON l.server_id = s.id AND l.run_id = r.id
				WHERE s.host_id = :host AND s.state = 'running' AND s.deleted_at IS NULL ORDER BY s.id`, host)
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("list the running servers of this host: %w", err)
	}
	for n := range all {
		if c := &all[n]; c.Before.RunID != 0 {
			c.Before.Players = of[c.ServerID]
		}
	}
	return all, nil
}

const playerColumns = `p.name, p.score, p.since, p.number, p.bot`

func scanPlayer(row db.Scanner, more ...any) (p Player, err error) {
	err = row.Scan(append([]any{&p.Name, &p.Score, db.Moment(&p.Since), &p.Number, &p.Bot}, more...)...)
	return p, err
}

// Players returns who plays on a server, bots last, in the order of their scores.
func (s *Store) Players(ctx context.Context, serverID int64) ([]Player, error) {
	all, err := db.Rows(ctx, s.db, func(row db.Scanner) (Player, error) { return scanPlayer(row) },
		`SELECT `+playerColumns+` FROM server_players p WHERE p.server_id = :server ORDER BY p.bot, p.score DESC, p.position`, sql.Named("server", serverID))
	if err != nil {
		return nil, fmt.Errorf("list the players of server %d: %w", serverID, err)
	}
	return all, nil
}

// Checked records what has changed since before. Nothing is written of a run that has ended meanwhile.
func (s *Store) Checked(ctx context.Context, all []Check) error {
	all = slices.DeleteFunc(slices.Clone(all), func(c Check) bool { return c.Now.Equal(c.Before) })
	if len(all) == 0 {
		return nil
	}
	err := s.db.InTx(ctx, func(ctx context.Context, q db.Querier) error {
		for _, c := range all {
			if err := s.checked(ctx, q, c); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("record what servers say: %w", err)
	}
	return nil
}

func (s *Store) checked(ctx context.Context, q db.Querier, c Check) error {
	l := c.Now
	run := sql.Named("run", l.RunID)
	err := db.Later(ctx, q, `INSERT INTO server_status (server_id, run_id, answering, answering_at, map, mode, slots, connected, bots, humans, empty_at, stale, changed_at)
		SELECT r.server_id, r.id, :answering, :answering_at, :map, :mode, :slots, :connected, :bots, :humans, NULLIF(:empty_at, 0), :stale, :now FROM runs r WHERE r.id = :run AND r.ended_at IS NULL
		ON CONFLICT (server_id) DO UPDATE SET run_id = excluded.run_id, answering = excluded.answering, answering_at = excluded.answering_at, map = excluded.map, mode = excluded.mode,
			slots = excluded.slots, connected = excluded.connected, bots = excluded.bots, humans = excluded.humans, empty_at = excluded.empty_at, stale = excluded.stale, changed_at = excluded.changed_at`,
		run, sql.Named("answering", l.Answering), sql.Named("answering_at", db.Millis(l.AnsweringAt)), sql.Named("map", l.Map), sql.Named("mode", l.Mode), sql.Named("slots", l.Slots),
		sql.Named("connected", l.Connected), sql.Named("bots", l.Bots), sql.Named("humans", l.Humans), sql.Named("empty_at", millis(l.EmptyAt)), sql.Named("stale", l.Stale), s.nowArg())
	if err != nil {
		return err
	}
	type row struct {
		Name   string `json:"name"`
		Score  int    `json:"score"`
		Since  int64  `json:"since"`
		Number int    `json:"number"`
		Bot    bool   `json:"bot"`
	}
	rows := make([]row, len(l.Players))
	for n, p := range l.Players {
		rows[n] = row{p.Name, p.Score, db.Millis(p.Since), p.Number, p.Bot}
	}
	text, err := json.Marshal(rows)
	if err != nil {
		return err
	}
	server := sql.Named("server", c.ServerID)
	if err := db.Later(ctx, q, `DELETE FROM server_players WHERE server_id = :server`, server); err != nil {
		return err
	}
	return db.Later(ctx, q, `INSERT INTO server_players (server_id, position, name, score, since, number, bot)
		SELECT l.server_id, p.key + 1, p.value ->> 'name', p.value ->> 'score', p.value ->> 'since', p.value ->> 'number', p.value ->> 'bot'
		FROM server_status l JOIN json_each(:players) p WHERE l.server_id = :server AND l.run_id = :run`, server, run, sql.Named("players", string(text)))
}

// millis is db.Millis, but 0 for the zero time.
func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return db.Millis(t)
}
