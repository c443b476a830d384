package linkfarm

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
)

// Result counts what Apply did, and the links that were right already.
type Result struct {
	Created, Replaced, Removed, Unchanged int
}

// folder is what Apply needs of the *os.Root of Dir. Tests put one here that fails.
type folder interface {
	Readlink(name string) (string, error)
	Symlink(target, name string) error
	Rename(from, to string) error
	Remove(name string) error
}

// Apply makes changes in the overlay whose directory root is; the folder is made if it is missing. With conflicts it
// returns their *ConflictError and has touched nothing.
//
// ctx is looked at before every single change, and its error returned. After any error, what was done is consistent and
// in the Result, and another round of Observe, Plan and Apply completes it. What changed since Observe is noticed: a link
// that is no longer the one that was planned for, or a name that is no longer free, is an error and stays as it is. The
// caller sees to it that no two Applies run in one overlay at once.
func Apply(ctx context.Context, root *os.Root, changes Changes) (Result, error) {
	if err := changes.Err(); err != nil {
		return Result{}, err
	}
	if err := ctx.Err(); err != nil {
		return Result{}, err
	}
	dir, err := openFolder(root)
	if err != nil {
		return Result{}, fmt.Errorf("make %s: %w", Dir, err)
	}
	defer dir.Close()
	done, err := apply(ctx, dir, changes)
	if done.Created+done.Replaced+done.Removed > 0 || err != nil {
		if serr := syncDir(dir, "."); serr != nil {
			err = errors.Join(err, fmt.Errorf("sync %s: %w", Dir, serr))
		}
	}
	return done, err
}

func apply(ctx context.Context, dir folder, changes Changes) (Result, error) {
	done := Result{Unchanged: changes.Unchanged}
	for _, step := range []struct {
		links  []Link
		change func(folder, Link) error
		name   string
		count  *int
	}{
		{changes.Remove, remove, "remove link", &done.Removed},
		{changes.Replace, replace, "replace link", &done.Replaced},
		{changes.Create, create, "link", &done.Created},
	} {
		for _, l := range step.links {
			if err := ctx.Err(); err != nil {
				return done, err
			}
			if err := step.change(dir, l); err != nil {
				return done, fmt.Errorf("%s %s: %w", step.name, l.Name, err)
			}
			*step.count++
		}
	}
	return done, nil
}

// create relies on symlink being exclusive.
func create(dir folder, l Link) error { return cause(dir.Symlink(l.Target, l.Name)) }

// replace makes the new link under a name that the game does not load, and renames it over the old one: at no moment is
// there no link.
func replace(dir folder, l Link) error {
	temp := "." + l.Name + "." + rand.Text()
	if err := cause(dir.Symlink(l.Target, temp)); err != nil {
		return err
	}
	err := unchanged(dir, l)
	if err == nil {
		err = cause(dir.Rename(temp, l.Name))
	}
	if err != nil {
		if rerr := cause(dir.Remove(temp)); rerr != nil && !errors.Is(rerr, fs.ErrNotExist) {
			err = errors.Join(err, fmt.Errorf("remove %s: %w", temp, rerr))
		}
	}
	return err
}

func remove(dir folder, l Link) error {
	if err := unchanged(dir, l); err != nil {
		return err
	}
	return cause(dir.Remove(l.Name))
}

// unchanged is asked immediately before a link is taken away.
func unchanged(dir folder, l Link) error {
	now, err := dir.Readlink(l.Name)
	if err != nil {
		return fmt.Errorf("it is no longer the link that it was: %w", cause(err))
	}
	if now != l.Was {
		return fmt.Errorf("it is no longer the link that it was: it points to %q", now)
	}
	return nil
}

// openFolder opens Dir below root, and makes it, durably, where it is missing.
func openFolder(root *os.Root) (*os.Root, error) {
	dir, err := root.OpenRoot(Dir)
	if !errors.Is(err, fs.ErrNotExist) {
		return dir, err
	}
	if err := root.MkdirAll(Dir, 0o755); err != nil {
		return nil, err
	}
	for parent := path.Dir(Dir); ; parent = path.Dir(parent) {
		if err := syncDir(root, parent); err != nil {
			return nil, err
		}
		if parent == "." {
			return root.OpenRoot(Dir)
		}
	}
}

func syncDir(root *os.Root, name string) error {
	d, err := root.Open(name)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// cause strips the operation and the names from an error of os.Root: the caller adds them in our words.
func cause(err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err
	}
	if l, ok := errors.AsType[*os.LinkError](err); ok {
		return l.Err
	}
	return err
}
