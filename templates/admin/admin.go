// Package admin owns the views of administrators: how left4me is doing, all jobs, all people. The rules are those of the
// nouns that it shows.
package admin

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"left4me/shared/route"
	"left4me/templates/job"
	"left4me/templates/page"
)

// HomeView is the page that says how left4me is doing.
type HomeView struct {
	page.Frame
	// People may sign in, Administrators among them; Disabled people are counted apart.
	People, Administrators, Disabled int
	Overlays                         []Type
	// Ready items are downloaded and current, Waiting ones are to be downloaded, Failing ones cannot be. Unused ones are
	// neither downloaded nor in any overlay.
	Ready, Waiting, Failing, Unused int
	Hosts                           []Host
	Queue                           []Queue
	Refresh                         Refresh
	Garbage                         Garbage
}

// Type is how many overlays of a type there are.
type Type struct {
	Name     string
	Overlays int
}

// Host is what a host agent has last said of itself.
type Host struct {
	Name, Command, Version string
	Seen                   time.Time
	// Silent is whether it should have been heard of again by now.
	Silent bool
	// DiskTotal is zero when the disk could not be looked at.
	DiskTotal, DiskFree int64
	// Scarce is whether the free space should be seen to.
	Scarce bool
	// Measured is when what follows was counted; zero: not yet.
	Measured                 time.Time
	CacheFiles, Overlays     int
	CacheBytes, OverlayBytes int64
}

// Queue is how many jobs of an operation are in a state that is not the end.
type Queue struct {
	Operation, State string
	Jobs             int
	// Oldest is when the oldest of them was asked for.
	Oldest time.Time
}

// Refresh is the newest refresh of all workshop items. The zero Refresh says that there never was one.
type Refresh struct {
	Job job.Summary
	// LastLine is the last line of its log; may be empty.
	LastLine string
}

// Garbage is what nobody needs in the caches of the hosts that are there.
type Garbage struct {
	// Hosts counts those that have said something about it.
	Hosts int
	Files int
	Bytes int64
}

// JobsView is the page of all jobs.
type JobsView struct {
	page.Frame
	// Live are the jobs that have not ended, in the order in which they come to their turn; LiveTotal counts all of them.
	Live      []job.Summary
	LiveTotal int
	// State is the one that Ended is limited to; empty for none.
	State string
	// Ended are the jobs that have, newest first.
	Ended []job.Summary
	// Older is the job.BeforeParam of the next page; zero when there is none.
	Older int64
	// Later is whether the pages before this one show newer jobs.
	Later bool
}

// StateParam is the query parameter of route.AdminJobs that limits the jobs that have ended.
const StateParam = "state"

// States are the values of StateParam.
var States = []string{"succeeded", "failed", "cancelled"}

// PeopleView is the page of all people.
type PeopleView struct {
	page.Frame
	People []Person
	Create CreateForm
	// Trouble says why a change was refused; empty for none.
	Trouble string
	// Fresh is a password to hand over; it is shown this once.
	Fresh Fresh
}

// Person is one row.
type Person struct {
	ID            int64
	Name          string
	Administrator bool
	Disabled      bool
	// Last is whether it is the last administrator, who stays one.
	Last bool
	// You is whether it is who looks at the page.
	You bool
	// Created is never zero; SignedIn is for somebody who never was.
	Created, SignedIn time.Time
}

// CreateForm is what was typed, and what was wrong with it.
type CreateForm struct {
	Name          string
	Administrator bool
	Error         string
}

// Fresh is a password that was made for somebody.
type Fresh struct {
	Name, Password string
}

// Values of the field ActionField of route.UserChange.
const (
	ActionField = "action"

	Promote     = "promote"
	Demote      = "demote"
	Disable     = "disable"
	Enable      = "enable"
	NewPassword = "password"
)

func (v HomeView) items() int { return v.Ready + v.Waiting + v.Failing + v.Unused }

func (v HomeView) overlays() (n int) {
	for _, t := range v.Overlays {
		n += t.Overlays
	}
	return n
}

func (v HomeView) peopleWords() string {
	words := page.Count(v.Administrators, "administrator")
	if v.Disabled > 0 {
		words += ", " + strconv.Itoa(v.Disabled) + " more disabled"
	}
	return words
}

func (v HomeView) overlayWords() string {
	var words []string
	for _, t := range v.Overlays {
		words = append(words, strconv.Itoa(t.Overlays)+" "+t.Name)
	}
	return strings.Join(words, ", ")
}

// collecting is the state of a job that removes what nobody needs and has not ended; empty for none.
func (v HomeView) collecting() string {
	for _, q := range v.Queue {
		if q.Operation == "collect_garbage" {
			return q.State
		}
	}
	return ""
}

func (v HomeView) itemWords() string {
	words := fmt.Sprintf("%d ready, %d waiting, %d failing", v.Ready, v.Waiting, v.Failing)
	if v.Unused > 0 {
		words += fmt.Sprintf(", %d in no overlay", v.Unused)
	}
	return words
}

func titled(f page.Frame, title string) page.Frame {
	f.Title, f.Section = title, page.Administration
	return f
}

// jobsURL is the page of jobs that ended in a state (any, when it is empty), from the newest or from before an id on.
func jobsURL(state string, before int64) string {
	query := url.Values{}
	if state != "" {
		query.Set(StateParam, state)
	}
	if before != 0 {
		query.Set(job.BeforeParam, strconv.FormatInt(before, 10))
	}
	if len(query) == 0 {
		return route.AdminJobs.URL()
	}
	return route.AdminJobs.URL() + "?" + query.Encode()
}

// action is a button of a person's row.
type action struct{ name, label string }

func (p Person) actions() []action {
	var all []action
	switch {
	case !p.Administrator:
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
	if !p.You {
		all = append(all, action{NewPassword, "New password"})
	}
	return all
}
