package wake_test

import (
	"bufio"
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"left4me/shared/wake"
)

var (
	_ wake.Notifier = wake.Socket("")
	_ wake.Waiter   = (*wake.Listener)(nil)
)

const never = time.Hour

func listen(t *testing.T, path string) *wake.Listener {
	t.Helper()
	l, err := wake.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func notify(t *testing.T, path string) {
	t.Helper()
	if err := wake.Socket(path).Notify(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func wantNotified(t *testing.T, l *wake.Listener) {
	t.Helper()
	if notified, err := l.Wait(t.Context(), never); !notified || err != nil {
		t.Fatalf("Wait = %v, %v, want a notification", notified, err)
	}
}

func wantTimeout(t *testing.T, l *wake.Listener) {
	t.Helper()
	if notified, err := l.Wait(t.Context(), time.Millisecond); notified || err != nil {
		t.Fatalf("Wait = %v, %v, want a timeout", notified, err)
	}
}

func TestNotifyWakesCurrentAndLaterWaits(t *testing.T) {
	path := filepath.Join(t.TempDir(), "agent.sock")
	l := listen(t, path)
	wantTimeout(t, l)
	notify(t, path)
	wantNotified(t, l)

	woken := make(chan error)
	go func() {
		notified, err := l.Wait(t.Context(), never)
		if err == nil && !notified {
			err = errors.New("the time is up")
		}
		woken <- err
	}()
	notify(t, path)
	if err := <-woken; err != nil {
		t.Error(err)
	}
}

func TestManyNotificationsAreMerged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "agent.sock")
	l := listen(t, path)
	for range 2000 {
		notify(t, path)
	}
	wantNotified(t, l)
	wakes := 1
	for {
		notified, err := l.Wait(t.Context(), 10*time.Millisecond)
		if err != nil {
			t.Fatal(err)
		}
		if !notified {
			break
		}
		wakes++
	}
	if wakes > 100 {
		t.Errorf("2000 notifications that nobody waited for woke the agent %d times", wakes)
	}
}

// A stopped agent reads nothing: the kernel's queue is full after a few notifications.
func TestNotifyIgnoresAFullQueue(t *testing.T) {
	path := filepath.Join(t.TempDir(), "agent.sock")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetReadBuffer(1); err != nil {
		t.Fatal(err)
	}
	for range 30 {
		notify(t, path)
	}
}

func TestNotifyWithoutAnAgentReturnsNil(t *testing.T) {
	dir := t.TempDir()
	notify(t, filepath.Join(dir, "agent.sock"))
	notify(t, filepath.Join(dir, "no", "such", "agent.sock"))
	notify(t, filepath.Join(dir, strings.Repeat("no-such-directory/", 8), "agent.sock"))

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := wake.Socket(filepath.Join(dir, "agent.sock")).Notify(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Notify with a cancelled context = %v", err)
	}
}

func TestWaitEndsWithItsContextAndWithClose(t *testing.T) {
	path := filepath.Join(t.TempDir(), "agent.sock")
	l := listen(t, path)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if notified, err := l.Wait(ctx, never); notified || !errors.Is(err, context.Canceled) {
		t.Errorf("Wait = %v, %v, want the context's error", notified, err)
	}
	ended := make(chan error)
	go func() {
		_, err := l.Wait(t.Context(), never)
		ended <- err
	}()
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Wait of a closed listener: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Errorf("a second Close: %v", err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is still there: %v", err)
	}
	notify(t, path)
	again := listen(t, path)
	notify(t, path)
	wantNotified(t, again)
}

func TestSecondListenerIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "agent.sock")
	l := listen(t, path)
	if second, err := wake.Listen(path); !errors.Is(err, wake.ErrTaken) {
		t.Fatalf("a second Listen = %v, %v, want ErrTaken", second, err)
	}
	notify(t, path)
	wantNotified(t, l)
}

func TestListenReplacesOnlySockets(t *testing.T) {
	path := filepath.Join(t.TempDir(), "agent.sock")
	if err := os.WriteFile(path, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if l, err := wake.Listen(path); err == nil {
		l.Close()
		t.Error("Listen replaced a file")
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != "mine" {
		t.Errorf("the file says %q, %v", text, err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	listen(t, path) // the refusal left no lock
}

func TestSocketMode(t *testing.T) {
	path := filepath.Join(t.TempDir(), "agent.sock")
	listen(t, path)
	info, err := os.Lstat(path)
	if err != nil || info.Mode() != os.ModeSocket|0o660 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

func TestLongPaths(t *testing.T) {
	dir := t.TempDir()
	for len(dir) < 300 {
		dir = filepath.Join(dir, "a-rather-long-name")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "agent.sock")
	notify(t, path)
	l := listen(t, path)
	notify(t, path)
	wantNotified(t, l)

	long := filepath.Join(dir, strings.Repeat("x", 200))
	if l, err := wake.Listen(long); err == nil || !strings.Contains(err.Error(), "at most 107") {
		t.Errorf("Listen = %v, %v", l, err)
	}
	if err := wake.Socket(long).Notify(t.Context()); err == nil || !strings.Contains(err.Error(), "at most 107") {
		t.Errorf("Notify = %v", err)
	}
}

const childPath = "WAKE_TEST_LISTEN"

func TestMain(m *testing.M) {
	if path := os.Getenv(childPath); path != "" {
		if _, err := wake.Listen(path); err != nil {
			panic(err)
		}
		println("listening")
		select {}
	}
	os.Exit(m.Run())
}

func TestSocketOfAKilledAgentIsReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "agent.sock")
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), childPath+"="+path)
	out, err := child.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "listening\n" {
		t.Fatalf("the child says %q, %v", line, err)
	}
	if _, err := wake.Listen(path); !errors.Is(err, wake.ErrTaken) {
		t.Errorf("Listen beside a live process: %v, want ErrTaken", err)
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	child.Wait()
	if _, err := os.Lstat(path); err != nil {
		t.Fatalf("a killed process should leave its socket: %v", err)
	}
	notify(t, path)
	l := listen(t, path)
	notify(t, path)
	wantNotified(t, l)
}
