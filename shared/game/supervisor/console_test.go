package supervisor

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"left4me/shared/game/launch"
)

func TestALargeConsoleIsShortened(t *testing.T) {
	c := consoles{t.TempDir()}
	if err := c.ShortenConsole(1); err != nil {
		t.Errorf("without one: %v", err)
	}
	path := c.path(1, launch.ConsoleFile)
	err := os.MkdirAll(filepath.Dir(path), 0o755)
	if err == nil {
		err = c.begin(1)
	}
	game, openErr := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err := errors.Join(err, openErr); err != nil {
		t.Fatal(err)
	}
	defer game.Close()
	written := 0
	write := func() {
		written++
		if _, err := fmt.Fprintf(game, "line %d %s\n", written, strings.Repeat("x", 1000)); err != nil {
			t.Fatal(err)
		}
	}
	size := func() int64 {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	for size() <= maxConsole {
		write()
		before := size()
		if err := c.ShortenConsole(1); err != nil || before <= maxConsole && size() != before {
			t.Fatalf("%d bytes are %d, %v", before, size(), err)
		}
		if before > maxConsole {
			break
		}
	}
	if n := size(); n > consoleRead || n < consoleRead-2000 {
		t.Errorf("%d bytes are left", n)
	}
	write()
	lines, _, err := c.Console(t.Context(), 1, 10000)
	if err != nil || len(lines) < 200 {
		t.Fatalf("%d lines are left, %v", len(lines), err)
	}
	for n, line := range lines {
		if want := fmt.Sprintf("line %d xxx", written-len(lines)+1+n); !strings.HasPrefix(line, want) {
			t.Fatalf("line %d is %.20s, want %s", n, line, want)
		}
	}
}
