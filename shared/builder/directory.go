package builder

import (
	"context"
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
	"left4me/shared/overlay"
)

// markerName is the file in an overlay's directory that says which overlay it belongs to.
const markerName = ".left4me-overlay"

// Prefixes of the name of a directory while it is being created and while it is being removed.
const (
	makingPrefix   = ".new-"
	removingPrefix = ".deleted-"
)

func marker(o overlay.Overlay) string {
	return fmt.Sprintf("This directory belongs to left4me's overlay %d.\n%s\n", o.ID, o.UID)
}

// errOddMarker says that what has the marker's name is not a small regular file. oddMarker says it about the directory.
var errOddMarker = errors.New(oddMarker)

const oddMarker = "has something else in place of its small file " + markerName

// readMarker returns the content of the marker in dir, or errOddMarker. It does not block, whatever is in the marker's place.
func readMarker(dir *os.Root) (string, error) {
	const maxSize = 4 << 10
	isOdd := func(info fs.FileInfo) bool { return !info.Mode().IsRegular() || info.Size() > maxSize }
	info, err := dir.Lstat(markerName)
	if err != nil {
		return "", err
	}
	if isOdd(info) { // merely opening a device may have an effect
		return "", errOddMarker
	}
	f, err := dir.OpenFile(markerName, os.O_RDONLY|unix.O_NONBLOCK, 0)
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

// readMarkerOf is readMarker of the directory with that path.
func readMarkerOf(path string) (string, error) {
	dir, err := os.OpenRoot(path)
	if err != nil {
		return "", err
	}
	defer dir.Close()
	return readMarker(dir)
}

// ensureDirectory creates the overlay's directory if it is missing, and reports whether it did. As long as the database has
// not recorded the directory, an existing one is the overlay's only if it has the overlay's marker, which happens after a crash
// between creating and recording. Any other is an error that says that disk and database disagree (P6).
func (h *Host) ensureDirectory(ctx context.Context, o overlay.Overlay) (made bool, err error) {
	dir := filepath.Join(h.OverlaysDir, o.Path())
	recordedAt, err := h.Overlays.DirectoryAt(ctx, o.ID, h.HostID)
	if err != nil {
		return false, err
	}
	info, err := os.Lstat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err := makeDirectory(h.OverlaysDir, o); err != nil {
			return false, fmt.Errorf("make directory overlays/%s: %w", o.Path(), durable.Cause(err))
		}
		made = true
	case err != nil:
		return false, fmt.Errorf("look at directory overlays/%s: %w", o.Path(), durable.Cause(err))
	case !info.IsDir():
		return false, disagree(o, "is not a directory")
	default:
		found, err := readMarkerOf(dir)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			if recordedAt.IsZero() {
				return false, disagree(o, "is there already, and this overlay did not make it")
			}
			// Somebody has emptied or recreated it by hand. Without its marker it could never be removed.
			if err := durable.WriteNew(filepath.Join(dir, markerName), marker(o)); err != nil {
				return false, fmt.Errorf("mark directory overlays/%s: %w", o.Path(), durable.Cause(err))
			}
		case errors.Is(err, errOddMarker):
			return false, disagree(o, oddMarker)
		case err != nil:
			return false, fmt.Errorf("read marker of overlays/%s: %w", o.Path(), durable.Cause(err))
		case found != marker(o):
			return false, disagree(o, "belongs to another overlay, by its file "+markerName)
		}
	}
	if recordedAt.IsZero() {
		return made, h.Overlays.DirectoryMade(ctx, o.ID, h.HostID)
	}
	return made, nil
}

func disagree(o overlay.Overlay, how string) error {
	return fmt.Errorf("overlays/%s %s: disk and database disagree; move it out of the way and build again", o.Path(), how)
}

// makeDirectory creates the directory under another name, with its marker, and renames it, so that it never exists without the
// marker. It fails if the directory exists.
func makeDirectory(overlays string, o overlay.Overlay) error {
	if err := os.MkdirAll(overlays, 0o755); err != nil {
		return err
	}
	// Only one build of an overlay runs at a time, so an existing one was left by a crash.
	fresh := filepath.Join(overlays, makingPrefix+o.Path())
	if err := os.RemoveAll(fresh); err != nil {
		return err
	}
	if err := os.Mkdir(fresh, 0o755); err != nil {
		return err
	}
	err := durable.WriteNew(filepath.Join(fresh, markerName), marker(o))
	if err == nil {
		err = durable.RenameNew(fresh, filepath.Join(overlays, o.Path()))
	}
	if err != nil {
		return errors.Join(err, os.RemoveAll(fresh))
	}
	return nil
}

// Directory is a directory with the name of an overlay's directory.
type Directory struct {
	// Name is the name in LEFT4ME_ROOT/overlays.
	Name string
	// OverlayID is the id in the name.
	OverlayID int64
}

// highestID is more than overlay ids ever reach. A directory with a larger number as its name is not an overlay's.
const highestID = 1 << 53

// Directories returns the files and directories in overlaysDir with names of overlays' directories: 7, or .new-7 and .deleted-7
// for one that is being created or removed. overlaysDir need not exist.
func Directories(overlaysDir string) ([]Directory, error) {
	entries, err := os.ReadDir(overlaysDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list directories of overlays: %w", durable.Cause(err))
	}
	var found []Directory
	for _, e := range entries {
		digits := strings.TrimPrefix(strings.TrimPrefix(e.Name(), makingPrefix), removingPrefix)
		id, err := strconv.ParseInt(digits, 10, 64)
		if err == nil && id > 0 && id < highestID && strconv.FormatInt(id, 10) == digits {
			found = append(found, Directory{Name: e.Name(), OverlayID: id})
		}
	}
	return found, nil
}
