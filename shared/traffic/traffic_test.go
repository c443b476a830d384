package traffic_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"left4me/shared/steam"
	"left4me/shared/traffic"
)

type counter struct{ said []string }

func (c *counter) Downloaded(bytes int64) { c.said = append(c.said, fmt.Sprint("downloaded ", bytes)) }
func (c *counter) NotDownloaded()         { c.said = append(c.said, "not downloaded") }
func (c *counter) SteamFailed(source, kind string) {
	c.said = append(c.said, source+" "+kind)
}

// read gives a line to c as localrun does: texts as texts, whole numbers as such, and everything else as it was written.
func read(t *testing.T, line []byte, c traffic.Counter) {
	t.Helper()
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(line, &fields); err != nil {
		t.Fatal(err)
	}
	var msg string
	if err := json.Unmarshal(fields[slog.MessageKey], &msg); err != nil {
		t.Fatal(err)
	}
	r := slog.NewRecord(time.Now(), slog.LevelInfo, msg, 0)
	for name, raw := range fields {
		var text string
		var whole int64
		switch {
		case json.Unmarshal(raw, &text) == nil:
			r.AddAttrs(slog.String(name, text))
		case json.Unmarshal(raw, &whole) == nil:
			r.AddAttrs(slog.Int64(name, whole))
		default:
			r.AddAttrs(slog.Any(name, raw))
		}
	}
	traffic.Read(r, c)
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	var out bytes.Buffer
	log := slog.New(slog.NewJSONHandler(&out, nil))
	traffic.Downloaded(log, "101", 1<<40)
	traffic.NotDownloaded(log, "102", errors.New("gone"))
	traffic.SteamFailed(log, traffic.Content, "file", errors.New("SHA-1 differs"))
	traffic.APIFailed(log)(fmt.Errorf("ask: %w", &steam.StatusError{Code: 503}))
	log.Info("serving", "bytes", 7)
	var c counter
	for line := range bytes.Lines(out.Bytes()) {
		read(t, line, &c)
	}
	want := []string{fmt.Sprint("downloaded ", 1<<40), "not downloaded", "content file", "api http_503"}
	if !slices.Equal(c.said, want) {
		t.Errorf("read %q, want %q of\n%s", c.said, want, &out)
	}
}

func TestAMalformedLineCountsNothing(t *testing.T) {
	var c counter
	for _, line := range []string{
		`{"msg":"downloaded"}`,
		`{"msg":"downloaded","bytes":"7"}`,
		`{"msg":"downloaded","bytes":-7}`,
		`{"msg":"downloaded","bytes":1e99}`,
		`{"msg":"downloaded","bytes":{}}`,
		`{"msg":"","bytes":7}`,
	} {
		read(t, []byte(line), &c)
	}
	if len(c.said) > 0 {
		t.Errorf("read %q", c.said)
	}
}
