package launch

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// ConsoleFile is the file in a server's directory to which the output of its game is appended. Others may shorten it at any time.
const ConsoleFile = "console.log"

// EndMark begins the line that is appended to ConsoleFile when a process of the game has ended. How it has ended follows. EndedWell is the line of
// one that systemd was asked to stop.
const (
	EndMark   = "left4me: the game has ended: "
	EndedWell = EndMark + "exited 0 (success)"
)

func writeEnd(console io.Writer, how string) { fmt.Fprintln(console, EndMark+how) }

// toConsole makes ConsoleFile in a server's directory stdout and stderr of this process. Without the file, they stay what they are: only who
// stops and starts servers makes it.
func toConsole(server *os.File) error {
	console, err := openConsole(server)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer console.Close()
	return errors.Join(unix.Dup3(int(console.Fd()), 1, 0), unix.Dup3(int(console.Fd()), 2, 0))
}

// openConsole opens ConsoleFile for writing at its end. The directory's owner can put anything in its place; root writes to nothing but a file
// of that owner.
func openConsole(server *os.File) (*os.File, error) {
	console, err := open(server, ConsoleFile, unix.O_WRONLY|unix.O_APPEND|unix.O_NONBLOCK)
	if err != nil {
		return nil, err
	}
	info, err := console.Stat()
	var owner fs.FileInfo
	if err == nil {
		owner, err = server.Stat()
	}
	if err == nil && (!info.Mode().IsRegular() || info.Sys().(*syscall.Stat_t).Uid != owner.Sys().(*syscall.Stat_t).Uid) {
		err = fmt.Errorf("%s is not a file of the server's owner", ConsoleFile)
	}
	if err != nil {
		return nil, errors.Join(err, console.Close())
	}
	return console, nil
}

// EndCommand is the name of localrun's command that calls Ended. Its argument is the server's id.
const EndCommand = "end-server"

// Ended appends to the console of a server below root how its game has ended, as systemd says in the environment (systemd.exec(5)).
func Ended(root string, serverID int64, getenv func(string) string) error {
	_, server, err := openServer(root, serverID)
	if err != nil {
		return err
	}
	console, err := openConsole(server)
	if err != nil {
		return err
	}
	defer console.Close()
	writeEnd(console, fmt.Sprintf("%s %s (%s)", getenv("EXIT_CODE"), getenv("EXIT_STATUS"), getenv("SERVICE_RESULT")))
	return nil
}
