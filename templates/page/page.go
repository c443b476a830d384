// Package page owns what all pages share: the frame around them, the error page, the places where htmx puts fragments,
// and how sizes and times read.
//
// It decides nothing: statuses, sentences and rights come from the functions, security headers from templates/web. Pages
// work without any script; with htmx, some of their parts are replaced by fragments (see Fragments below).
//
// # Fragments
//
// Every page has two places for fragments beside its own: TroubleID, where errors of htmx requests land, and SayID, an
// invisible one for what a screen reader should hear. An answer with an error status needs no header: the part of it whose
// id is ErrorID goes to TroubleID, from a page as well as from a fragment. To put it elsewhere, call Aim. A successful
// fragment begins with Calm, which takes the last error away.
package page

import (
	"net/http"
	"strconv"
	"time"

	"left4me/shared/route"
	"left4me/templates/assets"
)

// Ids that answers to htmx requests aim at.
const (
	// TroubleID is the place where the error of a failed htmx request appears.
	TroubleID = "trouble"
	// ErrorID is the part of an error page or fragment that goes there.
	ErrorID = "error"
	// SayID is the invisible live region.
	SayID = "say"
)

// Person is who looks at the page.
type Person struct {
	// Name is empty when nobody is signed in.
	Name          string
	Administrator bool
}

// Section is an entry of the navigation.
type Section string

// The navigation's entries.
const (
	Overlays       Section = "overlays"
	Jobs           Section = "jobs"
	Administration Section = "administration"
	Account        Section = "account"
)

// Frame is what every page needs. The views of all nouns embed it.
type Frame struct {
	// Title names the page in the browser's tab.
	Title string
	// Section is the entry of the navigation that this page belongs to; empty for none.
	Section Section
	// Person is who is signed in; the zero Person is nobody and sees no navigation.
	Person Person
	// CSRF is the session's token, put into every form as csrf_token.
	CSRF string
	// Version is left4me's own, for the footer.
	Version string
	// Now is the moment that relative times refer to.
	Now time.Time
	// Notice is a sentence about what has just happened, shown on top of the page; empty for none.
	Notice string
	// Reload lets the page ask for itself every few seconds where no script can refresh its parts. It is not for pages into
	// which somebody types: what they have typed would be lost.
	Reload bool
}

// ErrorView is an error page: product.md P43.
type ErrorView struct {
	Frame
	// Status is the HTTP status that goes with it.
	Status int
	// Sentence says what is wrong and what to do, for the person who reads it.
	Sentence string
	// RequestID is shown for a fault of ours, so that the log line can be found; empty for a mistake of theirs.
	RequestID string
	// Next is where the person should go; empty leads to the start page. A 401 always leads to the sign-in form.
	Next string
}

// Aim makes htmx replace the element of that id with the element of the same id in the answer, whatever the answer's
// status is and whatever asked for it.
func Aim(h http.Header, id string) {
	h.Set("HX-Retarget", "#"+id)
	h.Set("HX-Reswap", "outerHTML")
	h.Set("HX-Reselect", "#"+id)
}

// htmxConfig keeps htmx inside a strict Content-Security-Policy, and says where errors go. The time limit is longer than
// any page's, so that it only ends requests whose answer was lost: without it, one lost answer would end the polling. With
// no delay before settling, htmx takes care of new forms as soon as somebody can press their buttons.
const htmxConfig = `{"includeIndicatorStyles":false,"allowEval":false,"allowScriptTags":false,"historyEnabled":false,"defaultSettleDelay":0,"timeout":40000,` +
	`"responseHandling":[{"code":"204","swap":false},{"code":"[23]..","swap":true},` +
	`{"code":"[45]..","swap":true,"error":true,"target":"#` + TroubleID + `","select":"#` + ErrorID + `","swapOverride":"innerHTML"}]}`

type entry struct {
	section Section
	title   string
	url     string
}

// entries are what the person may go to.
func (f Frame) entries() []entry {
	all := []entry{
		{Overlays, "Overlays", route.OverlayList.URL()},
		{Jobs, "Jobs", route.JobList.URL()},
	}
	if f.Person.Administrator {
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

// scripted reports whether pages come with htmx.
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

// way is the link that leads on from an error.
func (v ErrorView) way() (url, text string) {
	if v.Next != "" {
		return v.Next, "Go on"
	}
	return route.Home.URL(), "Go to the start page"
}
