package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"

	"github.com/mattn/go-isatty"
	"golang.org/x/sys/unix"
)

// newLog returns a log to w: text on a terminal and in systemd's journal, JSON elsewhere.
func newLog(w io.Writer) *slog.Logger {
	f, ok := w.(*os.File)
	switch {
	case ok && isatty.IsTerminal(f.Fd()):
		return slog.New(slog.NewTextHandler(w, nil))
	case ok && isJournal(f):
		return slog.New(newJournalHandler(w))
	}
	return slog.New(slog.NewJSONHandler(w, nil))
}

// isJournal reports whether f is connected to systemd's journal (JOURNAL_STREAM, systemd.exec(5)).
func isJournal(f *os.File) bool {
	var s unix.Stat_t
	return unix.Fstat(int(f.Fd()), &s) == nil && os.Getenv("JOURNAL_STREAM") == fmt.Sprintf("%d:%d", s.Dev, s.Ino)
}

// The prefixes of a line in the journal. The numbers are syslog's levels.
const (
	journalError   = "<3>"
	journalWarning = "<4>"
)

// journalHandler writes lines for the journal: without the time, which the journal adds, and with the level as a number in
// angle brackets before the line (sd-daemon(3)).
type journalHandler struct {
	slog.Handler // writes to lines
	lines        *lineWriter
}

// lineWriter writes prefix before each line.
type lineWriter struct {
	mu     sync.Mutex
	prefix string
	w      io.Writer
}

func newJournalHandler(w io.Writer) journalHandler {
	lines := &lineWriter{w: w}
	dropTimeAndLevel := func(groups []string, a slog.Attr) slog.Attr {
		if len(groups) == 0 && (a.Key == slog.TimeKey || a.Key == slog.LevelKey) {
			return slog.Attr{}
		}
		return a
	}
	return journalHandler{slog.NewTextHandler(lines, &slog.HandlerOptions{ReplaceAttr: dropTimeAndLevel}), lines}
}

func (h journalHandler) Handle(ctx context.Context, r slog.Record) error {
	h.lines.mu.Lock()
	defer h.lines.mu.Unlock()
	switch {
	case r.Level >= slog.LevelError:
		h.lines.prefix = journalError
	case r.Level >= slog.LevelWarn:
		h.lines.prefix = journalWarning
	case r.Level >= slog.LevelInfo:
		h.lines.prefix = "<6>"
	default:
		h.lines.prefix = "<7>"
	}
	return h.Handler.Handle(ctx, r)
}

func (h journalHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return journalHandler{h.Handler.WithAttrs(attrs), h.lines}
}

func (h journalHandler) WithGroup(name string) slog.Handler {
	return journalHandler{h.Handler.WithGroup(name), h.lines}
}

func (l *lineWriter) Write(line []byte) (int, error) {
	if _, err := l.w.Write(append([]byte(l.prefix), line...)); err != nil {
		return 0, err
	}
	return len(line), nil
}
