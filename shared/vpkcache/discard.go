package vpkcache

import (
	"errors"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"left4me/shared/steam"
)

// Discard removes the partial file of a broken download, for a caller that makes no further attempt. It does nothing while the
// item is being downloaded.
func (c *Cache) Discard(steamID steam.ID) error {
	_, err := c.discard(steamID)
	return brief(err)
}

// DiscardBefore removes the partial files that were last written before t, except those of items that are being downloaded.
func (c *Cache) DiscardBefore(t time.Time) error {
	stored, err := c.List()
	for _, s := range stored {
		if s.Partial && s.Info.ModTime().Before(t) {
			err = errors.Join(err, c.Discard(s.SteamID))
		}
	}
	return err
}

// discard is Discard, and reports whether the item is being downloaded.
func (c *Cache) discard(steamID steam.ID) (busy bool, err error) {
	path := c.partialPath(steamID)
	file, err := os.OpenFile(path, os.O_RDWR|unix.O_NOFOLLOW, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	p := &partial{File: file, path: path}
	defer p.release()
	if err := unix.Flock(int(p.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return true, nil
	}
	return false, p.remove()
}
