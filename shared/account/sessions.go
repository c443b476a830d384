package account

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"time"

	"left4me/shared/db"
	"left4me/shared/problem"
)

// Password is what is stored of a person's password.
type Password struct{ hash string }

// Password returns that of the person who has the session with that token; the zero Password without one.
func (s *Store) Password(ctx context.Context, token string) (p Password, err error) {
	p.hash, err = db.Row(ctx, s.db, db.Value[string], `SELECT u.password_hash FROM sessions s JOIN users u ON u.id = s.user_id
		WHERE s.token_hash = :token`, tokenArg(token))
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return Password{}, fmt.Errorf("read a password: %w", err)
	}
	return p, nil
}

// ChangePassword replaces old, which is u's, by password if current is correct, and ends all their sessions except the one with that
// token. Failures delay further attempts as for SignIn. Errors are problems: 400 for an invalid new password, 403 for a wrong current
// one, 429 after several failures.
func (s *Store) ChangePassword(ctx context.Context, u User, old Password, token, current, password string, from Client) error {
	if err := CheckPassword(password); err != nil {
		return err
	}
	fault := func(err error) error { return fmt.Errorf("change the password of user %d: %w", u.ID, err) }
	counted := subjects(u.Name, from, u, old.hash)
	if err := s.countAttempt(ctx, counted); err != nil {
		return err
	}
	matches, err := verifyPassword(old.hash, current)
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
	changed := false
	err = s.db.InTx(ctx, func(ctx context.Context, q db.Querier) error {
		// The password may have been changed while the current one was being checked.
		if err := db.RowsLater(ctx, q, func(ids []int64) { changed = len(ids) > 0 }, db.Value[int64], `UPDATE users SET password_hash = :new
			WHERE id = :id AND password_hash = :old RETURNING id`, sql.Named("new", hash), sql.Named("id", u.ID), sql.Named("old", old.hash)); err != nil {
			return err
		}
		if err := forgiveAttempt(ctx, q, counted); err != nil {
			return err
		}
		return db.Later(ctx, q, `DELETE FROM sessions WHERE user_id = :user AND token_hash <> :token
			AND EXISTS (SELECT 1 FROM users WHERE id = :user AND password_hash = :new)`, sql.Named("user", u.ID), tokenArg(token), sql.Named("new", hash))
	})
	switch {
	case err != nil:
		return fault(err)
	case !changed:
		return wrong
	}
	return nil
}

// Session is a sign-in that has not ended.
type Session struct {
	// ID identifies the session and is no secret.
	ID                   int64
	CreatedAt, ExpiresAt time.Time
	From                 Client
	// Current is true for the session with the token that Sessions was given.
	Current bool
}

// Sessions returns a person's sessions, newest first; that of token is the current one.
func (s *Store) Sessions(ctx context.Context, userID int64, token string) ([]Session, error) {
	all, err := db.Rows(ctx, s.db, scanSession, `SELECT id, created_at, expires_at, address, user_agent, token_hash = :token FROM sessions
		WHERE user_id = :user AND expires_at > :now ORDER BY id DESC`, tokenArg(token), sql.Named("user", userID), s.nowArg())
	if err != nil {
		return nil, fmt.Errorf("list sessions: %w", err)
	}
	return all, nil
}

func scanSession(row db.Scanner) (Session, error) {
	var s Session
	err := row.Scan(&s.ID, db.Moment(&s.CreatedAt), db.Moment(&s.ExpiresAt), &s.From.Address, &s.From.UserAgent, &s.Current)
	return s, err
}

// EndSession ends a session of that person and reports whether there was one with that id. A session of somebody else is not
// ended.
func (s *Store) EndSession(ctx context.Context, userID, id int64) (bool, error) {
	n, err := db.Exec(ctx, s.db, `DELETE FROM sessions WHERE id = :id AND user_id = :user`, sql.Named("id", id), sql.Named("user", userID))
	if err != nil {
		return false, fmt.Errorf("end session %d: %w", id, err)
	}
	return n > 0, nil
}

// EndOtherSessions ends all sessions of a person except the one with that token.
func (s *Store) EndOtherSessions(ctx context.Context, userID int64, token string) error {
	if _, err := s.db.ExecContext(ctx, `DELETE FROM sessions WHERE user_id = :user AND token_hash <> :token`, sql.Named("user", userID), tokenArg(token)); err != nil {
		return fmt.Errorf("end other sessions: %w", err)
	}
	return nil
}

// EndAllSessions ends the sessions of all people and revokes their tokens, in the transaction q, and returns how many sessions there were.
func EndAllSessions(ctx context.Context, q db.Querier) (int, error) {
	n, err := db.Exec(ctx, q, `DELETE FROM sessions`)
	if err != nil {
		return 0, fmt.Errorf("end all sessions: %w", err)
	}
	if _, err := db.Exec(ctx, q, `DELETE FROM api_tokens`); err != nil {
		return 0, fmt.Errorf("revoke all tokens: %w", err)
	}
	return int(n), nil
}
