package launch

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// namespaces gives a process that Keep starts its namespaces, and without root also the rights in them that Run needs.
func namespaces() *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID}
	if uid, gid := os.Geteuid(), os.Getegid(); uid != 0 {
		attr.Cloneflags |= unix.CLONE_NEWUSER
		attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: uid, HostID: uid, Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: gid, HostID: gid, Size: 1}}
		attr.AmbientCaps = []uintptr{unix.CAP_SYS_ADMIN, unix.CAP_SETPCAP, unix.CAP_DAC_OVERRIDE, unix.CAP_FOWNER, unix.CAP_CHOWN, unix.CAP_FSETID}
	}
	return attr
}

// Possible returns an error if Keep cannot start games as this user. program is the path of localrun, which is run with TryCommand.
func Possible(ctx context.Context, program string) error {
	try := exec.CommandContext(ctx, program, TryCommand)
	try.SysProcAttr = namespaces()
	said, err := try.CombinedOutput()
	if text := strings.TrimSpace(string(said)); err != nil && text != "" {
		err = errors.New(text)
	}
	return err
}

// TryCommand is the name of localrun's command that calls Try.
const TryCommand = "try-namespaces"

// Try mounts an overlay file system in a mount namespace of this thread's own, where nothing remains of it.
func Try() error {
	runtime.LockOSThread()
	if err := own(); err != nil {
		return err
	}
	dir := os.TempDir()
	err := unix.Mount("left4me", dir, "tmpfs", unix.MS_NODEV|unix.MS_NOSUID, "mode=755,size=1m")
	if err == nil {
		err = os.Chdir(dir)
	}
	for _, name := range []string{"lower", "upper", "work", "merged"} {
		if err == nil {
			err = os.Mkdir(name, 0o755)
		}
	}
	if err != nil {
		return fmt.Errorf("mount a file system in a namespace: %w", err)
	}
	options := "lowerdir=lower,upperdir=upper,workdir=work"
	if os.Geteuid() != 0 {
		options += ",userxattr"
	}
	if err := unix.Mount("overlay", "merged", "overlay", 0, options); err != nil {
		return fmt.Errorf("mount an overlay file system in a namespace: %w", err)
	}
	return nil
}

// Advice says what to do when this user is refused the namespaces or mounts of a server, by the kernel's settings.
func Advice() string {
	return advice(os.Geteuid(), func(name string) string {
		value, _ := os.ReadFile(filepath.Join("/proc/sys", strings.ReplaceAll(name, ".", "/"))) // most kernels do not have all
		return strings.TrimSpace(string(value))
	})
}

// advice is Advice for a user and the kernel's settings.
func advice(uid int, sysctl func(name string) string) string {
	const otherwise = "install left4me's package, with which systemd keeps the servers"
	for _, s := range []struct {
		name, refuses, allows string
		root                  bool // whether it counts for root, too
	}{
		{"user.max_user_namespaces", "0", "10000", true},
		{"kernel.unprivileged_userns_clone", "0", "1", false},
		{"kernel.apparmor_restrict_unprivileged_userns", "1", "0", false},
	} {
		if sysctl(s.name) == s.refuses && (uid != 0 || s.root) {
			return fmt.Sprintf("allow them with `sudo sysctl -w %s=%s` (and a file in /etc/sysctl.d, for after a restart of the machine), or %s", s.name, s.allows, otherwise)
		}
	}
	if uid == 0 {
		return "allow this container to mount file systems (such as with `docker run --privileged`), or use a machine of its own"
	}
	return "run left4me as root, or " + otherwise
}
