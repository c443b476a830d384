package server_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"left4me/shared/server"
)

// shows: P63
func TestPoliciesAreWordsAndForms(t *testing.T) {
	for words, want := range map[string]server.Policy{
		"when empty": {Kind: server.WhenEmpty},
		"never":      {Kind: server.Never},
		"at 05:30":   {Kind: server.Daily, Minute: 330},
		"at 00:00":   {Kind: server.Daily},
		"at 23:59":   {Kind: server.Daily, Minute: 1439},
		"when empty, after 1 hours at the latest":   {Kind: server.AtLatest, Hours: 1},
		"when empty, after 168 hours at the latest": {Kind: server.AtLatest, Hours: 168},
	} {
		got, err := server.ParsePolicy(words)
		if err != nil || got != want || got.String() != words {
			t.Errorf("%q is %+v, %v, and in words %q", words, got, err, got)
		}
		if again, err := server.NewPolicy(got.Kind, got.Time(), fmt.Sprint(got.Hours)); err != nil || again != got {
			t.Errorf("from its form %q is %+v, %v", words, again, err)
		}
	}
	for _, words := range []string{"", "at", "at 24:00", "at 05:60", "at 5:30", "at the latest", "When empty", "when empty, after 0 hours at the latest",
		"when empty, after 169 hours at the latest", "when empty, after -1 hours at the latest"} {
		if got, err := server.ParsePolicy(words); status(err) != 400 {
			t.Errorf("%q is %+v, %v", words, got, err)
		}
	}
}

// noon is a moment in a time zone that is not UTC, on a day without a change of clocks.
var noon = time.Date(2026, 5, 4, 12, 0, 0, 0, time.FixedZone("", 2*60*60))

// shows: P63
func TestNextStep(t *testing.T) {
	var (
		empty   = server.Seen{Answering: true}
		playing = server.Seen{Answering: true, Humans: 2}
		silent  = server.Seen{}
		none    server.Plan
		seenAt  = func(ago time.Duration) server.Plan { return server.Plan{EmptyAt: noon.Add(-ago)} }
		told    = func(in time.Duration, warned int) server.Plan {
			return server.Plan{RestartAt: noon.Add(in), Warned: warned}
		}
		atNoon   = server.Policy{Kind: server.Daily, Minute: 12 * 60}
		latest   = server.Policy{Kind: server.AtLatest, Hours: 6}
		whenIdle = server.Policy{Kind: server.WhenEmpty}
		never    = server.Policy{Kind: server.Never}
		restart  = server.Step{Restart: true}
		nothing  server.Step
	)
	at := func(hour, minute int) server.Policy {
		return server.Policy{Kind: server.Daily, Minute: hour*60 + minute}
	}
	warn := func(minutes int) server.Step { return server.Step{Warn: minutes} }
	for name, c := range map[string]struct {
		policy server.Policy
		plan   server.Plan
		waits  time.Duration // for how long
		seen   server.Seen
		want   server.Step
		then   server.Plan
	}{
		"when empty: the first check that finds nobody":      {whenIdle, none, time.Hour, empty, nothing, seenAt(0)},
		"when empty: another one too early":                  {whenIdle, seenAt(19 * time.Second), time.Hour, empty, nothing, seenAt(19 * time.Second)},
		"when empty: another one 20 s later":                 {whenIdle, seenAt(20 * time.Second), time.Hour, empty, restart, seenAt(20 * time.Second)},
		"when empty: another one long after":                 {whenIdle, seenAt(3 * time.Minute), time.Hour, empty, nothing, seenAt(0)},
		"when empty: somebody came":                          {whenIdle, seenAt(20 * time.Second), time.Hour, playing, nothing, none},
		"when empty: no answer is not empty":                 {whenIdle, seenAt(20 * time.Second), time.Hour, silent, nothing, none},
		"when empty: people may play for a year":             {whenIdle, none, 365 * 24 * time.Hour, playing, nothing, none},
		"never: nobody plays":                                {never, seenAt(time.Hour), time.Hour, empty, nothing, none},
		"never: what was announced does not happen":          {never, told(0, 1), time.Hour, playing, nothing, none},
		"at a time: nobody plays, but it is not time":        {at(12, 1), none, time.Hour, empty, nothing, none},
		"at a time: it is time, and nobody plays":            {atNoon, seenAt(time.Minute), time.Hour, empty, restart, seenAt(time.Minute)},
		"at a time: nobody plays, seen once":                 {atNoon, none, time.Hour, empty, nothing, seenAt(0)},
		"at a time: nobody plays, a bit late":                {at(11, 16), seenAt(time.Minute), time.Hour, empty, restart, seenAt(time.Minute)},
		"at a time: nobody plays, too late":                  {at(11, 15), seenAt(time.Minute), time.Hour, empty, nothing, none},
		"at a time: 16 minutes ahead":                        {at(12, 16), none, time.Hour, playing, nothing, none},
		"at a time: 15 minutes ahead":                        {at(12, 15), none, time.Hour, playing, warn(15), told(15*time.Minute, 15)},
		"at a time: 15 minutes ahead without an answer":      {at(12, 15), none, time.Hour, silent, nothing, none},
		"at a time: first told when it is time":              {atNoon, none, time.Hour, playing, warn(15), told(15*time.Minute, 15)},
		"at a time: nobody was told until it was too late":   {at(11, 15), none, time.Hour, playing, nothing, none},
		"at a time: the update came later":                   {at(11, 59), none, time.Second, playing, nothing, none},
		"at a time: around midnight":                         {at(12, 15), none, time.Hour, playing, warn(15), told(15*time.Minute, 15)},
		"at the latest: nobody plays":                        {latest, seenAt(20 * time.Second), time.Second, empty, restart, seenAt(20 * time.Second)},
		"at the latest: 16 minutes ahead":                    {latest, none, 6*time.Hour - 16*time.Minute, playing, nothing, none},
		"at the latest: 15 minutes ahead":                    {latest, none, 6*time.Hour - 15*time.Minute, playing, warn(15), told(15*time.Minute, 15)},
		"at the latest: far too late":                        {latest, none, 60 * time.Hour, playing, warn(15), told(15*time.Minute, 15)},
		"at the latest: far too late without an answer":      {latest, none, 60 * time.Hour, silent, nothing, none},
		"told: nothing yet":                                  {latest, told(6*time.Minute, 15), time.Hour, playing, nothing, told(6*time.Minute, 15)},
		"told: 5 minutes ahead":                              {latest, told(5*time.Minute, 15), time.Hour, playing, warn(5), told(5*time.Minute, 5)},
		"told: later than 5 minutes ahead":                   {latest, told(2*time.Minute, 15), time.Hour, playing, warn(5), told(5*time.Minute, 5)},
		"told: nothing after that":                           {latest, told(2*time.Minute, 5), time.Hour, playing, nothing, told(2*time.Minute, 5)},
		"told: 1 minute ahead":                               {latest, told(time.Minute, 5), time.Hour, playing, warn(1), told(time.Minute, 1)},
		"told: the last seconds":                             {latest, told(time.Second, 1), time.Hour, playing, nothing, told(time.Second, 1)},
		"told: now":                                          {latest, told(0, 1), time.Hour, playing, restart, told(0, 1)},
		"told: now, but it does not answer":                  {latest, told(0, 1), time.Hour, silent, nothing, told(0, 1)},
		"told: 15 minutes ago":                               {latest, told(-15*time.Minute, 1), time.Hour, playing, restart, told(-15*time.Minute, 1)},
		"told: longer ago, and all over again if it is time": {latest, told(-16*time.Minute, 1), 6 * time.Hour, playing, warn(15), told(15*time.Minute, 15)},
		"told: longer ago":                                   {at(11, 59), told(-16*time.Minute, 1), time.Second, playing, nothing, none},
		"told: now, but not the last minute":                 {latest, told(0, 5), time.Hour, playing, warn(1), told(time.Minute, 1)},
		"told, and all have left":                            {latest, told(5*time.Minute, 15), time.Hour, empty, nothing, server.Plan{EmptyAt: noon, RestartAt: noon.Add(5 * time.Minute), Warned: 15}},
	} {
		step, then := c.policy.Next(c.plan, noon.Add(-c.waits), c.seen, noon)
		if step != c.want || then != c.then {
			t.Errorf("%s: %+v and then %+v, want %+v and %+v", name, step, then, c.want, c.then)
		}
	}
}

// Days begin, and clocks change, where the host is. Each day has one restart, for which there is an hour.
func TestADailyRestartIsInTheHostsTime(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	for _, day := range []time.Time{time.Date(2026, 5, 4, 0, 0, 0, 0, berlin), time.Date(2026, 3, 29, 0, 0, 0, 0, berlin), time.Date(2026, 10, 25, 0, 0, 0, 0, berlin)} {
		for _, minute := range []int{60, 150, 12 * 60, 23 * 60} {
			policy, at := server.Policy{Kind: server.Daily, Minute: minute}, 0
			for now := day; now.Before(day.AddDate(0, 0, 1)); now = now.Add(time.Minute) {
				if step, _ := policy.Next(server.Plan{}, day.AddDate(0, 0, -1), server.Seen{Answering: true, Humans: 1}, now); step.Warn == 15 {
					at++
				}
			}
			if at != 60 {
				t.Errorf("%v, %v: it can begin in %d minutes", day, policy, at)
			}
		}
	}
	late := time.Date(2026, 5, 3, 23, 50, 0, 0, berlin)
	if step, _ := (server.Policy{Kind: server.Daily, Minute: 5}).Next(server.Plan{}, late.Add(-time.Hour), server.Seen{Answering: true, Humans: 1}, late); step.Warn != 15 {
		t.Errorf("before midnight: %+v", step)
	}
}

// Whatever is seen, and whatever is lost, nobody's game is ended without the three warnings long enough before, and a server that stays empty
// is restarted.
//
// shows: P63
func TestWhoPlaysIsWarnedInTime(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	restarts, forced := 0, 0
	for range 2000 {
		policy := []server.Policy{{Kind: server.WhenEmpty}, {Kind: server.Never}, {Kind: server.Daily, Minute: r.IntN(24 * 60)}, {Kind: server.AtLatest, Hours: 1 + r.IntN(24)}}[r.IntN(4)]
		now := noon.Add(time.Duration(r.Int64N(int64(24 * time.Hour))))
		since, plan := now, server.Plan{}
		seen := server.Seen{Answering: true, Humans: r.IntN(3)}
		given := map[int]time.Time{}
		var empty []time.Time // the checks that found nobody
		var log []string
		for range 400 {
			now = now.Add([]time.Duration{10 * time.Second, time.Duration(1+r.IntN(20)) * time.Minute}[r.IntN(2)])
			if r.IntN(4) == 0 {
				seen = server.Seen{Answering: r.IntN(8) > 0, Humans: r.IntN(3)}
			}
			if seen.Answering && seen.Humans == 0 {
				empty = append(empty, now)
			}
			step, next := policy.Next(plan, since, seen, now)
			log = append(log, fmt.Sprintf("%v %+v %+v", now, seen, step))
			if step.Warn > 0 && r.IntN(4) == 0 {
				next = plan // the game did not accept it, or the check was killed
			} else if step.Warn > 0 {
				given[step.Warn] = now
			}
			if r.IntN(16) > 0 { // the check was killed
				plan = next
			}
			if !step.Restart {
				continue
			}
			restarts++
			ok := seen.Answering && policy.Kind != server.Never
			if seen.Humans > 0 {
				forced++
				for _, minutes := range []int{15, 5, 1} {
					ok = ok && !given[minutes].IsZero() && now.Sub(given[minutes]) >= time.Duration(minutes)*time.Minute
				}
				ok = ok && policy.Kind != server.WhenEmpty && now.Sub(given[1]) <= 16*time.Minute
			} else {
				ok = ok && slices.ContainsFunc(empty, func(at time.Time) bool { return now.Sub(at) >= 20*time.Second && now.Sub(at) <= 2*time.Minute })
			}
			if !ok {
				t.Fatalf("%v restarts: warnings %v\n%s", policy, given, strings.Join(log[max(0, len(log)-20):], "\n"))
			}
			break
		}
	}
	if restarts < 100 || forced < 20 {
		t.Errorf("only %d restarts, of which %d were forced", restarts, forced)
	}
}
