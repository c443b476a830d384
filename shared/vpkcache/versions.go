package vpkcache

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"left4me/shared/durable"
	"left4me/shared/steam"
)

// versionsDir has a directory for each item, with a hard link {time_updated}.vpk to each of its versions that is kept.
const versionsDir = "versions"

// VersionPath returns the path of a kept version of an item, whether it exists or not. A version is known by the time, in Unix seconds, at
// which Steam published it.
func (c *Cache) VersionPath(steamID steam.ID, updated int64) string {
	return filepath.Join(c.dir, versionsDir, string(steamID), strconv.FormatInt(updated, 10)+".vpk")
}

// IDOf returns the id of the item that a path below dir, the directory of a cache, is a file of: its newest one, or a kept version.
func IDOf(dir, path string) (id steam.ID, ok bool) {
	rel, err := filepath.Rel(dir, path)
	if err != nil {
		return "", false
	}
	name, isVPK := strings.CutSuffix(rel, ".vpk")
	if of, ok := strings.CutPrefix(name, versionsDir+"/"); ok {
		var updated string
		name, updated, _ = strings.Cut(of, "/")
		if _, err := strconv.ParseInt(updated, 10, 64); err != nil {
			return "", false
		}
	}
	id, err = steam.ParseID(name)
	return id, err == nil && isVPK
}

// Keep makes a version of an item one that is kept, if the cache has it, and reports whether it does.
func (c *Cache) Keep(steamID steam.ID, updated int64) (bool, error) {
	path := c.VersionPath(steamID, updated)
	info, err := os.Lstat(path)
	if err == nil && !info.Mode().IsRegular() {
		err = foreign(info)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return err == nil, brief(err)
	}
	current, err := c.stat(steamID)
	if err != nil || current == nil || current.ModTime().Unix() != updated {
		return false, err
	}
	if err = os.MkdirAll(filepath.Dir(path), 0o755); err == nil {
		err = os.Link(c.Path(steamID), path)
	}
	if errors.Is(err, fs.ErrExist) {
		return true, nil // another process was faster
	}
	if err == nil {
		err = durable.Sync(filepath.Dir(path))
	}
	return err == nil, brief(err)
}

// keepOld keeps the version that a download is about to replace, unless the new one has the same time. Where the file system has no hard
// links, no version is kept.
func (c *Cache) keepOld(f File) error {
	old, err := c.stat(f.SteamID)
	if err != nil || old == nil || old.ModTime().Unix() == f.Updated {
		return err
	}
	_, err = c.Keep(f.SteamID, old.ModTime().Unix())
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EMLINK) {
		return nil
	}
	return err
}

// RemoveVersion removes a kept version of an item. The newest file of the item stays.
func (c *Cache) RemoveVersion(steamID steam.ID, updated int64) error {
	path := c.VersionPath(steamID, updated)
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return brief(err)
	}
	_ = os.Remove(filepath.Dir(path)) // unless it has other versions
	return nil
}

// Versions returns the kept versions in the cache's directory.
func (c *Cache) Versions() ([]Stored, error) {
	items, err := os.ReadDir(filepath.Join(c.dir, versionsDir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, brief(err)
	}
	var all []Stored
	for _, item := range items {
		steamID, err := steam.ParseID(item.Name())
		if err != nil || !item.IsDir() {
			continue
		}
		files, err := os.ReadDir(filepath.Join(c.dir, versionsDir, item.Name()))
		if err != nil {
			return nil, brief(err)
		}
		current, err := c.stat(steamID)
		if err != nil {
			return nil, err
		}
		for _, file := range files {
			name, _ := strings.CutSuffix(file.Name(), ".vpk")
			updated, err := strconv.ParseInt(name, 10, 64)
			if err != nil || !file.Type().IsRegular() {
				continue
			}
			info, err := file.Info()
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return nil, brief(err)
			}
			all = append(all, Stored{SteamID: steamID, Version: updated, Info: info, shared: current != nil && os.SameFile(current, info)})
		}
	}
	return all, nil
}
