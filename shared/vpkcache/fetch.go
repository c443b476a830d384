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
)

// lockPoll is how often a file that somebody else is downloading is looked at. flock cannot be waited for and cancelled.
const lockPoll = 50 * time.Millisecond

// Fetch makes one attempt to bring f into the cache, and reports whether it downloaded it: a file that is fresh, or that
// somebody else has made fresh while Fetch waited for them, is left alone.
//
// progress, which may be nil, is told how many of f.Size bytes are on the disk, one call at a time; it must be quick. The
// number falls only when a server that used to serve ranges stops doing so.
//
// Errors: ctx's own when it ends, also while waiting; one that wraps ErrDiskFull; or what the Source said, such as a
// *steam.StatusError; or what is wrong with the file. After a transfer that broke, what has arrived stays beside the
// final name and the next Fetch of the same file goes on from there: in this Cache always, in another one or another
// process only if the URL names the SHA-1, because only then is it sure to be the same content. After every other
// failure, and after a cancel, nothing stays.
func (c *Cache) Fetch(ctx context.Context, f File, progress func(bytesOnDisk int64)) (downloaded bool, err error) {
	downloaded, err = c.fetch(ctx, f, progress)
	return downloaded, brief(err)
}

func (c *Cache) fetch(ctx context.Context, f File, progress func(int64)) (bool, error) {
	if fresh, err := c.Fresh(f); fresh || err != nil {
		return false, err
	}
	p, err := c.lock(ctx, f.SteamID)
	if err != nil {
		return false, err
	}
	defer p.release()
	fresh, err := c.Fresh(f)
	if !fresh && err == nil {
		if err = c.download(ctx, f, p, progress); err == nil {
			return true, nil
		}
	}
	if err != nil && ctx.Err() != nil {
		// Whatever the cancel has broken on its way here.
		err = ctx.Err()
	}
	if broken, ok := errors.AsType[*brokenTransfer](err); ok && broken.done > 0 {
		return false, err
	}
	return false, errors.Join(err, p.remove())
}

// partial is an open {steam_id}.vpk.partial that is locked against every other Fetch of the same item. The lock is on the
// file itself, so that it needs no file of its own and ends with its holder, however that dies.
type partial struct {
	*os.File
	path string
}

// lock opens or creates the partial file of an item and waits until it is ours.
func (c *Cache) lock(ctx context.Context, steamID steam.ID) (*partial, error) {
	path := c.partialPath(steamID)
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		p, err := c.open(path)
		if err != nil {
			return nil, err
		}
		if err := p.wait(ctx); err != nil {
			p.Close()
			return nil, err
		}
		// Who held the lock may have renamed or removed what we opened.
		current, err := p.current()
		if current && err == nil {
			return p, nil
		}
		p.Close()
		if err != nil {
			return nil, err
		}
	}
}

// open never follows a link.
func (c *Cache) open(path string) (*partial, error) {
	const flags = os.O_RDWR | os.O_CREATE | unix.O_NOFOLLOW
	file, err := os.OpenFile(path, flags, 0o644)
	if errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(c.dir, 0o755); err != nil {
			return nil, err
		}
		file, err = os.OpenFile(path, flags, 0o644)
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

func (p *partial) wait(ctx context.Context) error {
	for {
		err := unix.Flock(int(p.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			return &fs.PathError{Op: "lock", Path: p.path, Err: err}
		}
		select {
		case <-time.After(lockPoll):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// current reports whether the open file is still the one of that name.
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

// remove unlinks the partial file, unless its name is already gone or another file's: that is so after a rename that
// took place and failed all the same.
func (p *partial) remove() error {
	current, err := p.current()
	if !current || err != nil {
		return err
	}
	return os.Remove(p.path)
}

// release closes the file, which unlocks it. What an error of Close could tell, Sync has told before.
func (p *partial) release() { p.Close() }

// download fills the partial file, checks it and renames it.
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
	if err := checkVPK(p, f.Size); err != nil {
		return err
	}
	return c.publish(ctx, f, p)
}

// publish gives a complete and checked file its length, rights, time and name. The lock is held until after the rename,
// so the file is closed last; nothing can be pending then, because it was synced.
func (c *Cache) publish(ctx context.Context, f File, p *partial) error {
	if err := p.Truncate(f.Size); err != nil {
		return err
	}
	// Whatever the umask: game servers run as other users.
	if err := p.Chmod(0o644); err != nil {
		return err
	}
	updated := unix.Timespec{Sec: f.Updated}
	if err := unix.UtimesNanoAt(unix.AT_FDCWD, p.path, []unix.Timespec{updated, updated}, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return &fs.PathError{Op: "set time of", Path: p.path, Err: err}
	}
	if err := c.sync(ctx, p); err != nil {
		return err
	}
	// Renaming over a link or a directory that appeared meanwhile would take away what is not ours.
	if _, err := c.Fresh(f); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return c.disk.rename(p.path, c.Path(f.SteamID))
}

// sync waits for the disk, but not after a cancel: a large file on a slow disk can take many seconds. The system call then
// ends by itself, and with it closes the file.
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

// room fails early, and with figures, when the file cannot fit. A file system that does not say how large it is finds out
// while writing.
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
