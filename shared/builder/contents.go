package builder

import (
	"context"
	"errors"
	"io/fs"
	"slices"

	"left4me/shared/vpk"
	"left4me/shared/workshop"
)

// contentsAtOnce is how many files' contents are stored together.
const contentsAtOnce = 200

// ReadContents reads what is in the cached files whose content has not been read (content.md P70), of an overlay's items or, if overlayID
// is 0, of all, and stores it. A file that cannot be read is reported, and does not stop the others. The error is ctx's or the database's.
func (f *Fetcher) ReadContents(ctx context.Context, overlayID int64) error {
	unread, err := f.Items.Unread(ctx, f.HostID, overlayID)
	if err != nil {
		return err
	}
	for some := range slices.Chunk(unread, contentsAtOnce) {
		contents := map[workshop.Version]workshop.Content{}
		for _, v := range some {
			if err := ctx.Err(); err != nil {
				return err
			}
			c, err := f.readContent(v)
			switch {
			case errors.Is(err, fs.ErrNotExist): // it was replaced or removed
			case err != nil:
				f.Report.Warnf("workshop %s content was not read: %v", v.SteamID, err)
			default:
				if c.Unknown != "" {
					f.Report.Warnf("workshop %s content is unknown: %s", v.SteamID, c.Unknown)
				}
				contents[v] = c
			}
		}
		if err := f.Items.SaveContents(ctx, contents); err != nil {
			return err
		}
	}
	return nil
}

// readContent reads what is in a file of the cache. The error is that of Cache.Open or the disk's.
func (f *Fetcher) readContent(v workshop.Version) (workshop.Content, error) {
	file, err := f.Cache.Open(v.SteamID, v.Size, v.Updated)
	if err != nil {
		return workshop.Content{}, err
	}
	defer file.Close()
	content, err := vpk.Read(file, v.Size)
	switch {
	case isDiskError(err):
		return workshop.Content{}, err
	case err != nil:
		return workshop.Content{Unknown: err.Error()}, nil
	}
	return workshop.Content{Content: content}, nil
}
