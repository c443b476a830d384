package garbage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"left4me/shared/durable"
	"left4me/shared/linkfarm"
	"left4me/shared/vpkcache"
)

// links are the paths of the symbolic links below the overlays' directories by the files that they lead to. A file is identified
// by device and inode, since many paths may lead to one file.
type links struct {
	dir, cacheDir string // with all links resolved
	files         map[file]string
	// unclear are the links whose target could not be examined, by the last element of their target.
	unclear map[string]string
	// all is a link to the cache's directory itself, and so to every file in it.
	all string
}

// file identifies a file.
type file struct{ device, inode uint64 }

func identify(info fs.FileInfo) (file, bool) {
	sys, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return file{}, false
	}
	return file{uint64(sys.Dev), sys.Ino}, true
}

// findLinks finds the links below overlaysDir. Links on the way to an overlay's add-ons are followed, because the game follows
// them; other links to directories are not.
func findLinks(ctx context.Context, overlaysDir, cacheDir string) (*links, error) {
	l := &links{files: map[file]string{}, unclear: map[string]string{}}
	var err error
	if l.dir, err = filepath.EvalSymlinks(overlaysDir); errors.Is(err, fs.ErrNotExist) {
		return l, nil
	}
	if err == nil {
		l.cacheDir, err = filepath.EvalSymlinks(cacheDir)
	}
	if err == nil {
		err = l.walk(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("look for links into the cache: %w", err)
	}
	return l, nil
}

func (l *links) walk(ctx context.Context) error {
	err := filepath.WalkDir(l.dir, func(path string, e fs.DirEntry, err error) error {
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return l.failed(path, err)
		case e.Type()&fs.ModeSymlink != 0:
			return l.add(path)
		}
		return nil
	})
	if err != nil {
		return err
	}
	overlays, err := os.ReadDir(l.dir)
	if err != nil {
		return err
	}
	for _, o := range overlays {
		addons := filepath.Join(l.dir, o.Name(), linkfarm.Dir)
		if real, err := filepath.EvalSymlinks(addons); err == nil && real == addons {
			continue // walked above
		}
		entries, err := os.ReadDir(addons)
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ENOTDIR) && !errors.Is(err, unix.ELOOP) {
			return l.failed(addons, err)
		}
		for _, e := range entries {
			if e.Type()&fs.ModeSymlink != 0 {
				if err := l.add(filepath.Join(addons, e.Name())); err != nil {
					return err
				}
			}
		}
	}
	return ctx.Err()
}

func (l *links) add(path string) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ELOOP), errors.Is(err, unix.ENOTDIR):
		return nil // the link is broken
	case err != nil:
		text, err := os.Readlink(path)
		if err != nil {
			return l.failed(path, err)
		}
		l.unclear[filepath.Base(text)] = path
		return nil
	case info.IsDir():
		real, err := filepath.EvalSymlinks(path)
		if err != nil {
			return l.failed(path, err)
		}
		if rel, err := filepath.Rel(real, l.cacheDir); err == nil && rel != ".." && !strings.HasPrefix(rel, "../") {
			l.all = path
		}
		return nil
	}
	if f, ok := identify(info); ok {
		l.files[f] = path
	}
	return nil
}

// to returns the path, relative to LEFT4ME_ROOT, of a link that leads, or may lead, to a file of the cache.
func (l *links) to(s vpkcache.Stored) (link string, found bool) {
	link = l.all
	if link == "" {
		link = l.unclear[s.Info.Name()]
	}
	if f, ok := identify(s.Info); ok && link == "" {
		link = l.files[f]
	}
	if link == "" {
		return "", false
	}
	return l.name(link), true
}

// name returns path relative to LEFT4ME_ROOT.
func (l *links) name(path string) string {
	rel, err := filepath.Rel(l.dir, path)
	if err != nil {
		rel = filepath.Base(path)
	}
	return filepath.Join("overlays", rel)
}

func (l *links) failed(path string, err error) error {
	return fmt.Errorf("%s: %w", l.name(path), durable.Cause(err))
}
