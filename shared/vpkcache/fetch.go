package vpkcache

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"left4me/shared/steam"
	"left4me/shared/vpk"
)

// lockPoll is the time between two attempts to lock a file, since waiting in flock cannot be cancelled.
const lockPoll = 50 * time.Millisecond

// partialMode keeps other users from opening a partial file, and so from locking it.
const partialMode = 0o600

// Fetch makes one attempt to download f into the cache, and reports whether it did: nothing is downloaded when the file is
// fresh, or becomes fresh while Fetch waits for another download of the item.
//
// progress, which may be nil, is called with the number of bytes that are on the disk, one call at a time; it must return
// quickly. While Fetch waits for another download of the item, they are that one's. The number decreases only when that one is
// given up, or when a server that used to serve ranges stops doing so.
//
// Errors are ctx's, one that wraps ErrDiskFull, the Source's, such as *steam.StatusError, or one for which IsWrongFile is true.
// After a broken transfer the received bytes stay in the partial file, and the next Fetch of the same file resumes there:
// always in this Cache, and in another Cache or process if the URL contains the SHA-1, because only then the content is known
// to be the same. After any other error the partial file is removed.
func (c *Cache) Fetch(ctx context.Context, f File, progress func(bytesOnDisk int64)) (downloaded bool, err error) {
	downloaded, err = c.fetch(ctx, f, progress)
	return downloaded, brief(err)
}

func (c *Cache) fetch(ctx context.Context, f File, progress func(int64)) (bool, error) {
	if fresh, err := c.Fresh(f); fresh || err != nil {
		return false, err
	}
	p, err := c.lock(ctx, f.SteamID, progress)
	if err != nil {
		return false, err
	}
	defer p.release()
	// Compare with the time that a file can have here.
	f.Updated, err = p.setTime(f.Updated)
	fresh := false
	if err == nil {
		fresh, err = c.Fresh(f)
	}
	if !fresh && err == nil {
		if err = c.download(ctx, f, p, progress); err == nil {
			return true, nil
		}
	}
	if err != nil && ctx.Err() != nil {
		// The error is a consequence of the cancellation.
		err = ctx.Err()
	}
	if broken, ok := errors.AsType[*brokenTransfer](err); ok && broken.done > 0 {
		return false, err
	}
	return false, errors.Join(err, p.remove())
}

// partial is an open {steam_id}.vpk.partial that is locked against any other Fetch of the same item. The lock is on the file
// itself: it needs no lock file and ends with the process.
type partial struct {
	*os.File
	path string
}

// lock opens or creates the partial file of an item and waits until it has locked it.
func (c *Cache) lock(ctx context.Context, steamID steam.ID, progress func(int64)) (*partial, error) {
	path := c.partialPath(steamID)
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		p, err := c.open(path)
		if err != nil {
			return nil, err
		}
		if err := p.wait(ctx, progress); err != nil {
			p.Close()
			return nil, err
		}
		// The previous holder of the lock may have renamed or removed the file.
		current, err := p.current()
		if current && err == nil {
			// Older versions created it with 0644.
			if err = p.Chmod(partialMode); err == nil {
				return p, nil
			}
		}
		p.Close()
		if err != nil {
			return nil, err
		}
	}
}

// open opens or creates the partial file. It never follows a link.
func (c *Cache) open(path string) (*partial, error) {
	const flags = os.O_RDWR | os.O_CREATE | unix.O_NOFOLLOW
	file, err := os.OpenFile(path, flags, partialMode)
	if errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(c.dir, 0o755); err != nil {
			return nil, err
		}
		file, err = os.OpenFile(path, flags, partialMode)
	}
	if err != nil {
		if info, lerr := os.Lstat(path); lerr == nil && !info.Mode().IsRegular() {
			return nil, foreign(info)
		}
		return nil, err
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = foreign(info)
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return &partial{File: file, path: path}, nil
}

// wait waits for the lock, and calls progress with the bytes that the download that has it has stored.
func (p *partial) wait(ctx context.Context, progress func(int64)) error {
	for {
		err := unix.Flock(int(p.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			return &fs.PathError{Op: "lock", Path: p.path, Err: err}
		}
		var here unix.Stat_t
		if progress != nil && unix.Fstat(int(p.Fd()), &here) == nil {
			progress(min(here.Blocks*512, here.Size)) // it has holes
		}
		select {
		case <-time.After(lockPoll):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// current reports whether the open file still has its name.
func (p *partial) current() (bool, error) {
	mine, err := p.Stat()
	if err != nil {
		return false, err
	}
	named, err := os.Lstat(p.path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && os.SameFile(mine, named), err
}

// remove removes the partial file, unless the open file no longer has that name, as after a rename that reported an error
// although it happened.
func (p *partial) remove() error {
	current, err := p.current()
	if !current || err != nil {
		return err
	}
	return os.Remove(p.path)
}

// setTime sets the modification time, in Unix seconds, and returns the one that the file has then: another one if the time is
// beyond the file system's range.
func (p *partial) setTime(updated int64) (int64, error) {
	t := unix.Timespec{Sec: updated}
	if err := unix.UtimesNanoAt(unix.AT_FDCWD, p.path, []unix.Timespec{t, t}, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return 0, &fs.PathError{Op: "set time of", Path: p.path, Err: err}
	}
	info, err := p.Stat()
	if err != nil {
		return 0, err
	}
	return info.ModTime().Unix(), nil
}

// release closes the file, which unlocks it. Errors of writing have been reported by Sync.
func (p *partial) release() { p.Close() }

// download fills the partial file, checks it and gives it its final name.
func (c *Cache) download(ctx context.Context, f File, p *partial, progress func(int64)) error {
	if err := c.room(f, p); err != nil {
		return err
	}
	t, err := c.newTransfer(f, p, progress)
	if err != nil {
		return err
	}
	select {
	case c.transfers <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	hashed := make(chan error, 1)
	go func() { hashed <- t.verify(ctx, f.sha1()) }()
	err = t.run(ctx)
	<-c.transfers
	if differs := <-hashed; err == nil {
		err = differs
	}
	if err != nil {
		return err
	}
	if _, _, err := vpk.Header(p, f.Size); err != nil {
		return err
	}
	return c.publish(ctx, f, p)
}

// publish gives a complete and checked file its length, mode, time and name. The lock is held until after the rename, so the
// file is closed last; it has been synced by then.
func (c *Cache) publish(ctx context.Context, f File, p *partial) error {
	if err := p.Truncate(f.Size); err != nil {
		return err
	}
	// Game servers run as other users, whatever our umask is.
	if err := p.Chmod(0o644); err != nil {
		return err
	}
	if _, err := p.setTime(f.Updated); err != nil {
		return err
	}
	if err := c.sync(ctx, p); err != nil {
		return err
	}
	// A link or directory that was created meanwhile must not be replaced.
	if _, err := c.Fresh(f); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := c.keepOld(f); err != nil {
		return err
	}
	return c.disk.rename(p.path, c.Path(f.SteamID))
}

// sync syncs the file, but stops waiting when ctx ends: a large file on a slow disk can take many seconds.
func (c *Cache) sync(ctx context.Context, p *partial) error {
	synced := make(chan error, 1)
	go func() { synced <- c.disk.sync(p.File) }()
	select {
	case err := <-synced:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// room returns an error with the sizes when the file does not fit on the disk. For a file system that does not report its size,
// writing will fail instead.
func (c *Cache) room(f File, p *partial) error {
	var disk unix.Statfs_t
	if err := unix.Fstatfs(int(p.Fd()), &disk); err != nil || disk.Blocks == 0 {
		return nil
	}
	var here unix.Stat_t
	if err := unix.Fstat(int(p.Fd()), &here); err != nil {
		return &fs.PathError{Op: "stat", Path: p.path, Err: err}
	}
	free := int64(disk.Bavail) * disk.Bsize
	if need := f.Size - here.Blocks*512; need > free {
		return fmt.Errorf("%w: %d bytes needed, %d free", ErrDiskFull, need, free)
	}
	return nil
}
