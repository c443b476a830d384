package main_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"

	"left4me/shared/job"
	"left4me/shared/route"
	"left4me/templates/webtest"
)

// debian is the directory in which `make test-debian` has put a Debian and the packages.
var debian = flag.String("debian", "", "directory with base/, old/*.deb and new/*.deb")

// maxPackage is the largest size of a package, in bytes: for each program what the 33 of measures.md's M11 may have of its 40 MB. Each adds
// about 0.9 MB, half of it code and half the table in which Go's runtime looks up functions.
func maxPackage() int64 {
	programs := 1 + len(route.All()) + len(job.Runnable()) + len(job.Schedules()) + len(job.Checks())
	return int64(programs) * 40_000_000 / 33
}

// TestDebian runs testdata/debian/*.txtar in a Debian that systemd has booted, in a container without a network. Besides the
// commands of all scripts there are those of machine. It needs root.
func TestDebian(t *testing.T) {
	if *debian == "" {
		t.Skip("it is run by `make test-debian`")
	}
	p := scripts("testdata/debian")
	setup := p.Setup
	// One machine at a time: two would share their units' control groups.
	var one sync.Mutex
	p.Setup = func(env *testscript.Env) error {
		one.Lock()
		env.Defer(one.Unlock)
		if err := setup(env); err != nil {
			return err
		}
		m := &machine{root: filepath.Join(env.WorkDir, "machine"), ended: make(chan error, 1)}
		env.Values[machineKey{}] = m
		env.Setenv("MACHINE", m.root)
		env.Setenv("CACHE", "/var/lib/left4me/workshop_cache")
		env.Setenv("ADDONS", m.root+"/var/lib/left4me/overlays/1/left4dead2/addons")
		if out, err := exec.Command("cp", "--archive", "--reflink=auto", filepath.Join(*debian, "base"), m.root).CombinedOutput(); err != nil {
			return fmt.Errorf("copy the Debian: %w\n%s", err, out)
		}
		for _, age := range []string{"old", "new"} {
			packages, err := filepath.Glob(filepath.Join(*debian, age, "*.deb"))
			if err != nil || len(packages) != 1 {
				return fmt.Errorf("%d packages in %s, want one", len(packages), age)
			}
			if info, err := os.Stat(packages[0]); err != nil || age == "new" && info.Size() > maxPackage() {
				return fmt.Errorf("%s is larger than %d bytes (%v)", packages[0], maxPackage(), err)
			}
			if err := os.Link(packages[0], filepath.Join(m.root, "srv", age+".deb")); err != nil {
				return err
			}
		}
		for _, program := range []string{"steamd", "steamcmd", "srcds", "libsqld"} {
			if err := os.Link(filepath.Join(bin, program), filepath.Join(m.root, "usr/local/bin", program)); err != nil {
				return err
			}
		}
		s := env.Values[scriptKey{}].(*script)
		s.url = "http://127.0.0.1:8080"
		s.transport = &http.Transport{DialContext: m.dial, DisableKeepAlives: true}
		s.visitors = map[string]*webtest.Visitor{}
		s.become("")
		env.Defer(func() {
			if m.first != 0 {
				journal, _ := m.command("journalctl", "--no-pager", "--lines=60", "--output=short-precise", "--grep=^(?!msg=request )").CombinedOutput()
				env.T().Log("the end of the journal:\n" + string(journal))
			}
			m.off()
		})
		return nil
	}
	p.Cmds["boot"] = inMachine((*machine).boot)
	p.Cmds["reboot"] = inMachine((*machine).reboot)
	p.Cmds["lose-power"] = inMachine((*machine).losePower)
	p.Cmds["inside"] = inMachine((*machine).inside)
	p.Cmds["load"] = inMachine((*machine).load)
	p.Cmds["expected"] = inMachine((*machine).expected)
	testscript.Run(t, p)
}

type machineKey struct{}

// machine is a container with a booted Debian in it.
type machine struct {
	root    string
	nspawn  *exec.Cmd
	ended   chan error
	console *os.File
	// first is the process of the container that all others descend from.
	first int
	// loads are what asks for pages meanwhile.
	loads []*load
}

func inMachine(do func(*machine, *testscript.TestScript, bool, []string)) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		do(ts.Value(machineKey{}).(*machine), ts, neg, args)
	}
}

// boot starts the machine and waits until systemd says that all is up.
func (m *machine) boot(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: boot")
	}
	var err error
	m.console, err = os.Create(ts.MkAbs("console.log"))
	ts.Check(err)
	m.on(ts)
}

// on switches the machine on and waits until everything is up.
func (m *machine) on(ts *testscript.TestScript) {
	m.nspawn = exec.Command("systemd-nspawn", "--quiet", "--directory="+m.root, "--machine=left4me-test", "--boot", "--register=no", "--keep-unit", "--private-network",
		"--resolv-conf=off", "--timezone=off", "--console=pipe")
	m.nspawn.Stdout, m.nspawn.Stderr = m.console, m.console
	m.nspawn.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	started := make(chan error)
	go func() {
		runtime.LockOSThread() // for the machine ends with the thread that has started it
		started <- m.nspawn.Start()
		m.ended <- m.nspawn.Wait()
	}()
	ts.Check(<-started)
	until(ts, "the machine is up", func() bool {
		children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", m.nspawn.Process.Pid, m.nspawn.Process.Pid))
		ts.Check(err)
		if m.first, err = strconv.Atoi(strings.TrimSpace(string(children))); err != nil {
			return false
		}
		state, _ := m.command("systemctl", "is-system-running").Output()
		if strings.TrimSpace(string(state)) == "degraded" {
			failed, _ := m.command("systemctl", "--failed", "--no-legend").Output()
			ts.Fatalf("not all units came up:\n%s", failed)
		}
		return strings.TrimSpace(string(state)) == "running"
	})
}

// reboot reboots the machine and waits until it is up again.
func (m *machine) reboot(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: reboot")
	}
	_ = m.command("systemctl", "reboot").Run() // which may be cut short itself
	const rebooted = 133                       // of systemd-nspawn(1)
	if exit, ok := errors.AsType[*exec.ExitError](<-m.ended); !ok || exit.ExitCode() != rebooted {
		ts.Fatalf("the machine ended with %v", exit)
	}
	m.on(ts)
}

// losePower ends all processes of the machine at once, and boots it again.
func (m *machine) losePower(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: lose-power")
	}
	m.off()
	m.on(ts)
}

// off ends the machine. With its first process all others of a container end, and then systemd-nspawn; if that were killed,
// they would run on.
func (m *machine) off() {
	if m.nspawn == nil || m.nspawn.Process == nil || m.nspawn.ProcessState != nil {
		return
	}
	if m.first == 0 || syscall.Kill(m.first, syscall.SIGKILL) != nil {
		_ = m.nspawn.Process.Kill()
	}
	<-m.ended
}

var clean = []string{"-i", "PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8", "HOME=/"}

func (m *machine) arguments(command []string) []string {
	return append(append([]string{"--target", strconv.Itoa(m.first), "--all", "--", "env"}, clean...), command...)
}

func (m *machine) command(command ...string) *exec.Cmd {
	return exec.Command("nsenter", m.arguments(command)...)
}

// inside [-until] COMMAND ARGS… runs a command as root in the machine; with -until again and again until it succeeds.
func (m *machine) inside(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) > 1 && args[0] == "-until" && !neg {
		until(ts, strings.Join(args[1:], " "), func() bool { return m.command(args[1:]...).Run() == nil })
		args = args[1:]
	}
	if len(args) == 0 {
		ts.Fatalf("usage: [!] inside [-until] COMMAND ARGS…")
	}
	err := ts.Exec("nsenter", m.arguments(args)...)
	if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited {
		ts.Fatalf("%v", err)
	}
	if (err != nil) != neg {
		ts.Fatalf("%s: %v", strings.Join(args, " "), err)
	}
}

// dial connects from within the machine's network.
func (m *machine) dial(ctx context.Context, network, address string) (net.Conn, error) {
	type result struct {
		conn net.Conn
		err  error
	}
	done := make(chan result, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with this goroutine, and nobody else gets it
		space, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", m.first))
		if err == nil {
			err = errors.Join(unix.Setns(int(space.Fd()), unix.CLONE_NEWNET), space.Close())
		}
		if err != nil {
			done <- result{nil, err}
			return
		}
		conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
		done <- result{conn, err}
	}()
	r := <-done
	return r.conn, r.err
}

// load asks for a page, again and again, each time with a new connection.
type load struct {
	stop   context.CancelFunc
	done   chan struct{}
	served int
	err    error
}

// load begins to ask for the page for signing in; load end ends that, and fails the script if a single one did not come.
func (m *machine) load(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) > 1 || len(args) == 1 && args[0] != "end" {
		ts.Fatalf("usage: load [end]")
	}
	if len(args) == 1 {
		for _, l := range m.loads {
			l.stop()
			<-l.done
			if l.err != nil || l.served == 0 {
				ts.Fatalf("after %d pages: %v", l.served, l.err)
			}
			ts.Logf("%d pages came", l.served)
		}
		m.loads = nil
		return
	}
	const customers = 2
	for range customers {
		ctx, stop := context.WithCancel(context.Background())
		l := &load{stop: stop, done: make(chan struct{})}
		m.loads = append(m.loads, l)
		ts.Defer(stop)
		client := &http.Client{Transport: &http.Transport{DialContext: m.dial, DisableKeepAlives: true}, Timeout: patience}
		go func() {
			defer close(l.done)
			for ctx.Err() == nil && l.err == nil {
				l.err = askOnce(client)
				l.served++
			}
		}()
	}
}

func askOnce(client *http.Client) error {
	resp, err := client.Get("http://127.0.0.1:8080/login")
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("status %s", resp.Status)
	}
	return nil
}

// expected FILE ARGS… checks that journalctl ARGS gives no line that the patterns in FILE, one a line, do not match, and that
// none of the patterns is there in vain, but for those after the word maybe: what a container's systemd says depends on where
// it runs.
func (m *machine) expected(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: expected FILE ARGS…")
	}
	journal, err := m.command(append([]string{"journalctl", "--no-pager", "--quiet", "--output=cat"}, args[1:]...)...).Output()
	ts.Check(err)
	var patterns []*regexp.Regexp
	used := map[*regexp.Regexp]bool{}
	for line := range strings.Lines(ts.ReadFile(args[0])) {
		line, maybe := strings.CutPrefix(strings.TrimSpace(line), "maybe ")
		pattern, err := regexp.Compile("^(" + line + ")$")
		ts.Check(err)
		patterns = append(patterns, pattern)
		used[pattern] = maybe
	}
	unexpected := ""
	for line := range strings.Lines(string(journal)) {
		line = strings.TrimSpace(line)
		i := slices.IndexFunc(patterns, func(p *regexp.Regexp) bool { return p.MatchString(line) })
		if i < 0 {
			unexpected += line + "\n"
			continue
		}
		used[patterns[i]] = true
	}
	if unexpected != "" {
		ts.Fatalf("the journal has unexpected lines:\n%s", unexpected)
	}
	for _, pattern := range patterns {
		if !used[pattern] {
			ts.Fatalf("no line of the journal is like %s", pattern)
		}
	}
}
