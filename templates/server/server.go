// Package server owns the views of game servers: the list with the form for a new one, and the page of one.
//
// # Fragments
//
// While a job of the server is queued or running, the element JobProgressID asks `GET /servers/{id}?job=ID&state=STATE`, as often as a
// job's page asks. The function answers with News, with SeenJob and SeenState set from the parameters. Until that job is in another state,
// it reads nothing else for the answer.
//
// The element LivePollID asks `GET /servers/{id}?live=VERSION` every few seconds, where VERSION stands for what the page shows. The function
// answers with LiveNews, with SeenVersion set. Unless something has changed, it reads only the server for that.
//
// When somebody opens the console, ConsolePollID asks `GET /servers/{id}?console=LINE&lines=COUNT`, and then every second. The function answers
// with ConsoleNews, with SeenLine and SeenLines set, and has the server's host copy the console for a while.
package server

import (
	"fmt"
	"net/url"
	"strconv"
	"time"

	"left4me/shared/job"
	"left4me/shared/jobstore"
	"left4me/shared/list"
	"left4me/shared/route"
	"left4me/shared/server"
	"left4me/shared/vpk"
	"left4me/templates/page"
)

// Ids of elements that fragments replace.
const (
	// NowID is the section with the state, the buttons and the job.
	NowID = "server-now"
	// JobProgressID is the bar inside that section, which also polls.
	JobProgressID = "server-progress"
	// LiveID is the section about who plays, and LivePollID what asks for changes of the page.
	LiveID     = "server-live"
	LivePollID = "server-poll"
	// ConsoleID is the section with the console, ConsoleLinesID the list of its lines, and ConsolePollID what asks for more.
	ConsoleID      = "server-console"
	ConsoleLinesID = "server-console-lines"
	ConsolePollID  = "server-console-poll"
	// CommandsID has the forms about a game that runs.
	CommandsID = "server-commands"
	// RunID is the section about the last run.
	RunID = "server-run"
	// EventsID is the section about what happened.
	EventsID = "server-events"
	// UpdateID is the part of the page about an update that waits.
	UpdateID = "server-update"
	// HistoryID is the section about players and runs.
	HistoryID = "server-history"
)

// Query parameters of route.ServerShow; with JobParam the answer is News, with LiveParam LiveNews, with
// ConsoleParam ConsoleNews.
const (
	// JobParam holds the id of the job that the page shows.
	JobParam = "job"
	// StateParam holds the state of that job on the page.
	StateParam = "state"
	// LiveParam holds what stands for the rest of the page.
	LiveParam = "live"
	// ConsoleParam holds the id of the last line of the console on the page, and LinesParam how many lines that has. Without them, but for
	// a fragment, the page does not show the console.
	ConsoleParam = "console"
	LinesParam   = "lines"
)

// Form is a form about a server as it was sent, with why it was refused.
type Form struct {
	Name, Host, Port, Blueprint, Owner string
	Public                             bool
	// Restart is a server.PolicyKind, with its time or hours.
	Restart, RestartTime, RestartHours string
	// Error is empty the first time.
	Error string
}

// ListView is the list of servers.
type ListView struct {
	page.Frame
	Servers list.Page[server.Server]
	Choices server.Choices
	// FreePort is suggested for a new server.
	FreePort int
	Create   Form `api:"-"`
}

// ShowView is the page of one server, and all its fragments.
type ShowView struct {
	page.Frame
	Server server.Server
	// Run is the newest run that was started, and Stack its content; the zero Run is none.
	Run    server.Run
	Stack  []server.RunOverlay
	Events []server.Event
	// Runs are the newest runs, with Run, and Populations how many people played in the last day.
	Runs        []server.Run
	Populations []server.Population
	// Choices are what the form offers.
	Choices server.Choices
	// Origin is web.Request.Origin.
	Origin string
	// Job is the server's job that is queued or running, or has just ended; the zero Job is none.
	Job jobstore.Job
	// SeenJob and SeenState are what the reader's page shows, from JobParam and StateParam; only for News.
	SeenJob   int64     `api:"-"`
	SeenState job.State `api:"-"`
	// SeenVersion is from LiveParam; only for LiveNews.
	SeenVersion string `api:"-"`
	// SeenLine and SeenLines are from ConsoleParam and LinesParam; only for ConsoleNews.
	SeenLine  int64 `api:"-"`
	SeenLines int   `api:"-"`
	// Console are the lines that the console has said after SeenLine, if Watches is true: then the console is open.
	Console []server.ConsoleLine `api:"-"`
	Watches bool                 `api:"-"`
	// Players are those of the server.
	Players []server.Player
	// Campaigns are those in the items of the run.
	Campaigns []vpk.Campaign
	// Command and Say are what was typed, and CommandError says why it was refused.
	Command, Say, CommandError string `api:"-"`
	Change                     Form   `api:"-"`
	// ResetError and DeleteError say why those were refused.
	ResetError, DeleteError string `api:"-"`
}

func (v ListView) titled() page.Frame {
	v.Frame.Title, v.Frame.Section = "Servers", page.Servers
	return v.Frame
}

func (v ListView) list() page.List {
	return page.List{ID: "servers", Place: v.Servers.Place, Path: route.ServerList.URL(), One: "server", Many: "servers", States: server.Listing.States}
}

// form is what the form for a new server shows.
func (v ListView) form() Form {
	f := v.Create
	if f.Port == "" {
		f.Port = strconv.Itoa(v.FreePort)
	}
	if f.Owner == "" {
		f.Owner = strconv.FormatInt(v.User.ID, 10)
	}
	return f
}

func (v ShowView) titled() page.Frame {
	v.Frame.Title, v.Frame.Section = v.Server.Name, page.Servers
	return v.Frame
}

// form is what the form with the settings shows.
func (v ShowView) form() Form {
	if v.Change.Error != "" {
		return v.Change
	}
	s := v.Server
	f := Form{Name: s.Name, Port: strconv.Itoa(s.Port), Blueprint: strconv.FormatInt(s.BlueprintID, 10), Owner: strconv.FormatInt(s.OwnerID, 10), Public: s.Public, Restart: string(s.Policy.Kind)}
	switch s.Policy.Kind {
	case server.Daily:
		f.RestartTime = s.Policy.Time()
	case server.AtLatest:
		f.RestartHours = strconv.Itoa(s.Policy.Hours)
	}
	return f
}

// policies are the choices for when a server is restarted.
var policies = []struct {
	kind server.PolicyKind
	name string
}{
	{server.WhenEmpty, "When nobody plays"},
	{server.AtLatest, "When nobody plays, after some hours at the latest"},
	{server.Daily, "Every day at a time"},
	{server.Never, "Never by itself"},
}

// whenRestarted says when a server will be restarted for an update.
func whenRestarted(s server.Server) string {
	switch s.Policy.Kind {
	case server.Never:
		return "It comes when somebody restarts the server."
	case server.Daily:
		return "The server restarts at " + s.Policy.Time() + " in the time of its host."
	case server.AtLatest:
		return fmt.Sprintf("The server restarts when nobody plays, %d hours after the update came at the latest.", s.Policy.Hours)
	}
	return "The server restarts when nobody plays."
}

// state is the server's state now.
func (v ShowView) state() server.State {
	state, _ := v.Server.Now(v.Now)
	return state
}

// running is whether the last run has not ended.
func (v ShowView) running() bool { return v.Run.ID != 0 && v.Run.EndedAt.IsZero() }

// active is whether the page polls.
func (v ShowView) active() bool { return v.Job.ID != 0 && !v.Job.State.Ended() }

// changed is whether the reader's page shows another job or state.
func (v ShowView) changed() bool { return v.Job.ID != v.SeenJob || v.Job.State != v.SeenState }

func (v ShowView) newsURL() string {
	return route.ServerShow.URL(v.Server.ID) + "?" + url.Values{
		JobParam:   {strconv.FormatInt(v.Job.ID, 10)},
		StateParam: {string(v.Job.State)},
	}.Encode()
}

// tone is the class that selects the shape and colour of a server's state.
func tone(s server.State) string {
	switch s {
	case server.Running:
		return "good"
	case server.Crashed:
		return "bad"
	case server.Starting, server.Stopping:
		return "running"
	case server.Unknown:
		return "waits"
	}
	return ""
}

// endpoint is where players connect to.
func endpoint(s server.Server) string {
	if s.Address == "" {
		return "port " + strconv.Itoa(s.Port)
	}
	return s.Endpoint()
}

// connect is the console command with which players join.
func connect(s server.Server) string {
	if s.Address == "" {
		return "connect ADDRESS:" + strconv.Itoa(s.Port)
	}
	return "connect " + s.Endpoint()
}

// shownItems is how many items of an overlay of a run are named.
const shownItems = 200

// updated is when Steam published the version of an item.
func updated(i server.RunItem) time.Time { return time.Unix(i.Updated, 0) }

func steamURL(i server.RunItem) string {
	return "https://steamcommunity.com/sharedfiles/filedetails/?" + url.Values{"id": {i.SteamID}}.Encode()
}

// title is an item's title, or its id if it has none.
func title(i server.RunItem) string {
	if i.Title == "" {
		return "Item " + i.SteamID
	}
	return i.Title
}
