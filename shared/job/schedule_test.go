package job_test

import (
	"strings"
	"testing"
	"time"

	"left4me/shared/job"
)

func in(t *testing.T, zone string) *time.Location {
	t.Helper()
	l, err := time.LoadLocation(zone)
	if err != nil {
		t.Skip("this machine has no time zones: ", err)
	}
	return l
}

func TestSlotsAreOnceADayWhenClocksChange(t *testing.T) {
	for name, c := range map[string]struct {
		zone         string
		now          string // UTC
		latest, next string
	}{
		"before the hour":            {"UTC", "2026-11-21T03:59", "2026-11-20T04:00Z", "2026-11-21T04:00Z"},
		"at the hour":                {"UTC", "2026-11-21T04:00", "2026-11-21T04:00Z", "2026-11-22T04:00Z"},
		"after the hour":             {"UTC", "2026-12-31T23:00", "2026-12-31T04:00Z", "2027-01-01T04:00Z"},
		"local time, not UTC":        {"Asia/Tokyo", "2026-11-20T18:59", "2026-11-19T19:00Z", "2026-11-20T19:00Z"},
		"the night of summer time":   {"Europe/Berlin", "2026-03-29T00:30", "2026-03-28T03:00Z", "2026-03-29T02:00Z"},
		"after it":                   {"Europe/Berlin", "2026-03-29T02:00", "2026-03-29T02:00Z", "2026-03-30T02:00Z"},
		"the night of winter time":   {"Europe/Berlin", "2026-10-25T01:30", "2026-10-24T02:00Z", "2026-10-25T03:00Z"},
		"after that":                 {"Europe/Berlin", "2026-10-25T03:00", "2026-10-25T03:00Z", "2026-10-26T03:00Z"},
		"a day that never was":       {"Pacific/Apia", "2011-12-30T09:00", "2011-12-29T14:00Z", "2011-12-30T14:00Z"},
		"and the day after that one": {"Pacific/Apia", "2011-12-30T14:00", "2011-12-30T14:00Z", "2011-12-31T14:00Z"},
	} {
		t.Run(name, func(t *testing.T) {
			now, err := time.ParseInLocation("2006-01-02T15:04", c.now, time.UTC)
			if err != nil {
				t.Fatal(err)
			}
			now = now.In(in(t, c.zone))
			s := job.DailyRefresh
			if got := s.Event(s.Latest(now)).Slot; got != c.latest {
				t.Errorf("the latest slot at %s is %s, want %s", now, got, c.latest)
			}
			if got := s.Event(s.Next(now)).Slot; got != c.next {
				t.Errorf("the next slot at %s is %s, want %s", now, got, c.next)
			}
		})
	}
}

// The slot's time of day does not exist on the day when clocks are put forward. There is one slot on that day all the same.
func TestASlotInASkippedHourIsFiredOnce(t *testing.T) {
	s := job.Schedule{Name: "test", Hour: 2, Minute: 30}
	zone := in(t, "Europe/Berlin")
	seen := map[time.Time]bool{}
	var last time.Time
	for now := time.Date(2026, 3, 27, 12, 0, 0, 0, zone); now.Before(time.Date(2026, 3, 31, 12, 0, 0, 0, zone)); now = now.Add(5 * time.Minute) {
		latest := s.Latest(now)
		if latest.After(now) || latest.Before(last) || !s.Next(now).After(now) || s.Latest(s.Next(now)) != s.Next(now) {
			t.Fatalf("at %s: latest %s, next %s", now, latest, s.Next(now))
		}
		last = latest
		seen[latest] = true
	}
	if len(seen) != 5 {
		t.Errorf("%d slots from the noon of the 27th to that of the 31st, want 5", len(seen))
	}
}

func TestEventsNameTheirSlot(t *testing.T) {
	s := job.DailyRefresh
	slot := time.Date(2026, 11, 21, 4, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"2026-11-21T04:00Z":         slot,
		"2026-11-21T04:00:00Z":      slot,
		"2026-11-21T04:00:31Z":      slot,
		"2026-11-21T05:00+01:00":    slot,
		"2026-11-21T05:00:00+01:00": slot,
		"":                          {},
	} {
		if got, err := s.SlotOf(job.ScheduleEvent{Slot: text}); err != nil || !got.Equal(want) {
			t.Errorf("slot %q is %s, %v, want %s", text, got, err, want)
		}
	}
	if got, err := s.SlotOf(s.Event(slot)); err != nil || !got.Equal(slot) {
		t.Errorf("an event of our own: %s, %v", got, err)
	}
	for name, e := range map[string]job.ScheduleEvent{
		"not a time":       {Slot: "tomorrow"},
		"another schedule": {Schedule: "backup", Slot: "2026-11-21T04:00Z"},
		"only a date":      {Slot: "2026-11-21"},
	} {
		if _, err := s.SlotOf(e); err == nil || !strings.Contains(err.Error(), `"`) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSchedulesAreComplete(t *testing.T) {
	for _, s := range job.Schedules() {
		if s.Name == "" || s.Function == "" || s.Operation.Function == "" || s.Hour < 0 || s.Hour > 23 || s.Minute < 0 || s.Minute > 59 {
			t.Errorf("%+v", s)
		}
		// A timer must not add a second live job (P30).
		if s.Operation.Coalesce != job.WhileLive {
			t.Errorf("%s does not coalesce", s.Operation.Name)
		}
	}
	if s := job.DailyRefresh; s.Hour != 4 || s.Minute != 0 || s.Jitter != 15*time.Minute {
		t.Errorf("P30 says 04:00 and up to 15 minutes: %+v", s)
	}
}
