// Package overlay owns the views of overlays: the list with the form for a new one, and the page of one with its workshop
// items. Who may do what is decided by the functions, which fill the views.
//
// # Fragments
//
// The add form and the remove buttons are plain forms. Asked by htmx, route.ItemAdd and route.ItemRemove answer 200 with
// Changed, over a ShowView as for the page. A refused input is answered 400 with AddError after page.Aim(header,
// AddErrorID), so that what the person typed stays in the box.
//
// While a job of the overlay is queued or running, the element JobProgressID asks `GET /overlays/{id}?job=ID&state=STATE`
// once a second; the function answers with News, with Live.SeenJob and SeenState set from the parameters. It fills Live
// with the job that is active, else with the one that was seen, so that its end can be told.
package overlay

import (
	"net/url"
	"strconv"
	"strings"
	"time"

	"left4me/shared/route"
	"left4me/templates/job"
	"left4me/templates/page"
)

// Ids that fragments aim at.
const (
	// ItemsID is the section with the table of items.
	ItemsID = "items"
	// ItemListID is the table alone.
	ItemListID = "item-list"
	// InputID is the box to paste into.
	InputID = "input"
	// AddErrorID is the place for a sentence about what was pasted.
	AddErrorID = "add-error"
	// BuildID is the sentence about the last build.
	BuildID = "overlay-build"
	// JobID is the strip about the running job.
	JobID = "overlay-job"
	// JobProgressID is the bar inside that strip, and what asks for news.
	JobProgressID = "overlay-progress"
)

// Query parameters of route.OverlayShow; with JobParam the answer is News.
const (
	// JobParam holds the id of the job whose strip the page shows.
	JobParam = "job"
	// StateParam holds the state that the strip shows.
	StateParam = "state"
)

// The overlay types that these views know. Another type is shown by its name, like an external one.
const (
	Workshop = "workshop"
	External = "external"
)

// inputModes are the values of input_mode (product.md P12) in the words of the form.
var inputModes = []struct{ value, words string }{
	{"auto", "items or collections"},
	{"items", "only items"},
	{"collection", "only collections"},
}

// Build is how an overlay's last build went.
type Build struct {
	// Status is overlays.last_build_status: `ok`, `failed`, or empty before the first build has ended.
	Status string
	// At is when it ended.
	At time.Time
	// JobID is its job, or zero when that is not known. Nothing links to it while another build is Active.
	JobID int64
	// Active is the state of a build that has not ended (`queued`, `running`, `cancelling`), or empty.
	Active string
}

// Row is one overlay in the list.
type Row struct {
	ID   int64
	Name string
	Type string
	// Owner is the name of whose it is; empty for the system's.
	Owner string
	Build Build
}

// CreateForm is what the form for a new overlay holds.
type CreateForm struct {
	// Types are what this person may create, in order; the first is chosen unless Type says otherwise.
	Types []string
	// Name and Type are what the person sent before.
	Name, Type string
	// Error says why it was refused; empty the first time.
	Error string
}

// ListView is the list of overlays.
type ListView struct {
	page.Frame
	Overlays []Row
	Create   CreateForm
}

// Item is one workshop item of an overlay.
type Item struct {
	// ID is workshop_items.id, which removing it needs.
	ID int64
	// SteamID is digits.
	SteamID string
	// Title is a stranger's text; empty when Steam gave none.
	Title string
	// PreviewURL is shown when it is an http or https URL.
	PreviewURL string
	// Size in bytes; zero or less when unknown.
	Size int64
	// Updated is when Steam last changed it, Downloaded when it was last fetched; zero for never.
	Updated, Downloaded time.Time
	// State in the words of product.md P17.
	State string
}

// Outcome is what the last change did; the zero Outcome is no change.
type Outcome struct {
	// Added and Already count what was pasted: new items, and those that were in the overlay before.
	Added, Already int
	// Unavailable counts those among the added that Steam does not give for download.
	Unavailable int
	// Collections counts the collections that were read; Skipped, entries of them that are no items.
	Collections, Skipped int
	// Removed is the item that was taken out; nil when none was.
	Removed *Item
	// JobID is the build that will carry it out; zero when nothing is to be done.
	JobID int64
}

// Live is the job of an overlay that is queued or running, or has just ended; the zero Live is none.
type Live struct {
	Job      job.Summary
	Progress job.Progress
	// SeenJob and SeenState are what the reader's page shows, from JobParam and StateParam; only for News.
	SeenJob   int64
	SeenState string
}

// ShowView is the page of one overlay, and all its fragments.
type ShowView struct {
	page.Frame
	ID    int64
	Name  string
	Type  string
	Owner string
	// Path is the directory on the game host.
	Path  string
	Build Build
	Live  Live
	// CanEdit is whether this person may add and remove items, CanBuild whether they may ask for a build, rename and delete.
	CanEdit, CanBuild bool
	// Input is what the person pasted before, when it was refused, as what (InputMode), and InputError why.
	Input, InputMode, InputError string
	// NewName is the name that was refused, and RenameError why.
	NewName, RenameError string
	// DeleteError says why deleting was refused; empty otherwise.
	DeleteError string
	Items       []Item
	Outcome     Outcome
	// Examples are texts to paste, shown while the overlay is empty.
	Examples []string
}

// typeWords is how a type is called, typeHint what it is for.
func typeWords(t string) string {
	switch t {
	case Workshop:
		return "Workshop"
	case External:
		return "External"
	}
	return t
}

func typeHint(t string) string {
	switch t {
	case Workshop:
		return "left4me fetches workshop items into it and keeps them fresh."
	case External:
		return "You put the files there by hand; left4me only makes the directory."
	}
	return ""
}

func (v ListView) titled() page.Frame {
	v.Frame.Title, v.Frame.Section = "Overlays", page.Overlays
	return v.Frame
}

func (v ShowView) titled() page.Frame {
	v.Frame.Title, v.Frame.Section = v.Name, page.Overlays
	return v.Frame
}

// active is whether there is something to ask about once a second.
func (l Live) active() bool { return l.Job.ID != 0 && !l.Job.Ended() }

// changed is whether the page shows another job or state than this; ended whether the job that it shows is over.
func (l Live) changed() bool { return l.Job.ID != l.SeenJob || l.Job.State != l.SeenState }

func (l Live) ended() bool { return l.Job.ID != l.SeenJob || !l.active() }

// typedName is what the form for another name holds.
func (v ShowView) typedName() string {
	if v.RenameError != "" {
		return v.NewName
	}
	return v.Name
}

func (v ShowView) newsURL() string {
	return route.OverlayShow.URL(v.ID) + "?" + url.Values{
		JobParam:   {strconv.FormatInt(v.Live.Job.ID, 10)},
		StateParam: {v.Live.Job.State},
	}.Encode()
}

// Sentence is the outcome without its links and its full stop; empty for none.
func (o Outcome) Sentence() string {
	var parts []string
	if o.Removed != nil {
		parts = append(parts, o.Removed.name()+" removed")
	}
	if o.Added > 0 {
		added := strconv.Itoa(o.Added) + " added"
		if o.Collections > 0 {
			added += " from " + page.Count(o.Collections, "collection")
		}
		parts = append(parts, added)
	}
	switch {
	case o.Already == 1 && o.Added == 0:
		parts = append(parts, "already in overlay")
	case o.Already > 0:
		parts = append(parts, strconv.Itoa(o.Already)+" already in overlay")
	}
	if o.Unavailable > 0 {
		parts = append(parts, strconv.Itoa(o.Unavailable)+" cannot be downloaded from Steam")
	}
	if o.Skipped > 0 {
		parts = append(parts, strconv.Itoa(o.Skipped)+" skipped because they are no items")
	}
	return strings.Join(parts, ", ")
}

// name is what to call an item that may have no title.
func (i Item) name() string {
	if i.Title != "" {
		return i.Title
	}
	return "Item " + i.SteamID
}

func (i Item) steamURL() string {
	return "https://steamcommunity.com/sharedfiles/filedetails/?" + url.Values{"id": {i.SteamID}}.Encode()
}

// picture is the preview's URL if it is one that a browser may fetch; the Content-Security-Policy says from which hosts.
func (i Item) picture() string {
	u, err := url.Parse(i.PreviewURL)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return ""
	}
	return u.String()
}

// tone is the shape and colour beside an item's state.
func (i Item) tone() string {
	switch {
	case i.State == "ready":
		return "good"
	case i.State == "waiting for download", i.State == "update waiting":
		return "waits"
	}
	return "bad"
}

// total is the sum of the sizes that are known.
func (v ShowView) total() int64 {
	var sum int64
	for _, i := range v.Items {
		sum += max(i.Size, 0)
	}
	return sum
}
