// Package route is the table of left4me's HTTP routes, as data: which function serves which method and path, who may use it, and
// the limits of its process. The gateway, the router at the edge, the AWS template, all links in pages and the permission tests
// read this table.
//
// It serves nothing and knows no handler: the name of a route is the name of its program's folder below functions/.
package route

import (
	"fmt"
	"net/url"
	"strings"
	"time"
)

// Who says who may use a route. Whether a person may use a particular overlay or job is decided by the function.
type Who int

const (
	// Anyone needs no session.
	Anyone Who = iota
	// SignedIn needs a session: without one a page leads to the sign-in form and back, a POST gets 401.
	SignedIn
	// Administrator needs the session of an administrator; other people get 403.
	Administrator
)

// String is the word that `localrun routes` prints.
func (w Who) String() string {
	switch w {
	case Anyone:
		return "anyone"
	case SignedIn:
		return "signed in"
	case Administrator:
		return "administrator"
	}
	return fmt.Sprintf("Who(%d)", int(w))
}

// Route is one row of the table.
type Route struct {
	// Name is the function's name: its folder is functions/{Name}.
	Name string
	// Method is GET (which serves HEAD too) or POST.
	Method string
	// Pattern is a path in the syntax of net/http.ServeMux, without method and host.
	Pattern string
	// Who may use it.
	Who Who
	// MaxBody is the largest request body in bytes; a larger one is answered with 413.
	MaxBody int64
	// Typed is the form's field with text that a person types, and would lose if the form were refused; empty for none, and for forms
	// with passwords.
	Typed string
	// TimeLimit is how long one request may take; then its process is killed and the answer is 504.
	TimeLimit time.Duration
	// MaxProcesses is how many processes of this function may run at once on one host.
	MaxProcesses int
	// SessionOnly says that a program with a token may not use it, because it is about signing in.
	SessionOnly bool
	// IsAction says that a request makes left4me ask Steam, build an overlay or send something for the person, so that account.CountAction limits how
	// often they may send it. Administrators are not limited.
	IsAction bool
	// Cached is how long browsers and CloudFront may keep an answer instead of asking again; zero: not at all. Such an answer is the same
	// for everybody and for every query string.
	Cached time.Duration
}

const (
	smallForm = 8 << 10
	// itemForm holds 64 KiB of pasted text (product.md P11) after URL-encoding, which can triple it.
	itemForm = 256 << 10
	pageTime = 30 * time.Second
)

func page(name, pattern string, who Who) Route {
	return Route{Name: name, Method: "GET", Pattern: pattern, Who: who, TimeLimit: pageTime, MaxProcesses: 4}
}

func form(name, pattern string, who Who) Route {
	return Route{Name: name, Method: "POST", Pattern: pattern, Who: who, MaxBody: smallForm, TimeLimit: pageTime, MaxProcesses: 2}
}

func (r Route) withTyped(field string) Route {
	r.Typed = field
	return r
}

func (r Route) withBody(n int64) Route {
	r.MaxBody = n
	return r
}

func (r Route) sessionOnly() Route {
	r.SessionOnly = true
	return r
}

func (r Route) action() Route {
	r.IsAction = true
	return r
}

func (r Route) cached(life time.Duration) Route {
	r.Cached = life
	return r
}

// The routes of product.md P39.
var (
	Home            = page("home", "/{$}", Anyone)
	API             = page("api", "/api", Anyone)
	Asset           = page("asset", "/assets/{file}", Anyone)
	Health          = page("healthz", "/healthz", Anyone)
	LoginForm       = page("login-form", "/login", Anyone)
	Login           = form("login", "/login", Anyone)
	Logout          = form("logout", "/logout", SignedIn).sessionOnly()
	OverlayList     = page("overlay-list", "/overlays", SignedIn)
	OverlayCreate   = form("overlay-create", "/overlays", SignedIn).withTyped("name").action()
	OverlayShow     = page("overlay-show", "/overlays/{id}", SignedIn)
	OverlayUse      = page("overlay-use", "/overlays/{id}/use", SignedIn)
	OverlayRename   = form("overlay-rename", "/overlays/{id}", SignedIn).withTyped("name")
	OverlayDelete   = form("overlay-delete", "/overlays/{id}/delete", SignedIn)
	OverlayBuild    = form("overlay-build", "/overlays/{id}/build", SignedIn).action()
	OverlayRefresh  = form("overlay-refresh", "/overlays/{id}/refresh", SignedIn).action()
	ItemAdd         = form("item-add", "/overlays/{id}/items", SignedIn).withBody(itemForm).withTyped("input").action()
	ItemChange      = form("item-change", "/overlays/{id}/items/{item_id}", SignedIn)
	ItemRemove      = form("item-remove", "/overlays/{id}/items/{item_id}/delete", SignedIn)
	ItemsRemove     = form("items-remove", "/overlays/{id}/items/delete", SignedIn).withBody(itemForm)
	ItemsCopy       = form("items-copy", "/overlays/{id}/items/copy", SignedIn)
	ItemsChange     = form("items-change", "/overlays/{id}/items/change", SignedIn).withBody(itemForm)
	BlueprintList   = page("blueprint-list", "/blueprints", SignedIn)
	BlueprintCreate = form("blueprint-create", "/blueprints", SignedIn).withTyped("name").action()
	BlueprintShow   = page("blueprint-show", "/blueprints/{id}", SignedIn)
	BlueprintSave   = form("blueprint-save", "/blueprints/{id}", SignedIn).withTyped("name").withBody(itemForm)
	BlueprintAdd    = form("blueprint-add", "/blueprints/{id}/overlays", SignedIn)
	BlueprintMove   = form("blueprint-move", "/blueprints/{id}/overlays/{overlay_id}/move", SignedIn)
	BlueprintRemove = form("blueprint-remove", "/blueprints/{id}/overlays/{overlay_id}/delete", SignedIn)
	BlueprintDelete = form("blueprint-delete", "/blueprints/{id}/delete", SignedIn)
	ServerList      = page("server-list", "/servers", SignedIn)
	ServerCreate    = form("server-create", "/servers", Administrator).withTyped("name")
	ServerShow      = page("server-show", "/servers/{id}", SignedIn)
	ServerChange    = form("server-change", "/servers/{id}", SignedIn).withTyped("name")
	ServerStart     = form("server-start", "/servers/{id}/start", SignedIn)
	ServerStop      = form("server-stop", "/servers/{id}/stop", SignedIn)
	ServerRestart   = form("server-restart", "/servers/{id}/restart", SignedIn)
	ServerReset     = form("server-reset", "/servers/{id}/reset", SignedIn)
	ServerCommand   = form("server-command", "/servers/{id}/command", SignedIn).withTyped("command")
	ServerDelete    = form("server-delete", "/servers/{id}/delete", SignedIn)
	Play            = page("play", "/play/{id}", Anyone).cached(15 * time.Second)
	WebhookList     = page("webhook-list", "/webhooks", SignedIn)
	WebhookCreate   = form("webhook-create", "/webhooks", SignedIn).withTyped("url")
	WebhookShow     = page("webhook-show", "/webhooks/{id}", SignedIn)
	WebhookChange   = form("webhook-change", "/webhooks/{id}", SignedIn).action()
	JobList         = page("job-list", "/jobs", SignedIn)
	JobShow         = page("job-show", "/jobs/{id}", SignedIn)
	JobCancel       = form("job-cancel", "/jobs/{id}/cancel", SignedIn)
	Account         = page("account", "/account", SignedIn)
	PasswordChange  = form("password-change", "/account/password", SignedIn).sessionOnly()
	SessionEnd      = form("session-end", "/account/sessions", SignedIn).sessionOnly()
	TokenChange     = form("token-change", "/account/tokens", SignedIn).withTyped("name").sessionOnly()
	AdminHome       = page("admin-home", "/admin", Administrator)
	AdminJobs       = page("admin-jobs", "/admin/jobs", Administrator)
	AdminRefresh    = form("admin-refresh", "/admin/workshop/refresh", Administrator)
	AdminGC         = form("admin-gc", "/admin/gc", Administrator)
	AdminHosts      = page("admin-hosts", "/admin/hosts", Administrator)
	HostAsk         = page("host-ask", "/admin/hosts/{id}/delete", Administrator)
	HostRemove      = form("host-remove", "/admin/hosts/{id}/delete", Administrator)
	HostInstall     = form("host-install", "/admin/hosts/{id}/install", Administrator)
	HostCheck       = form("host-check", "/admin/hosts/{id}/check", Administrator)
	AdminUsers      = page("admin-users", "/admin/users", Administrator)
	UserCreate      = form("user-create", "/admin/users", Administrator)
	UserAsk         = page("user-ask", "/admin/users/{id}", Administrator)
	UserChange      = form("user-change", "/admin/users/{id}", Administrator)
)

// All returns every route, in the order in which `localrun routes` prints them. The slice is the caller's.
func All() []Route {
	return []Route{
		Home, API, Asset, Health,
		LoginForm, Login, Logout,
		OverlayList, OverlayCreate, OverlayShow, OverlayUse, OverlayRename, OverlayDelete, OverlayBuild, OverlayRefresh,
		ItemAdd, ItemChange, ItemRemove, ItemsRemove, ItemsCopy, ItemsChange,
		BlueprintList, BlueprintCreate, BlueprintShow, BlueprintSave, BlueprintAdd, BlueprintMove, BlueprintRemove, BlueprintDelete,
		ServerList, ServerCreate, ServerShow, ServerChange, ServerStart, ServerStop, ServerRestart, ServerReset, ServerCommand, ServerDelete, Play,
		WebhookList, WebhookCreate, WebhookShow, WebhookChange,
		JobList, JobShow, JobCancel,
		Account, PasswordChange, SessionEnd, TokenChange,
		AdminHome, AdminJobs, AdminRefresh, AdminGC, AdminHosts, HostAsk, HostRemove, HostInstall, HostCheck, AdminUsers, UserCreate, UserAsk, UserChange,
	}
}

// OriginSecretHeader is the header in which CloudFront sends the setting ORIGIN_SECRET, to prove to the functions that a request
// came through it. In ViewerAddressHeader it sends the visitor's address:port.
const (
	OriginSecretHeader  = "X-Origin-Secret"
	ViewerAddressHeader = "CloudFront-Viewer-Address"
)

// SessionCookie is the name of the cookie with the token of a session. Under https it follows SecureCookiePrefix, with which
// browsers accept a cookie only from this host over https, not from another subdomain.
const (
	SessionCookie      = "left4me_session"
	SecureCookiePrefix = "__Host-"
)

// URL returns the path of r with its wildcards replaced by args in their order, each escaped as one path segment. It panics when
// the number of args is not the number of wildcards, which any test that renders the link finds.
func (r Route) URL(args ...any) string {
	segments := strings.Split(r.Pattern, "/")
	used := 0
	for i, s := range segments {
		switch {
		case s == "{$}":
			segments[i] = ""
		case strings.HasPrefix(s, "{"):
			if used < len(args) {
				segments[i] = url.PathEscape(fmt.Sprint(args[used]))
			}
			used++
		}
	}
	if used != len(args) {
		panic(fmt.Sprintf("route %s: %d arguments for %d wildcards", r.Name, len(args), used))
	}
	return strings.Join(segments, "/")
}
