package wake

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/gofrs/flock"
)

const (
	// mode lets members of the group notify: pages and agent may run as different users.
	mode = 0o660
	// sendTimeout limits how long Notify waits while the agent's buffer is full. A full buffer already holds notifications.
	sendTimeout = 20 * time.Millisecond
	// maxPath is the length of a socket address in the kernel, without the final NUL.
	maxPath = 107
)

// ErrTaken says that another live process listens on the same path.
var ErrTaken = errors.New("another process is listening there")

// Socket is the path of a Unix datagram socket. It is a Notifier.
type Socket string

// Notify sends one datagram. It returns nil when nobody listens.
func (s Socket) Notify(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	address, done, err := addressOf(string(s))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("notify %s: %w", string(s), err)
	}
	defer done()
	conn, err := net.DialUnix("unixgram", nil, address)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		return nil // no agent runs, or it was killed and left its socket
	}
	if err != nil {
		return fmt.Errorf("notify %s: %w", string(s), err)
	}
	defer conn.Close()
	if err := conn.SetWriteDeadline(time.Now().Add(sendTimeout)); err != nil {
		return fmt.Errorf("notify %s: %w", string(s), err)
	}
	_, err = conn.Write([]byte{'!'})
	if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, syscall.ECONNREFUSED) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("notify %s: %w", string(s), err)
	}
	return nil
}

// Listener is the receiving side of a Socket. It is a Waiter.
type Listener struct {
	path   string
	conn   *net.UnixConn
	lock   *flock.Flock
	signal Signal
	// broken ends when the socket cannot be read any more. Its cause is the error.
	broken context.Context
	once   sync.Once
}

// Listen starts to listen on path, in an existing directory. It replaces the socket of a killed process. While another process
// listens there it fails with ErrTaken, because the kernel would give each notification to only one of the two; the second
// agent can still look for jobs regularly. The lock on path + ".lock" decides who listens: unlike the socket, it ends with its
// process.
func Listen(path string) (*Listener, error) {
	l, err := listen(path)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	return l, nil
}

func listen(path string) (_ *Listener, err error) {
	lock := flock.New(path+".lock", flock.SetPermissions(mode))
	locked, err := lock.TryLock()
	if err != nil {
		return nil, err
	}
	if !locked {
		return nil, ErrTaken
	}
	defer func() {
		if err != nil {
			lock.Unlock()
		}
	}()
	if found, err := os.Lstat(path); err == nil && found.Mode().Type() != os.ModeSocket {
		return nil, errors.New("the file is not a socket")
	}
	// Create the socket beside path and rename it, so that path never has the wrong mode.
	fresh := path + ".new"
	if err := os.Remove(fresh); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	address, done, err := addressOf(fresh)
	if err != nil {
		return nil, err
	}
	defer done()
	conn, err := net.ListenUnixgram("unixgram", address)
	if err != nil {
		return nil, err
	}
	if err = os.Chmod(fresh, mode); err == nil {
		err = os.Rename(fresh, path)
	}
	if err != nil {
		conn.Close()
		os.Remove(fresh)
		return nil, err
	}
	broken, end := context.WithCancelCause(context.Background())
	l := &Listener{path: path, conn: conn, lock: lock, signal: NewSignal(), broken: broken}
	go l.listen(end)
	return l, nil
}

func (l *Listener) listen(end context.CancelCauseFunc) {
	var buf [1]byte
	for {
		if _, err := l.conn.Read(buf[:]); err != nil {
			end(fmt.Errorf("listen on %s: %w", l.path, err))
			return
		}
		l.signal.Set()
	}
}

// Wait implements Waiter.
func (l *Listener) Wait(ctx context.Context, atMost time.Duration) (notified bool, err error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	defer context.AfterFunc(l.broken, func() { stop(context.Cause(l.broken)) })()
	if notified, err = l.signal.Wait(ctx, atMost); err != nil {
		err = context.Cause(ctx)
	}
	return notified, err
}

// Close stops listening and removes the socket. A running Wait returns an error. The lock file stays, so that two processes
// that start at the same time cannot lock different files.
func (l *Listener) Close() error {
	var err error
	l.once.Do(func() {
		if err = os.Remove(l.path); errors.Is(err, os.ErrNotExist) {
			err = nil
		}
		err = errors.Join(err, l.conn.Close(), l.lock.Unlock())
		<-l.broken.Done()
	})
	return err
}

// addressOf returns the socket address of path. For a path that is too long for the kernel, the address goes through the opened
// directory in /proc/self/fd. Call done, which closes that directory, after using the address.
func addressOf(path string) (_ *net.UnixAddr, done func(), err error) {
	if len(path) <= maxPath {
		return &net.UnixAddr{Name: path, Net: "unixgram"}, func() {}, nil
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return nil, nil, err
	}
	short := filepath.Join("/proc/self/fd", strconv.Itoa(int(dir.Fd())), filepath.Base(path))
	if _, err := os.Stat(filepath.Dir(short)); err != nil || len(short) > maxPath {
		dir.Close()
		return nil, nil, fmt.Errorf("the path has %d bytes, a socket's at most %d", len(path), maxPath)
	}
	return &net.UnixAddr{Name: short, Net: "unixgram"}, func() { dir.Close() }, nil
}
