package game

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"left4me/shared/durable"
)

// Names in Dir.
const (
	releasesName   = "releases"
	installingName = "installing"
	// copyName is the copy of a release until it is complete.
	copyName = "installing.copy"
	// removedPrefix is that of a release that is being removed.
	removedPrefix = "removed-"
)

// manifestName is the file in which SteamCMD keeps the state of an installation.
var manifestName = filepath.Join("steamapps", "appmanifest_"+App+".acf")

// Disk is LEFT4ME_ROOT/game.
type Disk struct{ Dir string }

func (d Disk) installing() string { return filepath.Join(d.Dir, installingName) }

// Release returns the path of a release.
func (d Disk) Release(build int64) string {
	return filepath.Join(d.Dir, releasesName, strconv.FormatInt(build, 10))
}

// Releases returns the releases, the oldest build first.
func (d Disk) Releases(ctx context.Context) ([]Release, error) {
	entries, err := os.ReadDir(filepath.Join(d.Dir, releasesName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var all []Release
	for _, e := range entries {
		build, err := strconv.ParseInt(e.Name(), 10, 64)
		if err != nil || build <= 0 || !e.IsDir() {
			continue
		}
		size, err := size(ctx, d.Release(build))
		if err != nil {
			return nil, err
		}
		all = append(all, Release{BuildID: build, Bytes: size})
	}
	slices.SortFunc(all, func(a, b Release) int { return cmp.Compare(a.BuildID, b.BuildID) })
	return all, nil
}

// size returns the size of the files below dir. It is 0 if there is no such directory.
func size(ctx context.Context, dir string) (total int64, err error) {
	err = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return err
		case e.Type().IsRegular():
			info, err := e.Info()
			if err != nil {
				return err
			}
			total += info.Size()
		}
		return nil
	})
	return total, err
}

// clean removes what interrupted runs have left behind, except what goes on in `installing`.
func (d Disk) clean() error {
	entries, err := os.ReadDir(d.Dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() == copyName || strings.HasPrefix(e.Name(), removedPrefix) {
			if err := os.RemoveAll(filepath.Join(d.Dir, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// remove removes a release: first its name, so that there is never a part of a release under it.
func (d Disk) remove(build int64) error {
	gone := filepath.Join(d.Dir, removedPrefix+strconv.FormatInt(build, 10))
	if err := os.Rename(d.Release(build), gone); err != nil {
		return err
	}
	return os.RemoveAll(gone)
}

// copyRelease makes `installing` a copy of a release. Files share their blocks if the file system can do that; otherwise room is asked
// first whether there is room for so many bytes. copied is called with the bytes that have been copied.
func (d Disk) copyRelease(ctx context.Context, from Release, room func(bytes int64) error, copied func(bytes int64)) error {
	source, target := d.Release(from.BuildID), filepath.Join(d.Dir, copyName)
	shares, done := true, int64(0)
	fill := func(to, content *os.File) error {
		if shares && unix.IoctlFileClone(int(to.Fd()), int(content.Fd())) == nil {
			return nil
		}
		if shares {
			shares = false
			if err := room(from.Bytes); err != nil {
				return err
			}
		}
		return durable.CopyContent(ctx, to, content, func(bytes int64) {
			done += bytes
			copied(done)
		})
	}
	err := filepath.WalkDir(source, func(path string, e fs.DirEntry, err error) error {
		if err == nil {
			err = context.Cause(ctx)
		}
		if err != nil {
			return err
		}
		name, err := filepath.Rel(source, path)
		if err != nil {
			return err
		}
		to := filepath.Join(target, name)
		switch {
		case e.IsDir():
			return os.Mkdir(to, 0o755)
		case e.Type() == fs.ModeSymlink:
			link, err := os.Readlink(path)
			if err != nil {
				return err
			}
			return os.Symlink(link, to)
		}
		return durable.Copy(path, to, fill)
	})
	if err != nil {
		return fmt.Errorf("copy release %d: %w", from.BuildID, durable.Cause(err))
	}
	return os.Rename(target, d.installing())
}
