package main_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A step is a system call with an effect outside the process. Linux asks the test before each step of the programs under test (seccomp's
// user notifications), so that it can fail, or kill the process instead.
//
// See seccomp_unotify(2). The programs run unchanged.

// stepCalls are the system calls that are steps, with the error that each fails with. For those in onFiles, only files below the watched
// directory count.
var stepCalls = map[uintptr]struct {
	name  string
	errno unix.Errno
}{
	unix.SYS_OPENAT:          {"openat", unix.ENOSPC}, // to write
	unix.SYS_MKDIRAT:         {"mkdirat", unix.ENOSPC},
	unix.SYS_UNLINKAT:        {"unlinkat", unix.EIO},
	unix.SYS_RENAMEAT:        {"renameat", unix.ENOSPC},
	unix.SYS_RENAMEAT2:       {"renameat2", unix.ENOSPC},
	unix.SYS_LINKAT:          {"linkat", unix.ENOSPC},
	unix.SYS_SYMLINKAT:       {"symlinkat", unix.ENOSPC},
	unix.SYS_WRITE:           {"write", unix.ENOSPC},
	unix.SYS_PWRITE64:        {"pwrite64", unix.ENOSPC},
	unix.SYS_COPY_FILE_RANGE: {"copy_file_range", unix.ENOSPC},
	unix.SYS_FTRUNCATE:       {"ftruncate", unix.ENOSPC},
	unix.SYS_FALLOCATE:       {"fallocate", unix.ENOSPC},
	unix.SYS_FSYNC:           {"fsync", unix.EIO},
	unix.SYS_FDATASYNC:       {"fdatasync", unix.EIO},
	unix.SYS_UTIMENSAT:       {"utimensat", unix.EIO},
	unix.SYS_FCHMODAT:        {"fchmodat", unix.EPERM},
	unix.SYS_FCHOWNAT:        {"fchownat", unix.EPERM},
	unix.SYS_MOUNT:           {"mount", unix.EPERM},
	unix.SYS_MOVE_MOUNT:      {"move_mount", unix.EPERM},
	unix.SYS_MOUNT_SETATTR:   {"mount_setattr", unix.EPERM},
	unix.SYS_PIVOT_ROOT:      {"pivot_root", unix.EPERM},
	unix.SYS_CONNECT:         {"connect", unix.ECONNREFUSED},
}

var onFiles = []uintptr{unix.SYS_WRITE, unix.SYS_PWRITE64, unix.SYS_COPY_FILE_RANGE, unix.SYS_FTRUNCATE, unix.SYS_FALLOCATE, unix.SYS_FSYNC, unix.SYS_FDATASYNC}

// stepper runs programs and counts their steps.
type stepper struct {
	// dir is the directory in which steps count.
	dir string
	// firstToo is whether the steps of the process that is started count, not only those of its children.
	firstToo bool
	// at is the number of the step that something happens to, from 1; 0: to none. kill is whether its process is killed instead of getting an
	// error.
	at   int
	kill bool

	mu    sync.Mutex
	on    bool
	first int      // the process that was started
	taken []string // what the steps were
}

// run runs a program with its arguments and environment, and returns its output when it has ended. Steps of processes that it leaves
// behind do not count from then on.
func (s *stepper) run(t *testing.T, env []string, args ...string) (output string, err error) {
	t.Helper()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "ours"), os.NewFile(uintptr(pair[1]), "theirs")
	defer ours.Close()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, args...)
	// The output is a file: processes that are left behind would hold a pipe open.
	file, err := os.CreateTemp(t.TempDir(), "output")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	cmd.Env, cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = append(env, stepsEnv+"=1"), file, file, []*os.File{theirs}
	s.mu.Lock()
	s.on, s.taken = true, nil
	err = cmd.Start()
	theirs.Close()
	if err != nil {
		t.Fatal(err)
	}
	s.first = cmd.Process.Pid
	s.mu.Unlock()
	listener, err := receive(ours)
	if err != nil {
		t.Fatal(err)
	}
	go s.serve(listener)
	err = cmd.Wait()
	s.mu.Lock()
	s.on = false
	s.mu.Unlock()
	text, rerr := os.ReadFile(file.Name())
	return string(text), errors.Join(err, rerr)
}

// notification is struct seccomp_notif, and answer struct seccomp_notif_resp.
type notification struct {
	id          uint64
	pid, flags  uint32
	nr          int32
	arch        uint32
	instruction uint64
	args        [6]uint64
}

type answer struct {
	id    uint64
	val   int64
	err   int32
	flags uint32
}

// serve answers until no process is left.
func (s *stepper) serve(listener int) {
	defer unix.Close(listener)
	for {
		poll := []unix.PollFd{{Fd: int32(listener), Events: unix.POLLIN}}
		if _, err := unix.Poll(poll, -1); err != nil {
			if errors.Is(err, unix.EINTR) {
				continue
			}
			return
		}
		if poll[0].Revents&unix.POLLIN == 0 {
			return
		}
		var n notification
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(listener), unix.SECCOMP_IOCTL_NOTIF_RECV, uintptr(unsafe.Pointer(&n))); errno != 0 {
			continue // the process has been killed
		}
		a := answer{id: n.id, flags: unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE}
		if errno := s.decide(n); errno != 0 {
			a.err, a.flags = -int32(errno), 0
		}
		_, _, _ = unix.Syscall(unix.SYS_IOCTL, uintptr(listener), unix.SECCOMP_IOCTL_NOTIF_SEND, uintptr(unsafe.Pointer(&a)))
	}
}

// decide counts a system call if it is a step, and returns the error that it fails with; 0: it goes on.
func (s *stepper) decide(n notification) unix.Errno {
	s.mu.Lock()
	defer s.mu.Unlock()
	step := stepCalls[uintptr(n.nr)]
	process := threadGroup(n.pid)
	program, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", n.pid))
	if err != nil || !s.on || process == s.first && !s.firstToo || !strings.HasPrefix(program, bin) {
		return 0
	}
	file := ""
	if slices.Contains(onFiles, uintptr(n.nr)) {
		if file, err = os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", n.pid, int32(n.args[0]))); err != nil || !strings.HasPrefix(file, s.dir+"/") {
			return 0
		}
	}
	if n.nr == unix.SYS_OPENAT && n.args[2]&(unix.O_WRONLY|unix.O_RDWR|unix.O_CREAT) == 0 {
		return 0
	}
	s.taken = append(s.taken, strings.TrimSpace(filepath.Base(program)+" "+step.name+" "+strings.TrimPrefix(file, s.dir)))
	if len(s.taken) != s.at {
		return 0
	}
	if s.kill {
		_ = unix.Kill(process, unix.SIGKILL)
	}
	return step.errno
}

// threadGroup returns the id of the process that a thread belongs to.
func threadGroup(thread uint32) int {
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", thread))
	_, rest, _ := strings.Cut(string(status), "\nTgid:")
	id, _, _ := strings.Cut(rest, "\n")
	process, _ := strconv.Atoi(strings.TrimSpace(id))
	return process
}

// receive receives a file descriptor.
func receive(from *os.File) (int, error) {
	c, err := net.FileConn(from)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	control := make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := c.(*net.UnixConn).ReadMsgUnix(make([]byte, 1), control)
	if err != nil {
		return 0, err
	}
	messages, err := unix.ParseSocketControlMessage(control[:n])
	if err != nil || len(messages) != 1 {
		return 0, fmt.Errorf("no descriptor: %w", err)
	}
	descriptors, err := unix.ParseUnixRights(&messages[0])
	if err != nil {
		return 0, err
	}
	return descriptors[0], nil
}

// stepsEnv has the test program run its arguments with its steps notified to the socket with the descriptor 3.
const stepsEnv = "LEFT4ME_TEST_STEPS"

func runWithSteps(args []string) error {
	runtime.LockOSThread()                                                             // the filter is this thread's, which becomes the program
	filter := []unix.SockFilter{{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0}} // struct seccomp_data: the number of the system call
	for nr := range stepCalls {
		filter = append(filter, unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: uint32(nr), Jf: 1},
			unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_USER_NOTIF})
	}
	filter = append(filter, unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW})
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	listener, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER,
		unix.SECCOMP_FILTER_FLAG_NEW_LISTENER|unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, uintptr(unsafe.Pointer(&program)))
	if errno != 0 {
		return errno
	}
	if err := unix.Sendmsg(3, []byte{0}, unix.UnixRights(int(listener)), nil, 0); err != nil {
		return err
	}
	unix.CloseOnExec(3)
	path, err := exec.LookPath(args[0])
	if err != nil {
		return err
	}
	return syscall.Exec(path, args, slices.DeleteFunc(os.Environ(), func(e string) bool { return strings.HasPrefix(e, stepsEnv) }))
}
