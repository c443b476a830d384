package sdnotify_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"left4me/localrun/sdnotify"
)

// listenVariable makes this test binary a program that listens on the address and serves one connection.
const listenVariable = "TEST_LISTEN"

func TestMain(m *testing.M) {
	if address := os.Getenv(listenVariable); address != "" {
		if err := listenOnce(address); err != nil {
			os.Stdout.WriteString(err.Error() + "\n")
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func listenOnce(address string) error {
	l, err := sdnotify.Listen(address)
	if err != nil {
		return err
	}
	defer l.Close()
	os.Stdout.WriteString(l.Addr().String() + "\n")
	c, err := l.Accept()
	if err != nil {
		return err
	}
	_, err = io.WriteString(c, "served")
	return errors.Join(err, c.Close())
}

// systemd listens as systemd does, and sets NOTIFY_SOCKET.
func systemd(t *testing.T) *net.UnixConn {
	path := filepath.Join(t.TempDir(), "notify")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	t.Setenv("NOTIFY_SOCKET", path)
	return c
}

// hear reads one message and the descriptor that came with it, or nil.
func hear(t *testing.T, c *net.UnixConn) (string, *os.File) {
	t.Helper()
	text, rights := make([]byte, 1024), make([]byte, 1024)
	if err := c.SetReadDeadline(time.Now().Add(2 * time.Minute)); err != nil {
		t.Fatal(err)
	}
	n, rn, _, _, err := c.ReadMsgUnix(text, rights)
	if err != nil {
		t.Fatal(err)
	}
	messages, err := unix.ParseSocketControlMessage(rights[:rn])
	if err != nil {
		t.Fatal(err)
	}
	if len(messages) == 0 {
		return string(text[:n]), nil
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil {
		t.Fatal(err)
	}
	return string(text[:n]), os.NewFile(uintptr(fds[0]), "kept")
}

func want(t *testing.T, c *net.UnixConn, message string) {
	t.Helper()
	if got, _ := hear(t, c); got != message {
		t.Fatalf("systemd heard %q, want %q", got, message)
	}
}

func TestReadyAliveStopping(t *testing.T) {
	notified := systemd(t)
	t.Setenv("WATCHDOG_USEC", "30000")
	ctx, stop := context.WithCancel(t.Context())
	verdicts, ended := make(chan error), make(chan error)
	go func() {
		ended <- sdnotify.Run(ctx, slog.New(slog.DiscardHandler), func(ctx context.Context) error {
			select {
			case err := <-verdicts:
				return err
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	}()
	want(t, notified, "READY=1")
	verdicts <- nil
	want(t, notified, "WATCHDOG=1")
	verdicts <- errors.New("stuck") // of which nothing is heard
	stop()
	want(t, notified, "STOPPING=1")
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
}

func TestWithoutSystemdNothingIsSaid(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	t.Setenv("WATCHDOG_USEC", "")
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if err := sdnotify.Run(ctx, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	l, err := sdnotify.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
}

// program starts the program that listens on address; sockets are what systemd has kept for it, by name.
func program(t *testing.T, address string, names []string, sockets []*os.File) (said string, wait func() error) {
	t.Helper()
	// LISTEN_PID must be the process's own, which only itself knows before it starts.
	c := exec.CommandContext(t.Context(), "sh", "-c", `LISTEN_PID=$$ exec "$0"`, os.Args[0])
	c.Env = append(os.Environ(), listenVariable+"="+address)
	if len(names) > 0 {
		c.Env = append(c.Env, "LISTEN_FDS=1", "LISTEN_FDNAMES="+strings.Join(names, ":"))
	}
	c.ExtraFiles = sockets
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	said, err = bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(said), c.Wait
}

func ask(t *testing.T, address string) string {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	answer, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	return string(answer)
}

func TestWhatComesBetweenTwoRunsIsServed(t *testing.T) {
	notified := systemd(t)
	address, wait := program(t, "127.0.0.1:0", nil, nil)
	message, socket := hear(t, notified)
	if message != "FDSTORE=1\nFDNAME=127.0.0.1_0" || socket == nil {
		t.Fatalf("systemd heard %q with %v", message, socket)
	}
	defer socket.Close()
	if got := ask(t, address); got != "served" {
		t.Fatalf("the first run said %q", got)
	}
	if err := wait(); err != nil {
		t.Fatal(err)
	}

	early, err := net.Dial("tcp", address) // nobody runs
	if err != nil {
		t.Fatal(err)
	}
	defer early.Close()
	again, wait := program(t, "127.0.0.1:0", []string{"127.0.0.1_0"}, []*os.File{socket})
	if again != address {
		t.Errorf("the second run listens on %s, want %s", again, address)
	}
	answer, err := io.ReadAll(early)
	if err != nil || string(answer) != "served" {
		t.Errorf("what came between two runs was answered %q, %v", answer, err)
	}
	if err := wait(); err != nil {
		t.Fatal(err)
	}
}

func TestASocketKeptForAnotherAddressIsGivenUp(t *testing.T) {
	notified := systemd(t)
	old, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	socket, err := old.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	old.Close()
	address, wait := program(t, "127.0.0.1:0", []string{"192.0.2.1_80"}, []*os.File{socket})
	socket.Close()
	want(t, notified, "FDSTOREREMOVE=1\nFDNAME=192.0.2.1_80")
	if message, _ := hear(t, notified); message != "FDSTORE=1\nFDNAME=127.0.0.1_0" {
		t.Errorf("systemd heard %q", message)
	}
	if c, err := net.Dial("tcp", old.Addr().String()); err == nil {
		c.Close()
		t.Errorf("%s still listens", old.Addr())
	}
	ask(t, address)
	if err := wait(); err != nil {
		t.Fatal(err)
	}
}
