// Package job owns the views of jobs: the list, the page with its live log, and the progress bar that overlay pages show
// too. What a job is, and who may see or cancel it, are shared/job's and the functions' business.
//
// # How a job page stays fresh
//
// While the job runs, the element ProgressID asks `GET /jobs/{id}?after=SEQ&state=STATE` once a second, where SEQ is the
// last line on the page and STATE the state that it shows. The function answers with Fragment over a ShowView that has
// only the lines after SEQ, and Seen set to STATE. The fragment replaces the bar, adds the lines to the log, and replaces
// the block with state and buttons only when the state differs, so that a button never vanishes under somebody's finger.
// When the job has ended and no line is left, it has no trigger any more, and the asking ends.
package job

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"left4me/shared/route"
	"left4me/templates/page"
)

// Ids that fragments aim at.
const (
	// StateID is the block with the state, the result and the buttons.
	StateID = "job-state"
	// ProgressID is the bar, and what asks for news.
	ProgressID = "job-progress"
	// LogID is the list of log lines.
	LogID = "job-log"
)

// Query parameters of route.JobShow and route.JobList.
const (
	// AfterParam holds the sequence number of the last log line that the page has; the answer is Fragment.
	AfterParam = "after"
	// StateParam holds the state that the page shows.
	StateParam = "state"
	// BeforeParam asks for what is older than this: log lines by sequence on a job's page, jobs by id on the list.
	BeforeParam = "before"
)

// Summary is one job in a list.
type Summary struct {
	ID int64
	// Operation is jobs.operation.
	Operation string
	// State is jobs.state.
	State string
	// OverlayID is zero for a job that is not about one overlay.
	OverlayID int64
	// OverlayName may be empty when the overlay is gone; then nothing links to it.
	OverlayName string
	// AskedBy is the name of who asked for it; empty when no person did.
	AskedBy string
	// Created, Started and Finished are zero for what has not happened.
	Created, Started, Finished time.Time
}

// Progress is how far a running job is. Totals are zero while nobody knows them.
type Progress struct {
	ItemsDone, ItemsTotal int
	BytesDone, BytesTotal int64
	// Current says what is being fetched now, in words that may come from strangers.
	Current string
}

// Line is one line of a job's log.
type Line struct {
	// Seq counts a job's lines upward.
	Seq int64
	At  time.Time
	// Stderr is whether it went to stderr rather than stdout.
	Stderr bool
	Text   string
}

// ListView is the list of jobs, newest first.
type ListView struct {
	page.Frame
	Jobs []Summary
	// Older is the BeforeParam of the next page; zero when there is none.
	Older int64
	// Later is whether newer jobs than these exist, on the pages before this one.
	Later bool
}

// ShowView is the page of one job, and the fragment that keeps it fresh.
type ShowView struct {
	page.Frame
	Job      Summary
	Progress Progress
	// CanCancel is whether this person may cancel it; the view looks itself whether the job can still be cancelled.
	CanCancel bool
	// Waiting says why a queued job has not started; may be empty.
	Waiting string
	// Result is one line about how it ended: its error, or its summary; may be empty.
	Result string
	// Failures are the last stderr lines, needed only for a failed job.
	Failures []Line
	// Log are the lines to show, oldest first: on the page the newest of them, or those before BeforeParam; in the
	// fragment those after AfterParam.
	Log []Line
	// After is the Seq of the last line that the page has once it shows Log.
	After int64
	// Earlier and Later are whether the log has lines before and after Log that the page does not show. With Later
	// the page is one of old lines, and does not ask for news.
	Earlier, Later bool
	// More is whether lines are left that did not fit into this fragment; it then asks for them at once.
	More bool
	// Seen is the state that the reader's page shows, from StateParam; only for Fragment.
	Seen string
}

// Words returns what an operation does, for people. An operation that this package does not know keeps its name.
func Words(operation string) string {
	switch operation {
	case "build_overlay":
		return "Build overlay"
	case "delete_overlay":
		return "Delete overlay"
	case "collect_garbage":
		return "Remove unneeded files"
	case "refresh_workshop_items":
		return "Refresh all workshop items"
	case "install":
		return "Install the game"
	case "server_init":
		return "Prepare server"
	case "server_start":
		return "Start server"
	case "server_stop":
		return "Stop server"
	}
	return operation
}

// Ended reports whether no state follows.
func (s Summary) Ended() bool {
	return s.State == "succeeded" || s.State == "failed" || s.State == "cancelled"
}

// took is how long the job has run, or ran.
func (s Summary) took(now time.Time) string {
	switch {
	case s.Started.IsZero():
		return ""
	case !s.Finished.IsZero():
		now = s.Finished
	}
	return page.Duration(now.Sub(s.Started))
}

// Announcement says the state to those who cannot see it.
func (s Summary) Announcement() string {
	return "Job " + strconv.FormatInt(s.ID, 10) + ": " + s.State
}

func (v ListView) titled() page.Frame {
	v.Frame.Title, v.Frame.Section = "Jobs", page.Jobs
	return v.Frame
}

func (v ListView) olderURL() string {
	return route.JobList.URL() + "?" + url.Values{BeforeParam: {strconv.FormatInt(v.Older, 10)}}.Encode()
}

// live is whether the page asks for news by itself.
func (v ShowView) live() bool { return !v.Later && (v.More || !v.Job.Ended()) }

func (v ShowView) titled() page.Frame {
	v.Frame.Title, v.Frame.Section = Words(v.Job.Operation)+", job "+strconv.FormatInt(v.Job.ID, 10), page.Jobs
	v.Frame.Reload = v.live()
	return v.Frame
}

// newsURL is what the fragment asks for. It names the state that the page shows once it has this fragment.
func (v ShowView) newsURL() string {
	return route.JobShow.URL(v.Job.ID) + "?" + url.Values{
		AfterParam: {strconv.FormatInt(v.After, 10)},
		StateParam: {v.Job.State},
	}.Encode()
}

func (v ShowView) trigger() string {
	if v.More {
		return "load, every 1s"
	}
	return "every 1s"
}

// earlierURL asks for the lines before the first that this page shows.
func (v ShowView) earlierURL() string {
	var first int64
	if len(v.Log) > 0 {
		first = v.Log[0].Seq
	}
	return route.JobShow.URL(v.Job.ID) + "?" + url.Values{BeforeParam: {strconv.FormatInt(first, 10)}}.Encode()
}

func (v ShowView) cancellable() bool {
	return v.CanCancel && (v.Job.State == "queued" || v.Job.State == "running")
}

// verdict is the one line about how the job stands.
func (v ShowView) verdict() string {
	switch v.Job.State {
	case "queued":
		if v.Waiting != "" {
			return v.Waiting
		}
		return "It starts as soon as the game host is free."
	case "running":
		return ""
	case "cancelling":
		return "It stops at the next safe point."
	}
	said := map[string]string{"succeeded": "Done", "failed": "Failed", "cancelled": "Cancelled"}[v.Job.State]
	if took := v.Job.took(v.Now); took != "" {
		said += " after " + took
	}
	if v.Result != "" {
		return said + ": " + v.Result
	}
	return said + "."
}

// failures are the lines that the verdict has not said.
func (v ShowView) failures() []Line {
	if v.Job.State != "failed" {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(v.Failures), func(l Line) bool { return v.Result != "" && strings.HasSuffix(l.Text, v.Result) })
}

// value and limit are what the bar shows: bytes where they are known, since items differ in size a thousandfold. A bar
// without a limit says that something goes on, and not how far it is.
func (p Progress) value() string {
	if p.BytesTotal > 0 {
		return strconv.FormatInt(min(p.BytesDone, p.BytesTotal), 10)
	}
	return strconv.Itoa(min(p.ItemsDone, p.ItemsTotal))
}

func (p Progress) limit() string {
	if p.BytesTotal > 0 {
		return strconv.FormatInt(p.BytesTotal, 10)
	}
	return strconv.Itoa(p.ItemsTotal)
}

func (p Progress) known() bool { return p.BytesTotal > 0 || p.ItemsTotal > 0 }

// words is the bar's label.
func (p Progress) words(running time.Duration) string {
	var parts []string
	if p.ItemsTotal > 0 {
		parts = append(parts, strconv.Itoa(p.ItemsDone)+" of "+page.Count(p.ItemsTotal, "item"))
	}
	if p.BytesTotal > 0 {
		parts = append(parts, page.Bytes(p.BytesDone)+" of "+page.Bytes(p.BytesTotal))
	}
	if rate := page.Rate(p.BytesDone, running); rate != "" {
		parts = append(parts, rate)
	}
	if len(parts) == 0 {
		return "Getting ready"
	}
	return strings.Join(parts, ", ")
}
