package steam_test

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
)

type counter struct{ calls []string }

func (c *counter) Downloaded(bytes int64) {
	c.calls = append(c.calls, fmt.Sprint("downloaded ", bytes))
}
func (c *counter) NotDownloaded() { c.calls = append(c.calls, "not downloaded") }
func (c *counter) SteamFailed(source, kind string) {
	c.calls = append(c.calls, source+" "+kind)
}

// readLine passes a line to c as localrun does: strings as strings, integers as integers, everything else as JSON.
func readLine(t *testing.T, line []byte, c steam.LogCounter) {
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
	steam.ReadLog(r, c)
}

func TestReadLogReadsWhatIsLogged(t *testing.T) {
	var out bytes.Buffer
	log := slog.New(slog.NewJSONHandler(&out, nil))
	steam.LogDownloaded(log, "101", 1<<40)
	steam.LogNotDownloaded(log, "102", errors.New("gone"))
	steam.LogFailed(log, steam.SourceContent, "file", errors.New("SHA-1 differs"))
	steam.LogFailed(log, steam.SourceAPI, steam.Kind(&steam.StatusError{Code: 503}), errors.New("steam answered 503"))
	log.Info("serving", "bytes", 7)
	var c counter
	for line := range bytes.Lines(out.Bytes()) {
		readLine(t, line, &c)
	}
	want := []string{fmt.Sprint("downloaded ", 1<<40), "not downloaded", "content file", "api http_503"}
	if !slices.Equal(c.calls, want) {
		t.Errorf("read %q, want %q of\n%s", c.calls, want, &out)
	}
}

func TestReadLogIgnoresMalformedLines(t *testing.T) {
	var c counter
	for _, line := range []string{
		`{"msg":"downloaded"}`,
		`{"msg":"downloaded","bytes":"7"}`,
		`{"msg":"downloaded","bytes":-7}`,
		`{"msg":"downloaded","bytes":1e99}`,
		`{"msg":"downloaded","bytes":{}}`,
		`{"msg":"","bytes":7}`,
	} {
		readLine(t, []byte(line), &c)
	}
	if len(c.calls) > 0 {
		t.Errorf("read %q", c.calls)
	}
}
