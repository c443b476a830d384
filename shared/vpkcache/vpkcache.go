// Package vpkcache owns the directory of cached workshop files: LEFT4ME_ROOT/workshop_cache/{steam_id}.vpk, one file for each
// item, shared by all overlays and by every process on the host (product.md P20 to P22). It reports whether a file is fresh,
// downloads and checks files, and gives them their final names only when they are complete and correct.
//
// It does not decide which items to download, does not repeat failed attempts and does not log: shared/builder does.
// shared/steam talks to content hosts and decides which of them are trusted. The package knows no database and no links.
package vpkcache

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"left4me/shared/durable"
	"left4me/shared/steam"
)

// Source is where files are downloaded from: *steam.Content.
type Source interface {
	Get(ctx context.Context, url string, from, to int64) (*steam.Part, error)
}

// File is one workshop item's file as Steam's metadata describes it.
type File struct {
	// SteamID gives the file its name.
	SteamID steam.ID
	// URL is the link to the content. A last segment of 40 hex digits is the content's SHA-1 (steam.md, Content).
	URL string
	// Size is the length in bytes.
	Size int64
	// Updated is when Steam last changed the file, in Unix seconds. It becomes the modification time.
	Updated int64
}

// Options are the limits of a Cache. Zero means 8.
type Options struct {
	// Transfers is the maximum number of items in transfer at once. Further calls of Fetch wait. Items that are being checked
	// and synced do not count, so running more calls than this keeps the network busy meanwhile.
	Transfers int
	// Connections is the maximum number of connections of all items together, not counting the first one of each item.
	Connections int
}

const defaultParallel = 8

// partialSuffix follows the name of an item's file in the name of the file that a download fills.
const partialSuffix = ".partial"

// Cache is a directory of files. Several goroutines and several processes can use it at once.
type Cache struct {
	dir string
	src Source
	// transfers and spare are semaphores: for items in transfer, and for connections beyond an item's first.
	transfers, spare chan struct{}
	// life is part of the names of records that only this Cache may use; see recordName.
	life string
	disk disk
}

// disk has the file operations of downloads. Tests replace them to inject errors.
type disk struct {
	write  func(f *os.File, p []byte, off int64) error
	sync   func(f *os.File) error
	rename func(from, to string) error
}

// New returns the cache in dir, which is created (0755) when the first file is fetched.
func New(dir string, src Source, opts Options) *Cache {
	semaphore := func(n int) chan struct{} {
		if n <= 0 {
			n = defaultParallel
		}
		return make(chan struct{}, n)
	}
	return &Cache{
		dir:       dir,
		src:       src,
		transfers: semaphore(opts.Transfers),
		spare:     semaphore(opts.Connections),
		life:      rand.Text(),
		disk: disk{
			write: func(f *os.File, p []byte, off int64) error {
				_, err := f.WriteAt(p, off)
				return err
			},
			sync:   (*os.File).Sync,
			rename: os.Rename,
		},
	}
}

// Dir returns the directory, as New was given it.
func (c *Cache) Dir() string { return c.dir }

// Path returns the path of an item's file, whether it exists or not.
func (c *Cache) Path(steamID steam.ID) string { return filepath.Join(c.dir, steamID.FileName()) }

// partialPath returns the path of the file that a download of the item fills.
func (c *Cache) partialPath(steamID steam.ID) string { return c.Path(steamID) + partialSuffix }

// Fresh reports whether the file is in the cache with the right size and modification time (P18). A link, a directory or
// anything else of that name is an error, because only the cache may create files there.
func (c *Cache) Fresh(f File) (bool, error) {
	if err := f.check(); err != nil {
		return false, err
	}
	info, err := c.stat(f.SteamID)
	return info != nil && info.Size() == f.Size && info.ModTime().Unix() == f.Updated, err
}

// Has reports whether any version of an item's file is in the cache. Errors are those of Fresh.
func (c *Cache) Has(steamID steam.ID) (bool, error) {
	info, err := c.stat(steamID)
	return info != nil, err
}

// Open opens an item's file for reading if it has that size and modification time (Unix seconds). Otherwise the error is fs.ErrNotExist;
// for what is not a file, it is that of Fresh.
func (c *Cache) Open(steamID steam.ID, size, updated int64) (*os.File, error) {
	if info, err := c.stat(steamID); err != nil || info == nil { // merely opening a device may have an effect
		return nil, cmp.Or(err, fs.ErrNotExist)
	}
	file, err := os.OpenFile(c.Path(steamID), os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, brief(err)
	}
	info, err := file.Stat()
	if err == nil && (!info.Mode().IsRegular() || info.Size() != size || info.ModTime().Unix() != updated) {
		err = fs.ErrNotExist
	}
	if err != nil {
		file.Close()
		return nil, brief(err)
	}
	return file, nil
}

// SHA1 reads an item's file, and returns its SHA-1 and the one that f's URL names, both in lower-case hex digits. Both are empty if the URL
// names none, or the file is not there in the version that f describes.
func (c *Cache) SHA1(f File) (got, want string, err error) {
	if want = f.sha1(); want == "" {
		return "", "", nil
	}
	file, err := c.Open(f.SteamID, f.Size, f.Updated)
	if errors.Is(err, fs.ErrNotExist) {
		return "", "", nil
	}
	if err != nil {
		return "", "", err
	}
	defer file.Close()
	hash := sha1.New()
	if _, err := io.Copy(hash, file); err != nil {
		return "", "", brief(err)
	}
	return hex.EncodeToString(hash.Sum(nil)), want, nil
}

// stat returns what is known of an item's file, or nil if there is none.
func (c *Cache) stat(steamID steam.ID) (fs.FileInfo, error) {
	info, err := os.Lstat(c.Path(steamID))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, brief(err)
	}
	if !info.Mode().IsRegular() {
		return nil, foreign(info)
	}
	return info, nil
}

// SyncDir syncs the names in the directory. Fetch syncs the content of a file before it gives the file its name, but not the
// name: the caller calls SyncDir once after all downloads, before it creates links. After a crash in between, a file may be
// missing, which the next build downloads again, but never incomplete.
func (c *Cache) SyncDir() error {
	if err := durable.Sync(c.dir); !errors.Is(err, fs.ErrNotExist) {
		return brief(err)
	}
	return nil
}

// Usage returns the number of complete files in the cache and the bytes that they and older versions use, without leftovers of broken
// downloads.
func (c *Cache) Usage() (files int, bytes int64, err error) {
	all, err := c.List()
	versions, verr := c.Versions()
	for _, s := range append(all, versions...) {
		if s.Partial {
			continue
		}
		bytes += s.Bytes()
		if s.Version == 0 {
			files++
		}
	}
	return files, bytes, errors.Join(err, verr)
}

// check returns an error for a file whose id must not become part of a path, or whose size is invalid.
func (f File) check() error {
	if _, err := steam.ParseID(string(f.SteamID)); err != nil {
		return err
	}
	if f.Size <= 0 {
		return fmt.Errorf("a file cannot have %d bytes", f.Size)
	}
	return nil
}

// sha1 returns the content's SHA-1 in lower-case hex digits where the URL names it, else "".
func (f File) sha1() string {
	u, err := url.Parse(f.URL)
	if err != nil {
		return ""
	}
	name := strings.ToLower(path.Base(u.Path))
	if len(name) != 40 || strings.Trim(name, "0123456789abcdef") != "" {
		return ""
	}
	return name
}

// foreign returns the error for something in the cache's directory that has the name of a file but is none.
func foreign(info fs.FileInfo) error {
	kind := "not a regular file"
	switch {
	case info.IsDir():
		kind = "a directory"
	case info.Mode()&fs.ModeSymlink != 0:
		kind = "a symbolic link"
	}
	return fmt.Errorf("%s in the cache is %s, which left4me did not put there", info.Name(), kind)
}
