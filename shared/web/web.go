// Package web turns requests into visits and errors into pages: sessions, cross-site request forgery, limits, security
// headers (product.md P40, P41, P43). A function's handler gets a Visit that has passed all that its route asks for, and
// returns an error instead of writing one.
//
// It knows no noun but the account.
package web

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/a-h/templ"

	"left4me/shared/account"
	"left4me/shared/problem"
	"left4me/shared/route"
	"left4me/templates/page"
)

const (
	sessionCookie = "left4me_session"
	// visitCookie is the secret behind the csrf_token of somebody who has not signed in.
	visitCookie  = "left4me_visit"
	noticeCookie = "left4me_notice"
	csrfField    = "csrf_token"
	csrfHeader   = "X-CSRF-Token"
)

// App is what all handlers of one process share.
type App struct {
	Accounts *account.Store
	// PublicURL is the origin that browsers see.
	PublicURL *url.URL
	// OriginSecret is what every request must carry where CloudFront is in front; empty elsewhere.
	OriginSecret string
	// PictureHosts are Content-Security-Policy sources of preview pictures.
	PictureHosts []string
	Version      string
	Now          func() time.Time
	Log          *slog.Logger
	// RequestID returns the id that stands in the log for this request.
	RequestID func(context.Context) string
}

// Visit is a request that may go on.
type Visit struct {
	*http.Request
	// User is nobody on a route for anyone.
	User account.User

	app    *App
	secret string // behind the csrf_token; empty for somebody who has none yet
}

// visit returns a request as a visit of nobody yet. Behind its csrf_token is the session's token or, where there is none, what
// an earlier page has set, whose form may be open in another tab.
func (a *App) visit(r *http.Request) *Visit {
	v := &Visit{Request: r, app: a}
	if v.secret = v.SessionToken(); v.secret == "" {
		v.secret = v.cookie(visitCookie)
	}
	return v
}

// Handler answers a visit, or returns why not: a problem, whose sentence the person sees, or a fault of ours.
type Handler func(w http.ResponseWriter, v *Visit) error

// Serve returns the http.Handler of route r: h behind everything that r asks for.
func (a *App) Serve(r route.Route, h Handler) http.Handler {
	origin := http.NewCrossOriginProtection()
	originErr := origin.AddTrustedOrigin(a.PublicURL.String())
	mux := http.NewServeMux()
	mux.HandleFunc(r.Method+" "+r.Pattern, func(w http.ResponseWriter, req *http.Request) {
		v := a.visit(req)
		err := originErr
		if err == nil {
			err = a.admit(w, v, r, origin)
		}
		if errors.Is(err, errAnswered) {
			return
		}
		if err == nil {
			err = h(w, v)
		}
		if err != nil {
			v.fail(w, err)
		}
	})
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		a.secure(w.Header())
		if !a.fromOrigin(req) {
			// Somebody has found the function's own URL. Nothing here is for them.
			http.Error(w, "Forbidden", http.StatusForbidden)
			return
		}
		if _, pattern := mux.Handler(req); pattern == "" {
			a.visit(req).fail(w, problem.NotFound("There is no such page."))
			return
		}
		mux.ServeHTTP(w, req)
	})
}

// fromOrigin reports whether a request came by way of CloudFront, if it has to, and then takes the visitor's address from it.
func (a *App) fromOrigin(r *http.Request) bool {
	if a.OriginSecret == "" {
		return true
	}
	// Hashed, because the comparison's time tells lengths apart.
	said, want := sha256.Sum256([]byte(r.Header.Get(route.OriginSecretHeader))), sha256.Sum256([]byte(a.OriginSecret))
	if subtle.ConstantTimeCompare(said[:], want[:]) != 1 {
		return false
	}
	// The port is after the last colon; an IPv6 address stands with or without brackets before it.
	viewer := r.Header.Get(route.ViewerAddressHeader)
	if i := strings.LastIndexByte(viewer, ':'); i > 0 {
		r.RemoteAddr = net.JoinHostPort(strings.Trim(viewer[:i], "[]"), viewer[i+1:])
	}
	return true
}

// errAnswered ends an admission that has written its own answer.
var errAnswered = errors.New("answered")

func (a *App) admit(w http.ResponseWriter, v *Visit, r route.Route, origin *http.CrossOriginProtection) error {
	v.Body = http.MaxBytesReader(w, v.Body, r.MaxBody)
	if r.Who != route.Anyone {
		if err := v.signIn(); err != nil {
			return err
		}
		if v.User.ID == 0 {
			return v.leadToLogin(w)
		}
		if r.Who == route.Administrator && !v.User.Admin {
			return problem.Forbidden("Only administrators may do that.")
		}
	}
	if r.Method == http.MethodPost {
		if err := origin.Check(v.Request); err != nil {
			return &problem.Problem{Status: http.StatusForbidden, Sentence: "This request came from another site. Please open left4me at " + a.PublicURL.String() + " and try again.", Cause: err}
		}
		return v.checkCSRF()
	}
	return nil
}

func (v *Visit) signIn() (err error) {
	if token := v.SessionToken(); token != "" {
		v.User, err = v.app.Accounts.BySession(v.Context(), token)
	}
	return err
}

// SignedIn reports who is visiting a route that is for anyone; nobody's is the zero User.
func (v *Visit) SignedIn() (account.User, error) {
	err := v.signIn()
	return v.User, err
}

// leadToLogin sends a page's visitor to the sign-in form and back; other requests are refused.
func (v *Visit) leadToLogin(w http.ResponseWriter) error {
	back := v.URL.RequestURI()
	if v.Fragment() {
		// The page around the fragment is where to come back to.
		back = ""
		if u, err := url.Parse(v.Header.Get("HX-Current-URL")); err == nil {
			back = u.RequestURI()
		}
	}
	login := route.LoginForm.URL()
	if next := SafeNext(back); next != "" {
		login += "?" + url.Values{"next": {next}}.Encode()
	}
	switch {
	case v.Fragment():
		w.Header().Set("HX-Redirect", login)
	case v.Method != http.MethodPost:
		http.Redirect(w, v.Request, login, http.StatusSeeOther)
		return errAnswered
	}
	return &problem.Problem{Status: http.StatusUnauthorized, Sentence: "Your session has ended. Please sign in again; nothing was changed."}
}

// SafeNext returns next if it is a path of this site to which a browser may be sent after signing in, else "".
func SafeNext(next string) string {
	u, err := url.Parse(next)
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil || !strings.HasPrefix(next, "/") || strings.HasPrefix(next, "//") || strings.ContainsAny(next, "\\\r\n\t") {
		return ""
	}
	return next
}

// Fragment reports whether htmx asks for a part of the page.
func (v *Visit) Fragment() bool {
	return v.Header.Get("HX-Request") == "true"
}

// Client says where the visit comes from.
func (v *Visit) Client() account.Client {
	host, _, err := net.SplitHostPort(v.RemoteAddr)
	if err != nil {
		host = v.RemoteAddr
	}
	return account.Client{Address: host, UserAgent: v.UserAgent()}
}

// ID reads a wildcard of the path that is the id of a row; the error is a problem (404).
func (v *Visit) ID(wildcard string) (int64, error) {
	id, err := strconv.ParseInt(v.PathValue(wildcard), 10, 64)
	if err != nil || id <= 0 {
		return 0, problem.NotFound("There is no such page.")
	}
	return id, nil
}

// ByID returns what a wildcard of the path names, as find has it for this visitor; the error is find's, or a problem (404)
// when the wildcard is no id.
func ByID[T any](v *Visit, wildcard string, find func(context.Context, account.User, int64) (T, error)) (T, error) {
	id, err := v.ID(wildcard)
	if err != nil {
		var none T
		return none, err
	}
	return find(v.Context(), v.User, id)
}

// Frame is what the page around an answer needs. It takes the notice that Redirect left.
func (v *Visit) Frame(w http.ResponseWriter) page.Frame {
	f := page.Frame{
		Person:  page.Person{Name: v.User.Name, Administrator: v.User.Admin},
		CSRF:    v.csrfToken(w),
		Version: v.app.Version,
		Now:     v.app.Now(),
	}
	if c := v.cookie(noticeCookie); c != "" && !v.Fragment() {
		if text, err := base64.RawURLEncoding.DecodeString(c); err == nil {
			f.Notice = string(text)
		}
		v.setCookie(w, noticeCookie, "", -1)
	}
	return f
}

// Render answers with a view.
func (v *Visit) Render(w http.ResponseWriter, status int, view templ.Component) error {
	var b strings.Builder
	if err := view.Render(v.Context(), &b); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, err := w.Write([]byte(b.String()))
	return err
}

// Redirect answers a form with 303 to a path of this site, and leaves a notice for the page there, if it is not empty.
func (v *Visit) Redirect(w http.ResponseWriter, path, notice string) error {
	if notice != "" {
		v.setCookie(w, noticeCookie, base64.RawURLEncoding.EncodeToString([]byte(notice)), int(time.Minute/time.Second))
	}
	http.Redirect(w, v.Request, path, http.StatusSeeOther)
	return nil
}

// StartSession gives the visitor the session token that account.Store.SignIn returned.
func (v *Visit) StartSession(w http.ResponseWriter, token string) {
	v.setCookie(w, sessionCookie, token, int(account.SessionLife/time.Second))
	v.setCookie(w, visitCookie, "", -1)
}

// EndSession takes the session token from the visitor and returns it.
func (v *Visit) EndSession(w http.ResponseWriter) string {
	v.setCookie(w, sessionCookie, "", -1)
	return v.SessionToken()
}

// SessionToken returns the token of the visitor's session; empty for none.
func (v *Visit) SessionToken() string { return v.cookie(sessionCookie) }

func (v *Visit) cookie(name string) string {
	c, err := v.Cookie(name)
	if err != nil {
		return ""
	}
	return c.Value
}

func (v *Visit) setCookie(w http.ResponseWriter, name, value string, seconds int) {
	http.SetCookie(w, &http.Cookie{
		Name: name, Value: value, Path: "/", MaxAge: seconds,
		HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: v.app.PublicURL.Scheme == "https",
	})
}

// csrfToken belongs to the visitor's secret, which it does not reveal. Somebody without one gets one.
func (v *Visit) csrfToken(w http.ResponseWriter) string {
	if v.secret == "" {
		v.secret = rand.Text()
		v.setCookie(w, visitCookie, v.secret, int(12*time.Hour/time.Second))
	}
	return csrfToken(v.secret)
}

func csrfToken(secret string) string {
	sum := sha256.Sum256([]byte("left4me csrf " + secret))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// Form reads the form of a POST; the error is a problem.
func (v *Visit) Form() (url.Values, error) {
	if v.Request.PostForm == nil {
		if err := v.ParseForm(); err != nil {
			var tooLarge *http.MaxBytesError
			if errors.As(err, &tooLarge) {
				return nil, &problem.Problem{Status: http.StatusRequestEntityTooLarge, Sentence: "That is more than left4me takes at once. Please send less.", Cause: err}
			}
			return nil, &problem.Problem{Status: http.StatusBadRequest, Sentence: "The form could not be read. Please go back and try again.", Cause: err}
		}
	}
	return v.PostForm, nil
}
