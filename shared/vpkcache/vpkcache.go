// Package vpkcache owns the directory of cached workshop files: LEFT4ME_ROOT/workshop_cache/{steam_id}.vpk, one file an
// item, shared by all overlays and by every process on the host (product.md P20 to P22). It says whether a file is
// fresh, downloads one, checks it, and gives it its final name; whatever happens in between, nothing is ever seen under
// a final name that is not whole and right.
//
// It does not decide which items are wanted, does not repeat a failed attempt and writes no log: shared/builder does. How
// content hosts are talked to, and which of them are trusted, is shared/steam's. It knows no database and no links.
package vpkcache

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"

	"left4me/shared/durable"
	"left4me/shared/steam"
)

// Source is where files come from: *steam.Content, whose Get says what is asked of it.
type Source interface {
	Get(ctx context.Context, url string, from, to int64) (*steam.Part, error)
}

// File is one workshop item's file as Steam's metadata describes it.
type File struct {
	// SteamID gives the file its name.
	SteamID steam.ID
	// URL is where the content is. When its last segment is 40 hex digits they are the content's SHA-1 (steam.md, Content).
	URL string
	// Size is the length in bytes.
	Size int64
	// Updated is when Steam last changed the file, in Unix seconds. It becomes the modification time.
	Updated int64
}

// Options bound what a Cache does at once. Zero means 8.
type Options struct {
	// Transfers is how many items receive bytes at once. Items beyond it wait inside Fetch; those that are being checked
	// and synced do not count, so the caller may run more Fetches than this and keep the network busy meanwhile.
	Transfers int
	// Connections is how many connections all large items together may use beyond the first one of each.
	Connections int
}

const defaultParallel = 8

// partialSuffix follows the name of an item's file in the name of the file that a download fills.
const partialSuffix = ".partial"

// Cache is a directory of files. It is for use by several goroutines, and several processes, at once.
type Cache struct {
	dir string
	src Source
	// transfers and spare are semaphores: for items in transfer, and for connections beyond an item's first.
	transfers, spare chan struct{}
	// life marks partial files that only this Cache may go on with; see record.go.
	life string
	disk disk
}

// disk are the steps whose failure decides what is left behind. Tests put failing ones here.
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

// Path returns where the file of an item is, or will be.
func (c *Cache) Path(steamID steam.ID) string { return filepath.Join(c.dir, steamID.FileName()) }

// partialPath returns where a download of the item's file is written.
func (c *Cache) partialPath(steamID steam.ID) string { return c.Path(steamID) + partialSuffix }

// Fresh reports whether the file is in the cache with the right size and modification time (P18). A file that is not
// there is not fresh; a link, a directory or anything else under its name is an error, because nobody but the cache may
// put anything there.
func (c *Cache) Fresh(f File) (bool, error) {
	if err := f.check(); err != nil {
		return false, err
	}
	info, err := os.Lstat(c.Path(f.SteamID))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, brief(err)
	}
	if !info.Mode().IsRegular() {
		return false, foreign(info)
	}
	return info.Size() == f.Size && info.ModTime().Unix() == f.Updated, nil
}

// SyncDir makes the names in the directory durable. Fetch syncs a file's content before it gives it its name, but leaves
// the name itself to one call of SyncDir for a whole batch, before the first link to any of them: a crash in between
// can only lose names, which the next build finds missing and downloads again, never content.
func (c *Cache) SyncDir() error {
	if err := durable.Sync(c.dir); !errors.Is(err, fs.ErrNotExist) {
		return brief(err)
	}
	return nil
}

// Usage returns how many finished files the cache holds and their length in bytes. Leftovers of broken downloads are not
// counted.
func (c *Cache) Usage() (files int, bytes int64, err error) {
	entries, err := os.ReadDir(c.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, 0, brief(err)
	}
	for _, e := range entries {
		if !e.Type().IsRegular() || filepath.Ext(e.Name()) != ".vpk" {
			continue
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return 0, 0, brief(err)
		}
		files++
		bytes += info.Size()
	}
	return files, bytes, nil
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

// foreign is the error for something that sits on a name of the cache and is no file.
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
