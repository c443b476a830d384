// Package job is the table of left4me's job operations, as data: which function runs an operation, which locks it takes,
// how often it is tried and how long it may take (product.md P31 to P36).
//
// It stores nothing and runs nothing: rows are shared/jobstore's, processes are localrun's.
package job

import (
	"fmt"
	"strconv"
	"time"
)

// State is where a job stands. The states are a contract with dashboards and scripts (product.md P31).
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

// Stream says which of a job's two logs a line belongs to.
type Stream string

const (
	Stdout Stream = "stdout"
	Stderr Stream = "stderr"
)

// Lock is one claim on a resource. Two jobs may not run together if they share a resource and one of them writes it. The
// JSON form is that of jobs.locks.
type Lock struct {
	// Resource is `game`, `overlay:N` or `server:N`.
	Resource string `json:"resource"`
	// Write is false for a lock that many jobs may hold at once.
	Write bool `json:"write"`
}

// Subject says what a job is about. Fields that an operation does not need are zero.
type Subject struct {
	OverlayID int64
	ServerID  int64
	// BlueprintOverlays are the ids of the overlays that the server mounts.
	BlueprintOverlays []int64
}

// Operation is one row of the table.
type Operation struct {
	// Name is the value of jobs.operation.
	Name string
	// Function is the folder below functions/ of the program that runs it; empty for an operation whose function is not
	// part of left4me yet, which nobody can enqueue.
	Function string
	// Attempts is how many processes may be lost to one job; with the last of them it fails with `worker lost`.
	Attempts int
	// Lease is how long a process may be silent before it counts as dead.
	Lease time.Duration
	// Diskless says that a run can do without the game host's disk, and so also as an AWS Lambda function.
	Diskless bool
	// TimeLimit is how long one run may take on a host.
	TimeLimit time.Duration
	// Patience is how long a job waits before it holds back newer jobs that it could not run beside; zero never does.
	Patience time.Duration
	// Coalesce are the states in which a job is returned instead of enqueueing a second one about the same overlay (or, for
	// an operation about none, a second one at all). The database's unique indexes have the last word.
	Coalesce []State
	// Locks says what a run holds, for one subject.
	Locks func(Subject) []Lock
}

const (
	attempts = 3
	lease    = 15 * time.Second
	// patience is product.md P36's.
	patience = 15 * time.Minute
	runLimit = 12 * time.Hour
)

func game(write bool) Lock { return Lock{Resource: "game", Write: write} }

func overlay(id int64, write bool) Lock {
	return Lock{Resource: "overlay:" + strconv.FormatInt(id, 10), Write: write}
}

func server(id int64) Lock {
	return Lock{Resource: "server:" + strconv.FormatInt(id, 10), Write: true}
}

func alone(Subject) []Lock { return []Lock{game(true)} }

func onOverlay(s Subject) []Lock { return []Lock{game(false), overlay(s.OverlayID, true)} }

func onServer(s Subject) []Lock { return []Lock{game(false), server(s.ServerID)} }

func onServerWithOverlays(s Subject) []Lock {
	locks := onServer(s)
	for _, id := range s.BlueprintOverlays {
		locks = append(locks, overlay(id, false))
	}
	return locks
}

var (
	// waiting leaves a running job out: a change made after its start must not be lost (P34).
	waiting = []State{Queued}
	live    = []State{Queued, Running, Cancelling}
)

// The operations of product.md P33, and collect_garbage, which removes files of the cache and so is alone as a refresh is: a
// build looks at a file and links to it a moment later. Those without a function come with the game servers.
var (
	Install              = Operation{Name: "install", Attempts: attempts, Lease: lease, TimeLimit: runLimit, Patience: patience, Locks: alone}
	RefreshWorkshopItems = Operation{Name: "refresh_workshop_items", Function: "refresh-workshop-items", Diskless: true, Attempts: attempts, Lease: lease, TimeLimit: runLimit, Patience: patience, Coalesce: live, Locks: alone}
	CollectGarbage       = Operation{Name: "collect_garbage", Function: "collect-garbage", Attempts: attempts, Lease: lease, TimeLimit: runLimit, Patience: patience, Coalesce: live, Locks: alone}
	BuildOverlay         = Operation{Name: "build_overlay", Function: "build-overlay", Attempts: attempts, Lease: lease, TimeLimit: runLimit, Coalesce: waiting, Locks: onOverlay}
	DeleteOverlay        = Operation{Name: "delete_overlay", Function: "delete-overlay", Attempts: attempts, Lease: lease, TimeLimit: runLimit, Coalesce: live, Locks: onOverlay}
	ServerInit           = Operation{Name: "server_init", Attempts: attempts, Lease: lease, TimeLimit: runLimit, Locks: onServerWithOverlays}
	ServerStart          = Operation{Name: "server_start", Attempts: attempts, Lease: lease, TimeLimit: runLimit, Locks: onServerWithOverlays}
	ServerStop           = Operation{Name: "server_stop", Attempts: attempts, Lease: lease, TimeLimit: runLimit, Locks: onServer}
)

// All returns every operation. The slice is the caller's.
func All() []Operation {
	return []Operation{Install, RefreshWorkshopItems, CollectGarbage, BuildOverlay, DeleteOverlay, ServerInit, ServerStart, ServerStop}
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

// ByName finds an operation by the value of jobs.operation; the error names a value that no operation has.
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

// Event is what the host agent, or a queue, hands to a job's function.
type Event struct {
	// JobID is jobs.id.
	JobID int64 `json:"job_id"`
	// Attempt is the fencing number of a claim made for the function; absent, the function claims the job itself.
	Attempt int `json:"attempt,omitempty"`
	// Fired is what a schedule's function answered, when AWS Lambda hands that on to this one: it names the job instead.
	Fired *Fired `json:"responsePayload,omitempty"`
}

// Outcome is what a job's function answers: how its run ended.
type Outcome struct {
	JobID int64 `json:"job_id"`
	// State is that of the job afterwards: an ended one, or running for a job that was handed back. It is empty for one that
	// was left to the host agent.
	State State `json:"state"`
	// Error is the job's.
	Error string `json:"error,omitempty"`
}
