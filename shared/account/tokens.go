package account

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"left4me/shared/db"
	"left4me/shared/problem"
)

// Token is what a program proves with that it acts for a person, who has made the token.
type Token struct {
	// ID identifies the token and is no secret.
	ID int64
	// Name is for the person.
	Name string
	// Writes is whether the program may change anything; otherwise it only reads.
	Writes               bool
	CreatedAt, ExpiresAt time.Time
	// LastUsedAt is when a program used the token, within usedEvery; zero: never.
	LastUsedAt time.Time
}

// Limits of tokens.
const (
	// TokenNameLength is the longest name of a token, in characters.
	TokenNameLength = 64
	// MaxTokenDays is the longest life of a token.
	MaxTokenDays = 365
	// maxTokens is how many tokens one person may have.
	maxTokens = 50
)

// tokenPrefix begins all tokens, so that people and programs that look for leaked secrets recognize one.
const tokenPrefix = "l4m_"

// usedEvery is how often it is stored that a token is used.
const usedEvery = time.Hour

// CreateToken makes a token of u's that is valid for some days, and returns it. Only a hash of it is stored. Errors are problems: 400 for
// a name that is empty, too long or cannot be shown, or for a number of days that is not from 1 to MaxTokenDays; 409 beyond maxTokens.
func (s *Store) CreateToken(ctx context.Context, u User, name string, days int, writes bool) (string, error) {
	name = strings.TrimSpace(name)
	switch n := utf8.RuneCountInString(name); {
	case n == 0 || n > TokenNameLength || strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }):
		return "", problem.Invalid("Please give the token a name of 1 to %d characters, such as that of the program that will use it.", TokenNameLength)
	case days < 1 || days > MaxTokenDays:
		return "", problem.Invalid("A token is valid for 1 to %d days.", MaxTokenDays)
	}
	token, now := tokenPrefix+randomToken(), s.now()
	made := false
	err := s.db.InTx(ctx, func(ctx context.Context, q db.Querier) error {
		if err := db.Later(ctx, q, `DELETE FROM api_tokens WHERE expires_at <= :now`, s.nowArg()); err != nil {
			return err
		}
		return db.RowsLater(ctx, q, func(ids []int64) { made = len(ids) > 0 }, db.Value[int64], `INSERT INTO api_tokens
			(token_hash, user_id, name, writes, created_at, expires_at) SELECT :token, :user, :name, :writes, :now, :expires
			WHERE (SELECT COUNT(*) FROM api_tokens WHERE user_id = :user) < :most RETURNING id`,
			tokenArg(token), sql.Named("user", u.ID), sql.Named("name", name), sql.Named("writes", writes), sql.Named("now", db.Millis(now)),
			sql.Named("expires", db.Millis(now.AddDate(0, 0, days))), sql.Named("most", maxTokens))
	})
	switch {
	case err != nil:
		return "", fmt.Errorf("create a token of user %d: %w", u.ID, err)
	case !made:
		return "", problem.Conflict("You already have %d tokens. Please revoke one that you no longer need.", maxTokens)
	}
	return token, nil
}

// Acting returns the person of that name, or for an empty name the first administrator. The error is ErrNoUser when that person does not exist
// or may not sign in.
func (s *Store) Acting(ctx context.Context, name string) (User, error) {
	var u User
	err := s.db.QueryRowContext(ctx, `SELECT id, name, is_admin FROM users WHERE is_disabled = 0 AND (name = :name OR :name = '' AND is_admin = 1)
		ORDER BY id LIMIT 1`, sql.Named("name", name)).Scan(&u.ID, &u.Name, &u.Admin)
	if errors.Is(err, sql.ErrNoRows) {
		err = ErrNoUser
	}
	if err != nil {
		return User{}, fmt.Errorf("find who acts: %w", err)
	}
	return u, nil
}

// Tokens returns a person's tokens that have not expired, newest first.
func (s *Store) Tokens(ctx context.Context, userID int64) ([]Token, error) {
	all, err := db.Rows(ctx, s.db, scanToken, `SELECT id, name, writes, created_at, expires_at, last_used_at FROM api_tokens
		WHERE user_id = :user AND expires_at > :now ORDER BY id DESC`, sql.Named("user", userID), s.nowArg())
	if err != nil {
		return nil, fmt.Errorf("list tokens: %w", err)
	}
	return all, nil
}

func scanToken(row db.Scanner) (t Token, err error) {
	err = row.Scan(&t.ID, &t.Name, &t.Writes, db.Moment(&t.CreatedAt), db.Moment(&t.ExpiresAt), db.Moment(&t.LastUsedAt))
	return t, err
}

// RevokeToken ends a token of that person and reports whether there was one with that id.
func (s *Store) RevokeToken(ctx context.Context, userID, id int64) (bool, error) {
	n, err := db.Exec(ctx, s.db, `DELETE FROM api_tokens WHERE id = :id AND user_id = :user`, sql.Named("id", id), sql.Named("user", userID))
	if err != nil {
		return false, fmt.Errorf("revoke token %d: %w", id, err)
	}
	return n > 0, nil
}

// ByToken returns the person whose token it is, and what is known of it; the zero User when the token is unknown, expired or revoked or
// the account is disabled.
func (s *Store) ByToken(ctx context.Context, token string) (u User, t Token, err error) {
	err = s.db.QueryRowContext(ctx, `SELECT u.id, u.name, u.is_admin, t.id, t.name, t.writes, t.created_at, t.expires_at, t.last_used_at
		FROM api_tokens t JOIN users u ON u.id = t.user_id WHERE t.token_hash = :token AND t.expires_at > :now AND u.is_disabled = 0`,
		tokenArg(token), s.nowArg()).Scan(&u.ID, &u.Name, &u.Admin, &t.ID, &t.Name, &t.Writes, db.Moment(&t.CreatedAt), db.Moment(&t.ExpiresAt), db.Moment(&t.LastUsedAt))
	if errors.Is(err, sql.ErrNoRows) {
		return User{}, Token{}, nil
	}
	if err != nil {
		return User{}, Token{}, fmt.Errorf("look up a token: %w", err)
	}
	return u, t, nil
}

// TokenUsed stores that a token is used, unless that was stored not long ago.
func (s *Store) TokenUsed(ctx context.Context, t Token) error {
	if s.now().Sub(t.LastUsedAt) < usedEvery {
		return nil
	}
	if _, err := db.Exec(ctx, s.db, `UPDATE api_tokens SET last_used_at = :now WHERE id = :id`, s.nowArg(), sql.Named("id", t.ID)); err != nil {
		return fmt.Errorf("store the use of token %d: %w", t.ID, err)
	}
	return nil
}

// WrongToken counts a request with a token that ByToken does not know, and returns the problem for it: 401, or 429 after many from the
// same address. They do not delay people who sign in from there.
func (s *Store) WrongToken(ctx context.Context, from Client) error {
	if err := s.countAttempt(ctx, map[string]limit{"token:" + network(from.Address): addressLimit}); err != nil {
		return err
	}
	return &problem.Problem{Status: http.StatusUnauthorized, Sentence: "This token is not valid: it has expired or was revoked, or its owner cannot sign in. Make a new one on the account page."}
}
