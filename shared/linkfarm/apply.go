package linkfarm

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"

	"left4me/shared/durable"
)

// Result counts the links that Apply changed, and those that were already right.
type Result struct {
	Created, Replaced, Removed, Unchanged int
}

// folder is the part of *os.Root that Apply uses in Dir. Tests replace it to inject errors.
type folder interface {
	Readlink(name string) (string, error)
	Symlink(target, name string) error
	Rename(from, to string) error
	Remove(name string) error
}

// Apply makes the changes in an overlay's directory; Dir is created if it is missing. With conflicts it changes nothing and
// returns a *ConflictError.
//
// When ctx ends, Apply stops before the next change and returns ctx's error. After any error the changes made so far are
// consistent and counted in the Result, and another round of Observe, Plan and Apply completes them. A link that was changed
// since Observe, or a name that is no longer free, is an error and stays as it is. Only one Apply may run in an overlay at a
// time.
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
		if serr := durable.SyncIn(dir, "."); serr != nil {
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

// create fails if the name exists, because symlink does.
func create(dir folder, l Link) error { return durable.Cause(dir.Symlink(l.Target, l.Name)) }

// replace creates the new link under a name that the game does not load and renames it over the old one, so that there is
// always a link.
func replace(dir folder, l Link) error {
	temp := "." + l.Name + "." + rand.Text()
	if err := durable.Cause(dir.Symlink(l.Target, temp)); err != nil {
		return err
	}
	err := unchanged(dir, l)
	if err == nil {
		err = durable.Cause(dir.Rename(temp, l.Name))
	}
	if err != nil {
		if rerr := durable.Cause(dir.Remove(temp)); rerr != nil && !errors.Is(rerr, fs.ErrNotExist) {
			err = errors.Join(err, fmt.Errorf("remove %s: %w", temp, rerr))
		}
	}
	return err
}

func remove(dir folder, l Link) error {
	if err := unchanged(dir, l); err != nil {
		return err
	}
	return durable.Cause(dir.Remove(l.Name))
}

// unchanged returns an error if the link is no longer the planned one. It is called immediately before removing the link.
func unchanged(dir folder, l Link) error {
	now, err := dir.Readlink(l.Name)
	if err != nil {
		return fmt.Errorf("it is no longer the link that it was: %w", durable.Cause(err))
	}
	if now != l.Was {
		return fmt.Errorf("it is no longer the link that it was: it points to %q", now)
	}
	return nil
}

// openFolder opens Dir in root, and creates and syncs it if it is missing.
func openFolder(root *os.Root) (*os.Root, error) {
	dir, err := root.OpenRoot(Dir)
	if !errors.Is(err, fs.ErrNotExist) {
		return dir, err
	}
	if err := root.MkdirAll(Dir, 0o755); err != nil {
		return nil, err
	}
	for parent := path.Dir(Dir); ; parent = path.Dir(parent) {
		if err := durable.SyncIn(root, parent); err != nil {
			return nil, err
		}
		if parent == "." {
			return root.OpenRoot(Dir)
		}
	}
}
