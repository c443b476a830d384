// Package owned makes and removes directories that belong to one row of the database each, such as an overlay's: each has a file
// inside, its marker, that says whose it is, so that nothing else is ever taken for it, or removed (product.md P6, P9).
//
// It keeps no record of them. Callers record when a directory was made, and say so.
package owned

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"left4me/shared/durable"
)

// Directory is a directory that belongs to a row.
type Directory struct {
	// Parent is the path of the directory that it is in. Its name is used in messages.
	Parent string
	// ID is the row's id, and its digits are the directory's name.
	ID int64
	// Kind is the word for the row, such as overlay, and Name the row's name.
	Kind, Name string
	// Marker is the content of the marker, and differs from that of any other row.
	Marker string
	// Retry says what to do again after something was in the way, such as `build again`.
	Retry string
	// Kept ends the sentence about a removal: what has not been removed although it may seem so; may be empty.
	Kept string
}

// name is the directory's name in Parent, and path its path. shown is what messages call it.
func (d Directory) name() string             { return strconv.FormatInt(d.ID, 10) }
func (d Directory) path() string             { return filepath.Join(d.Parent, d.name()) }
func (d Directory) shown(name string) string { return filepath.Base(d.Parent) + "/" + name }

// markerName is the name of the marker.
func (d Directory) markerName() string { return ".left4me-" + d.Kind }

// Prefixes of the name of a directory while it is being created and while it is being removed.
const (
	makingPrefix   = ".new-"
	removingPrefix = ".deleted-"
)

// errOddMarker says that what has the marker's name is not a small regular file.
var errOddMarker = errors.New("odd marker")

// odd says errOddMarker about the directory.
func (d Directory) odd() string {
	return "has something else in place of its small file " + d.markerName()
}

// readMarker returns the content of the marker in dir, or errOddMarker. It does not block, whatever is in the marker's place.
func (d Directory) readMarker(dir *os.Root) (string, error) {
	const maxSize = 4 << 10
	isOdd := func(info fs.FileInfo) bool { return !info.Mode().IsRegular() || info.Size() > maxSize }
	info, err := dir.Lstat(d.markerName())
	if err != nil {
		return "", err
	}
	if isOdd(info) { // merely opening a device may have an effect
		return "", errOddMarker
	}
	f, err := dir.OpenFile(d.markerName(), os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return "", err
	}
	defer f.Close()
	if info, err = f.Stat(); err != nil {
		return "", err
	}
	if isOdd(info) {
		return "", errOddMarker
	}
	content, err := io.ReadAll(io.LimitReader(f, maxSize))
	return string(content), err
}

// foundMarker is readMarker of the directory as it is on the disk.
func (d Directory) foundMarker() (string, error) {
	dir, err := os.OpenRoot(d.path())
	if err != nil {
		return "", err
	}
	defer dir.Close()
	return d.readMarker(dir)
}

// errNoMarker says that the directory is there without its marker.
var errNoMarker = errors.New("no marker")

// Check returns nil if the directory is there with its marker, and fs.ErrNotExist if nothing of its name is there. What else is there is an
// error that says that disk and database disagree (P6).
func (d Directory) Check() error {
	err := d.look()
	if errors.Is(err, errNoMarker) {
		return d.disagree("has no file " + d.markerName())
	}
	return err
}

// look is Check, with errNoMarker for a directory without a marker.
func (d Directory) look() error {
	shown := d.shown(d.name())
	info, err := os.Lstat(d.path())
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return err
	case err != nil:
		return fmt.Errorf("look at directory %s: %w", shown, durable.Cause(err))
	case !info.IsDir():
		return d.disagree("is not a directory")
	}
	found, err := d.foundMarker()
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return errNoMarker
	case errors.Is(err, errOddMarker):
		return d.disagree(d.odd())
	case err != nil:
		return fmt.Errorf("read marker of %s: %w", shown, durable.Cause(err))
	case found != d.Marker:
		return d.disagree("belongs to another " + d.Kind + ", by its file " + d.markerName())
	}
	return nil
}

// Ensure creates the directory (0755) if it is missing, and reports whether it did. recorded is whether the database says that it was
// made. If not, an existing one is the row's only if it has the marker, which happens after a crash between creating and recording. Any
// other is an error as that of Check.
func (d Directory) Ensure(recorded bool) (made bool, err error) {
	switch err := d.look(); {
	case errors.Is(err, fs.ErrNotExist):
		if err := d.make(); err != nil {
			return false, fmt.Errorf("make directory %s: %w", d.shown(d.name()), durable.Cause(err))
		}
		return true, nil
	case errors.Is(err, errNoMarker) && !recorded:
		return false, d.disagree("is there already, and this " + d.Kind + " did not make it")
	case errors.Is(err, errNoMarker):
		// Somebody has emptied or recreated it by hand. Without its marker it could never be removed.
		if err := durable.WriteNew(filepath.Join(d.path(), d.markerName()), d.Marker); err != nil {
			return false, fmt.Errorf("mark directory %s: %w", d.shown(d.name()), durable.Cause(err))
		}
		return false, nil
	default:
		return false, err
	}
}

func (d Directory) disagree(how string) error {
	return fmt.Errorf("%s %s: disk and database disagree; move it out of the way and %s", d.shown(d.name()), how, d.Retry)
}

// make creates the directory under another name, with its marker, and renames it, so that it never exists without the marker. It fails
// if the directory exists.
func (d Directory) make() error {
	if err := os.MkdirAll(d.Parent, 0o755); err != nil {
		return err
	}
	// Only one job of a row runs at a time, so an existing one was left by a crash.
	fresh := filepath.Join(d.Parent, makingPrefix+d.name())
	if err := os.RemoveAll(fresh); err != nil {
		return err
	}
	if err := os.Mkdir(fresh, 0o755); err != nil {
		return err
	}
	err := durable.WriteNew(filepath.Join(fresh, d.markerName()), d.Marker)
	if err == nil {
		err = durable.RenameNew(fresh, d.path())
	}
	if err != nil {
		return errors.Join(err, os.RemoveAll(fresh))
	}
	return nil
}

// Found is a directory with the name of a row's directory.
type Found struct {
	// Name is its name in the parent.
	Name string
	// ID is the id in the name.
	ID int64
}

// highestID is more than ids ever reach. A directory with a larger number as its name is not a row's.
const highestID = 1 << 53

// List returns the files and directories in parent with names of rows' directories: 7, or .new-7 and .deleted-7 for one that is being
// created or removed. parent need not exist.
func List(parent string) ([]Found, error) {
	entries, err := os.ReadDir(parent)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list directories of %s: %w", filepath.Base(parent), durable.Cause(err))
	}
	var found []Found
	for _, e := range entries {
		digits := strings.TrimPrefix(strings.TrimPrefix(e.Name(), makingPrefix), removingPrefix)
		id, err := strconv.ParseInt(digits, 10, 64)
		if err == nil && id > 0 && id < highestID && strconv.FormatInt(id, 10) == digits {
			found = append(found, Found{Name: e.Name(), ID: id})
		}
	}
	return found, nil
}
