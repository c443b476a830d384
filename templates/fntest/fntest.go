// Package fntest lets a function's tests send requests to its handler as a browser would, with a real database, sessions and
// tokens, and with all checks that the process makes before it calls the handler.
package fntest

import (
	"database/sql"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"left4me/shared/account"
	"left4me/shared/db"
	"left4me/shared/db/dbtest"
	"left4me/shared/db/migrations"
	"left4me/shared/fn"
	"left4me/shared/overlay"
	"left4me/shared/route"
	"left4me/shared/server"
	"left4me/shared/settings"
	"left4me/templates/web"
	"left4me/templates/webtest"
)

// Site is a left4me with an empty database of its own.
type Site struct {
	Env *fn.Env
	t   testing.TB
}

// New returns a site whose settings are the defaults in a directory of the test, changed by the pairs of env.
func New(t testing.TB, env ...string) *Site {
	t.Helper()
	values := map[string]string{settings.Root: t.TempDir()}
	for i := 0; i+1 < len(env); i += 2 {
		values[env[i]] = env[i+1]
	}
	e, err := fn.Open(func(name string) string { return values[name] }, slog.New(slog.NewTextHandler(t.Output(), nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.DB.Close() })
	if _, err := migrations.Up(t.Context(), e.DB); err != nil {
		t.Fatal(err)
	}
	return &Site{Env: e, t: t}
}

const password = "a password"

// Person creates an account.
func (s *Site) Person(name string, admin bool) account.User {
	s.t.Helper()
	u, err := account.NewStore(s.Env.DB, s.Env.Now).Create(s.t.Context(), name, password, admin)
	if err != nil {
		s.t.Fatal(err)
	}
	return u
}

// Overlay inserts an overlay of u's, or a system-wide one for a system type, without its first build.
func (s *Site) Overlay(u account.User, name string, typ *overlay.Type) overlay.Overlay {
	s.t.Helper()
	owner := sql.NullInt64{Int64: u.ID, Valid: !typ.System}
	id, err := db.Row(s.t.Context(), s.Env.DB, db.Value[int64], `INSERT INTO overlays (name, type, user_id, uid, created_at)
		VALUES (:name, :type, :owner, lower(hex(randomblob(16))), 0) RETURNING id`,
		sql.Named("name", name), sql.Named("type", typ.Name), sql.Named("owner", owner))
	if err != nil {
		s.t.Fatal(err)
	}
	o, err := overlay.NewStore(s.Env.DB, s.Env.Now, s.Env.Jobs).Get(s.t.Context(), id)
	if err != nil {
		s.t.Fatal(err)
	}
	return o
}

// Server inserts a server of u's on the host `here`, which it adds if needed, without the job that prepares it. Its blueprint is empty.
func (s *Site) Server(u account.User, name string, port int) server.Server {
	s.t.Helper()
	exec := func(query string, args ...any) {
		s.t.Helper()
		if _, err := s.Env.DB.ExecContext(s.t.Context(), query, args...); err != nil {
			s.t.Fatal(err)
		}
	}
	if s.Count(`SELECT COUNT(*) FROM hosts WHERE id = 'here'`) == 0 {
		dbtest.AddHost(s.t, s.Env.DB, "here", s.Env.Now())
	}
	exec(`INSERT INTO blueprints (name, user_id, created_at) VALUES ('of ' || :name, :user, 0)`, sql.Named("name", name), sql.Named("user", u.ID))
	exec(`INSERT INTO servers (name, host_id, port, blueprint_id, user_id, uid, state_at, created_at)
		SELECT :name, 'here', :port, MAX(id), :user, lower(hex(randomblob(16))), 0, 0 FROM blueprints`,
		sql.Named("name", name), sql.Named("port", port), sql.Named("user", u.ID))
	made, err := server.NewStore(s.Env.DB, s.Env.Now, s.Env.Jobs).Named(s.t.Context(), name)
	if err != nil {
		s.t.Fatal(err)
	}
	return made
}

// Break makes every further statement fail.
func (s *Site) Break() {
	s.t.Helper()
	if err := s.Env.DB.Close(); err != nil {
		s.t.Fatal(err)
	}
}

// Count returns the number that a query returns.
func (s *Site) Count(query string, args ...any) (n int) {
	s.t.Helper()
	if err := s.Env.DB.QueryRowContext(s.t.Context(), query, args...).Scan(&n); err != nil {
		s.t.Fatal(err)
	}
	return n
}

// Visitor returns a visitor of the function of r, with the handler that build returns; signed in as u unless u is the zero User.
func (s *Site) Visitor(u account.User, r route.Route, build func(*fn.Env) web.Handler) *webtest.Visitor {
	s.t.Helper()
	// This page gives the visitor the token that belongs to their cookies.
	handler := web.Function(s.Env, route.LoginForm, web.HandlerFunc(func(w http.ResponseWriter, r *web.Request) error {
		_, err := fmt.Fprintf(w, `<input name="csrf_token" value="%s">`, r.Frame(w).CSRF)
		return err
	}))
	v := webtest.New(s.t, transport(func(w http.ResponseWriter, r *http.Request) { handler.ServeHTTP(w, r) }), s.Env.Settings.PublicURL.String())
	if u.ID != 0 {
		_, tokens, err := account.NewStore(s.Env.DB, s.Env.Now).SignIn(s.t.Context(), u.Name, password, account.Client{Address: "192.0.2.1"})
		if err != nil {
			s.t.Fatal(err)
		}
		v.SetSession(tokens.Session)
	}
	v.Get(route.LoginForm.URL())
	handler = web.Function(s.Env, r, build(s.Env))
	return v
}

// transport calls a handler without a network.
type transport http.HandlerFunc

func (h transport) RoundTrip(r *http.Request) (*http.Response, error) {
	request := httptest.NewRequestWithContext(r.Context(), r.Method, r.URL.Opaque, r.Body)
	request.Header, request.Host, request.RemoteAddr = r.Header, r.URL.Host, "192.0.2.1:1234"
	recorder := httptest.NewRecorder()
	h(recorder, request)
	return recorder.Result(), nil
}
