package launch

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// game is what becomes the process of a server.
type game struct {
	root string
	dir  *os.File // root
	// server is the server's directory.
	server *os.File
	plan   Plan
	// user is the user and group of the game; 0: those of this process, in a user namespace.
	user int
	// mapped is the user namespace of idMap, if user is not 0.
	mapped *os.File
}

// programs are the directories of the host that the game sees, and cannot write to.
var programs = []string{"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc"}

// devices are those that the game sees.
var devices = []string{"null", "zero", "full", "random", "urandom", "tty"}

// own moves this thread into a mount namespace of its own, which begins as a copy.
func own() error {
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("make a mount namespace: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	if os.Getpid() != 1 {
		return nil
	}
	// In a PID namespace of its own, /proc has the processes of another one.
	return proc("/proc")
}

// proc mounts proc at a directory. It shows no processes of other users. A container that may not mount it gets what is there already.
func proc(dir string) error {
	err := unix.Mount("proc", dir, "proc", unix.MS_NODEV|unix.MS_NOSUID|unix.MS_NOEXEC, "hidepid=invisible")
	if errors.Is(err, fs.ErrPermission) {
		err = unix.Mount("/proc", dir, "", unix.MS_BIND|unix.MS_REC, "")
	}
	return err
}

// mount makes a root of this thread's mount namespace that has only the game's tree, programs and devices.
func (g *game) mount() error {
	layers, err := g.layers()
	if err != nil {
		return err
	}
	// The new root is mounted over LEFT4ME_ROOT, whose layers are open already.
	if err := unix.Mount("left4me", g.root, "tmpfs", unix.MS_NODEV|unix.MS_NOSUID, "mode=755,size=1m"); err != nil {
		return fmt.Errorf("mount the new root: %w", err)
	}
	if err := os.Chdir(g.root); err != nil {
		return err
	}
	if err := g.overlay(layers); err != nil {
		return err
	}
	if err := g.system(); err != nil {
		return err
	}
	if err := unix.Mount("", ".", "", unix.MS_REMOUNT|unix.MS_RDONLY|unix.MS_NODEV|unix.MS_NOSUID, "mode=755,size=1m"); err != nil {
		return fmt.Errorf("make the new root read-only: %w", err)
	}
	// The old root ends up below the new one, and is taken away.
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("change the root: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("take away the old root: %w", err)
	}
	return os.Chdir(Tree)
}

// layers opens the layers of the stack, the topmost first, with the release as the last.
func (g *game) layers() (layers []*os.File, err error) {
	paths := append([]string{}, g.plan.Layers...)
	paths = append(paths, filepath.Join("game", "releases", strconv.FormatInt(g.plan.Release, 10)))
	for _, path := range paths {
		layer, err := open(g.dir, path, unix.O_PATH|unix.O_DIRECTORY)
		if err != nil {
			return nil, err
		}
		layers = append(layers, layer)
	}
	return layers, nil
}

// descriptor is a path of an open file for calls that take no descriptor. Unlike the file's own path, it leads nowhere else if somebody puts
// a link in its place.
func descriptor(f *os.File) string { return fmt.Sprintf("/proc/self/fd/%d", f.Fd()) }

// overlay mounts the stack at game in the current directory. The layers get short names there: the options of a mount have at most one page,
// and names in it cannot have all characters.
func (g *game) overlay(layers []*os.File) error {
	var names []string
	attach := func(layer *os.File, name string) error {
		if err := os.Mkdir(name, 0o755); err != nil {
			return err
		}
		if err := g.attach(layer, name); err != nil {
			return fmt.Errorf("attach %s: %w", layer.Name(), err)
		}
		names = append(names, name)
		return nil
	}
	for n, layer := range layers {
		if err := attach(layer, strconv.Itoa(n)); err != nil {
			return err
		}
	}
	options := "lowerdir=" + strings.Join(names, ":")
	if g.user == 0 {
		options += ",userxattr"
	}
	if err := attach(g.server, "s"); err != nil {
		return err
	}
	server, err := os.OpenFile("s", unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer server.Close()
	files, err := open(server, Files, unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer files.Close()
	work, err := open(server, Work, unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer work.Close()
	options += ",upperdir=" + descriptor(files) + ",workdir=" + descriptor(work)
	if err := os.Mkdir("game", 0o755); err != nil {
		return err
	}
	if err := g.become(); err != nil {
		return fmt.Errorf("become the game's user: %w", err)
	}
	if err := unix.Mount("overlay", "game", "overlay", unix.MS_NODEV|unix.MS_NOSUID, options); err != nil {
		return fmt.Errorf("mount the stack of %d layers: %w", len(layers), err)
	}
	// The kernel makes it without any permissions, so that its owner could not remove what is in it.
	inWork, err := open(work, "work", unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer inWork.Close()
	if err := os.Chmod(descriptor(inWork), 0o700); err != nil {
		return err
	}
	for _, name := range names {
		if err := errors.Join(unix.Unmount(name, unix.MNT_DETACH), os.Remove(name)); err != nil {
			return err
		}
	}
	return nil
}

// attach mounts a directory at name. Files of the directory's owner are those of the game's user there.
func (g *game) attach(dir *os.File, name string) error {
	fd, err := unix.OpenTree(int(dir.Fd()), "", unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_EMPTY_PATH)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if g.mapped != nil {
		attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_IDMAP, Userns_fd: uint64(g.mapped.Fd())}
		if err := unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH, &attr); err != nil {
			return fmt.Errorf("map owners: %w", err)
		}
	}
	return unix.MoveMount(fd, "", unix.AT_FDCWD, name, unix.MOVE_MOUNT_F_EMPTY_PATH)
}

// system adds to the current directory what the game needs of the host.
func (g *game) system() error {
	for _, path := range programs {
		if err := bindProgram(path); err != nil {
			return fmt.Errorf("bind %s: %w", path, err)
		}
	}
	// Where the names of other machines are looked up, on hosts on which /etc only has a link to it.
	if resolver, err := filepath.EvalSymlinks("/etc/resolv.conf"); err == nil && !strings.HasPrefix(resolver, "/etc/") {
		if err := bindFile(resolver); err != nil {
			return err
		}
	}
	for _, name := range devices {
		if err := bindFile("/dev/" + name); err != nil {
			return err
		}
	}
	for _, dir := range []string{"dev/shm", "tmp"} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		if err := unix.Mount("tmp", dir, "tmpfs", unix.MS_NODEV|unix.MS_NOSUID, "mode=1777,size=64m"); err != nil {
			return fmt.Errorf("mount %s: %w", dir, err)
		}
	}
	if _, err := os.Stat("etc/left4me"); err == nil {
		if err := unix.Mount("none", "etc/left4me", "tmpfs", unix.MS_RDONLY, "size=4k,mode=700"); err != nil {
			return fmt.Errorf("hide /etc/left4me: %w", err)
		}
	}
	if err := os.Mkdir("proc", 0o555); err != nil {
		return err
	}
	return proc("proc")
}

// bindProgram makes a directory of the host visible at the same place in the current directory, read-only, or copies a link.
func bindProgram(path string) error {
	target := strings.TrimPrefix(path, "/")
	if link, err := os.Readlink(path); err == nil {
		return os.Symlink(link, target)
	}
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := os.Mkdir(target, 0o755); err != nil {
		return err
	}
	if err := unix.Mount(path, target, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return err
	}
	return unix.MountSetattr(unix.AT_FDCWD, target, unix.AT_RECURSIVE, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID})
}

// bindFile makes a file or device of the host visible at the same place in the current directory.
func bindFile(path string) error {
	target := strings.TrimPrefix(path, "/")
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(target, os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Close(), unix.Mount(path, target, "", unix.MS_BIND, "")); err != nil {
		return fmt.Errorf("bind %s: %w", path, err)
	}
	return nil
}
