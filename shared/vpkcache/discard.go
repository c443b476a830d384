package vpkcache

import (
	"errors"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"left4me/shared/steam"
)

// Discard removes what a broken download of an item has left, for a caller that gives up before its next attempt. A
// download that somebody else has under way is not touched.
func (c *Cache) Discard(steamID steam.ID) error {
	_, err := c.discard(steamID)
	return brief(err)
}

// discard is Discard, and reports whether somebody has a download under way.
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
		return true, nil // its downloader holds it
	}
	return false, p.remove()
}
