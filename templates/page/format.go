package page

import (
	"fmt"
	"math"
	"net/url"
	"time"

	"github.com/dustin/go-humanize"
)

// Bytes returns a size as people read it, such as `34 MiB`. A negative size reads as `0 B`.
func Bytes(n int64) string { return humanize.IBytes(uint64(max(n, 0))) }

// Number returns a number as people read it, such as `1,000`.
func Number(n int) string { return humanize.Comma(int64(n)) }

// Count returns a number with its noun, such as `1 item` or `1,000 items`; the plural of noun must end in s.
func Count(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return Number(n) + " " + noun
}

// Rate returns bytes per second as people read it, such as `4.0 MiB/s`; empty when there is nothing to divide by yet.
func Rate(n int64, d time.Duration) string {
	if n <= 0 || d < time.Second {
		return ""
	}
	return Bytes(int64(float64(n)/d.Seconds())) + "/s"
}

// Duration returns a duration in its one or two largest units: `0.4 s`, `12 s`, `3 min 20 s`, `2 h 5 min`. The shortest is
// `0.1 s`.
func Duration(d time.Duration) string {
	d = max(d, 100*time.Millisecond)
	if d < 10*time.Second {
		return fmt.Sprintf("%.1f s", math.Floor(d.Seconds()*10)/10)
	}
	h, m, s := int(d.Hours()), int(d.Minutes())%60, int(d.Seconds())%60
	switch {
	case h > 0:
		return fmt.Sprintf("%d h %d min", h, m)
	case m > 0:
		return fmt.Sprintf("%d min %d s", m, s)
	}
	return fmt.Sprintf("%d s", s)
}

const day = 24 * time.Hour

// units are those of Ago, the longest first.
var units = []struct {
	name   string
	length time.Duration
}{{"year", 365 * day}, {"month", 30 * day}, {"week", 7 * day}, {"day", day}, {"hour", time.Hour}, {"minute", time.Minute}, {"second", time.Second}}

// Ago returns the distance of t from now, such as `3 minutes ago`. A time up to a minute ahead reads as `just now`, because the
// clocks of two machines differ a little. app.js does the same.
func Ago(t, now time.Time) string {
	d, direction := now.Sub(t), "ago"
	if d <= -time.Minute {
		d, direction = -d, "from now"
	}
	for _, u := range units {
		if d >= u.length {
			return Count(int(d/u.length), u.name) + " " + direction
		}
	}
	return "just now"
}

// machineTime is the format of the datetime attribute.
func machineTime(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// absolute is the format for people. It is in UTC because the server does not know their time zone.
func absolute(t time.Time) string { return t.UTC().Format("2 Jan 2006, 15:04 UTC") }

// maxURL is the length, in bytes, of the longest URL of a picture that is used.
const maxURL = 2000

// Picture returns the URL of a picture that Steam has named if a browser may load it, else the empty string. The
// Content-Security-Policy limits the hosts.
func Picture(raw string) string {
	u, err := url.Parse(raw)
	if err != nil || len(raw) > maxURL || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return ""
	}
	return u.String()
}
