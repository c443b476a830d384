package server

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"left4me/shared/db"
	"left4me/shared/webhook"
)

// Event is one row of server_events: something that happened to a server.
type Event struct {
	At time.Time
	// Kind is one word for what happened, such as started, stopped or crashed, and Text says more about it; may be empty.
	Kind, Text string
	// UserID is who asked for it, 0 for nobody; UserName is that person's name.
	UserID   int64
	UserName string
	// JobID is the job that did it; 0 for none.
	JobID int64
}

// maxText is the longest text of an event, in bytes.
const maxText = 1000

// told are the kinds of events that webhooks are told. A restart that changes nothing is like a start.
var told = map[string]webhook.Kind{
	"started": webhook.ServerUp, "restarted": webhook.ServerUpdated, "stopped": webhook.ServerDown, "not started": webhook.ServerDown,
	"crashed": webhook.ServerCrashed, "update waiting": webhook.UpdateWaiting,
}

// event adds an event to a server on q, unless it is the zero Event, removes those that are too old, and records it for webhooks.
func (s *Store) event(ctx context.Context, q db.Querier, serverID int64, e Event) error {
	if e == (Event{}) {
		return nil
	}
	server := sql.Named("server", serverID)
	err := db.Later(ctx, q, `INSERT INTO server_events (server_id, at, kind, text, user_id, job_id) VALUES (:server, :now, :kind, substr(:text, 1, :most), NULLIF(:user, 0), NULLIF(:job, 0))`,
		server, s.nowArg(), sql.Named("kind", e.Kind), sql.Named("text", e.Text), sql.Named("most", maxText), sql.Named("user", e.UserID), sql.Named("job", e.JobID))
	if err == nil {
		err = db.Later(ctx, q, `DELETE FROM server_events WHERE server_id = :server AND id NOT IN (SELECT id FROM server_events WHERE server_id = :server ORDER BY id DESC LIMIT :kept)`,
			server, sql.Named("kept", keptEvents))
	}
	if err != nil {
		return fmt.Errorf("record what happened to server %d: %w", serverID, err)
	}
	kind, isTold := told[e.Kind]
	if !isTold {
		return nil
	}
	if e.Kind == "restarted" && e.Text == "" {
		kind = webhook.ServerUp
	}
	return webhook.HappenedToServer(ctx, q, s.now(), kind, serverID, e.Text, e.JobID)
}

// Events returns the last events of a server, newest first, at most limit.
func (s *Store) Events(ctx context.Context, serverID int64, limit int) ([]Event, error) {
	all, err := db.Rows(ctx, s.db, func(row db.Scanner) (e Event, err error) {
		err = row.Scan(db.Moment(&e.At), &e.Kind, &e.Text, &e.UserID, &e.UserName, &e.JobID)
		return e, err
	}, `SELECT e.at, e.kind, e.text, COALESCE(e.user_id, 0), COALESCE(u.name, ''), COALESCE(e.job_id, 0) FROM server_events e LEFT JOIN users u ON u.id = e.user_id
		WHERE e.server_id = :server ORDER BY e.id DESC LIMIT :limit`, sql.Named("server", serverID), sql.Named("limit", limit))
	if err != nil {
		return nil, fmt.Errorf("read what happened to server %d: %w", serverID, err)
	}
	return all, nil
}
