// Package page owns what all pages share: their layout, the error page, the elements that htmx fills, and the text of sizes and
// times.
//
// Statuses, error sentences and permissions come from the functions. Pages work without any script. With htmx, fragments replace
// parts of them.
//
// # Fragments
//
// Every page has two elements for fragments: TroubleID, which shows the error of an htmx request, and SayID, an invisible live
// region for screen readers. When an answer has an error status, htmx puts the element ErrorID of the page or fragment into
// TroubleID; Retarget sends it elsewhere. A successful fragment begins with ClearError, which removes the last error.
package page

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"left4me/shared/account"
	"left4me/shared/route"
	"left4me/templates/assets"
)

// Ids of elements that htmx replaces or reads.
const (
	// TroubleID is the element that shows the error of a failed htmx request.
	TroubleID = "trouble"
	// ErrorID is the part of an error page or fragment that is put into TroubleID.
	ErrorID = "error"
	// SayID is the invisible live region.
	SayID = "say"
)

// Section is an entry of the navigation.
type Section string

// The navigation's entries.
const (
	Overlays       Section = "overlays"
	Blueprints     Section = "blueprints"
	Servers        Section = "servers"
	Jobs           Section = "jobs"
	Administration Section = "administration"
	Account        Section = "account"
)

// Frame is what every page needs. The views of all nouns embed it.
type Frame struct {
	// Title names the page in the browser's tab.
	Title string `api:"-"`
	// Section is the entry of the navigation that this page belongs to; empty for none.
	Section Section `api:"-"`
	// User is the person who looks at the page; the zero User is not signed in and sees no navigation.
	User account.User `api:"-"`
	// CSRF is the session's token, put into every form as csrf_token.
	CSRF string `api:"-"`
	// Version is left4me's version, for the footer.
	Version string `api:"-"`
	// Now is the time that relative times are computed from.
	Now time.Time `api:"-"`
	// Say is a sentence for screen readers about the part of the page that htmx asked for; empty for none.
	Say string `api:"-"`
	// Notice is a sentence about what has just happened, shown on top of the page; empty for none.
	Notice string `api:"-"`
	// Ended is whether the page answers a request whose session has ended. app.js looks whether there is a new one.
	Ended bool `api:"-"`
	// Preview is what chats show of a link to the page, instead of what left4me is in general.
	Preview Preview `api:"-"`
	// Reload makes the page reload itself every few seconds if scripts are off. It must not be set for pages with a text field:
	// a reload would discard what somebody has typed.
	Reload bool `api:"-"`
}

// Preview is a link's description and picture. The zero Preview is none.
type Preview struct {
	Description string
	// Picture is a URL; empty for none.
	Picture string
}

// ErrorView is an error page: product.md P43.
type ErrorView struct {
	Frame
	// Status is the HTTP status that goes with it.
	Status int
	// Sentence says what is wrong and what to do, for the person who reads it.
	Sentence string
	// RequestID is also in the log. It is empty unless the error is a fault of left4me.
	RequestID string
	// Kept is the form that was refused before it was looked at; the zero Form if nothing was typed.
	Kept Form
}

// Form is a form that somebody has sent.
type Form struct {
	// Action is the path that it was sent to.
	Action string
	// Typed is the field with typed text, and Hidden are the others.
	Typed  Field
	Hidden []Field
}

// Field is one field of a Form.
type Field struct{ Name, Value string }

// BesideParam is the query parameter, and the form field, with which somebody signs in for a page in another tab.
const BesideParam = "beside"

// Retarget makes htmx replace the element with that id by the element with the same id in the answer, whatever the answer's status
// and the request's target are.
func Retarget(h http.Header, id string) {
	h.Set("HX-Retarget", "#"+id)
	h.Set("HX-Reswap", "outerHTML")
	h.Set("HX-Reselect", "#"+id)
}

// SetSecurityHeaders sets the headers that every answer has. Scripts and styles may come only from left4me itself, pictures also
// from pictureHosts, which are sources of a Content-Security-Policy.
func SetSecurityHeaders(h http.Header, pictureHosts ...string) {
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; form-action 'self'; "+
		"base-uri 'none'; frame-ancestors 'none'; img-src "+strings.Join(append([]string{"'self'"}, pictureHosts...), " "))
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
}

// htmxConfig makes htmx work with a strict Content-Security-Policy, and sends errors to TroubleID. The time limit is longer than
// that of any route, so that it ends only requests whose answer was lost: without it, one lost answer would end the polling.
// The browser's buttons back and forward load pages anew, so that nothing of them is stored in the browser. Without a settle delay, htmx
// handles a new form as soon as somebody can press its button. It must not copy attributes from the elements that it replaces, because
// the policy forbids to set style.
const htmxConfig = `{"includeIndicatorStyles":false,"attributesToSettle":[],"allowEval":false,"allowScriptTags":false,"historyCacheSize":0,"refreshOnHistoryMiss":true,"defaultSettleDelay":0,"timeout":40000,` +
	`"responseHandling":[{"code":"204","swap":false},{"code":"[23]..","swap":true},` +
	`{"code":"[45]..","swap":true,"error":true,"target":"#` + TroubleID + `","select":"#` + ErrorID + `","swapOverride":"innerHTML"}]}`

type entry struct {
	section Section
	title   string
	url     string
}

// entries returns the navigation's entries that the person may open.
func (f Frame) entries() []entry {
	all := []entry{
		{Overlays, "Overlays", route.OverlayList.URL()},
		{Blueprints, "Blueprints", route.BlueprintList.URL()},
		{Servers, "Servers", route.ServerList.URL()},
		{Jobs, "Jobs", route.JobList.URL()},
	}
	if f.User.Admin {
		all = append(all, entry{Administration, "Admin", route.AdminHome.URL()})
	}
	return all
}

func (f Frame) fullTitle() string {
	if f.Title == "" {
		return "left4me"
	}
	return f.Title + " · left4me"
}

// scripted reports whether pages come with scripts.
func scripted() bool { return assets.Has(assets.Htmx) }

func heading(status int) string {
	switch status {
	case http.StatusBadRequest:
		return "That did not work"
	case http.StatusUnauthorized:
		return "You are not signed in"
	case http.StatusForbidden:
		return "That is not allowed"
	case http.StatusNotFound:
		return "Nothing is here"
	case http.StatusMethodNotAllowed:
		return "This page cannot do that"
	case http.StatusConflict:
		return "That is taken"
	case http.StatusRequestEntityTooLarge:
		return "That is too much at once"
	case http.StatusTooManyRequests:
		return "Too many tries"
	case http.StatusBadGateway:
		return "Something failed just now"
	case http.StatusServiceUnavailable:
		return "left4me is busy"
	case http.StatusGatewayTimeout:
		return "That took too long"
	}
	if status >= http.StatusInternalServerError {
		return "Something broke here"
	}
	if text := http.StatusText(status); text != "" {
		return text
	}
	return "Error " + strconv.Itoa(status)
}

func (v ErrorView) titled() Frame {
	f := v.Frame
	f.Title = heading(v.Status)
	return f
}
