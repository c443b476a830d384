// Package job is the table of left4me's job operations, as data: which function runs an operation, which locks it takes, which
// requests coalesce, how many workers a job may lose and how long a run may take (product.md P31 to P36).
//
// It stores nothing and runs nothing: shared/jobstore owns the rows, localrun the processes.
package job

import (
	"fmt"
	"strconv"
	"time"
)

// State is the state of a job. Dashboards and scripts rely on the values (product.md P31).
type State string

const (
	Queued     State = "queued"
	Running    State = "running"
	Cancelling State = "cancelling"
	Succeeded  State = "succeeded"
	Failed     State = "failed"
	Cancelled  State = "cancelled"
)

// Ended reports whether no state follows s.
func (s State) Ended() bool { return s == Succeeded || s == Failed || s == Cancelled }

// Stream is the stream of a log line.
type Stream string

const (
	Stdout Stream = "stdout"
	Stderr Stream = "stderr"
)

// Kind is the kind of thing that a job is about: the value of jobs.subject_kind.
type Kind string

// The kinds of subjects.
const (
	// System is the whole system, which has no id.
	System Kind = ""
	// Overlays are rows of overlays.
	Overlays Kind = "overlay"
	// Servers are rows of servers.
	Servers Kind = "server"
	// Webhooks are rows of webhooks.
	Webhooks Kind = "webhook"
)

// Subject is what a job is about. The zero Subject is the whole system.
type Subject struct {
	Kind Kind
	ID   int64
}

// Overlay is the overlay with that id.
func Overlay(id int64) Subject { return Subject{Overlays, id} }

// Server is the server with that id.
func Server(id int64) Subject { return Subject{Servers, id} }

// Webhook is the webhook with that id.
func Webhook(id int64) Subject { return Subject{Webhooks, id} }

// String is the subject's name as a resource of locks, such as `overlay:5`; empty for the whole system.
func (s Subject) String() string {
	if s == (Subject{}) {
		return ""
	}
	return string(s.Kind) + ":" + strconv.FormatInt(s.ID, 10)
}

// Lock is what a job holds on a resource while it runs. Two jobs may not run together if they share a resource and one of
// them writes it. The JSON form is that of jobs.locks.
type Lock struct {
	// Resource is Game, a Subject's String, or what At makes of either.
	Resource string `json:"resource"`
	// Write is false for a lock that many jobs may hold at once.
	Write bool `json:"write"`
}

// Coalescing says which older job answers a request for the same operation, subject and argument.
type Coalescing int

const (
	// Never: each request adds a job.
	Never Coalescing = iota
	// WhileQueued: a queued job is returned. A running one is not, so that a change made after its start is not lost (P34).
	WhileQueued
	// WhileLive: a job that has not ended is returned.
	WhileLive
)

// Place says where jobs run.
type Place int

const (
	// Anywhere: a run needs no host's disk, so that any host and AWS Lambda may claim the job.
	Anywhere Place = iota
	// Disk: a run works on the disk of one host. Each job belongs to a host, and only that host's agent claims it (P45).
	Disk
)

// Operation is one row of the table.
type Operation struct {
	// Name is the value of jobs.operation.
	Name string
	// Title says on pages what the job does.
	Title string
	// Function is the folder below functions/ of the program that runs it. Empty: the operation is not part of left4me yet, and
	// cannot be enqueued.
	Function string
	// About is the kind of its subject, which a run locks for writing.
	About Kind
	// Reads is the kind of further subjects that a request may name, which a run locks for reading; empty for none.
	Reads Kind
	// Place says where jobs run.
	Place Place
	// Alone makes a run the only one: on its host, or on all hosts if it runs anywhere.
	Alone bool
	// One makes a run the only one of its operation on its host.
	One bool
	// Coalesce says which older job answers a request instead of a new one. The database's unique indexes enforce it.
	Coalesce Coalescing
	// MaxLost is how many workers a job may lose. With the last of them it fails with `worker lost`.
	MaxLost int
	// Lease is how long a worker may be silent before it counts as lost.
	Lease time.Duration
	// TimeLimit is how long one run may take on a host.
	TimeLimit time.Duration
	// StarvesAfter is how long a job waits before newer jobs that could not run beside it may no longer start before it; zero:
	// they always may.
	StarvesAfter time.Duration
}

// Game is the resource that all jobs lock. At a host it is what all jobs of that host lock (P48).
const Game = "game"

// At returns the name of a resource on the host with that id: At("game", "h1") is `game@h1`. With an empty id it is `game@`, to which
// the database appends the id of the job's host (00009_host_jobs.sql).
func At(resource, host string) string { return resource + "@" + host }

// Locks returns what a run holds that is about subject and reads the others, which must be of the kinds that o names. host is the
// host's id, or empty, as for At, if o's place is Disk.
func (o Operation) Locks(host string, subject Subject, reads ...Subject) ([]Lock, error) {
	if subject.Kind != o.About || (subject.ID > 0) != (o.About != System) {
		return nil, fmt.Errorf("%s is not about %q", o.Name, subject)
	}
	// Of the subjects, only overlays have a part on each host.
	resource := func(s Subject) string {
		if s.Kind == Overlays && o.Place == Disk {
			return At(s.String(), host)
		}
		return s.String()
	}
	locks := []Lock{{Game, o.Alone && o.Place == Anywhere}}
	if o.Place == Disk {
		locks = append(locks, Lock{At(Game, host), o.Alone})
	}
	if o.One {
		locks = append(locks, Lock{At(o.Name, host), true})
	}
	if o.About != System {
		locks = append(locks, Lock{resource(subject), true})
	}
	for _, r := range reads {
		if r.Kind != o.Reads || o.Reads == System || r.ID <= 0 {
			return nil, fmt.Errorf("%s does not read %q", o.Name, r)
		}
		locks = append(locks, Lock{resource(r), false})
	}
	return locks, nil
}

const (
	maxLost   = 3
	lease     = 15 * time.Second
	runLimit  = 12 * time.Hour
	starvesIn = 15 * time.Minute // product.md P36
)

// The operations of product.md P33. collect_garbage removes files of the cache and runs alone on its host, because a build looks at a
// file and links to it a moment later. Those without a function come with the game servers.
var (
	Install              = Operation{Name: "install", Title: "Install the game", Function: "install", Place: Disk, Alone: true, Coalesce: WhileLive, StarvesAfter: starvesIn, MaxLost: maxLost, Lease: lease, TimeLimit: runLimit}
	CheckGame            = Operation{Name: "check_game", Title: "Look for a newer release of the game", Function: "check-game", Place: Disk, One: true, Coalesce: WhileLive, MaxLost: maxLost, Lease: lease, TimeLimit: runLimit}
	RefreshWorkshopItems = Operation{Name: "refresh_workshop_items", Title: "Refresh all workshop items", Function: "refresh-workshop-items", Alone: true, Coalesce: WhileLive, StarvesAfter: starvesIn, MaxLost: maxLost, Lease: lease, TimeLimit: runLimit}
	CollectGarbage       = Operation{Name: "collect_garbage", Title: "Remove unneeded files", Function: "collect-garbage", Place: Disk, Alone: true, Coalesce: WhileLive, StarvesAfter: starvesIn, MaxLost: maxLost, Lease: lease, TimeLimit: runLimit}
	BuildOverlay         = Operation{Name: "build_overlay", Title: "Build overlay", Function: "build-overlay", Place: Disk, About: Overlays, Coalesce: WhileQueued, MaxLost: maxLost, Lease: lease, TimeLimit: runLimit}
	DeleteOverlay        = Operation{Name: "delete_overlay", Title: "Delete overlay", Function: "delete-overlay", Place: Disk, About: Overlays, Coalesce: WhileLive, MaxLost: maxLost, Lease: lease, TimeLimit: runLimit}
	ServerInit           = Operation{Name: "server_init", Title: "Prepare server", Function: "init-server", Place: Disk, About: Servers, Reads: Overlays, Coalesce: WhileQueued, MaxLost: maxLost, Lease: lease, TimeLimit: runLimit}
	ServerStart          = Operation{Name: "server_start", Title: "Start server", Function: "start-server", Place: Disk, About: Servers, Reads: Overlays, Coalesce: WhileQueued, MaxLost: maxLost, Lease: lease, TimeLimit: runLimit}
	ServerStop           = Operation{Name: "server_stop", Title: "Stop server", Function: "stop-server", Place: Disk, About: Servers, Coalesce: WhileQueued, MaxLost: maxLost, Lease: lease, TimeLimit: runLimit}
	ServerReset          = Operation{Name: "server_reset", Title: "Reset files of server", Function: "reset-server", Place: Disk, About: Servers, Coalesce: WhileQueued, MaxLost: maxLost, Lease: lease, TimeLimit: runLimit}
	// What may have been sent to a game is not sent again: a command loses one worker at most.
	ServerCommand  = Operation{Name: "server_command", Title: "Command", Function: "command-server", Place: Disk, About: Servers, Coalesce: Never, MaxLost: 1, Lease: lease, TimeLimit: time.Minute}
	DeleteServer   = Operation{Name: "delete_server", Title: "Delete server", Function: "delete-server", Place: Disk, About: Servers, Coalesce: WhileLive, MaxLost: maxLost, Lease: lease, TimeLimit: runLimit}
	DeliverWebhook = Operation{Name: "deliver_webhook", Title: "Tell webhook", Function: "deliver-webhook", About: Webhooks, Coalesce: WhileLive, MaxLost: maxLost, Lease: lease, TimeLimit: 5 * time.Minute}
)

// All returns every operation. The slice is the caller's.
func All() []Operation {
	return []Operation{Install, CheckGame, RefreshWorkshopItems, CollectGarbage, BuildOverlay, DeleteOverlay, ServerInit, ServerStart, ServerStop, ServerReset, ServerCommand, DeleteServer, DeliverWebhook}
}

// Runnable returns the operations that have a function.
func Runnable() []Operation {
	var with []Operation
	for _, o := range All() {
		if o.Function != "" {
			with = append(with, o)
		}
	}
	return with
}

// ByName returns the operation with that name. The error says that there is none.
func ByName(name string) (Operation, error) {
	for _, o := range All() {
		if o.Name == name {
			return o, nil
		}
	}
	return Operation{}, fmt.Errorf("unknown job operation %q", name)
}

// Conflict reports whether jobs with these locks may not run together.
func Conflict(a, b []Lock) bool {
	for _, x := range a {
		for _, y := range b {
			if x.Resource == y.Resource && (x.Write || y.Write) {
				return true
			}
		}
	}
	return false
}

// Event is what a job's function is invoked with.
type Event struct {
	// JobID is jobs.id.
	JobID int64 `json:"job_id"`
	// Attempt is the fencing token of the claim that the host agent has made for the function. Without it the function claims
	// the job itself.
	Attempt int `json:"attempt,omitempty"`
	// Fired is the answer of a schedule's function, which AWS Lambda passes on to this one. It has the job's id.
	Fired *Fired `json:"responsePayload,omitempty"`
}

// Outcome is the answer of a job's function: how its run ended.
type Outcome struct {
	JobID int64 `json:"job_id"`
	// State is the job's state afterwards: an ended one, or running when the job was handed back. It is empty when the job was
	// left to the host agent.
	State State `json:"state"`
	// Error is the job's.
	Error string `json:"error,omitempty"`
}
