package doorbell

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
	// mode lets those of the group ring: the web's user and the agent's may differ.
	mode = 0o660
	// ringPatience is how long a ring waits for room at an agent that is busy. One that still has rings to hear needs no
	// further one.
	ringPatience = 20 * time.Millisecond
	// longestPath is what fits into the kernel's socket addresses with a NUL behind it.
	longestPath = 107
)

// ErrTaken says that another live process listens at the same path.
var ErrTaken = errors.New("another process is listening there")

// Socket is the path of a unix datagram socket. It is a Ringer.
type Socket string

// Ring sends one datagram. That nobody listens is no error.
func (s Socket) Ring(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	address, done, err := addressOf(string(s))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("ring %s: %w", string(s), err)
	}
	defer done()
	conn, err := net.DialUnix("unixgram", nil, address)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		return nil // no agent, or what a killed one has left
	}
	if err != nil {
		return fmt.Errorf("ring %s: %w", string(s), err)
	}
	defer conn.Close()
	if err := conn.SetWriteDeadline(time.Now().Add(ringPatience)); err != nil {
		return fmt.Errorf("ring %s: %w", string(s), err)
	}
	_, err = conn.Write([]byte{'!'})
	if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, syscall.ECONNREFUSED) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("ring %s: %w", string(s), err)
	}
	return nil
}

// Bell is the listening side of a Socket. It is a Waiter.
type Bell struct {
	path  string
	conn  *net.UnixConn
	lock  *flock.Flock
	rings chan struct{}
	// broken is closed when the socket gives no more rings, after why is set.
	broken chan struct{}
	why    error
	once   sync.Once
}

// Listen begins to listen at path, whose directory must exist. What a killed process has left there is replaced. While
// another process listens there, the error is ErrTaken: the kernel would give each ring to one of them only, the newer, and
// the other would never know. That one may still look for jobs regularly. Who listens is decided by a lock on path + ".lock",
// which, unlike the socket, goes with its process.
func Listen(path string) (*Bell, error) {
	b, err := listen(path)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	return b, nil
}

func listen(path string) (_ *Bell, err error) {
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
		return nil, errors.New("what is there is not a socket")
	}
	// Made beside it and renamed, so that a ring meets the old socket or the new one, with its mode.
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
	b := &Bell{path: path, conn: conn, lock: lock, rings: make(chan struct{}, 1), broken: make(chan struct{})}
	go b.listen()
	return b, nil
}

// listen turns any number of datagrams that nobody waited for into one ring.
func (b *Bell) listen() {
	defer close(b.broken)
	var buf [1]byte
	for {
		if _, err := b.conn.Read(buf[:]); err != nil {
			b.why = fmt.Errorf("listen on %s: %w", b.path, err)
			return
		}
		select {
		case b.rings <- struct{}{}:
		default:
		}
	}
}

// Wait waits for a ring: see Waiter.
func (b *Bell) Wait(ctx context.Context, atMost time.Duration) (rung bool, err error) {
	timer := time.NewTimer(atMost)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false, ctx.Err()
	case <-b.rings:
		return true, nil
	case <-timer.C:
		return false, nil
	case <-b.broken:
		return false, b.why
	}
}

// Close stops listening and removes the socket. The lock file stays, so that two who start at once cannot lock different
// files. Waiting ends with an error.
func (b *Bell) Close() error {
	var err error
	b.once.Do(func() {
		if err = os.Remove(b.path); errors.Is(err, os.ErrNotExist) {
			err = nil
		}
		err = errors.Join(err, b.conn.Close(), b.lock.Unlock())
		<-b.broken
	})
	return err
}

// addressOf is the socket address of path, which may be longer than the kernel takes: then it goes by way of its directory's
// open file, which done closes once the address is used.
func addressOf(path string) (_ *net.UnixAddr, done func(), err error) {
	if len(path) <= longestPath {
		return &net.UnixAddr{Name: path, Net: "unixgram"}, func() {}, nil
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return nil, nil, err
	}
	short := filepath.Join("/proc/self/fd", strconv.Itoa(int(dir.Fd())), filepath.Base(path))
	if _, err := os.Stat(filepath.Dir(short)); err != nil || len(short) > longestPath {
		dir.Close()
		return nil, nil, fmt.Errorf("the path has %d bytes, a socket's at most %d", len(path), longestPath)
	}
	return &net.UnixAddr{Name: short, Net: "unixgram"}, func() { dir.Close() }, nil
}
