package server

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"left4me/shared/db"
)

// ConsoleLines is how many of the last lines of a console are kept.
const ConsoleLines = 200

const (
	// watchTime is for how long a page that asks for a console has it copied, and watchAgain how long before the end of that another question
	// prolongs it. A page asks more often.
	watchTime  = 30 * time.Second
	watchAgain = 15 * time.Second
)

// ConsoleLine is a line of a console. Ids grow with the lines.
type ConsoleLine struct {
	ID   int64
	Text string
}

// WatchConsole has the host of a server copy its console for a while, because somebody watches it. Until that time has mostly passed, it writes
// nothing more.
func (s *Store) WatchConsole(ctx context.Context, of Server) error {
	now := s.now()
	if of.WatchedUntil.After(now.Add(watchAgain)) {
		return nil
	}
	_, err := db.Exec(ctx, s.db, `UPDATE servers SET watched_until = :until WHERE id = :server`, sql.Named("until", db.Millis(now.Add(watchTime))), sql.Named("server", of.ID))
	if err != nil {
		return fmt.Errorf("watch the console of server %d: %w", of.ID, err)
	}
	s.jobs.WakeAgents()
	return nil
}

// WatchedConsoles returns the servers of a host whose consoles somebody watches.
func (s *Store) WatchedConsoles(ctx context.Context, hostID string) ([]int64, error) {
	ids, err := db.Rows(ctx, s.db, db.Value[int64], `SELECT id FROM servers WHERE host_id = :host AND watched_until > :now AND deleted_at IS NULL ORDER BY id`,
		sql.Named("host", hostID), s.nowArg())
	if err != nil {
		return nil, fmt.Errorf("list the consoles that are watched: %w", err)
	}
	return ids, nil
}

// Console returns the lines after the one with that id that the console of a server has said last, at most ConsoleLines.
func (s *Store) Console(ctx context.Context, serverID, after int64) ([]ConsoleLine, error) {
	lines, err := db.Rows(ctx, s.db, func(row db.Scanner) (l ConsoleLine, err error) {
		err = row.Scan(&l.ID, &l.Text)
		return l, err
	}, `SELECT id, line FROM console_lines WHERE server_id = :server AND id > :after ORDER BY id LIMIT :most`,
		sql.Named("server", serverID), sql.Named("after", after), sql.Named("most", ConsoleLines))
	if err != nil {
		return nil, fmt.Errorf("read the console of server %d: %w", serverID, err)
	}
	return lines, nil
}

// AddConsole adds lines to the console of a server, of which only the last ConsoleLines are kept.
func (s *Store) AddConsole(ctx context.Context, serverID int64, lines []string) error {
	text, err := json.Marshal(lines)
	if err != nil {
		return err
	}
	server := sql.Named("server", serverID)
	err = s.db.InTx(ctx, func(ctx context.Context, q db.Querier) error {
		err := db.Later(ctx, q, `INSERT INTO console_lines (server_id, line) SELECT s.id, l.value FROM servers s JOIN json_each(:lines) l WHERE s.id = :server ORDER BY l.key`,
			server, sql.Named("lines", string(text)))
		if err != nil {
			return err
		}
		return db.Later(ctx, q, `DELETE FROM console_lines WHERE server_id = :server AND id <= (SELECT id FROM console_lines WHERE server_id = :server ORDER BY id DESC LIMIT 1 OFFSET :kept)`,
			server, sql.Named("kept", ConsoleLines))
	})
	if err != nil {
		return fmt.Errorf("add to the console of server %d: %w", serverID, err)
	}
	return nil
}
