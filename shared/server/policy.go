package server

import (
	"fmt"
	"strconv"
	"time"

	"left4me/shared/problem"
	"left4me/shared/text"
)

// PolicyKind says when a running server is restarted for an update that waits. Forms have the values.
type PolicyKind string

const (
	// WhenEmpty restarts it when nobody plays.
	WhenEmpty PolicyKind = "when empty"
	// Never leaves it to people.
	Never PolicyKind = "never"
	// Daily restarts it at a time of the day, whoever plays.
	Daily PolicyKind = "at"
	// AtLatest restarts it when nobody plays or, after the update has waited for some hours, whoever plays.
	AtLatest PolicyKind = "at the latest"
)

// Policy is the restart policy of a server (P63).
type Policy struct {
	Kind PolicyKind
	// Minute is the time of the day in the time zone of the server's host, in minutes after midnight; only of Daily.
	Minute int
	// Hours is how long an update waits at most; only of AtLatest.
	Hours int
}

// MaxHours is the longest that a policy can make an update wait: a week.
const MaxHours = 7 * 24

// String is the policy in the words of P63, which ParsePolicy reads.
func (p Policy) String() string {
	switch p.Kind {
	case Daily:
		return fmt.Sprintf("at %s", p.Time())
	case AtLatest:
		return fmt.Sprintf("when empty, after %d hours at the latest", p.Hours)
	}
	return string(p.Kind)
}

// Time is Minute as HH:MM.
func (p Policy) Time() string { return fmt.Sprintf("%02d:%02d", p.Minute/60, p.Minute%60) }

var (
	dailyPattern    = text.Pattern(`^at ([0-9]{2}:[0-9]{2})$`)
	atLatestPattern = text.Pattern(`^when empty, after ([0-9]{1,9}) hours at the latest$`)
)

// ParsePolicy reads what String writes. The error is a problem (400).
func ParsePolicy(words string) (Policy, error) {
	if words == string(WhenEmpty) || words == string(Never) {
		return Policy{Kind: PolicyKind(words)}, nil
	}
	if m := dailyPattern().FindStringSubmatch(words); m != nil {
		return NewPolicy(Daily, m[1], "")
	}
	if m := atLatestPattern().FindStringSubmatch(words); m != nil {
		return NewPolicy(AtLatest, "", m[1])
	}
	return Policy{}, problem.Invalid("“%s” is not a restart policy. Please choose one from the list.", words)
}

// NewPolicy returns the policy that the fields of a form mean: clock is HH:MM, and only for Daily; hours is a number, and only for AtLatest. The
// error is a problem (400).
func NewPolicy(kind PolicyKind, clock, hours string) (Policy, error) {
	switch kind {
	case Daily:
		at, err := time.Parse("15:04", clock)
		if err != nil {
			return Policy{}, problem.Invalid("Please give the time of the restart as hours and minutes, such as 05:30.")
		}
		return Policy{Kind: Daily, Minute: at.Hour()*60 + at.Minute()}, nil
	case AtLatest:
		n, err := strconv.Atoi(hours)
		if err != nil || n < 1 || n > MaxHours {
			return Policy{}, problem.Invalid("Please say after how many hours the server is restarted at the latest: a number from 1 to %d.", MaxHours)
		}
		return Policy{Kind: AtLatest, Hours: n}, nil
	}
	return ParsePolicy(string(kind))
}

const (
	// emptyFor is how far apart two checks must be that both find nobody, and emptyWithin how far at most.
	emptyFor    = 20 * time.Second
	emptyWithin = 2 * time.Minute
	// dailyWindow is how long after its time a daily restart may still begin to be announced, or happen if nobody plays.
	dailyWindow = 45 * time.Minute
	// announcedFor is how long after its time an announced restart may still happen: who has joined later has not read the announcement.
	announcedFor = 15 * time.Minute
)

// warnings are how many minutes ahead players are told of a restart.
var warnings = []int{15, 5, 1}

// Plan is how far the restart is that an update waits for. The zero Plan is that of an update that begins to wait.
type Plan struct {
	// EmptyAt is when a check found nobody, and the server is to be restarted if a later one finds nobody either; zero: the last check did not.
	EmptyAt time.Time
	// RestartAt is when the server will be restarted although somebody plays, as players were told; zero: they have not been told anything.
	RestartAt time.Time
	// Warned is the last of the warnings that players were given; 0 for none.
	Warned int
}

// Seen is what a check has found out about a server.
type Seen struct {
	// Answering is false if the server did not answer. Then nothing is known about who plays.
	Answering bool
	// Humans is how many people play.
	Humans int
}

// Step is what is to be done for an update that waits.
type Step struct {
	// Warn is how many minutes ahead players are to be told of the restart; 0: they are told nothing now.
	Warn    int
	Restart bool
}

// Next returns what is to be done about a server with the policy p for which an update has been waiting since then, and the plan afterwards. If
// players cannot be warned, plan stays as it was. now is in the time zone of the server's host.
//
// Whoever plays when the server is restarted has been told so, or has joined after others were told: the warnings 15, 5 and 1 minutes ahead
// were given at least so long before.
func (p Policy) Next(plan Plan, since time.Time, seen Seen, now time.Time) (Step, Plan) {
	if p.Kind == Never {
		return Step{}, Plan{}
	}
	if now.Sub(plan.RestartAt) > announcedFor {
		plan.RestartAt, plan.Warned = time.Time{}, 0
	}
	emptyAt := plan.EmptyAt
	plan.EmptyAt = time.Time{}
	due, forced := p.due(since, now)
	switch {
	case !seen.Answering: // nobody could be warned
	case seen.Humans == 0 && p.Kind == Daily && (!forced || now.Before(due)):
	case seen.Humans == 0:
		plan.EmptyAt = emptyAt
		if now.Sub(emptyAt) > emptyWithin { // it was not asked for a while
			plan.EmptyAt = now
		}
		return Step{Restart: now.Sub(plan.EmptyAt) >= emptyFor}, plan
	case p.Kind == WhenEmpty:
	case plan.Warned == 0 && forced:
		plan.RestartAt = due
		return p.warn(plan, warnings[0], now)
	case plan.Warned != 0:
		left := plan.RestartAt.Sub(now)
		for _, minutes := range warnings {
			if minutes < plan.Warned && left <= time.Duration(minutes)*time.Minute {
				return p.warn(plan, minutes, now)
			}
		}
		return Step{Restart: left <= 0}, plan
	}
	return Step{}, plan
}

// warn returns that players are told of a restart so many minutes ahead, and puts it off if that is less.
func (p Policy) warn(plan Plan, minutes int, now time.Time) (Step, Plan) {
	plan.Warned = minutes
	if earliest := now.Add(time.Duration(minutes) * time.Minute); plan.RestartAt.Before(earliest) {
		plan.RestartAt = earliest
	}
	return Step{Warn: minutes}, plan
}

// due returns when the policy wants a restart although somebody plays, and whether it is time to announce that.
func (p Policy) due(since, now time.Time) (due time.Time, forced bool) {
	ahead := time.Duration(warnings[0]) * time.Minute
	switch p.Kind {
	case AtLatest:
		due = since.Add(time.Duration(p.Hours) * time.Hour)
		return due, !now.Before(due.Add(-ahead))
	case Daily:
		for day := -1; day <= 1; day++ {
			due = time.Date(now.Year(), now.Month(), now.Day()+day, 0, p.Minute, 0, 0, now.Location())
			// An update that arrives later waits for the next day.
			if !since.After(due) && !now.Before(due.Add(-ahead)) && now.Before(due.Add(dailyWindow)) {
				return due, true
			}
		}
	}
	return time.Time{}, false
}
