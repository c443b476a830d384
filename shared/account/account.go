// Package account owns people and their sessions: who they are, how they sign in and out (product.md P40, P42).
//
// Cookies and forms belong to templates/web.
package account

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"left4me/shared/db"
	"left4me/shared/problem"
	"left4me/shared/text"
)

// SessionLife is how long a session lasts after signing in.
const SessionLife = 30 * 24 * time.Hour

// User is a person with an account. The zero User is nobody.
type User struct {
	ID    int64
	Name  string
	Admin bool
	// Limits is nil for somebody without limits, such as an administrator. A Store does not set it.
	Limits *Limits `api:"-"`
}

// ErrNoUser means that nobody has that name.
var ErrNoUser = errors.New("no such user")

// Store reads and writes users and sessions.
type Store struct {
	db  *db.DB
	now func() time.Time
}

// NewStore returns a Store on d that takes the time from now.
func NewStore(d *db.DB, now func() time.Time) *Store {
	return &Store{db: d, now: now}
}

// CheckName reports what is wrong with a user name, as a problem, or nil.
func CheckName(name string) error {
	const marks = "._-"
	invalid := func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsNumber(r) && !strings.ContainsRune(marks, r)
	}
	n := utf8.RuneCountInString(name)
	if n < 1 || n > 64 || strings.ContainsFunc(name, invalid) || strings.ContainsAny(name[:1], marks) {
		return problem.Invalid("A user name has 1 to 64 letters, digits, dots, dashes and underscores, and starts with a letter or digit.")
	}
	return nil
}

// Password lengths in bytes. The upper bound limits the time that hashing takes.
const (
	MinPassword = 8
	MaxPassword = 1024
)

// CheckPassword reports what is wrong with a new password, as a problem, or nil.
func CheckPassword(password string) error {
	if len(password) < MinPassword || len(password) > MaxPassword {
		return problem.Invalid("A password has at least %d and at most %d characters.", MinPassword, MaxPassword)
	}
	return nil
}

// RandomPassword returns a password of 80 random bits, made of capital letters and digits.
func RandomPassword() string {
	return rand.Text()[:16]
}

// Create adds a person. Errors are problems: 400 for an invalid name or password, 409 for a duplicate name.
func (s *Store) Create(ctx context.Context, name, password string, admin bool) (User, error) {
	if err := errors.Join(CheckName(name), CheckPassword(password)); err != nil {
		return User{}, err
	}
	hash, err := hashPassword(password)
	if err != nil {
		return User{}, fmt.Errorf("create user %s: %w", name, err)
	}
	u := User{Name: name, Admin: admin}
	err = s.db.QueryRowContext(ctx, `INSERT INTO users (name, password_hash, is_admin, created_at) VALUES (:name, :hash, :admin, :now) RETURNING id`,
		sql.Named("name", name), sql.Named("hash", hash), sql.Named("admin", admin), s.nowArg()).Scan(&u.ID)
	if db.IsUnique(err) {
		return User{}, problem.Conflict("There is already a user named %s.", name)
	}
	if err != nil {
		return User{}, fmt.Errorf("create user %s: %w", name, err)
	}
	return u, nil
}

// CreateFirst adds an administrator when there are no users at all, and reports whether it did. Two processes that start
// at once create one.
func (s *Store) CreateFirst(ctx context.Context, name, password string) (bool, error) {
	hash, err := hashPassword(password)
	if err != nil {
		return false, fmt.Errorf("create first administrator: %w", err)
	}
	n, err := db.Exec(ctx, s.db, `INSERT INTO users (name, password_hash, is_admin, created_at)
		SELECT :name, :hash, 1, :now WHERE NOT EXISTS (SELECT 1 FROM users)`,
		sql.Named("name", name), sql.Named("hash", hash), s.nowArg())
	if err != nil {
		return false, fmt.Errorf("create first administrator: %w", err)
	}
	return n == 1, nil
}

// Any reports whether there is any user.
func (s *Store) Any(ctx context.Context) (bool, error) {
	var any bool
	if err := s.db.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM users)`).Scan(&any); err != nil {
		return false, fmt.Errorf("look for users: %w", err)
	}
	return any, nil
}

// Promote makes the person of that name an administrator. The error is ErrNoUser when there is none.
func (s *Store) Promote(ctx context.Context, name string) error {
	n, err := db.Exec(ctx, s.db, `UPDATE users SET is_admin = 1 WHERE name = :name`, sql.Named("name", name))
	if err == nil && n == 0 {
		err = ErrNoUser
	}
	if err != nil {
		return fmt.Errorf("promote %s: %w", name, err)
	}
	return nil
}

// BySession returns the user of the session with that token, or the zero User when the token is unknown, expired or revoked
// or the account is disabled.
func (s *Store) BySession(ctx context.Context, token string) (User, error) {
	u, err := db.Row(ctx, s.db, func(row db.Scanner) (u User, err error) {
		err = row.Scan(&u.ID, &u.Name, &u.Admin)
		return u, err
	}, `SELECT u.id, u.name, u.is_admin FROM sessions s JOIN users u ON u.id = s.user_id
		WHERE s.token_hash = :token AND s.expires_at > :now AND u.is_disabled = 0`, tokenArg(token), s.nowArg())
	if errors.Is(err, sql.ErrNoRows) {
		return User{}, nil
	}
	if err != nil {
		return User{}, fmt.Errorf("look up session: %w", err)
	}
	return u, nil
}

// SignOut ends a session. It is no error when the session has already ended.
func (s *Store) SignOut(ctx context.Context, token string) error {
	if _, err := s.db.ExecContext(ctx, `DELETE FROM sessions WHERE token_hash = :token`, tokenArg(token)); err != nil {
		return fmt.Errorf("sign out: %w", err)
	}
	return nil
}

// Client says where a sign-in comes from.
type Client struct {
	// Address is the visitor's IP address.
	Address string
	// UserAgent is the browser's name for itself.
	UserAgent string
	// Device is the Tokens.Device of the last sign-in from there, or empty.
	Device string
}

// Tokens are what a browser keeps after a sign-in.
type Tokens struct {
	// Session identifies the session. It has 43 characters, and only a hash of it is stored.
	Session string
	// Device lets the same person sign in from there again while strangers fail with their name or from their address. It is
	// valid for nobody else, and until the password changes.
	Device string
}

// SignIn checks a name and password and starts a session. Errors are problems: 401 when the name or the password is wrong,
// without saying which; 429 with the time to wait after several failures with the same name and from the same address, many
// from one address, or very many with one name.
func (s *Store) SignIn(ctx context.Context, name, password string, from Client) (User, Tokens, error) {
	var u User
	var hash string
	var disabled bool
	err := s.db.QueryRowContext(ctx, `SELECT id, name, is_admin, is_disabled, password_hash FROM users WHERE name = :name`, sql.Named("name", name)).
		Scan(&u.ID, &u.Name, &u.Admin, &disabled, &hash)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return User{}, Tokens{}, fmt.Errorf("sign in: %w", err)
	}
	if err != nil {
		hash = unknownUserHash // an unknown name takes as long as a wrong password
	}
	counted := subjects(name, from, u, hash)
	if err := s.countAttempt(ctx, counted); err != nil {
		return User{}, Tokens{}, err
	}
	matches, hashErr := verifyPassword(hash, password)
	if hashErr != nil {
		return User{}, Tokens{}, fmt.Errorf("sign in as user %d: %w", u.ID, hashErr)
	}
	wrong := &problem.Problem{Status: http.StatusUnauthorized, Sentence: "The name or the password is wrong."}
	if err != nil || !matches || disabled {
		return User{}, Tokens{}, wrong
	}

	tokens := Tokens{Session: randomToken(), Device: deviceToken(rand.Text(), u, hash)}
	now := s.now()
	started := false
	err = s.db.InTx(ctx, func(ctx context.Context, q db.Querier) error {
		// The account may have been disabled, or its password changed, while the password was being checked.
		const same = ` FROM users WHERE id = :id AND is_disabled = 0 AND password_hash = :hash`
		nowArg, id, hash := sql.Named("now", db.Millis(now)), sql.Named("id", u.ID), sql.Named("hash", hash)
		if err := db.RowsLater(ctx, q, func(ids []int64) { started = len(ids) > 0 }, db.Value[int64], `INSERT INTO sessions
			(token_hash, user_id, created_at, expires_at, address, user_agent) SELECT :token, id, :now, :expires, :address, :agent`+same+` RETURNING id`,
			tokenArg(tokens.Session), id, hash, nowArg, sql.Named("expires", db.Millis(now.Add(SessionLife))),
			sql.Named("address", from.Address), sql.Named("agent", text.Truncate(from.UserAgent, 256))); err != nil {
			return err
		}
		if err := db.Later(ctx, q, `UPDATE users SET last_sign_in_at = :now WHERE id IN (SELECT id`+same+`)`, nowArg, id, hash); err != nil {
			return err
		}
		if err := db.Later(ctx, q, `DELETE FROM sessions WHERE expires_at <= :now`, nowArg); err != nil {
			return err
		}
		return forgiveAttempt(ctx, q, counted)
	})
	if err != nil {
		return User{}, Tokens{}, fmt.Errorf("sign in as user %d: %w", u.ID, err)
	}
	if !started {
		return User{}, Tokens{}, wrong
	}
	return u, tokens, nil
}

func randomToken() string {
	var b [32]byte
	rand.Read(b[:])
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// nowArg is the parameter :now.
func (s *Store) nowArg() sql.NamedArg { return sql.Named("now", db.Millis(s.now())) }

// tokenArg is the parameter :token, the stored form of the token of a session or a program.
func tokenArg(token string) sql.NamedArg { return sql.Named("token", hashToken(token)) }

func hashToken(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}
