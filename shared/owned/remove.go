package owned

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"golang.org/x/sys/unix"

	"left4me/shared/durable"
	"left4me/shared/jobstore"
)

// Report receives the log lines and the progress of a job.
type Report interface {
	Infof(format string, args ...any)
	Progress(jobstore.Progress)
}

// Remove removes the directory, if there is one: only a directory with the right name and marker. Anything else of that name is not
// changed, and the error says that disk and database disagree. Links are removed, not followed.
//
// made is whether the database says that the directory was made. When Remove is stopped by ctx, or killed, the next run completes it.
func (d Directory) Remove(ctx context.Context, made bool, report Report) error {
	parent, shown := filepath.Base(d.Parent), d.shown(d.name())
	root, err := os.OpenRoot(d.Parent)
	if errors.Is(err, fs.ErrNotExist) && !made {
		report.Infof("%s '%s': directory %s was never made", d.Kind, d.Name, shown)
		return nil
	}
	if err != nil {
		return fmt.Errorf("open %s, where directory %s was made: %w; is its disk mounted?", parent, d.name(), durable.Cause(err))
	}
	defer root.Close()
	r := removal{root: root, d: d, report: report}

	// Left by a job that was killed while it made the directory.
	if err := root.RemoveAll(makingPrefix + d.name()); err != nil {
		return fmt.Errorf("remove %s: %w", d.shown(makingPrefix+d.name()), durable.Cause(err))
	}
	gone := r.gone()
	rest, err := r.remove(ctx, gone)
	if err != nil {
		return err
	}
	found, err := r.ours(d.name())
	if err != nil {
		return err
	}
	if found != nil {
		err := errors.Join(ctx.Err(), found.Close())
		if err == nil {
			err = root.Rename(d.name(), gone)
		}
		if err == nil {
			err = durable.Sync(d.Parent)
		}
		if err != nil {
			return fmt.Errorf("rename %s to %s: %w", shown, d.shown(gone), durable.Cause(err))
		}
		report.Infof("%s '%s': directory %s is %s now, until it is removed", d.Kind, d.Name, shown, d.shown(gone))
		if _, err := r.remove(ctx, gone); err != nil {
			return err
		}
	}
	if err := durable.Sync(d.Parent); err != nil {
		return fmt.Errorf("sync %s: %w", parent, durable.Cause(err))
	}
	if !rest && found == nil {
		report.Infof("%s '%s': directory %s is not there; nothing to remove", d.Kind, d.Name, shown)
		return nil
	}
	report.Infof("%s '%s': removed with %d files and links in %d folders%s", d.Kind, d.Name, r.files, r.folders, d.Kept)
	return nil
}

type removal struct {
	root           *os.Root
	d              Directory
	report         Report
	files, folders int
}

// gone is the directory's name while it is being removed. Renaming it first ensures that nobody uses an incomplete one,
// and that the rest after a stopped run is not mistaken for one.
func (r *removal) gone() string { return removingPrefix + r.d.name() }

// ours opens the directory of that name if it has the marker. It returns nil when there is no directory.
func (r *removal) ours(name string) (*os.Root, error) {
	info, err := r.root.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look at %s: %w", r.d.shown(name), durable.Cause(err))
	}
	if !info.IsDir() {
		return nil, r.disagree(name, "is not a directory")
	}
	dir, err := r.root.OpenRoot(name)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", r.d.shown(name), durable.Cause(err))
	}
	if err := r.check(dir, name, info); err != nil {
		return nil, errors.Join(err, dir.Close())
	}
	return dir, nil
}

// check returns an error unless dir is the directory that info describes and has the marker.
func (r *removal) check(dir *os.Root, name string, info fs.FileInfo) error {
	opened, err := dir.Stat(".")
	if err != nil {
		return fmt.Errorf("look at %s: %w", r.d.shown(name), durable.Cause(err))
	}
	if !os.SameFile(info, opened) {
		return r.disagree(name, "is being replaced by something else")
	}
	found, err := r.d.readMarker(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if empty, err := r.emptied(dir, name); empty || err != nil {
			return err
		}
		return r.disagree(name, "has no file "+r.d.markerName()+" that says which "+r.d.Kind+" it belongs to")
	case errors.Is(err, errOddMarker):
		return r.disagree(name, r.d.odd())
	case err != nil:
		return fmt.Errorf("read marker of %s: %w", r.d.shown(name), durable.Cause(err))
	case found != r.d.Marker:
		return r.disagree(name, "belongs to another "+r.d.Kind+", by its file "+r.d.markerName())
	}
	return nil
}

// emptied reports whether the directory was left by a run that stopped before its last step.
func (r *removal) emptied(dir *os.Root, name string) (bool, error) {
	if name != r.gone() {
		return false, nil
	}
	entries, err := fs.ReadDir(dir.FS(), ".")
	if err != nil {
		return false, fmt.Errorf("read %s: %w", r.d.shown(name), durable.Cause(err))
	}
	return len(entries) == 0, nil
}

func (r *removal) disagree(name, how string) error {
	return fmt.Errorf("%s %s: disk and database disagree; nothing was removed. Move it away, or remove it by hand", r.d.shown(name), how)
}

// remove removes the directory of that name, and reports whether there was one. The marker is removed last, so that the rest
// after a stopped run can still be identified.
func (r *removal) remove(ctx context.Context, name string) (bool, error) {
	dir, err := r.ours(name)
	if dir == nil || err != nil {
		return false, err
	}
	err = r.empty(ctx, dir, name, ".")
	if err == nil {
		err = ctx.Err()
	}
	if err == nil {
		if err = dir.Remove(r.d.markerName()); errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
	}
	if err = errors.Join(err, dir.Close()); err == nil {
		err = r.root.Remove(name)
	}
	if err != nil && ctx.Err() == nil {
		err = fmt.Errorf("remove %s: %w", r.d.shown(name), durable.Cause(err))
	}
	return true, err
}

// empty removes everything in a folder of the directory except the marker.
func (r *removal) empty(ctx context.Context, dir *os.Root, name, folder string) error {
	r.report.Progress(jobstore.Progress{Current: path.Join(r.d.shown(name), folder)})
	entries, err := entriesOf(dir, folder)
	if err != nil {
		return fmt.Errorf("read %s: %w", folder, durable.Cause(err))
	}
	for _, e := range entries {
		if err := ctx.Err(); err != nil {
			return err
		}
		at := path.Join(folder, e.Name())
		if at == r.d.markerName() {
			continue
		}
		if e.IsDir() {
			if err := r.empty(ctx, dir, name, at); err != nil {
				return err
			}
			r.folders++
		} else {
			r.files++
		}
		if err := dir.Remove(at); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s: %w", at, durable.Cause(err))
		}
	}
	return nil
}

// errMounted means that something else is mounted on a folder, perhaps with files that are not the row's.
var errMounted = errors.New("something is mounted there; unmount it first")

// entriesOf returns the entries of a folder of dir. The error is errMounted for a mount point, even one on the same file system.
func entriesOf(dir *os.Root, folder string) ([]fs.DirEntry, error) {
	f, err := dir.Open(folder)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var stat unix.Statx_t
	if err := unix.Statx(int(f.Fd()), "", unix.AT_EMPTY_PATH, 0, &stat); err != nil {
		return nil, err
	}
	if stat.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0 { // since Linux 5.8
		return nil, errMounted
	}
	return f.ReadDir(-1)
}
