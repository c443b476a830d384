// Package linkfarm owns the symbolic links of a workshop overlay: left4dead2/addons/{steam_id}.vpk, with absolute targets in
// the cache (product.md P25). Observe reads the folder, Plan decides without touching the disk what has to change, and Apply
// changes it.
//
// A link is ours if its target is a path in the cache. Everything else in the folder belongs to somebody else and stays. The
// package is given the links. It knows no overlays and no items, and does not check that the cached files exist.
package linkfarm

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"left4me/shared/text"
)

// Dir is the folder in an overlay's directory where the game looks for add-ons.
const Dir = "left4dead2/addons"

// Observed is the content of the folder.
type Observed struct {
	// Links are the targets of the symbolic links by name.
	Links map[string]string
	// Others are the types of all other files by name.
	Others map[string]fs.FileMode
}

// Observe reads the folder in an overlay's directory. A folder that does not exist is empty. Symbolic links on the way to it
// are followed inside root; one that leads out of root is an error.
func Observe(root *os.Root) (Observed, error) {
	seen := Observed{Links: map[string]string{}, Others: map[string]fs.FileMode{}}
	dir, err := root.OpenFile(Dir, os.O_RDONLY|unix.O_DIRECTORY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return seen, nil
	}
	if err != nil {
		return Observed{}, fmt.Errorf("look at links: %w", err)
	}
	defer dir.Close()
	target := make([]byte, unix.PathMax)
	for {
		names, err := dir.Readdirnames(1000)
		for _, name := range names {
			if err := seen.add(root, dir, name, target); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return Observed{}, fmt.Errorf("look at link %s: %w", name, err)
			}
		}
		if err == io.EOF {
			return seen, nil
		}
		if err != nil {
			return Observed{}, fmt.Errorf("look at links: %w", err)
		}
	}
}

// add adds one name of dir; target is a buffer. Most names are links, and readlink fails for others, so that no other system
// call is needed for links. It uses the open directory because os.Root would resolve the path for each name, at three times
// the cost.
func (o Observed) add(root *os.Root, dir *os.File, name string, target []byte) error {
	n, err := unix.Readlinkat(int(dir.Fd()), name, target)
	if errors.Is(err, unix.EINVAL) {
		info, err := root.Lstat(Dir + "/" + name)
		if err != nil {
			return err
		}
		o.Others[name] = info.Mode().Type()
		return nil
	}
	if err != nil {
		return err
	}
	o.Links[name] = string(target[:n])
	return nil
}

// Link is a link of ours. Target is the path of a file in the cache.
type Link struct {
	Name, Target string
	// Was is the current target of the link; empty when there is no link yet.
	Was string
}

// Conflict is a file of somebody else with the name of a wanted link.
type Conflict struct {
	Name string
	// Kind is `a file`, `a directory`, `a link to …` or `something else`.
	Kind string
}

// Changes are the steps that make the links exactly the wanted ones, each list sorted by name.
type Changes struct {
	// Create, Replace and Remove contain only links of ours.
	Create, Replace, Remove []Link
	// Unchanged counts the links that are already right.
	Unchanged int
	// Conflicts keep Apply from changing anything.
	Conflicts []Conflict
}

// Err returns a *ConflictError when there are conflicts.
func (c Changes) Err() error {
	if len(c.Conflicts) == 0 {
		return nil
	}
	return &ConflictError{Conflicts: c.Conflicts}
}

// ConflictError lists the files of somebody else that have names of wanted links, so that their owner can move them away.
type ConflictError struct {
	Conflicts []Conflict
}

func (e *ConflictError) Error() string {
	var all []string
	for _, c := range e.Conflicts {
		all = append(all, fmt.Sprintf("%s/%s (%s)", Dir, c.Name, c.Kind))
	}
	return "not made by left4me, and in the way of its links: " + text.List(all, 10, ", ")
}

// Plan returns the changes after which there are the wanted links, and no other link of ours. It is an error if cacheDir is not absolute, a
// name is empty, begins with a dot, contains a slash or has two targets, or a target is not in the cache.
func Plan(wanted []Link, seen Observed, cacheDir string) (Changes, error) {
	if !filepath.IsAbs(cacheDir) {
		return Changes{}, fmt.Errorf("cache directory %q is not absolute", cacheDir)
	}
	var c Changes
	keep := make(map[string]string, len(wanted)) // targets by name
	for _, l := range wanted {
		if l.Name == "" || l.Name[0] == '.' || strings.ContainsAny(l.Name, "/\x00") {
			return Changes{}, fmt.Errorf("%q cannot be the name of a link", l.Name)
		}
		if !ours(l.Target, cacheDir) {
			return Changes{}, fmt.Errorf("%q, the target of %s, is not in the cache", l.Target, l.Name)
		}
		if target, repeated := keep[l.Name]; repeated {
			if target != l.Target {
				return Changes{}, fmt.Errorf("%s would be a link to both %q and %q", l.Name, target, l.Target)
			}
			continue
		}
		keep[l.Name] = l.Target
		was, linked := seen.Links[l.Name]
		mode, taken := seen.Others[l.Name]
		switch {
		case taken:
			c.Conflicts = append(c.Conflicts, Conflict{Name: l.Name, Kind: kind(mode)})
		case !linked:
			c.Create = append(c.Create, Link{Name: l.Name, Target: l.Target})
		case was == l.Target:
			c.Unchanged++
		case ours(was, cacheDir):
			c.Replace = append(c.Replace, Link{Name: l.Name, Target: l.Target, Was: was})
		default:
			c.Conflicts = append(c.Conflicts, Conflict{Name: l.Name, Kind: fmt.Sprintf("a link to %q", was)})
		}
	}
	for name, was := range seen.Links {
		// This includes temporary links of an Apply that was killed.
		if keep[name] == "" && ours(was, cacheDir) {
			c.Remove = append(c.Remove, Link{Name: name, Was: was})
		}
	}
	byName := func(a, b Link) int { return strings.Compare(a.Name, b.Name) }
	slices.SortFunc(c.Create, byName)
	slices.SortFunc(c.Replace, byName)
	slices.SortFunc(c.Remove, byName)
	slices.SortFunc(c.Conflicts, func(a, b Conflict) int { return strings.Compare(a.Name, b.Name) })
	return c, nil
}

// ours reports whether a link's target is a path in the cache, without looking at the disk. Ours are absolute; a relative
// target, for which Rel fails, is not ours.
func ours(target, cacheDir string) bool {
	rel, err := filepath.Rel(cacheDir, target)
	return err == nil && rel != "." && filepath.IsLocal(rel)
}

func kind(mode fs.FileMode) string {
	switch {
	case mode.IsRegular():
		return "a file"
	case mode.IsDir():
		return "a directory"
	}
	return "something else"
}
