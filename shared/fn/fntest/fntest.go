// Package fntest lets a function's tests ask its handler as a browser would: with a real database, real sessions and real
// tokens, through everything that stands before the handler in its process.
package fntest

import (
	"context"
	"encoding/base64"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/PuerkitoBio/goquery"

	"left4me/shared/account"
	"left4me/shared/db/migrations"
	"left4me/shared/fn"
	"left4me/shared/overlay"
	"left4me/shared/route"
	"left4me/shared/settings"
	"left4me/templates/web"
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

// Overlay creates an overlay of u's, or a system-wide one for the type external.
func (s *Site) Overlay(u account.User, name string, typ overlay.Type) overlay.Overlay {
	s.t.Helper()
	overlays := overlay.NewStore(s.Env.DB, s.Env.Now)
	id, err := overlays.Create(s.t.Context(), s.Env.DB, u, name, typ)
	if err != nil {
		s.t.Fatal(err)
	}
	o, err := overlays.Get(s.t.Context(), id)
	if err != nil {
		s.t.Fatal(err)
	}
	return o
}

// Break makes every further statement fail, as a database that is gone does.
func (s *Site) Break() {
	s.t.Helper()
	if err := s.Env.DB.Close(); err != nil {
		s.t.Fatal(err)
	}
}

// Count returns the number that a query gives.
func (s *Site) Count(query string, args ...any) (n int) {
	s.t.Helper()
	if err := s.Env.DB.QueryRowContext(s.t.Context(), query, args...).Scan(&n); err != nil {
		s.t.Fatal(err)
	}
	return n
}

// Visitor asks one function.
type Visitor struct {
	site    *Site
	handler http.Handler
	route   route.Route
	cookies map[string]string
	csrf    string
	htmx    bool
}

// Visitor returns somebody who asks the function of r, which build builds; signed in as u unless u is nobody.
func (s *Site) Visitor(u account.User, r route.Route, build func(*fn.Env) web.Handler) *Visitor {
	s.t.Helper()
	v := &Visitor{site: s, route: r, handler: fn.Handler(s.Env, r, build(s.Env)), cookies: map[string]string{}}
	if u.ID != 0 {
		_, token, err := account.NewStore(s.Env.DB, s.Env.Now).SignIn(s.t.Context(), u.Name, password, account.Client{Address: "192.0.2.1"})
		if err != nil {
			s.t.Fatal(err)
		}
		v.cookies["left4me_session"] = token
	}
	// A page for anyone shows the token that belongs to the visitor's cookies.
	form := fn.Handler(s.Env, route.LoginForm, func(w http.ResponseWriter, visit *web.Request) error {
		v.csrf = visit.Frame(w).CSRF
		return nil
	})
	v.ask(form, httptest.NewRequestWithContext(s.t.Context(), "GET", route.LoginForm.URL(), nil))
	return v
}

// Htmx makes the visitor's further requests htmx's.
func (v *Visitor) Htmx() *Visitor {
	v.htmx = true
	return v
}

// Answer is what came back.
type Answer struct {
	*http.Response
	Body string
}

// Page is the answer as a document.
func (a Answer) Page(t testing.TB) *goquery.Document {
	t.Helper()
	page, err := goquery.NewDocumentFromReader(strings.NewReader(a.Body))
	if err != nil {
		t.Fatal(err)
	}
	return page
}

// Notice is what the page that the answer leads to will say; empty for nothing.
func (a Answer) Notice(t testing.TB) string {
	t.Helper()
	for _, c := range a.Cookies() {
		if c.Name == "left4me_notice" {
			text, err := base64.RawURLEncoding.DecodeString(c.Value)
			if err != nil {
				t.Fatal(err)
			}
			return string(text)
		}
	}
	return ""
}

// Get asks for a path of the route, with its query.
func (v *Visitor) Get(path string) Answer {
	v.site.t.Helper()
	return v.GetWith(nil, path)
}

// GetWith is Get with header in addition.
func (v *Visitor) GetWith(header http.Header, path string) Answer {
	v.site.t.Helper()
	r := httptest.NewRequestWithContext(v.site.t.Context(), "GET", path, nil)
	maps.Copy(r.Header, header)
	return v.ask(v.handler, r)
}

// Post sends a form, name and value in turn, with a valid token.
func (v *Visitor) Post(path string, form ...string) Answer {
	v.site.t.Helper()
	return v.PostWith(nil, path, append(form, "csrf_token", v.csrf)...)
}

// PostWith sends a form as it is, with header in addition.
func (v *Visitor) PostWith(header http.Header, path string, form ...string) Answer {
	v.site.t.Helper()
	values := url.Values{}
	for i := 0; i+1 < len(form); i += 2 {
		values.Add(form[i], form[i+1])
	}
	r := httptest.NewRequestWithContext(v.site.t.Context(), "POST", path, strings.NewReader(values.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	maps.Copy(r.Header, header)
	return v.ask(v.handler, r)
}

func (v *Visitor) ask(h http.Handler, r *http.Request) Answer {
	v.site.t.Helper()
	r.Host = v.site.Env.Settings.PublicURL.Host
	r.RemoteAddr = "192.0.2.1:1234"
	if v.htmx {
		r.Header.Set("HX-Request", "true")
	}
	for name, value := range v.cookies {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	recorder := httptest.NewRecorder()
	h.ServeHTTP(recorder, r.WithContext(context.WithoutCancel(r.Context())))
	response := recorder.Result()
	for _, c := range response.Cookies() {
		v.cookies[c.Name] = c.Value
		if c.MaxAge < 0 {
			delete(v.cookies, c.Name)
		}
	}
	body, err := io.ReadAll(response.Body)
	if err != nil {
		v.site.t.Fatal(err)
	}
	return Answer{Response: response, Body: string(body)}
}

// Token is the csrf_token of the visitor's forms.
func (v *Visitor) Token() string { return v.csrf }
