package steamtest

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Fault is one way in which the stand-in misbehaves, or is merely slow. Of the faults that fit a request only the newest
// with tries left has its effect.
type Fault struct {
	// At says which requests: `details`, `collections`, `api` (both), `content` or `preview`.
	At string
	// ID limits it to requests about this item; empty means any.
	ID string
	// Times is how many requests it hits before it is over; 0 means all.
	Times int

	// Delay before each answer.
	Delay time.Duration
	// Refuse closes the connection without an answer.
	Refuse bool
	// Status answers this status in place of 200, with a short page of HTML.
	Status int
	// RetryAfter is the header of that name, beside Status.
	RetryAfter string
	// HTML answers a page, with Status or 200.
	HTML bool
	// Cut closes the connection after so many bytes of the answer; 0 does not.
	Cut int64
	// Stall delivers nothing more after so many bytes of the answer; 0 does not.
	Stall int64
	// Hold delivers so many bytes of the answer and then, for as long as no newer fault with a larger Hold fits the request
	// and Reset is not called, one byte a second, so that the client goes on waiting, unless it requires a higher rate
	// (DOWNLOAD_MIN_RATE); 0 delivers all.
	Hold int64

	// Reverse answers in the other order than asked, Twice has each entry twice, Omit leaves these ids out.
	Reverse, Twice bool
	Omit           []string
	// Numbers is `strings` or `numbers`: the type of every number in the answer. Empty is as Steam does it.
	Numbers string
	// JSON is the answer, whatever was asked.
	JSON string

	// Rate limits each connection, TotalRate all that the fault fits together, in bytes a second.
	Rate, TotalRate int64
	// Corrupt inverts each byte from the middle of the file on.
	Corrupt bool
	// Grow makes the file longer by so many bytes, or shorter when negative.
	Grow int64
	// NoRanges always sends the whole file.
	NoRanges bool
	// LieRange says in Content-Range that the answer starts one byte later than it does.
	LieRange bool
	// Encoding is a Content-Encoding that the answer claims.
	Encoding string
	// Picture sends the preview picture in place of the file.
	Picture bool
	// Redirect answers 302 to this link; `self` leads to the same file, `loop` leads to itself for ever.
	Redirect string
}

func (f *Fault) set(words []word) error {
	for _, w := range words {
		var err error
		switch w.key {
		case "times":
			f.Times, err = w.int()
		case "delay":
			f.Delay, err = w.duration()
		case "refuse":
			f.Refuse, err = w.bool()
		case "status":
			f.Status, err = w.int()
		case "retry-after":
			f.RetryAfter = w.value
		case "html":
			f.HTML, err = w.bool()
		case "cut":
			f.Cut, err = w.bytes()
		case "stall":
			f.Stall, err = w.bytes()
		case "hold":
			f.Hold, err = w.bytes()
		case "reverse":
			f.Reverse, err = w.bool()
		case "twice":
			f.Twice, err = w.bool()
		case "omit":
			f.Omit = strings.Split(w.value, ",")
		case "numbers":
			f.Numbers = w.value
		case "json":
			f.JSON = w.value
		case "rate":
			f.Rate, err = w.bytes()
		case "total-rate":
			f.TotalRate, err = w.bytes()
		case "corrupt":
			f.Corrupt, err = w.bool()
		case "grow":
			f.Grow, err = w.bytes()
		case "no-ranges":
			f.NoRanges, err = w.bool()
		case "lie-range":
			f.LieRange, err = w.bool()
		case "encoding":
			f.Encoding = w.value
		case "picture":
			f.Picture, err = w.bool()
		case "redirect":
			f.Redirect = w.value
		default:
			return fmt.Errorf("a fault has no %q", w.key)
		}
		if err != nil {
			return fmt.Errorf("%s=%s: %w", w.key, w.value, err)
		}
	}
	return nil
}

func (f Fault) check() error {
	switch {
	case !slices.Contains([]string{"details", "collections", "api", "content", "preview"}, f.At):
		return fmt.Errorf("%q is neither a command nor a place for a fault", f.At)
	case f.Status != 0 && (f.Status < 200 || f.Status > 599):
		return fmt.Errorf("status %s is not an HTTP status", strconv.Itoa(f.Status))
	case f.Numbers != "" && f.Numbers != "strings" && f.Numbers != "numbers":
		return fmt.Errorf("numbers are strings or numbers")
	case f.Rate < 0 || f.TotalRate < 0 || f.Cut < 0 || f.Stall < 0 || f.Hold < 0 || f.Times < 0:
		return fmt.Errorf("only grow may be negative")
	}
	return nil
}

func (f Fault) fits(kind string, ids []string) bool {
	return (f.At == kind || f.At == "api" && isAPI(kind)) && (f.ID == "" || slices.Contains(ids, f.ID))
}

func isAPI(kind string) bool { return kind == "details" || kind == "collections" }

// activeFault is a Fault with what it has done.
type activeFault struct {
	Fault
	hits  int
	total *pace
}

// pace lets bytes through at a rate. It is for use by several goroutines at once.
type pace struct {
	rate int64
	mu   sync.Mutex
	next time.Time
}

func newPace(rate int64) *pace {
	if rate == 0 {
		return nil
	}
	return &pace{rate: rate}
}

// wait returns when n more bytes may pass, or with ctx's error.
func (p *pace) wait(ctx context.Context, n int) error {
	if p == nil {
		return nil
	}
	p.mu.Lock()
	now := time.Now()
	// What a late timer lost may be made up for.
	if earliest := now.Add(-50 * time.Millisecond); p.next.Before(earliest) {
		p.next = earliest
	}
	p.next = p.next.Add(time.Duration(int64(n) * int64(time.Second) / p.rate))
	until := p.next
	p.mu.Unlock()
	return pause(ctx, until.Sub(now))
}

func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
