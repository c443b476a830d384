// Package job owns the views of jobs: the lists, the page of one job with its live log, and the progress bar that overlay pages
// show too.
//
// # How a job page is updated
//
// While the job runs, the element ProgressID asks `GET /jobs/{id}?after=SEQ&state=STATE`, as often as PollEvery says, where SEQ is the
// last line on the page and STATE the state that it shows. The function answers with Fragment over a ShowView that has
// only the lines after SEQ, and Seen set to STATE. The fragment replaces the bar, adds the lines to the log, and replaces
// the element with the state and the buttons only when the state differs, so that a button is not replaced while somebody presses
// it. When the job has ended and no line is left, the bar has no trigger any more, and the polling ends.
package job

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"left4me/shared/job"
	"left4me/shared/jobstore"
	"left4me/shared/list"
	"left4me/shared/route"
	"left4me/templates/page"
)

// Ids of elements that fragments replace.
const (
	// StateID is the element with the state, the result and the buttons.
	StateID = "job-state"
	// ProgressID is the bar, which also polls.
	ProgressID = "job-progress"
	// LogID is the list of log lines.
	LogID = "job-log"
)

// Query parameters of route.JobShow.
const (
	// AfterParam holds the sequence number of the last log line that the page has; the answer is Fragment.
	AfterParam = "after"
	// StateParam holds the state that the page shows.
	StateParam = "state"
	// BeforeParam asks for log lines before the one with this sequence number.
	BeforeParam = "before"
)

// ListView is the list of jobs.
type ListView struct {
	page.Frame
	Jobs list.Page[jobstore.Job]
}

// ShowView is the page of one job, and the fragment that updates it.
type ShowView struct {
	page.Frame
	Job jobstore.Job
	// Summary is the last line of a succeeded job's output; may be empty.
	Summary string
	// Failures are the last stderr lines of a failed job.
	Failures []jobstore.Line
	// Log are the lines to show, oldest first: on the page the newest of them, or those before BeforeParam; in the
	// fragment those after AfterParam.
	Log []jobstore.Line
	// After is the sequence number of the last line that the page has once it shows Log.
	After int64
	// Earlier and Later are whether the log has lines before and after Log that the page does not show. A page with Later
	// does not poll.
	Earlier, Later bool
	// More is whether there are lines that did not fit into this fragment; it then asks for them at once.
	More bool
	// Seen is the state that the reader's page shows, from StateParam; only for Fragment.
	Seen job.State `api:"-"`
}

// pages are the pages of what jobs are about, by its id.
var pages = map[job.Kind]route.Route{
	job.Overlays: route.OverlayShow,
	job.Servers:  route.ServerShow,
	job.Webhooks: route.WebhookShow,
}

// kindTitle is the word for a subject, such as Overlay.
func kindTitle(k job.Kind) string { return strings.ToUpper(string(k[:1])) + string(k[1:]) }

// onHost reports whether pages say on which host the job is.
func onHost(j jobstore.Job) bool { return j.SeveralHosts && j.HostID != "" }

// number returns a job's id as text.
func number(j jobstore.Job) string { return strconv.FormatInt(j.ID, 10) }

// took returns how long the job has run, or ran.
func took(j jobstore.Job, now time.Time) string {
	switch {
	case j.StartedAt.IsZero():
		return ""
	case !j.FinishedAt.IsZero():
		now = j.FinishedAt
	}
	return page.Duration(now.Sub(j.StartedAt))
}

// Announcement is the sentence about the job's state for screen readers.
func Announcement(j jobstore.Job) string { return "Job " + number(j) + ": " + string(j.State) }

func (v ListView) titled() page.Frame {
	v.Frame.Title, v.Frame.Section = "Jobs", page.Jobs
	return v.Frame
}

func (v ListView) list() page.List {
	return page.List{ID: "jobs", Place: v.Jobs.Place, Path: route.JobList.URL(), One: "job", Many: "jobs"}
}

// live is whether the page polls.
func (v ShowView) live() bool { return !v.Later && (v.More || !v.Job.State.Ended()) }

func (v ShowView) titled() page.Frame {
	v.Frame.Title, v.Frame.Section = v.Job.Title()+", job "+number(v.Job), page.Jobs
	v.Frame.Reload = v.live()
	return v.Frame
}

// newsURL is the URL that the page polls once it shows this fragment.
func (v ShowView) newsURL() string {
	return route.JobShow.URL(v.Job.ID) + "?" + url.Values{
		AfterParam: {strconv.FormatInt(v.After, 10)},
		StateParam: {string(v.Job.State)},
	}.Encode()
}

func (v ShowView) trigger() string {
	every := PollEvery(v.Job, v.Now)
	if v.More {
		return "load, " + every
	}
	return every
}

// maxPause is the longest pause between two requests of a page about its job.
const maxPause = 10 * time.Second

// PollEvery is the hx-trigger of an element that asks how job j is: once a second while it runs, and less and less often while it
// waits.
func PollEvery(j jobstore.Job, now time.Time) string {
	pause := time.Second
	if j.State == job.Queued {
		pause = min(max(pause, now.Sub(j.CreatedAt)/5), maxPause)
	}
	return "every " + strconv.Itoa(int(pause.Seconds())) + "s"
}

// earlierURL is the page of the lines before the first that this page shows.
func (v ShowView) earlierURL() string {
	var first int64
	if len(v.Log) > 0 {
		first = v.Log[0].Seq
	}
	return route.JobShow.URL(v.Job.ID) + "?" + url.Values{BeforeParam: {strconv.FormatInt(first, 10)}}.Encode()
}

// cancellable is whether cancelling has an effect. Everybody who may see a job may cancel it.
func (v ShowView) cancellable() bool { return v.Job.State == job.Queued || v.Job.State == job.Running }

// result is one line about how the job ended.
func (v ShowView) result() string {
	if v.Summary != "" {
		return v.Summary
	}
	return v.Job.Error
}

// verdict is one line about the state of the job.
func (v ShowView) verdict() string {
	var text string
	switch v.Job.State {
	case job.Cancelling:
		return "It stops at the next safe point."
	case job.Succeeded:
		text = "Done"
	case job.Failed:
		text = "Failed"
	case job.Cancelled:
		text = "Cancelled"
	default:
		return ""
	}
	if took := took(v.Job, v.Now); took != "" {
		text += " after " + took
	}
	if result := v.result(); result != "" {
		return text + ": " + result
	}
	return text + "."
}

// failures are the lines that the verdict does not repeat.
func (v ShowView) failures() []jobstore.Line {
	result := v.result()
	return slices.DeleteFunc(slices.Clone(v.Failures), func(l jobstore.Line) bool { return result != "" && strings.HasSuffix(l.Text, result) })
}

// barValue and barLimit are the numbers of the bar: bytes if they are known, since items differ in size a thousandfold. A bar
// without a limit shows only that the job runs.
func barValue(p jobstore.Progress) string {
	if p.BytesTotal > 0 {
		return strconv.FormatInt(min(p.BytesDone, p.BytesTotal), 10)
	}
	return strconv.FormatInt(min(p.ItemsDone, p.ItemsTotal), 10)
}

func barLimit(p jobstore.Progress) string {
	if p.BytesTotal > 0 {
		return strconv.FormatInt(p.BytesTotal, 10)
	}
	return strconv.FormatInt(p.ItemsTotal, 10)
}

// barLabel describes the progress of a job that has been running for so long.
func barLabel(p jobstore.Progress, running time.Duration) string {
	var parts []string
	if p.ItemsTotal > 0 {
		parts = append(parts, strconv.FormatInt(p.ItemsDone, 10)+" of "+page.Count(int(p.ItemsTotal), "item"))
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
