package supervisor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"left4me/shared/game/launch"
)

// consoles are those of the servers below root. Both supervisors have the game append to the same files.
type consoles struct{ root string }

func (c consoles) path(serverID int64, name string) string {
	return filepath.Join(c.root, launch.Dir(serverID), name)
}

// begin makes a server's console, or empties it.
func (c consoles) begin(serverID int64) error {
	return os.WriteFile(c.path(serverID, launch.ConsoleFile), nil, 0o600)
}

// Console implements Supervisor.
func (c consoles) Console(_ context.Context, serverID int64, lines int) (all []string, unfinished bool, err error) {
	return lastLines(c.path(serverID, launch.ConsoleFile), lines)
}

// maxConsole is the size in bytes that a console may have for long.
const maxConsole = 4 << 20

// ShortenConsole implements Supervisor.
func (c consoles) ShortenConsole(serverID int64) error {
	f, err := os.OpenFile(c.path(serverID, launch.ConsoleFile), os.O_RDWR|os.O_APPEND, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || info.Size() <= maxConsole {
		return err
	}
	kept, err := end(f, info.Size())
	if err == nil {
		err = f.Truncate(0)
	}
	if err == nil {
		_, err = f.Write(kept)
	}
	if err != nil {
		return fmt.Errorf("shorten the console of server %d: %w", serverID, err)
	}
	return nil
}

// end returns the whole lines among the last consoleRead bytes of a file.
func end(f io.ReaderAt, size int64) ([]byte, error) {
	start := max(0, size-consoleRead)
	text, err := io.ReadAll(io.NewSectionReader(f, start, consoleRead))
	if start > 0 { // the first line is cut
		_, text, _ = bytes.Cut(text, []byte("\n"))
	}
	return text, err
}

// consoleRead is how much of the end of a console is read, in bytes.
const consoleRead = 256 << 10

// lastLines returns the last lines of a file, at most so many, and whether the last of them is unfinished; none if there is no such file.
func lastLines(path string, lines int) (all []string, unfinished bool, err error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, false, err
	}
	text, err := end(f, info.Size())
	if err != nil {
		return nil, false, fmt.Errorf("read the console: %w", err)
	}
	all = strings.Split(strings.TrimRight(strings.ToValidUTF8(string(text), "\uFFFD"), "\n"), "\n")
	if len(all) == 1 && all[0] == "" {
		return nil, false, nil
	}
	return all[max(0, len(all)-lines):], !bytes.HasSuffix(text, []byte("\n")), nil
}
