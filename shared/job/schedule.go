package job

import (
	"fmt"
	"time"
)

// Schedule is one row of the table of schedules: an operation that is enqueued once a day.
type Schedule struct {
	// Name is the value of schedule_slots.schedule, and of ScheduleEvent.Schedule.
	Name string
	// Function is the folder below functions/ of the program that enqueues the job.
	Function string
	// Operation is what is enqueued, about the whole system and requested by nobody.
	Operation Operation
	// Hour and Minute are the time of day of the slots, in the timer's time zone.
	Hour, Minute int
	// Jitter is the longest random delay of a slot. It keeps all left4mes from asking Steam at the same moment.
	Jitter time.Duration
}

// DailyRefresh is the daily refresh of product.md P30.
var DailyRefresh = Schedule{Name: "workshop-refresh", Function: "schedule-refresh", Operation: RefreshWorkshopItems, Hour: 4, Jitter: 15 * time.Minute}

// DailyGameCheck is the daily look for a newer release of the game of servers.md P51.
var DailyGameCheck = Schedule{Name: "game-check", Function: "schedule-check-game", Operation: CheckGame, Hour: 5, Jitter: 15 * time.Minute}

// Schedules returns every schedule. The slice is the caller's.
func Schedules() []Schedule { return []Schedule{DailyRefresh, DailyGameCheck} }

// Latest returns the newest slot that is not after now, in now's time zone.
func (s Schedule) Latest(now time.Time) time.Time {
	for day := 1; ; day-- {
		if slot := s.on(now, day); !slot.After(now) {
			return slot
		}
	}
}

// Next returns the first slot after now, in now's time zone.
func (s Schedule) Next(now time.Time) time.Time {
	for day := -1; ; day++ {
		if slot := s.on(now, day); slot.After(now) {
			return slot
		}
	}
}

// on returns the slot of a day: 0 is now's day, 1 the next one.
func (s Schedule) on(now time.Time, day int) time.Time {
	year, month, today := now.Date()
	return time.Date(year, month, today+day, s.Hour, s.Minute, 0, 0, now.Location())
}

// slotForm is the format of a slot, to the minute.
const slotForm = "2006-01-02T15:04Z07:00"

// ScheduleEvent is the event that a timer sends to a schedule's function.
type ScheduleEvent struct {
	// Schedule is the schedule's name. If it is not empty, the function checks it.
	Schedule string `json:"schedule,omitempty"`
	// Slot is the time that the timer fires, such as 2026-11-21T04:00Z, or with seconds, as Amazon EventBridge Scheduler writes
	// its scheduled time. Each slot is fired once, even if several timers send it. Empty means now.
	Slot string `json:"slot,omitempty"`
}

// Event returns the event for a slot.
func (s Schedule) Event(slot time.Time) ScheduleEvent {
	return ScheduleEvent{Schedule: s.Name, Slot: slot.UTC().Format(slotForm)}
}

// SlotOf returns the slot of an event, or the zero time for now. The error says what is wrong with the event.
func (s Schedule) SlotOf(e ScheduleEvent) (time.Time, error) {
	if e.Schedule != "" && e.Schedule != s.Name {
		return time.Time{}, fmt.Errorf("this is the function of the schedule %s, not of %q", s.Name, e.Schedule)
	}
	if e.Slot == "" {
		return time.Time{}, nil
	}
	slot, err := time.Parse(slotForm, e.Slot)
	if err != nil {
		slot, err = time.Parse(time.RFC3339, e.Slot)
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("slot %q is not a time such as %s", e.Slot, "2026-11-21T04:00Z")
	}
	return slot.Truncate(time.Minute), nil
}

// NotEnded is the log message of a schedule's function that finds the job of an earlier day unfinished. An alarm on AWS looks for it.
const NotEnded = "the previous job of the schedule has not ended"

// Fired is the answer of a schedule's function.
type Fired struct {
	// JobID is the schedule's job. New is false for one that was enqueued before.
	JobID int64 `json:"job_id"`
	New   bool  `json:"new"`
	// Sentence is for people: `enqueued refresh_workshop_items job 8`.
	Sentence string `json:"said"`
}
