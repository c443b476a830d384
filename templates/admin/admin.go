// Package admin owns the views for administrators: the state of left4me, all jobs, hosts and people. The rules are those of the nouns
// that it shows.
package admin

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"left4me/shared/account"
	"left4me/shared/host"
	"left4me/shared/job"
	"left4me/shared/jobstore"
	"left4me/shared/list"
	"left4me/shared/overlay"
	"left4me/shared/route"
	"left4me/shared/workshop"
	"left4me/templates/page"
)

// HomeView is the overview.
type HomeView struct {
	page.Frame
	People   account.Counts
	Overlays []overlay.TypeCount
	Items    workshop.Counts
	Hosts    []host.Host
	// Queue counts the jobs that have not ended.
	Queue []jobstore.Count
	// Refresh is the newest refresh of all workshop items; the zero Job: there was none. RefreshLine is the last line of its log;
	// may be empty.
	Refresh     jobstore.Job
	RefreshLine string
}

// JobsView is the page of all jobs.
type JobsView struct {
	page.Frame
	// Live are the first jobs that have not ended, in the order in which they will run; LiveTotal counts all of them.
	Live      []jobstore.Job
	LiveTotal int
	Ended     list.Page[jobstore.Job]
}

// PeopleView is the page of all people.
type PeopleView struct {
	page.Frame
	People list.Page[account.Person]
	Create CreateForm `api:"-"`
	// ChangeError says why a change was refused; empty for none.
	ChangeError string `api:"-"`
	// NewPassword is a password that was made for the person named NewPasswordOf. It is shown only once.
	NewPassword, NewPasswordOf string
}

// CreateForm is the form for a new person.
type CreateForm struct {
	// Name and Administrator are what was sent before.
	Name          string
	Administrator bool
	// Error says why it was refused; empty the first time.
	Error string
}

// Values of the field ActionField of route.UserChange.
const (
	ActionField = "action"

	Promote       = "promote"
	Demote        = "demote"
	Disable       = "disable"
	Enable        = "enable"
	ResetPassword = "password"
)

func (v HomeView) items() int {
	return v.Items.Ready + v.Items.Waiting + v.Items.Failing + v.Items.Unused
}

func (v HomeView) overlays() (n int) {
	for _, c := range v.Overlays {
		n += c.Overlays
	}
	return n
}

func (v HomeView) peopleWords() string {
	words := page.Count(v.People.Administrators, "administrator")
	if v.People.Disabled > 0 {
		words += ", " + strconv.Itoa(v.People.Disabled) + " more disabled"
	}
	return words
}

func (v HomeView) overlayWords() string {
	var words []string
	for _, c := range v.Overlays {
		words = append(words, strconv.Itoa(c.Overlays)+" "+c.Type.Name)
	}
	return strings.Join(words, ", ")
}

func (v HomeView) itemWords() string {
	words := fmt.Sprintf("%d ready, %d waiting, %d failing", v.Items.Ready, v.Items.Waiting, v.Items.Failing)
	if v.Items.Unused > 0 {
		words += fmt.Sprintf(", %d not in use", v.Items.Unused)
	}
	return words
}

// hostTrouble says how many hosts need to be looked at; empty for none.
func (v HomeView) hostTrouble() string {
	var silent, stopped, full int
	for _, h := range v.Hosts {
		switch h.State(v.Now) {
		case host.AgentSilent:
			silent++
		case host.AgentStopped:
			stopped++
		}
		if host.Scarce(h.DiskTotal, h.DiskFree) {
			full++
		}
	}
	var words []string
	if silent > 0 {
		words = append(words, strconv.Itoa(silent)+" silent")
	}
	if stopped > 0 {
		words = append(words, strconv.Itoa(stopped)+" stopped")
	}
	if full > 0 {
		words = append(words, strconv.Itoa(full)+" with little free space")
	}
	return strings.Join(words, ", ")
}

// collecting is the state of the garbage collection that has not ended; empty for none.
func (v HomeView) collecting() job.State {
	for _, c := range v.Queue {
		if c.Operation == job.CollectGarbage.Name {
			return c.State
		}
	}
	return ""
}

// garbage sums up the unneeded files in the caches of the hosts that are not silent, and counts the hosts that know theirs.
func (v HomeView) garbage() (hosts int, files, bytes int64) {
	for _, h := range v.Hosts {
		if h.Usage.GarbageKnown && !h.Silent(v.Now) {
			hosts++
			files += h.Usage.GarbageFiles
			bytes += h.Usage.GarbageBytes
		}
	}
	return hosts, files, bytes
}

func titled(f page.Frame, title string) page.Frame {
	f.Title, f.Section = title, page.Administration
	return f
}

func (v JobsView) list() page.List {
	return page.List{ID: "ended", Place: v.Ended.Place, Path: route.AdminJobs.URL(), One: "job", Many: "jobs", States: jobstore.Ended.States}
}

func (v PeopleView) list() page.List {
	return page.List{ID: "people", Place: v.People.Place, Path: route.AdminUsers.URL(), One: "person", Many: "people", States: account.Listing.States}
}

// AskView is the page that asks before a person is changed.
type AskView struct {
	page.Frame
	Person account.Person
	// Action is one of those that Asks knows.
	Action string
}

// question is what the page asks before an action, and what follows from it.
type question struct {
	title, means, yes string
}

// questions are asked before these actions; %s is the person's name.
var questions = map[string]question{
	Promote:       {"Make %s an administrator?", "Administrators see and change everything: all overlays and jobs, and all people.", "Make administrator"},
	Demote:        {"Take the administrator's rights from %s?", "What they own stays theirs. They see nothing else of other people any more.", "Take the rights"},
	Disable:       {"Disable %s?", "They are signed out at once, and cannot sign in until somebody enables them again. Their overlays stay.", "Disable"},
	ResetPassword: {"Give %s a new password?", "The old one stops working and their sessions end, at once. The new one is shown only once, for you to hand over.", "Make a new password"},
}

// Asks reports whether there is a question before the action.
func Asks(action string) bool {
	_, ok := questions[action]
	return ok
}

func (v AskView) title() string { return fmt.Sprintf(questions[v.Action].title, v.Person.Name) }

func askURL(p account.Person, action string) string {
	return route.UserAsk.URL(p.ID) + "?" + url.Values{ActionField: {action}}.Encode()
}

// action is a button of a person's row.
type action struct{ name, label string }

func (v PeopleView) actions(p account.Person) []action {
	var all []action
	switch {
	case !p.Admin:
		all = append(all, action{Promote, "Promote"})
	case !p.Last:
		all = append(all, action{Demote, "Demote"})
	}
	switch {
	case p.Disabled:
		all = append(all, action{Enable, "Enable"})
	case !p.Last:
		all = append(all, action{Disable, "Disable"})
	}
	if p.ID != v.User.ID {
		all = append(all, action{ResetPassword, "New password"})
	}
	return all
}
