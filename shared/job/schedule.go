package job

import (
	"fmt"
	"time"
)

// Schedule is one row of the table of what the clock asks for, once a day.
type Schedule struct {
	// Name is the value of schedule_slots.schedule, and of ScheduleEvent.Schedule.
	Name string
	// Function is the folder below functions/ of the program that enqueues the job.
	Function string
	// Operation is what is enqueued, about nothing in particular and for nobody.
	Operation Operation
	// Hour and Minute are the time of day, where the timer is, of its slots.
	Hour, Minute int
	// Jitter is by how much a slot may be fired late, so that not everybody's left4me asks Steam at once.
	Jitter time.Duration
}

// DailyRefresh is product.md P30's.
var DailyRefresh = Schedule{Name: "workshop-refresh", Function: "schedule-refresh", Operation: RefreshWorkshopItems, Hour: 4, Jitter: 15 * time.Minute}

// Schedules returns every schedule. The slice is the caller's.
func Schedules() []Schedule { return []Schedule{DailyRefresh} }

// Latest is the newest slot that is not after now, in now's time zone.
func (s Schedule) Latest(now time.Time) time.Time {
	for day := 1; ; day-- {
		if slot := s.on(now, day); !slot.After(now) {
			return slot
		}
	}
}

// Next is the first slot after now, in now's time zone.
func (s Schedule) Next(now time.Time) time.Time {
	for day := -1; ; day++ {
		if slot := s.on(now, day); slot.After(now) {
			return slot
		}
	}
}

// on is the slot of a day, counted from now's.
func (s Schedule) on(now time.Time, day int) time.Time {
	year, month, today := now.Date()
	return time.Date(year, month, today+day, s.Hour, s.Minute, 0, 0, now.Location())
}

// slotForm is how a slot is written: to the minute.
const slotForm = "2006-01-02T15:04Z07:00"

// ScheduleEvent is what a timer hands to a schedule's function.
type ScheduleEvent struct {
	// Schedule is the name of the schedule, to which the function belongs; empty says nothing.
	Schedule string `json:"schedule,omitempty"`
	// Slot is the time for which the timer asks, such as 2026-11-21T04:00Z, or with seconds, as Amazon EventBridge Scheduler
	// writes its scheduled time. Each is fired once, however many timers name it. Empty means now.
	Slot string `json:"slot,omitempty"`
}

// Event is the event for a slot.
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
		return time.Time{}, fmt.Errorf("slot %q is no time such as %s", e.Slot, "2026-11-21T04:00Z")
	}
	return slot.Truncate(time.Minute), nil
}

// Fired is what a schedule's function answers.
type Fired struct {
	// JobID is the job that does what the schedule asks for; New is false when it was there before.
	JobID int64 `json:"job_id"`
	New   bool  `json:"new"`
	// Said is a line for people: `enqueued refresh_workshop_items job 8`.
	Said string `json:"said"`
}
