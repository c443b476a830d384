// Package launch starts the process of a game server (servers.md P57, P58): it mounts the run's stack with a release of the game at the
// bottom, in a mount namespace of its own, drops all privileges, and becomes the game's start script. All that the game sees is its own tree and
// the programs and libraries of the host. The mounts end with the process.
//
// It needs root, or a user namespace in which it has the rights to mount. What it reads was written by a user without privileges: no path
// leads out of LEFT4ME_ROOT, and nothing in it gives the game a privilege.
package launch

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Plan is what a run of a server starts with: the file servers/{server}/runs/{run}/plan.json below LEFT4ME_ROOT.
type Plan struct {
	ServerID int64 `json:"server_id"`
	RunID    int64 `json:"run_id"`
	// Release is the build id of the game's release, game/releases/{release}.
	Release int64 `json:"release"`
	// Layers are directories, relative to LEFT4ME_ROOT. The first is on top of the others.
	Layers []string `json:"layers"`
	// Port is the server's, for people who read the plan: Args have it.
	Port int `json:"port"`
	// Args are the arguments of the game's start script.
	Args []string `json:"args"`
}

// Dir is the directory of a server below LEFT4ME_ROOT.
func Dir(serverID int64) string { return filepath.Join(Servers, strconv.FormatInt(serverID, 10)) }

// Servers is the directory of all servers below LEFT4ME_ROOT. The others are names in the directory of one.
const (
	Servers = "servers"
	// Files has what the game writes: the upper layer of the run's file system. Work belongs to the kernel.
	Files = "files"
	Work  = "work"
	// Runs has a directory for each run, by its id, with the file PlanFile.
	Runs     = "runs"
	PlanFile = "plan.json"
	// Current is a file with the id of the run to start.
	Current = "current"
)

const (
	// maxLayers is more than stacks have, and fewer than the kernel allows (500).
	maxLayers = 300
	maxPlan   = 1 << 20
	// userBase is added to a server's id to get the user that its game runs as: a number that no other user has, so that no game can
	// see or signal that of another server. systemd's ranges (https://systemd.io/UIDS-GIDS) leave it free.
	userBase = 1_900_000_000
	// Tree is the directory in which the game sees its tree.
	Tree = "/game"
)

// Run makes this process the game of a server below root, which is LEFT4ME_ROOT. It only returns with an error.
func Run(root string, serverID int64) error {
	runtime.LockOSThread() // namespaces and credentials are a thread's until it executes the game
	if err := own(); err != nil {
		return err
	}
	dir, server, err := openServer(root, serverID)
	if err != nil {
		return err
	}
	if err := toConsole(server); err != nil {
		return fmt.Errorf("open the console of server %d: %w", serverID, err)
	}
	plan, err := readPlan(dir, serverID)
	if err != nil {
		return err
	}
	g := &game{root: root, dir: dir, server: server, plan: plan}
	if os.Geteuid() == 0 {
		owner, err := server.Stat()
		if err != nil {
			return err
		}
		id := owner.Sys().(*syscall.Stat_t)
		g.user = userBase + int(serverID)
		if g.mapped, err = idMap(int(id.Uid), int(id.Gid), g.user); err != nil {
			return fmt.Errorf("make a user namespace for the owners of files: %w", err)
		}
	}
	if err := g.mount(); err != nil {
		return fmt.Errorf("mount the files of server %d: %w", serverID, err)
	}
	if err := g.drop(); err != nil {
		return fmt.Errorf("drop privileges: %w", err)
	}
	args := append([]string{Tree + "/srcds_run"}, plan.Args...)
	return fmt.Errorf("run %s: %w", args[0], unix.Exec(args[0], args, environment))
}

// openServer opens root and the directory of a server below it.
func openServer(root string, serverID int64) (dir, server *os.File, err error) {
	dir, err = os.OpenFile(root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	server, err = open(dir, Dir(serverID), unix.O_PATH|unix.O_DIRECTORY)
	return dir, server, err
}

// environment is all that the game gets of it: settings of left4me have secrets.
var environment = []string{"HOME=" + Tree, "PATH=/usr/local/bin:/usr/bin:/bin", "LANG=C.UTF-8", "TERM=dumb", "TMPDIR=/tmp"}

// readPlan reads the plan of the run that servers/{id}/current names. Its numbers are checked, its paths are not.
func readPlan(root *os.File, serverID int64) (p Plan, err error) {
	server := Dir(serverID)
	current, err := readFile(root, filepath.Join(server, Current))
	if err != nil {
		return p, err
	}
	run, err := strconv.ParseInt(strings.TrimSpace(string(current)), 10, 64)
	if err != nil {
		return p, fmt.Errorf("%s/%s does not have the number of a run", server, Current)
	}
	text, err := readFile(root, filepath.Join(server, Runs, strconv.FormatInt(run, 10), PlanFile))
	if err != nil {
		return p, err
	}
	if err := json.Unmarshal(text, &p); err != nil {
		return p, fmt.Errorf("read the plan of run %d: %w", run, err)
	}
	switch {
	case p.ServerID != serverID || p.RunID != run:
		return p, fmt.Errorf("the plan of run %d of server %d is that of run %d of server %d", run, serverID, p.RunID, p.ServerID)
	case serverID < 1 || serverID > math.MaxInt32-userBase:
		return p, fmt.Errorf("%d is not the id of a server", serverID)
	case p.Release < 1:
		return p, fmt.Errorf("the plan of run %d names no release of the game", run)
	case len(p.Layers) > maxLayers:
		return p, fmt.Errorf("the plan of run %d has %d layers; %d are possible", run, len(p.Layers), maxLayers)
	}
	return p, nil
}

// open opens something below root, without following links.
func open(root *os.File, path string, flags int) (*os.File, error) {
	fd, err := unix.Openat2(int(root.Fd()), path, &unix.OpenHow{
		Flags:   uint64(flags | unix.O_CLOEXEC),
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS,
	})
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}

// readFile reads a small file below root.
func readFile(root *os.File, path string) ([]byte, error) {
	f, err := open(root, path, unix.O_RDONLY|unix.O_NONBLOCK)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, errors.Join(fmt.Errorf("%s is not a file", path), err)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxPlan+1))
	if err == nil && len(text) > maxPlan {
		err = fmt.Errorf("%s is larger than %d bytes", path, maxPlan)
	}
	return text, err
}

// HoldCommand is the name of the hidden command of localrun that waits until its input ends; see idMap.
const HoldCommand = "hold-namespace"

// idMap returns a user namespace with which mounts show the files of uid and gid as those of user, and those of root, if that is another, as
// root's. Others have no owner there. A namespace needs a process until somebody has opened it.
func idMap(uid, gid, user int) (*os.File, error) {
	mapping := func(id int) []syscall.SysProcIDMap {
		all := []syscall.SysProcIDMap{{ContainerID: id, HostID: user, Size: 1}}
		if id != 0 {
			all = append(all, syscall.SysProcIDMap{ContainerID: 0, HostID: 0, Size: 1})
		}
		return all
	}
	holder := exec.Command("/proc/self/exe", HoldCommand)
	holder.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER, UidMappings: mapping(uid), GidMappings: mapping(gid), Pdeathsig: unix.SIGKILL}
	input, err := holder.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := holder.Start(); err != nil {
		return nil, err
	}
	namespace, err := os.Open(fmt.Sprintf("/proc/%d/ns/user", holder.Process.Pid))
	return namespace, errors.Join(err, input.Close(), holder.Wait())
}

// become makes this thread that of the game's user, with the capabilities that it has: what the kernel does for the mounts is done as this user.
func (g *game) become() error {
	if g.user == 0 {
		return nil
	}
	if err := unix.Prctl(unix.PR_SET_KEEPCAPS, 1, 0, 0, 0); err != nil {
		return err
	}
	if err := errors.Join(syscall.Setgroups(nil), syscall.Setresgid(g.user, g.user, g.user), syscall.Setresuid(g.user, g.user, g.user)); err != nil {
		return err
	}
	return setCapabilities(func(c *unix.CapUserData) { c.Effective = c.Permitted })
}

// setCapabilities changes both halves of this thread's capabilities.
func setCapabilities(change func(*unix.CapUserData)) error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var halves [2]unix.CapUserData
	if err := unix.Capget(&header, &halves[0]); err != nil {
		return err
	}
	change(&halves[0])
	change(&halves[1])
	return unix.Capset(&header, &halves[0])
}

// drop gives up all privileges, for good.
func (g *game) drop() error {
	for c := range unix.CAP_LAST_CAP + 1 {
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, uintptr(c), 0, 0, 0); err != nil && !errors.Is(err, unix.EINVAL) {
			return err
		}
	}
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
		return err
	}
	if err := setCapabilities(func(c *unix.CapUserData) { *c = unix.CapUserData{} }); err != nil {
		return err
	}
	// The kernel clears this when the user changes.
	if os.Getenv(diesWithParent) != "" {
		if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0); err != nil {
			return err
		}
	}
	return unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
}
