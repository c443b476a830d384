package schedule_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"left4me/localrun/schedule"
	"left4me/shared/job"
)

// host is a machine with a clock that can be put to another time, in a bubble of synctest.
type host struct {
	mu     sync.Mutex
	clock  time.Duration // what it is wrong by
	zone   *time.Location
	jitter time.Duration

	watched bool
	slots   map[string]bool // as the database has them
	fired   []string        // slot @ time of the clock
	broken  error
}

const (
	minutes = "01-02 15:04"
	seconds = "01-02 15:04:05"
)

func (h *host) now() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return time.Now().Add(h.clock).In(h.zone)
}

// put puts the clock to another time.
func (h *host) put(t *testing.T, to string) {
	t.Helper()
	at, err := time.ParseInLocation("2006-01-02 15:04", to, h.zone)
	if err != nil {
		t.Fatal(err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.clock = time.Until(at)
}

func (h *host) missed(_ context.Context, _ job.Schedule, slot time.Time) (bool, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.broken != nil {
		return false, h.broken
	}
	if !h.watched {
		h.watched, h.slots[slot.Format(minutes)] = true, true
	}
	return !h.slots[slot.Format(minutes)], nil
}

func (h *host) fire(_ context.Context, _ job.Schedule, slot time.Time) error {
	now := h.now()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.slots[slot.Format(minutes)] = true
	h.fired = append(h.fired, slot.Format(minutes)+" @ "+now.Format(seconds))
	return nil
}

// run runs the schedule from a time of the clock until do returns.
func (h *host) run(t *testing.T, from string, do func()) {
	t.Helper()
	if h.zone == nil {
		h.zone = time.UTC
	}
	if h.slots == nil {
		h.slots = map[string]bool{}
	}
	h.put(t, from)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r := &schedule.Runner{
			Schedules: []job.Schedule{job.DailyRefresh}, Missed: h.missed, Fire: h.fire, Now: h.now,
			Jitter: func(most time.Duration) time.Duration { return min(h.jitter, most) },
			Log:    slog.New(slog.NewTextHandler(t.Output(), nil)),
		}
		r.Run(ctx)
	}()
	do()
	synctest.Wait()
	stop()
	<-ended
}

func (h *host) want(t *testing.T, fired ...string) {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	if !slices.Equal(h.fired, fired) {
		t.Errorf("fired %q, want %q", h.fired, fired)
	}
}

func TestEachDayAtItsHour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &host{}
		h.run(t, "2026-11-20 15:00", func() { time.Sleep(48 * time.Hour) })
		h.want(t, "11-21 04:00 @ 11-21 04:00:00", "11-22 04:00 @ 11-22 04:00:00")
	})
}

func TestJitterMakesItLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &host{jitter: 7*time.Minute + 10*time.Second}
		h.run(t, "2026-11-20 15:00", func() { time.Sleep(24 * time.Hour) })
		h.want(t, "11-21 04:00 @ 11-21 04:07:10")
	})
}

// Fifteen minutes at most, whatever the dice say.
func TestJitterIsAskedForWithTheBoundOfTheSchedule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &host{jitter: time.Hour}
		h.run(t, "2026-11-20 15:00", func() { time.Sleep(24 * time.Hour) })
		h.want(t, "11-21 04:00 @ 11-21 04:15:00")
	})
}

func TestASlotThatWentByIsMadeUpForOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &host{jitter: 5 * time.Minute}
		h.run(t, "2026-11-20 15:00", func() { time.Sleep(time.Hour) })
		h.want(t) // a new left4me has nothing to make up for
		h.run(t, "2026-11-20 22:00", func() { time.Sleep(time.Hour) })
		h.want(t)
		h.run(t, "2026-11-24 09:30", func() { time.Sleep(time.Hour) })
		h.want(t, "11-24 04:00 @ 11-24 09:30:00")
		h.run(t, "2026-11-24 11:00", func() { time.Sleep(time.Hour) })
		h.want(t, "11-24 04:00 @ 11-24 09:30:00")
	})
}

func TestARestartBetweenTheHourAndTheJitterLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &host{jitter: 10 * time.Minute}
		h.run(t, "2026-11-21 03:00", func() { time.Sleep(65 * time.Minute) })
		h.want(t)
		h.run(t, "2026-11-21 04:06", func() { time.Sleep(time.Hour) })
		h.want(t, "11-21 04:00 @ 11-21 04:06:00")
	})
}

func TestAnotherTimerOfTheSameSlotIsEnough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &host{jitter: 10 * time.Minute}
		h.run(t, "2026-11-21 03:00", func() {
			time.Sleep(65 * time.Minute)
			h.mu.Lock()
			h.slots["11-21 04:00"] = true
			h.mu.Unlock()
			time.Sleep(time.Hour)
		})
		h.want(t)
	})
}

// A laptop that slept, a clock that was wrong until the network came up.
func TestTheClockIsPutForward(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &host{}
		h.run(t, "2026-11-20 15:00", func() {
			time.Sleep(90 * time.Second)
			h.put(t, "2026-11-25 16:00")
			time.Sleep(time.Hour)
		})
		h.want(t, "11-25 04:00 @ 11-25 16:00:30")
	})
}

func TestTheClockIsPutBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &host{}
		h.run(t, "2026-11-20 15:00", func() {
			time.Sleep(14 * time.Hour)
			h.want(t, "11-21 04:00 @ 11-21 04:00:00")
			h.put(t, "2026-11-21 02:00") // it goes through the same hour again
			time.Sleep(24 * time.Hour)
		})
		h.want(t, "11-21 04:00 @ 11-21 04:00:00")
		h.run(t, "2026-11-22 02:00", func() { time.Sleep(3 * time.Hour) })
		h.want(t, "11-21 04:00 @ 11-21 04:00:00", "11-22 04:00 @ 11-22 04:00:00")
	})
}

func TestTheHostsTimeZoneCountsAlsoInTheNightsOfSummerAndWinterTime(t *testing.T) {
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Skip("this machine has no time zones: ", err)
	}
	synctest.Test(t, func(t *testing.T) {
		h := &host{zone: zone}
		h.run(t, "2026-03-28 12:00", func() { time.Sleep(47 * time.Hour) })
		h.run(t, "2026-10-24 12:00", func() { time.Sleep(49 * time.Hour) })
		h.want(t, "03-29 04:00 @ 03-29 04:00:00", "03-30 04:00 @ 03-30 04:00:00",
			"10-24 04:00 @ 10-24 12:00:00", "10-25 04:00 @ 10-25 04:00:00", "10-26 04:00 @ 10-26 04:00:00")
	})
}

func TestAfterAFailureItTriesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &host{}
		h.run(t, "2026-11-21 03:00", func() {
			time.Sleep(30 * time.Minute)
			h.mu.Lock()
			h.broken = errors.New("the database is away")
			h.mu.Unlock()
			time.Sleep(time.Hour + 30*time.Second)
			h.want(t)
			h.mu.Lock()
			h.broken = nil
			h.mu.Unlock()
			time.Sleep(time.Hour)
		})
		h.want(t, "11-21 04:00 @ 11-21 04:31:00")
	})
}
