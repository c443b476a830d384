// Package linkfarm owns the symbolic links of a workshop overlay: left4dead2/addons/{steam_id}.vpk, absolute, into the
// cache (product.md P25). Observe looks at what is there, Plan decides what has to change and touches nothing, Apply
// changes it.
//
// A link is ours if its text points into the cache; everything else in the folder is somebody else's and stays as it is.
// It does not know overlays, items or whether the cached files are there: the names it links are given to it.
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
)

// Dir is where the game looks for add-ons, below an overlay's root.
const Dir = "left4dead2/addons"

// Observed is what is in the folder.
type Observed struct {
	// Links are the symbolic links: name and text.
	Links map[string]string
	// Others are names of files, directories and whatever else is no link, with their types.
	Others map[string]fs.FileMode
}

// Observe reads the folder of the overlay whose directory root is. A folder that does not exist yet is empty. A link on
// the way to it is followed inside root and is an error where it leads out.
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
	text := make([]byte, unix.PathMax)
	for {
		names, err := dir.Readdirnames(1000)
		for _, name := range names {
			if err := seen.add(root, dir, name, text); err != nil && !errors.Is(err, fs.ErrNotExist) {
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

// add looks at one name. Most are links, and readlink itself tells whether one is: nothing else is asked about them. It is
// called on the open directory, because os.Root would resolve each name anew at three times the cost.
func (o Observed) add(root *os.Root, dir *os.File, name string, text []byte) error {
	n, err := unix.Readlinkat(int(dir.Fd()), name, text)
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
	o.Links[name] = string(text[:n])
	return nil
}

// Link is a link of ours. Its target is the file of the same name in the cache.
type Link struct {
	Name, Target string
	// Was is the text of the link that is there now; empty when there is none.
	Was string
}

// Conflict is something of somebody else's that sits on the name of a link.
type Conflict struct {
	Name string
	// Kind says what it is: `a file`, `a directory`, `a link to …`, `something else`.
	Kind string
}

// Changes are what has to be done so that the links are exactly the wanted ones, each list in the order of names.
type Changes struct {
	// Create, Replace and Remove concern links of ours only.
	Create, Replace, Remove []Link
	// Unchanged counts the links that are right already.
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

// ConflictError says what sits on names of links, so that its owner can move it away.
type ConflictError struct {
	Conflicts []Conflict
}

func (e *ConflictError) Error() string {
	const most = 10
	var b strings.Builder
	b.WriteString("not made by left4me, and in the way of its links:")
	for i, c := range e.Conflicts[:min(len(e.Conflicts), most)] {
		if i > 0 {
			b.WriteString(",")
		}
		fmt.Fprintf(&b, " %s/%s (%s)", Dir, c.Name, c.Kind)
	}
	if more := len(e.Conflicts) - most; more > 0 {
		fmt.Fprintf(&b, " and %d more", more)
	}
	return b.String()
}

// Plan compares what is there with the wanted names, each of which is to be a link to the file of that name in cacheDir.
// It is an error if cacheDir is not absolute or a name is not that of a visible file.
func Plan(wanted []string, seen Observed, cacheDir string) (Changes, error) {
	if !filepath.IsAbs(cacheDir) {
		return Changes{}, fmt.Errorf("cache directory %q is not absolute", cacheDir)
	}
	var c Changes
	keep := make(map[string]bool, len(wanted))
	for _, name := range wanted {
		if name == "" || name[0] == '.' || strings.ContainsAny(name, "/\x00") {
			return Changes{}, fmt.Errorf("%q cannot be the name of a link", name)
		}
		if keep[name] {
			continue
		}
		keep[name] = true
		l := Link{Name: name, Target: filepath.Join(cacheDir, name)}
		was, linked := seen.Links[name]
		mode, taken := seen.Others[name]
		switch {
		case taken:
			c.Conflicts = append(c.Conflicts, Conflict{Name: name, Kind: kind(mode)})
		case !linked:
			c.Create = append(c.Create, l)
		case was == l.Target:
			c.Unchanged++
		case ours(was, cacheDir):
			l.Was = was
			c.Replace = append(c.Replace, l)
		default:
			c.Conflicts = append(c.Conflicts, Conflict{Name: name, Kind: fmt.Sprintf("a link to %q", was)})
		}
	}
	for name, was := range seen.Links {
		// This also finds what an Apply that was killed has left under a temporary name.
		if !keep[name] && ours(was, cacheDir) {
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

// ours reports whether a link's text points into the cache. It goes by the text alone: what the path leads to on the disk
// may change, who wrote the link does not. We write absolute paths only: a relative link, with which Rel can do nothing,
// is not ours.
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
