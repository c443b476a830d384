package game

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/creack/pty"
	"github.com/gofrs/flock"

	"left4me/shared/durable"
	"left4me/shared/text"
)

// App is the id of the dedicated server on Steam.
const App = "222860"

// SteamCMD is Valve's program that downloads games.
type SteamCMD struct {
	// Dir is LEFT4ME_ROOT/steam: SteamCMD's home directory, which only its owner can read, because SteamCMD keeps sign-ins there.
	Dir string
	// URL is the address of Valve's archive.
	URL string
	// Program is another executable in place of the archive's; empty for none.
	Program string
	// Silence is how long it may run without output before it counts as stuck.
	Silence time.Duration
}

// script is SteamCMD's file to run: it starts the program in the archive, and starts it again when it has updated itself.
const script = "steamcmd.sh"

const (
	downloadTime = 10 * time.Minute
	// maxUnpacked limits the size of the files in the archive. They have about 10 MB.
	maxUnpacked = 1 << 30
)

// download downloads SteamCMD and unpacks it, unless that has been done. The script comes last, so that its file means that all is there.
func (s SteamCMD) download(ctx context.Context) (downloaded bool, err error) {
	if s.Program != "" {
		return false, nil
	}
	if err := os.MkdirAll(s.Dir, 0o700); err != nil {
		return false, err
	}
	if _, err := os.Stat(filepath.Join(s.Dir, script)); !errors.Is(err, os.ErrNotExist) {
		return false, err
	}
	root, err := os.OpenRoot(s.Dir)
	if err != nil {
		return false, err
	}
	defer root.Close()
	ctx, stop := context.WithTimeout(ctx, downloadTime)
	defer stop()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL, nil)
	if err != nil {
		return false, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return false, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return false, fmt.Errorf("%s answers with status %d", s.URL, response.StatusCode)
	}
	if err := unpack(root, response.Body); err != nil {
		return false, fmt.Errorf("unpack %s: %w", s.URL, err)
	}
	return true, nil
}

// unpackFile writes a file that may be a program. This process does not fork meanwhile: until the child executes its own program it would
// have the file open, and nobody could run it.
func unpackFile(dir *os.Root, name string, mode os.FileMode, content io.Reader) error {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	f, err := dir.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, content)
	return errors.Join(err, f.Sync(), f.Close())
}

// unpack unpacks a compressed archive into dir.
func unpack(dir *os.Root, archive io.Reader) error {
	const newScript = script + ".new"
	plain, err := gzip.NewReader(archive)
	if err != nil {
		return err
	}
	found, left := false, int64(maxUnpacked)
	for files := tar.NewReader(plain); ; {
		h, err := files.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		name := filepath.Clean(h.Name)
		if h.Typeflag != tar.TypeReg {
			continue
		}
		if left -= h.Size; left < 0 {
			return errors.New("it is too large")
		}
		if name == script {
			found, name = true, newScript
		}
		if err := dir.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			return err
		}
		if err := unpackFile(dir, name, 0o600|h.FileInfo().Mode().Perm()&0o100, files); err != nil {
			return err
		}
	}
	if !found {
		return errors.New("it has no " + script)
	}
	return errors.Join(dir.Rename(newScript, script), durable.SyncIn(dir, "."))
}

// command returns a run of SteamCMD, which dies with this process. Its environment is only what it needs.
func (s SteamCMD) command(ctx context.Context, args ...string) *exec.Cmd {
	program := s.Program
	if program == "" {
		program = filepath.Join(s.Dir, script)
	}
	c := exec.CommandContext(ctx, program, args...)
	c.Dir = s.Dir
	// Progress has a decimal point only in this locale.
	c.Env = []string{"HOME=" + s.Dir, "LC_ALL=C", "PATH=" + os.Getenv("PATH"), "TERM=" + os.Getenv("TERM")}
	return c
}

// errAtWork says that another process runs SteamCMD with this home directory.
var errAtWork = errors.New("SteamCMD is at work already on this host: for a job, or for `localrun steam-login`. Wait until it has ended")

// lock returns a lock that one process at a time holds while it runs SteamCMD. The error is errAtWork if another one does.
func (s SteamCMD) lock() (*flock.Flock, error) {
	if err := os.MkdirAll(s.Dir, 0o700); err != nil {
		return nil, err
	}
	l := flock.New(filepath.Join(s.Dir, "left4me.lock"))
	got, err := l.TryLock()
	if err == nil && !got {
		err = errAtWork
	}
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// Login runs SteamCMD in this terminal to sign in as user. SteamCMD asks for the password itself, and keeps the sign-in in Dir.
func (s SteamCMD) Login(ctx context.Context, user string) error {
	if _, err := s.download(ctx); err != nil {
		return fmt.Errorf("download SteamCMD: %w", err)
	}
	l, err := s.lock()
	if err != nil {
		return err
	}
	defer l.Close()
	c := s.command(ctx, "+login", user, "+quit")
	c.Stdin, c.Stdout, c.Stderr = os.Stdin, os.Stdout, os.Stderr
	if err := c.Run(); err != nil {
		return fmt.Errorf("SteamCMD has not signed in: %w", err)
	}
	return nil
}

// errSilent is the cause of the end of a run without output.
var errSilent = errors.New("no output")

// escapes are the sequences with which SteamCMD colours its output in a terminal.
var escapes = text.Pattern("\x1b\\[[0-9;?]*[A-Za-z]")

const maxLine = 4 << 10

// run runs SteamCMD and passes each line of its output to each. It returns the exit status, or the cause if ctx ended, or errSilent; then
// all processes of the run have been killed.
func (s SteamCMD) run(ctx context.Context, each func(line string), args ...string) (status int, err error) {
	l, err := s.lock()
	if err != nil {
		return 0, err
	}
	defer l.Close()
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	c := s.command(ctx, args...)
	c.Cancel = func() error { return syscall.Kill(-c.Process.Pid, syscall.SIGKILL) }
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	// SteamCMD writes its progress at once only to a terminal. When this process is killed, the kernel hangs the terminal up, which ends
	// SteamCMD, too.
	terminal, err := pty.StartWithSize(c, &pty.Winsize{Rows: 50, Cols: 500})
	if err != nil {
		return 0, err
	}
	defer terminal.Close()
	silence := time.AfterFunc(s.Silence, func() { stop(errSilent) })
	defer silence.Stop()
	read := make(chan struct{})
	go func() {
		defer close(read)
		lines := bufio.NewScanner(terminal)
		lines.Buffer(nil, maxLine)
		lines.Split(splitLine)
		for lines.Scan() { // until no process has the terminal open any more
			silence.Reset(s.Silence)
			if line := strings.TrimRight(escapes().ReplaceAllString(lines.Text(), ""), " "); line != "" {
				each(line)
			}
		}
	}()
	err = c.Wait()
	select {
	case <-read:
	case <-time.After(time.Second): // a process that it has left behind
		terminal.Close()
		<-read
	}
	if cause := context.Cause(ctx); cause != nil {
		return 0, cause
	}
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.Exited() {
		return exit.ExitCode(), nil
	}
	return 0, err
}

// splitLine is a bufio.SplitFunc for lines that end with any of \r and \n. Longer lines than maxLine are cut.
func splitLine(data []byte, atEOF bool) (advance int, line []byte, err error) {
	for i, b := range data {
		if b == '\n' || b == '\r' {
			return i + 1, data[:i], nil
		}
	}
	if atEOF && len(data) > 0 || len(data) >= maxLine {
		return len(data), data, nil
	}
	return 0, nil, nil
}
