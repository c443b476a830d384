package lambdahost

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"left4me/shared/text"
)

const (
	maxLine      = 16 << 10 // bytes of a line that are logged; the rest is dropped
	keptLines    = 10       // for ExitError
	keptLineSize = 500
	// maxDrain is more than the capacity of a pipe (64 KiB), so that drain returns even if the process never stops printing.
	maxDrain = 128 << 10
)

// output logs the lines that a process prints to standard output and standard error.
//
// Two goroutines read the pipe: follow reads continuously, and drain reads the pipe until it is empty. drain is needed to log
// each line with the right request id: when a process asks for its next request, all output of the previous request is in the
// pipe, and drain logs it before the id changes.
type output struct {
	log *slog.Logger

	mu        sync.Mutex
	pipe      *os.File
	raw       syscall.RawConn
	pid       int
	requestID string
	line      []byte // the unfinished line
	cutOff    bool   // the rest of the line is being dropped
	last      []string
}

func newOutput(log *slog.Logger, function, requestID string) *output {
	return &output{log: log.With("function", function), requestID: requestID}
}

// read starts to log the lines in pipe, which it takes over.
func (o *output) read(pipe *os.File, pid int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.pipe, o.pid = pipe, pid
	raw, err := pipe.SyscallConn()
	if err != nil {
		o.log.Error("read a function's output", "error", err)
		return
	}
	o.raw = raw
	go o.follow(raw)
}

func (o *output) follow(raw syscall.RawConn) {
	var buf [4 << 10]byte
	for ended := false; !ended; {
		err := raw.Read(func(fd uintptr) bool {
			o.mu.Lock()
			defer o.mu.Unlock()
			n, err := unix.Read(int(fd), buf[:])
			if n > 0 {
				o.add(buf[:n])
			}
			ended = n == 0 || n < 0 && err != unix.EAGAIN && err != unix.EINTR
			return n >= 0 || err != unix.EAGAIN
		})
		if err != nil {
			return // closed
		}
	}
}

// drain logs the current contents of the pipe and does not wait for more.
func (o *output) drain() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.raw == nil {
		return
	}
	o.raw.Control(func(fd uintptr) {
		var buf [4 << 10]byte
		for total := 0; total < maxDrain; {
			n, err := unix.Read(int(fd), buf[:])
			if err == unix.EINTR {
				continue
			}
			if n <= 0 {
				return
			}
			o.add(buf[:n])
			total += n
		}
	})
}

// close logs the rest of the output after the process has exited, and closes the pipe, which a grandchild may still have open.
func (o *output) close() {
	o.drain()
	o.pipe.Close() // without the mutex, because it waits for follow
	o.mu.Lock()
	defer o.mu.Unlock()
	o.raw = nil
	if len(o.line) > 0 {
		o.emit()
	}
}

func (o *output) setRequest(id string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.requestID = id
}

func (o *output) request() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.requestID
}

func (o *output) lastLines() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.last)
}

// addLine adds a line for ExitError that the process did not print.
func (o *output) addLine(line string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.keep(line)
}

func (o *output) keep(line string) {
	if len(o.last) == keptLines {
		o.last = slices.Delete(o.last, 0, 1)
	}
	o.last = append(o.last, text.Truncate(strings.TrimSpace(line), keptLineSize))
}

func (o *output) add(b []byte) {
	for len(b) > 0 {
		piece, rest, ended := bytes.Cut(b, []byte{'\n'})
		if room := maxLine - len(o.line); len(piece) > room {
			piece = piece[:room]
			o.cutOff = true
		}
		o.line = append(o.line, piece...)
		if ended {
			o.emit()
		}
		b = rest
	}
}

func (o *output) emit() {
	line, cutOff := o.line, o.cutOff
	o.line, o.cutOff = o.line[:0], false
	if len(bytes.TrimSpace(line)) == 0 {
		return
	}
	o.keep(string(line))

	record, ok := parseRecord(line)
	if !ok {
		text := strings.ToValidUTF8(strings.TrimRight(string(line), "\r"), "\uFFFD")
		record = slog.NewRecord(time.Now(), slog.LevelInfo, text, 0)
		if cutOff {
			record.AddAttrs(slog.Bool("cut", true))
		}
	}
	ctx := context.Background() // the record belongs to no request of the host
	if handler := o.log.Handler(); handler.Enabled(ctx, record.Level) {
		record.AddAttrs(slog.String("request_id", o.requestID), slog.Int("pid", o.pid))
		_ = handler.Handle(ctx, record) // an error of the log cannot be logged
	}
}

// parseRecord parses a line of slog's JSON handler: an object with `level` and `msg`. It leaves out the attributes that the
// host adds itself.
func parseRecord(line []byte) (slog.Record, bool) {
	if line[0] != '{' || !json.Valid(line) {
		return slog.Record{}, false
	}
	dec := json.NewDecoder(bytes.NewReader(line))
	dec.Token()
	var (
		at       = time.Now()
		level    slog.Level
		msg      string
		hasLevel bool
		hasMsg   bool
		attrs    []slog.Attr
	)
	for dec.More() {
		token, _ := dec.Token()
		key, _ := token.(string)
		var raw json.RawMessage
		if dec.Decode(&raw) != nil {
			return slog.Record{}, false
		}
		var text string
		isText := json.Unmarshal(raw, &text) == nil && raw[0] == '"'
		whole, notWhole := strconv.ParseInt(string(raw), 10, 64)
		switch {
		case key == slog.TimeKey && isText:
			if t, err := time.Parse(time.RFC3339Nano, text); err == nil {
				at = t
			}
		case key == slog.LevelKey && isText:
			hasLevel = level.UnmarshalText([]byte(text)) == nil
		case key == slog.MessageKey && isText:
			msg, hasMsg = text, true
		case key == "function" || key == "request_id" || key == "pid":
		case isText:
			attrs = append(attrs, slog.String(key, text))
		case notWhole == nil:
			attrs = append(attrs, slog.Int64(key, whole))
		default: // unchanged, so that numbers keep their digits
			attrs = append(attrs, slog.Any(key, raw))
		}
	}
	if !hasLevel || !hasMsg {
		return slog.Record{}, false
	}
	record := slog.NewRecord(at, level, msg, 0)
	record.AddAttrs(attrs...)
	return record, true
}
