package launch

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"left4me/shared/durable"
)

// Command is the name of localrun's command that starts the game of a server, and KeepCommand that of the one that keeps it running where no
// systemd does. The argument of both is the server's id.
const (
	Command     = "run-server"
	KeepCommand = "keep-server"
)

// Started is what KeepCommand writes to stdout when it has started the game; otherwise it writes why it has not.
const Started = "started"

// diesWithParent is the environment variable that makes the game end with the process that has started it.
const diesWithParent = "LEFT4ME_DIES_WITH_PARENT"

// As the unit left4me-server@.service: a game that ends by itself is started again, unless it has done so too often.
const (
	restartPause  = time.Second
	maxRestarts   = 5
	restartWindow = time.Minute
	// StopTime is how long a game may take to end when it is asked to.
	StopTime = 10 * time.Second
)

// Kept is what Keep records about the server's process, in the file process.json of its directory.
type Kept struct {
	// PID is the process that keeps the game.
	PID int `json:"pid"`
	// Since is when the game was last started.
	Since time.Time `json:"since"`
	// Exit says how the game ended last, also when it has been started again since; empty if it has not ended by itself.
	Exit string `json:"exit,omitempty"`
}

// KeptFile and LockFile are names in a server's directory. While a process keeps its game, it holds a lock on LockFile.
const (
	KeptFile = "process.json"
	LockFile = "run.lock"
)

// ErrKept is Keep's error if the server's game is kept by another process.
var ErrKept = errors.New("the server is running already")

// Keep starts the game of a server below root, writes its output to ConsoleFile, and starts it again if it ends by itself. It returns when the game has
// ended because this process was asked to end, because it has ended as it should, or because it has ended too often. The game dies with
// this process. ready is called when the game has been started for the first time.
func Keep(root string, serverID int64, ready func()) error {
	runtime.LockOSThread() // the game dies with the thread that has started it
	dir := filepath.Join(root, Dir(serverID))
	lock, err := os.OpenFile(filepath.Join(dir, LockFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = ErrKept
		}
		return err
	}
	// The process that it names has ended, and another one may have its number by now.
	if err := os.Remove(filepath.Join(dir, KeptFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	ends := make(chan os.Signal, 1)
	signal.Notify(ends, unix.SIGTERM, unix.SIGINT)
	k := &keeper{dir: dir, root: root, id: serverID, ends: ends}
	var starts []time.Time
	for {
		starts = append(starts, time.Now())
		how, asked := k.once(ready)
		ready = func() {}
		k.Exit = how
		if err := k.record(); err != nil || asked || how == "" {
			return err
		}
		if n := len(starts); n > maxRestarts && time.Since(starts[n-1-maxRestarts]) < restartWindow {
			return fmt.Errorf("the game has ended %d times within %v: %s", maxRestarts+1, restartWindow, how)
		}
		select {
		case <-time.After(restartPause):
		case <-ends:
			return nil
		}
	}
}

type keeper struct {
	Kept
	dir, root string
	id        int64
	ends      <-chan os.Signal
}

func (k *keeper) record() error {
	text, err := json.Marshal(k.Kept)
	next := filepath.Join(k.dir, KeptFile+".new")
	if err == nil {
		err = os.WriteFile(next, text, 0o644)
	}
	if err == nil {
		err = durable.Rename(next, filepath.Join(k.dir, KeptFile))
	}
	return err
}

// once runs the game once. how says how it ended, unless it ended as it should; asked is whether this process was asked to end.
func (k *keeper) once(ready func()) (how string, asked bool) {
	console, err := os.OpenFile(filepath.Join(k.dir, ConsoleFile), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err.Error(), false
	}
	defer console.Close()
	defer func() { writeEnd(console, cmp.Or(how, "as it should")) }()
	game := exec.Command("/proc/self/exe", Command, strconv.FormatInt(k.id, 10))
	game.Env = append(os.Environ(), diesWithParent+"=yes")
	game.Stdout, game.Stderr = console, console
	game.SysProcAttr = namespaces()
	game.SysProcAttr.Pdeathsig = unix.SIGKILL
	k.PID, k.Since = os.Getpid(), time.Now()
	err = game.Start()
	if errors.Is(err, fs.ErrPermission) {
		err = fmt.Errorf("%w: this user may not make the namespaces that a server needs; %s", err, Advice())
	}
	if err == nil {
		err = k.record()
	}
	if err != nil {
		return err.Error(), false
	}
	ready()
	ended := make(chan error, 1)
	go func() { ended <- game.Wait() }()
	select {
	case err = <-ended:
		return describe(err), false
	case <-k.ends:
	}
	_ = game.Process.Signal(unix.SIGTERM) // it may have ended
	select {
	case err = <-ended:
	case <-time.After(StopTime):
		_ = game.Process.Kill()
		err = <-ended
	}
	return describe(err), true
}

// describe says how a game ended, and is empty if it ended with success.
func describe(err error) string {
	exit, ok := errors.AsType[*exec.ExitError](err)
	switch {
	case err == nil:
		return ""
	case !ok:
		return err.Error()
	case exit.Sys().(syscall.WaitStatus).Signaled():
		return "ended by signal " + exit.Sys().(syscall.WaitStatus).Signal().String()
	}
	return fmt.Sprintf("exit code %d", exit.ExitCode())
}
