package vpkcache

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// ErrDiskFull is wrapped by every error that comes from a full disk or a used-up quota. Trying again does not help (P23).
var ErrDiskFull = errors.New("disk full")

// brokenTransfer is a transfer that stopped, and whose bytes so far are worth keeping: another attempt goes on from them.
// After every other error what is on the disk is not trusted.
type brokenTransfer struct {
	done, size int64
	cause      error
}

func (e *brokenTransfer) Error() string {
	if e.done == 0 {
		return e.cause.Error()
	}
	return fmt.Sprintf("%v (%d of %d bytes are kept)", e.cause, e.done, e.size)
}

func (e *brokenTransfer) Unwrap() error { return e.cause }

// lengthError is a file whose length is not what Steam's metadata said.
type lengthError struct{ got, want int64 }

func (e *lengthError) Error() string { return fmt.Sprintf("length %d of %d bytes", e.got, e.want) }

// sha1Error is a file whose content is not that which its link names.
type sha1Error struct{ got, want string }

func (e *sha1Error) Error() string {
	return fmt.Sprintf("SHA-1 differs: the content's is %s, the link names %s", e.got, e.want)
}

// IsWrongFile reports whether an error of Fetch says that what the server sent is not the file that Steam describes.
func IsWrongFile(err error) bool {
	var length *lengthError
	var content *sha1Error
	return errors.As(err, &length) || errors.As(err, &content) || errors.Is(err, errNotVPK)
}

// brief finishes an error of the disk for people: it marks a full disk as such, and names files without the directory,
// which is not their business.
func brief(err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		p.Path = filepath.Base(p.Path)
	}
	if l, ok := errors.AsType[*os.LinkError](err); ok {
		l.Old, l.New = filepath.Base(l.Old), filepath.Base(l.New)
	}
	if !errors.Is(err, ErrDiskFull) && (errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT)) {
		return fmt.Errorf("%w: %w", ErrDiskFull, err)
	}
	return err
}
