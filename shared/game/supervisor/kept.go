package supervisor

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"left4me/shared/durable"
	"left4me/shared/game/launch"
)

// kept are servers below root of which a process of launch.Keep each keeps the game. That process outlives the one that has started it.
type kept struct {
	consoles
	// program is the path of localrun.
	program string
}

// Start implements Supervisor.
func (k kept) Start(ctx context.Context, serverID int64) error {
	status, err := k.Status(ctx, serverID)
	if err != nil || status.Running {
		return err
	}
	if err := k.begin(serverID); err != nil {
		return err
	}
	keeper := exec.Command(k.program, launch.KeepCommand, strconv.FormatInt(serverID, 10))
	keeper.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	said, err := keeper.StdoutPipe()
	if err != nil {
		return err
	}
	if err := keeper.Start(); err != nil {
		return fmt.Errorf("start the process that keeps server %d: %w", serverID, err)
	}
	defer said.Close()
	line, err := bufio.NewReader(said).ReadString('\n')
	switch {
	case line == launch.Started+"\n":
		go func() { _ = keeper.Wait() }() // so that it is no zombie when it ends before this process
		return nil
	case line == "" && errors.Is(err, io.EOF):
		line = "it said nothing"
	}
	_ = keeper.Wait() // line says why it ended
	return fmt.Errorf("server %d was not started: %s", serverID, strings.TrimSpace(line))
}

// localrun is the path of the program localrun: this one, or that above a function's directory.
func localrun() string {
	program, err := os.Executable()
	if err != nil {
		return "localrun"
	}
	if filepath.Base(program) != "localrun" {
		program = filepath.Join(filepath.Dir(program), "..", "localrun")
	}
	return program
}

// Stop implements Supervisor.
func (k kept) Stop(ctx context.Context, serverID int64) error {
	for asked := 0; ; {
		running, process, err := k.look(serverID)
		if err != nil || !running {
			return err
		}
		if process.PID != asked { // it is 0 until the process has written it
			if err := unix.Kill(process.PID, unix.SIGTERM); err != nil && !errors.Is(err, unix.ESRCH) {
				return fmt.Errorf("ask server %d to stop: %w", serverID, err)
			}
			asked = process.PID
		}
		// It kills the game itself if that does not end.
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Status implements Supervisor.
func (k kept) Status(_ context.Context, serverID int64) (Status, error) {
	running, process, err := k.look(serverID)
	return Status{Running: running, Since: process.Since, Exit: process.Exit}, err
}

// look reports whether the game is kept, and what its process says.
func (k kept) look(serverID int64) (running bool, process launch.Kept, err error) {
	lock, err := os.Open(k.path(serverID, launch.LockFile))
	if errors.Is(err, fs.ErrNotExist) {
		return false, process, nil
	}
	if err != nil {
		return false, process, err
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_SH|unix.LOCK_NB); errors.Is(err, unix.EWOULDBLOCK) {
		running = true
	} else if err != nil {
		return false, process, fmt.Errorf("look at the lock of server %d: %w", serverID, err)
	}
	text, err := os.ReadFile(k.path(serverID, launch.KeptFile))
	if errors.Is(err, fs.ErrNotExist) {
		return running, process, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &process)
	}
	return running, process, durable.Cause(err)
}

// stopAll stops all servers below the root.
func (k kept) stopAll(ctx context.Context) error {
	entries, err := os.ReadDir(filepath.Join(k.root, launch.Servers))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var stops errgroup.Group
	for _, e := range entries {
		if id, err := strconv.ParseInt(e.Name(), 10, 64); err == nil {
			stops.Go(func() error { return k.Stop(ctx, id) })
		}
	}
	return stops.Wait()
}
