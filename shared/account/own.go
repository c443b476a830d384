package account

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"left4me/shared/db"
	"left4me/shared/problem"
)

// ChangePassword gives u another password, if current is the one they have, and ends all their sessions but the one with
// that token. Guessing it is slowed down as signing in is. Problems: 400 for a faulty new password, 403 for a wrong
// current one, 429 after several of those.
func (s *Store) ChangePassword(ctx context.Context, u User, token, current, password string, from Client) error {
	if err := CheckPassword(password); err != nil {
		return err
	}
	if err := s.countAttempt(ctx, u.Name, from.Address); err != nil {
		return err
	}
	fault := func(err error) error { return fmt.Errorf("change the password of user %d: %w", u.ID, err) }
	var old string
	if err := s.db.QueryRowContext(ctx, `SELECT password_hash FROM users WHERE id = ?`, u.ID).Scan(&old); err != nil {
		return fault(err)
	}
	matches, err := verifyPassword(old, current)
	if err != nil {
		return fault(err)
	}
	wrong := &problem.Problem{Status: http.StatusForbidden, Sentence: "That is not your current password. Nothing was changed."}
	if !matches {
		return wrong
	}
	hash, err := hashPassword(password)
	if err != nil {
		return fault(err)
	}
	err = s.db.InTx(ctx, func(ctx context.Context, q db.Querier) error {
		// Unless somebody else has changed it while the old one was being checked.
		result, err := q.ExecContext(ctx, `UPDATE users SET password_hash = ? WHERE id = ? AND password_hash = ?`, hash, u.ID, old)
		if err != nil {
			return err
		}
		n, err := result.RowsAffected()
		switch {
		case err != nil:
			return err
		case n == 0:
			return wrong
		}
		if err := forgiveAttempt(ctx, q, u.Name, from.Address); err != nil {
			return err
		}
		_, err = q.ExecContext(ctx, `DELETE FROM sessions WHERE user_id = ? AND token_hash <> ?`, u.ID, hashToken(token))
		return err
	})
	switch {
	case errors.Is(err, wrong):
		return wrong
	case err != nil:
		return fault(err)
	}
	return nil
}

// Session is one sign-in that has not ended.
type Session struct {
	// ID names the session without being a secret.
	ID                   int64
	CreatedAt, ExpiresAt time.Time
	From                 Client
	// Current is whether it is the one that asks.
	Current bool
}

// Sessions returns a person's sessions, newest first; that of token is the current one.
func (s *Store) Sessions(ctx context.Context, userID int64, token string) ([]Session, error) {
	rows, err := s.db.QueryContext(ctx, `SELECT id, created_at, expires_at, address, user_agent, token_hash = ? FROM sessions
		WHERE user_id = ? AND expires_at > ? ORDER BY id DESC`, hashToken(token), userID, db.Millis(s.now()))
	if err != nil {
		return nil, fmt.Errorf("list sessions: %w", err)
	}
	defer rows.Close()
	var all []Session
	for rows.Next() {
		var one Session
		var created, expires int64
		if err := rows.Scan(&one.ID, &created, &expires, &one.From.Address, &one.From.UserAgent, &one.Current); err != nil {
			return nil, fmt.Errorf("list sessions: %w", err)
		}
		one.CreatedAt, one.ExpiresAt = db.Time(created), db.Time(expires)
		all = append(all, one)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("list sessions: %w", err)
	}
	return all, nil
}

// EndSession ends one session of a person and reports whether there was one: one that has ended, or is somebody else's, is
// no error and stays as it is.
func (s *Store) EndSession(ctx context.Context, userID, id int64) (bool, error) {
	result, err := s.db.ExecContext(ctx, `DELETE FROM sessions WHERE id = ? AND user_id = ?`, id, userID)
	var n int64
	if err == nil {
		n, err = result.RowsAffected()
	}
	if err != nil {
		return false, fmt.Errorf("end session %d: %w", id, err)
	}
	return n > 0, nil
}

// EndOtherSessions ends all sessions of a person but that of token.
func (s *Store) EndOtherSessions(ctx context.Context, userID int64, token string) error {
	if _, err := s.db.ExecContext(ctx, `DELETE FROM sessions WHERE user_id = ? AND token_hash <> ?`, userID, hashToken(token)); err != nil {
		return fmt.Errorf("end other sessions: %w", err)
	}
	return nil
}

// EndAllSessions ends everybody's sessions on q and returns how many there were.
func EndAllSessions(ctx context.Context, q db.Querier) (int, error) {
	result, err := q.ExecContext(ctx, `DELETE FROM sessions`)
	if err != nil {
		return 0, fmt.Errorf("end all sessions: %w", err)
	}
	n, err := result.RowsAffected()
	return int(n), err
}
