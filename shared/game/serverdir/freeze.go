package serverdir

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"left4me/shared/durable"
	"left4me/shared/linkfarm"
	"left4me/shared/server"
	"left4me/shared/vpkcache"
)

// Layers is the directory of a run with the frozen overlays: layers/{overlay_id}.
const Layers = "layers"

// Frozen is what Freeze has made of an overlay.
type Frozen struct {
	Items []server.RunItem
	// Copied is how many files are copies, because the file system allows no further link to the cached file.
	Copied int
	// Others is how many files in the overlay's folder are not left4me's links, and are not part of the run.
	Others int
}

// Freeze makes the layer of a workshop overlay in the directory of a run: its files are hard links to those in the cache that the overlay
// links to, or copies where that is impossible. Whatever happens to the overlay and the cache later, the layer stays. No build of the
// overlay may be running.
func (d Dir) Freeze(ctx context.Context, run int64, overlaysDir, cacheDir string, overlayID int64) (Frozen, error) {
	id := fmt.Sprint(overlayID)
	root, err := os.OpenRoot(filepath.Join(overlaysDir, id))
	if err != nil {
		return Frozen{}, fmt.Errorf("open overlays/%s: %w", id, durable.Cause(err))
	}
	defer root.Close()
	seen, err := linkfarm.Observe(root)
	if err != nil {
		return Frozen{}, err
	}
	addons := d.Run(run, Layers, id, linkfarm.Dir)
	if err := os.MkdirAll(addons, 0o755); err != nil {
		return Frozen{}, fmt.Errorf("make %s of run %d: %w", Layers, run, durable.Cause(err))
	}
	f := Frozen{Others: len(seen.Others)}
	for _, name := range slices.Sorted(maps.Keys(seen.Links)) {
		if err := ctx.Err(); err != nil {
			return Frozen{}, err
		}
		target := seen.Links[name]
		steamID, cached := vpkcache.IDOf(cacheDir, target)
		if !cached {
			f.Others++
			continue
		}
		info, copied, err := link(ctx, target, filepath.Join(addons, name))
		if errors.Is(err, fs.ErrNotExist) {
			return Frozen{}, fmt.Errorf("item %s of overlays/%s is not in the cache any more; build the overlay, which downloads it again", steamID, id)
		}
		if err != nil {
			return Frozen{}, fmt.Errorf("link %s into run %d: %w", name, run, durable.Cause(err))
		}
		if copied {
			f.Copied++
		}
		f.Items = append(f.Items, server.RunItem{OverlayID: overlayID, SteamID: string(steamID), Updated: info.ModTime().Unix(), Size: info.Size()})
	}
	return f, nil
}

// link gives the file at from a second name, or copies it if the file system does not allow that. The result describes the file at to.
func link(ctx context.Context, from, to string) (info fs.FileInfo, copied bool, err error) {
	err = os.Link(from, to)
	if errors.Is(err, unix.EXDEV) || errors.Is(err, unix.EPERM) || errors.Is(err, unix.EMLINK) || errors.Is(err, unix.EOPNOTSUPP) {
		copied, err = true, copyFile(ctx, from, to)
	}
	if err == nil {
		info, err = os.Lstat(to)
	}
	return info, copied, err
}

// copyFile copies a file with its modification time. It is stopped by ctx.
func copyFile(ctx context.Context, from, to string) error {
	var modified time.Time
	err := durable.Copy(from, to, func(to, from *os.File) error {
		info, err := from.Stat()
		if err != nil {
			return err
		}
		modified = info.ModTime()
		return durable.CopyContent(ctx, to, from, nil)
	})
	if err != nil {
		return err
	}
	return os.Chtimes(to, time.Time{}, modified)
}
