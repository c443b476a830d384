// Package web is the process of a function that serves pages: sessions, protection against cross-site request forgery, limits,
// security headers, and errors as pages (product.md P40, P41, P43). A handler gets a Request that has passed the checks of its
// route, and returns an error instead of writing it.
//
// The only noun that it knows is the account. Settings, log and database are shared/fn's.
package web

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/a-h/templ"

	"left4me/shared/account"
	"left4me/shared/api"
	"left4me/shared/db"
	"left4me/shared/fn"
	"left4me/shared/problem"
	"left4me/shared/route"
	"left4me/templates/page"
)

const (
	// anonymousCookie holds the secret from which the csrf_token of a visitor without a session is derived.
	anonymousCookie = "left4me_visit"
	noticeCookie    = "left4me_notice"
	// deviceCookie holds account.Tokens.Device.
	deviceCookie = "left4me_device"
	csrfField    = "csrf_token"
	csrfHeader   = "X-CSRF-Token"
)

// app is what all requests of one process share.
type app struct {
	*fn.Env
	accounts *account.Store
}

// Request is a request and the person who sent it. The PostForm of a POST is filled.
type Request struct {
	*http.Request
	// User is the person signed in, or whose token a program has sent; the zero User on routes for anyone.
	User account.User

	token  account.Token // the program's
	app    *app
	secret string    // csrf_token is derived from it; empty until the visitor has a cookie
	kept   page.Form // the form that was refused before the handler saw it
}

// request wraps r, without a User yet. Its secret is the session's token; without a session it is the cookie that an earlier
// page has set, because that page's form may still be open in another tab.
func (a *app) request(r *http.Request) *Request {
	req := &Request{Request: r, app: a}
	if req.secret = req.SessionToken(); req.secret == "" {
		req.secret = req.cookie(anonymousCookie)
	}
	return req
}

// Handler answers the requests of a route that have passed its checks: a HandlerFunc, or About's.
type Handler interface {
	// prepare returns what is read for r together with the session, or nil for nothing, and what answers r afterwards.
	prepare(r *Request) (read func(context.Context) error, answer HandlerFunc)
}

// HandlerFunc answers a request, or returns an error: a problem, whose sentence the person sees, or a fault of ours.
type HandlerFunc func(w http.ResponseWriter, r *Request) error

func (h HandlerFunc) prepare(*Request) (func(context.Context) error, HandlerFunc) { return nil, h }

// ByID returns a find for About: it calls get with the id in the path's {id}. Its error is get's, or a problem (404) for another value.
func ByID[T any](get func(context.Context, int64) (T, error)) func(context.Context, *Request) (T, error) {
	return func(ctx context.Context, r *Request) (subject T, err error) {
		id, err := r.ID("id")
		if err != nil {
			return subject, err
		}
		return get(ctx, id)
	}
}

// About returns a Handler for a route that needs a session, and is about something in the database. find reads that together with the
// session, so the User of its Request is not known yet; a form has been read and checked. may returns a problem if the person signed in may
// not do with it what the route does. Without an error of find and may, answer is called.
func About[T any](find func(context.Context, *Request) (T, error), may func(T, account.User) error, answer func(http.ResponseWriter, *Request, T) error) Handler {
	return about(func(r *Request) (func(context.Context) error, HandlerFunc) {
		var subject T
		err := errors.New("nothing was read: only routes that need a session are about something")
		read := func(ctx context.Context) error {
			subject, err = find(ctx, r)
			return nil // the session is checked first
		}
		return read, func(w http.ResponseWriter, r *Request) error {
			if err == nil {
				err = may(subject, r.User)
			}
			if err != nil {
				return err
			}
			return answer(w, r, subject)
		}
	})
}

type about func(r *Request) (read func(context.Context) error, answer HandlerFunc)

func (a about) prepare(r *Request) (func(context.Context) error, HandlerFunc) { return a(r) }

// function returns the http.Handler of a route: h behind all the checks that the route asks for.
//
// The origin of a form must be PublicURL. With AnyHost it may be any that has the request's own Host, which another site cannot choose:
// even if its name leads to this machine (DNS rebinding), the browser sends it no cookie of left4me. Without AnyHost, the pages may
// be reachable only from this machine, and Host is not used, so that such a site cannot even try passwords.
func (a *app) function(to route.Route, h Handler) http.Handler {
	origin := http.NewCrossOriginProtection()
	originErr := origin.AddTrustedOrigin(a.Settings.PublicURL.String())
	mux := http.NewServeMux()
	mux.HandleFunc(to.Method+" "+to.Pattern, func(w http.ResponseWriter, plain *http.Request) {
		r := a.request(plain)
		defer a.WakeAgent(r.Context())
		read, answer := h.prepare(r)
		err := originErr
		if err == nil {
			err = r.admit(w, to, origin, read)
		}
		if errors.Is(err, errAnswered) {
			return
		}
		if err == nil {
			err = answer(w, r)
		}
		if err != nil {
			r.fail(w, err)
		}
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.setHeaders(w.Header())
		if !a.fromCloudFront(r) {
			http.Error(w, "Forbidden", http.StatusForbidden) // somebody calls the function's own URL
			return
		}
		if _, pattern := mux.Handler(r); pattern == "" {
			a.request(r).fail(w, problem.NotFound("There is no such page."))
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// fromCloudFront reports whether a request came through CloudFront, and sets r.RemoteAddr to the address that CloudFront names.
// Without an origin secret there is no CloudFront, and every request may pass.
func (a *app) fromCloudFront(r *http.Request) bool {
	if a.Settings.OriginSecret == "" {
		return true
	}
	sent := r.Header.Get(route.OriginSecretHeader)
	previous := a.Settings.OriginSecretPrevious
	if !sameSecret(sent, a.Settings.OriginSecret) && (previous == "" || !sameSecret(sent, previous)) {
		return false
	}
	// The port follows the last colon. An IPv6 address before it may have brackets or not.
	viewer := r.Header.Get(route.ViewerAddressHeader)
	if i := strings.LastIndexByte(viewer, ':'); i > 0 {
		r.RemoteAddr = net.JoinHostPort(strings.Trim(viewer[:i], "[]"), viewer[i+1:])
	}
	return true
}

// sameSecret compares hashes, which have equal lengths: comparing the values would take longer for longer ones.
func sameSecret(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

// errAnswered says that admit has written the answer.
var errAnswered = errors.New("answered")

// admit checks session, role, origin and CSRF token, as the route asks for, reads the form, and calls read, unless it is nil. The error is
// a problem, errAnswered, or the database's.
func (r *Request) admit(w http.ResponseWriter, to route.Route, origin *http.CrossOriginProtection, read func(context.Context) error) error {
	r.Body = http.MaxBytesReader(w, r.Body, to.MaxBody)
	var formErr error
	if to.Method == http.MethodPost {
		formErr = r.checkForm(to, origin)
	}
	if to.Who != route.Anyone {
		reads := []func(context.Context) error{r.signIn}
		if read != nil && formErr == nil && (r.SessionToken() != "" || r.bearer() != "") {
			reads = append(reads, read)
		}
		if err := r.Together(r.Context(), reads...); err != nil {
			return err
		}
		if r.bearer() != "" {
			if err := r.admitProgram(to); err != nil {
				return err
			}
		}
		if r.User.ID == 0 {
			r.keep(to, origin)
			return r.leadToLogin(w)
		}
		if to.Who == route.Administrator && !r.User.Admin {
			return problem.Forbidden("Only administrators may do that.")
		}
	}
	return formErr
}

// admitProgram checks what a program may do with its token. The error is a problem, or the database's.
func (r *Request) admitProgram(to route.Route) error {
	switch {
	case r.User.ID == 0:
		return r.app.accounts.WrongToken(r.Context(), r.Client())
	case to.SessionOnly:
		return problem.Forbidden("This needs a browser: people sign in, and change their passwords and tokens, only there. Nothing was changed.")
	case to.Method == http.MethodPost && !r.token.Writes:
		return problem.Forbidden("This token is only for reading. Nothing was changed.")
	}
	return r.app.accounts.TokenUsed(r.Context(), r.token)
}

// bearer returns the token that a program has sent; empty for none.
func (r *Request) bearer() string {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return "" // such as the password of a proxy
	}
	return strings.TrimSpace(token)
}

// checkForm checks the origin of a form and its CSRF token, and reads it. A program with a token, which no browser sends by itself, needs
// neither. The error is a problem.
func (r *Request) checkForm(to route.Route, origin *http.CrossOriginProtection) error {
	if to.Who != route.Anyone && r.bearer() != "" {
		return r.readForm()
	}
	if err := origin.Check(r.Request); err != nil {
		return &problem.Problem{Status: http.StatusForbidden, Sentence: r.fromElsewhere(), Cause: err}
	}
	if err := r.readForm(); err != nil {
		return err
	}
	if err := r.checkCSRF(); err != nil {
		if r.keep(to, origin); r.kept.Action != "" {
			return problem.Forbidden("This form is from before you signed in. Nothing was changed; please send it again.")
		}
		return err
	}
	return nil
}

// fromElsewhere is the sentence for a form that another origin has sent, or that seems so because PUBLIC_URL is missing or wrong.
func (r *Request) fromElsewhere() string {
	ours := r.Origin()
	theirs, err := url.Parse(r.Header.Get("Origin"))
	if err != nil || theirs.Host == "" {
		return "This request came from another site. Please open left4me at " + ours + " and try again. Nothing was changed."
	}
	origin := theirs.Scheme + "://" + theirs.Host
	return fmt.Sprintf("This request came from %s, but left4me is at %s. Please open left4me there and try again. If you did open it at %[1]s, "+
		"then its settings lack PUBLIC_URL=%[1]s. Nothing was changed.", origin, ours)
}

// keep makes the error page offer to send the form of the request again. Not one that may come from another site, since its text is
// not the visitor's.
func (r *Request) keep(to route.Route, origin *http.CrossOriginProtection) {
	ours := origin.Check(r.Request) == nil && (r.Header.Get("Origin") != "" || r.Header.Get("Sec-Fetch-Site") != "")
	if to.Typed == "" || !ours || r.readForm() != nil || r.PostForm.Get(to.Typed) == "" {
		return
	}
	r.kept = page.Form{Action: r.URL.Path, Typed: page.Field{Name: to.Typed, Value: r.PostForm.Get(to.Typed)}}
	for _, name := range slices.Sorted(maps.Keys(r.PostForm)) {
		if name == to.Typed || name == csrfField {
			continue
		}
		for _, value := range r.PostForm[name] {
			r.kept.Hidden = append(r.kept.Hidden, page.Field{Name: name, Value: value})
		}
	}
}

func (r *Request) signIn(ctx context.Context) (err error) {
	switch session, token := r.SessionToken(), r.bearer(); {
	case token != "":
		r.User, r.token, err = r.app.accounts.ByToken(ctx, token)
	case session != "":
		r.User, err = r.app.accounts.BySession(ctx, session)
	}
	if r.User.ID != 0 && !r.User.Admin {
		r.User.Limits = &r.app.Settings.Limits
	}
	return err
}

// Together is db.Together: a database server is asked once for what functions read with their ctx, if possible.
func (r *Request) Together(ctx context.Context, functions ...func(context.Context) error) error {
	return db.Together(ctx, r.app.DB, functions...)
}

// Then is db.Then: what functions read after the transaction that write makes needs no round trip of its own.
func (r *Request) Then(write func(context.Context) error, functions ...func(context.Context) error) error {
	return db.Then(r.Context(), r.app.DB, write, functions...)
}

// SignedIn returns the person signed in, for a route that anyone may use; the zero User without a session.
func (r *Request) SignedIn() (account.User, error) {
	err := r.signIn(r.Context())
	return r.User, err
}

// leadToLogin redirects a request for a page to the sign-in form, which redirects back. Other requests get 401: their page stays,
// because something may have been typed there.
func (r *Request) leadToLogin(w http.ResponseWriter) error {
	if r.JSON() {
		return &problem.Problem{Status: http.StatusUnauthorized, Sentence: "You are not signed in. Nothing was changed."}
	}
	if r.Method != http.MethodPost && !r.Fragment() {
		login := route.LoginForm.URL()
		if next := SafeNext(r.URL.RequestURI()); next != "" {
			login += "?" + url.Values{"next": {next}}.Encode()
		}
		http.Redirect(w, r.Request, login, http.StatusSeeOther)
		return errAnswered
	}
	return &problem.Problem{Status: http.StatusUnauthorized, Sentence: "Your session has ended. Please sign in again; nothing was changed."}
}

// SafeNext returns next if it is a path of this site, where a browser may be sent after signing in; else "".
func SafeNext(next string) string {
	u, err := url.Parse(next)
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil || !strings.HasPrefix(next, "/") || strings.HasPrefix(next, "//") || strings.ContainsAny(next, "\\\r\n\t") {
		return ""
	}
	return next
}

// JSON reports whether a program asks, to which Render, Redirect and all errors answer with JSON.
func (r *Request) JSON() bool { return api.Wanted(r.Request) }

// Fragment reports whether htmx asks for a part of a page.
func (r *Request) Fragment() bool {
	return r.Header.Get("HX-Request") == "true"
}

// Client returns the sender's address and browser.
func (r *Request) Client() account.Client {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	return account.Client{Address: host, UserAgent: r.UserAgent(), Device: r.cookie(deviceCookie)}
}

// Confirmed returns nil if the box to confirm was ticked in a form, else a problem (400), which ends with the sentence unchanged.
func (r *Request) Confirmed(unchanged string) error {
	if r.PostForm.Get("confirm") == "yes" {
		return nil
	}
	return problem.Invalid("Please tick the box to confirm. %s", unchanged)
}

// ID reads a wildcard of the path as the id of a row. The error is a problem (404).
func (r *Request) ID(wildcard string) (int64, error) {
	id, err := strconv.ParseInt(r.PathValue(wildcard), 10, 64)
	if err != nil || id <= 0 {
		return 0, problem.NotFound("There is no such page.")
	}
	return id, nil
}

// Number returns a number in the query, or 0 for anything else.
func (r *Request) Number(name string) int64 {
	n, _ := strconv.ParseInt(r.URL.Query().Get(name), 10, 64)
	return n
}

// Frame returns the Frame of the page. It shows and clears the notice that Redirect has stored.
func (r *Request) Frame(w http.ResponseWriter) page.Frame {
	if r.JSON() {
		return page.Frame{User: r.User, Now: r.app.Now()} // no program needs a token for forms, or a notice
	}
	f := page.Frame{
		User:    r.User,
		CSRF:    r.csrfToken(w),
		Version: fn.Version,
		Now:     r.app.Now(),
	}
	if c := r.cookie(noticeCookie); c != "" && !r.Fragment() {
		if text, err := base64.RawURLEncoding.DecodeString(c); err == nil {
			f.Notice = string(text)
		}
		r.setCookie(w, noticeCookie, "", -1)
	}
	return f
}

// SharedFrame is the Frame of a page that is the same for everybody: it has nothing of a session. Browsers, and caches between them and
// left4me, may keep the answer as long as route r says. They may not keep JSON: others may ask for the page at the same address.
func (r *Request) SharedFrame(w http.ResponseWriter, to route.Route) page.Frame {
	if r.JSON() {
		return page.Frame{}
	}
	w.Header().Set("Cache-Control", fmt.Sprintf("public, max-age=%d", to.Cached/time.Second))
	w.Header().Set("Vary", "Accept") // programs get JSON
	return page.Frame{Version: fn.Version, Now: r.app.Now()}
}

// Origin is where the browser sees left4me, such as https://example.org.
func (r *Request) Origin() string {
	if r.app.Settings.AnyHost {
		return "http://" + r.Host
	}
	return r.app.Settings.PublicURL.String()
}

// ListFrame is the Frame of a page with a list. When htmx has asked for the list, a screen reader reads which part of it is shown.
func (r *Request) ListFrame(w http.ResponseWriter, l page.List) page.Frame {
	f := r.Frame(w)
	if r.Fragment() {
		f.Say = l.Sentence()
	}
	return f
}

// Render answers with a view: with its JSON if the request asks for that (package api), else with what body makes of it, a page or a fragment.
func Render[V any](w http.ResponseWriter, r *Request, status int, view V, body func(V) templ.Component) error {
	if !r.JSON() {
		return r.html(w, status, body(view))
	}
	if status >= http.StatusBadRequest {
		return fmt.Errorf("a program would get a page with the status %d: Problem lets the handler return the error", status)
	}
	return api.Write(w, status, view)
}

// html answers with a page or a fragment.
func (r *Request) html(w http.ResponseWriter, status int, body templ.Component) error {
	var b strings.Builder
	if err := body.Render(r.Context(), &b); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(r.passing(status))
	_, err := w.Write([]byte(b.String()))
	return err
}

// passing returns the status with which CloudFront lets an answer pass: 503 instead of 502 and 504, for which it would send its own answer.
// There they mean that Lambda has answered instead of left4me.
func (r *Request) passing(status int) int {
	if r.app.Settings.OriginSecret != "" && (status == http.StatusBadGateway || status == http.StatusGatewayTimeout) {
		return http.StatusServiceUnavailable
	}
	return status
}

// Redirect answers with 303 to a path of this site. The page there shows notice, unless it is empty. A program gets both as an api.Done
// instead.
func (r *Request) Redirect(w http.ResponseWriter, path, notice string) error {
	if r.JSON() {
		return api.WriteDone(w, r.URL.Path, api.Done{Message: notice, Location: path})
	}
	if notice != "" {
		r.setCookie(w, noticeCookie, base64.RawURLEncoding.EncodeToString([]byte(notice)), int(time.Minute/time.Second))
	}
	http.Redirect(w, r.Request, path, http.StatusSeeOther)
	return nil
}

// deviceLife is how long a browser keeps deviceCookie after the last sign-in.
const deviceLife = 365 * 24 * time.Hour

// StartSession sets the cookies with the tokens that account.Store.SignIn has returned.
func (r *Request) StartSession(w http.ResponseWriter, tokens account.Tokens) {
	r.setCookie(w, route.SessionCookie, tokens.Session, int(account.SessionLife/time.Second))
	r.setCookie(w, deviceCookie, tokens.Device, int(deviceLife/time.Second))
	r.setCookie(w, anonymousCookie, "", -1)
}

// EndSession removes the session's cookie.
func (r *Request) EndSession(w http.ResponseWriter) { r.setCookie(w, route.SessionCookie, "", -1) }

// SessionToken returns the token in the session's cookie; empty without one.
func (r *Request) SessionToken() string { return r.cookie(route.SessionCookie) }

func (r *Request) cookie(name string) string {
	c, err := r.Cookie(r.cookieName(name))
	if err != nil {
		return ""
	}
	return c.Value
}

// cookieName returns the name of a cookie in the browser.
func (r *Request) cookieName(name string) string {
	if r.app.Settings.PublicURL.Scheme == "https" {
		return route.SecureCookiePrefix + name
	}
	return name
}

func (r *Request) setCookie(w http.ResponseWriter, name, value string, seconds int) {
	http.SetCookie(w, &http.Cookie{
		Name: r.cookieName(name), Value: value, Path: "/", MaxAge: seconds,
		HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: r.app.Settings.PublicURL.Scheme == "https",
	})
}

// csrfToken returns the token for forms. A visitor without a secret gets one, as a cookie.
func (r *Request) csrfToken(w http.ResponseWriter) string {
	if r.secret == "" {
		r.secret = rand.Text()
		r.setCookie(w, anonymousCookie, r.secret, int(12*time.Hour/time.Second))
	}
	return csrfToken(r.secret, rand.Text())
}

// csrfToken returns the token of a secret that begins with salt. Another salt in each answer keeps the sizes of compressed
// answers from telling anything about the token (see lambdahttp).
func csrfToken(secret, salt string) string {
	sum := sha256.Sum256([]byte("left4me csrf " + salt + secret))
	return salt + "." + base64.RawURLEncoding.EncodeToString(sum[:16])
}

// readForm reads the form of a POST into r.PostForm. The error is a problem: 400, or 413.
func (r *Request) readForm() error {
	err := r.ParseForm()
	switch {
	case err == nil:
		return nil
	case errors.As(err, new(*http.MaxBytesError)):
		return &problem.Problem{Status: http.StatusRequestEntityTooLarge, Sentence: "That is more than left4me takes at once. Please send less.", Cause: err}
	}
	return &problem.Problem{Status: http.StatusBadRequest, Sentence: "The form could not be read. Please go back and try again.", Cause: err}
}
