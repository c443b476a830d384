package vpkcache

import (
	"cmp"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"left4me/shared/steam"
)

// Stored is a file in the cache's directory.
type Stored struct {
	SteamID steam.ID
	// Partial is true for the file of an unfinished download.
	Partial bool
	// Version is the time, in Unix seconds, of a kept version; 0 for other files.
	Version int64
	Info    fs.FileInfo

	shared bool // a version, and the newest file is the same
}

// Name is the path of the file in the cache's directory.
func (s Stored) Name() string {
	if s.Version != 0 {
		return filepath.Join(versionsDir, string(s.SteamID), s.Info.Name())
	}
	return s.Info.Name()
}

// Bytes is the disk space that the file uses. A kept version that is also the newest file of its item uses none.
func (s Stored) Bytes() int64 {
	if s.shared {
		return 0
	}
	if sys, ok := s.Info.Sys().(*syscall.Stat_t); ok && s.Partial {
		return min(s.Info.Size(), sys.Blocks*512) // it has holes
	}
	return s.Info.Size()
}

// List returns the cache's files, partial ones first. It leaves out other names, links and directories, which the cache did
// not create.
func (c *Cache) List() ([]Stored, error) {
	entries, err := os.ReadDir(c.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, brief(err)
	}
	var all []Stored
	for _, e := range entries {
		name, isPartial := strings.CutSuffix(e.Name(), partialSuffix)
		steamID, err := steam.ParseID(strings.TrimSuffix(name, ".vpk"))
		if err != nil || steamID.FileName() != name || !e.Type().IsRegular() {
			continue
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, brief(err)
		}
		all = append(all, Stored{SteamID: steamID, Partial: isPartial, Info: info})
	}
	slices.SortStableFunc(all, func(a, b Stored) int {
		if a.Partial != b.Partial {
			return map[bool]int{true: -1, false: 1}[a.Partial]
		}
		return cmp.Or(cmp.Compare(len(a.SteamID), len(b.SteamID)), cmp.Compare(a.SteamID, b.SteamID))
	})
	return all, nil
}

// ErrBusy means that the item is being downloaded.
var ErrBusy = errors.New("it is being downloaded")

// Remove removes a file that List or Versions has returned, unless it was replaced meanwhile. The error is ErrBusy when the item is being
// downloaded.
func (c *Cache) Remove(s Stored) error {
	if s.Version != 0 {
		return c.RemoveVersion(s.SteamID, s.Version)
	}
	if s.Partial {
		busy, err := c.discard(s.SteamID)
		if busy {
			return ErrBusy
		}
		return brief(err)
	}
	return brief(c.remove(s))
}

func (c *Cache) remove(s Stored) error {
	// A download of the item holds the lock of the partial file.
	path := c.Path(s.SteamID)
	p, err := c.open(c.partialPath(s.SteamID))
	if err != nil {
		return err
	}
	defer p.release()
	if err := unix.Flock(int(p.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return ErrBusy
	}
	if current, err := p.current(); err != nil || !current {
		return errors.Join(err, ErrBusy)
	}
	now, err := os.Lstat(path)
	if err == nil && os.SameFile(now, s.Info) {
		err = os.Remove(path)
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return errors.Join(err, p.remove())
}
