package vpkcache

import (
	"errors"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// Discard removes what a broken download of an item has left, for a caller that gives up before its next attempt. A
// download that somebody else has under way is not touched.
func (c *Cache) Discard(steamID string) error {
	path := c.Path(steamID) + ".partial"
	file, err := os.OpenFile(path, os.O_RDWR|unix.O_NOFOLLOW, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return brief(err)
	}
	p := &partial{File: file, path: path}
	defer p.release()
	if err := unix.Flock(int(p.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil // its downloader holds it
	}
	return brief(p.remove())
}
