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

	"left4me/shared/linkfarm"
	"left4me/shared/vpkcache"
)

// links are the symbolic links below the overlays' directories, by what they lead to. They go by what the system finds at
// their end, not by their texts: there may be many ways to one file.
type links struct {
	dir, cacheDir string // without links on the way
	files         map[file]string
	// unclear are those whose end we may not look at, by the last name in their texts.
	unclear map[string]string
	// all leads to the cache itself, and so to every file in it.
	all string
}

// file is what tells a file from every other one.
type file struct{ device, inode uint64 }

func identify(info fs.FileInfo) (file, bool) {
	sys, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return file{}, false
	}
	return file{uint64(sys.Dev), sys.Ino}, true
}

// look finds the links below overlaysDir. Links on the way to an overlay's add-ons are followed, because the game follows them;
// other links to directories are not.
func look(ctx context.Context, overlaysDir, cacheDir string) (*links, error) {
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
			continue // seen above
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
		return nil // it leads nowhere
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

// to returns a link that leads, or may lead, to a file of the cache, as people may read it.
func (l *links) to(s vpkcache.Stored) (link string, is bool) {
	link = l.all
	if link == "" {
		link = l.unclear[s.Name()]
	}
	if f, ok := identify(s.Info); ok && link == "" {
		link = l.files[f]
	}
	if link == "" {
		return "", false
	}
	return l.name(link), true
}

// name is how people know a path: from LEFT4ME_ROOT on.
func (l *links) name(path string) string {
	rel, err := filepath.Rel(l.dir, path)
	if err != nil {
		rel = filepath.Base(path)
	}
	return filepath.Join("overlays", rel)
}

func (l *links) failed(path string, err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		err = p.Err
	}
	return fmt.Errorf("%s: %w", l.name(path), err)
}
