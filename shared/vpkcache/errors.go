package vpkcache

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"left4me/shared/vpk"
)

// ErrDiskFull is wrapped by every error caused by a full disk or an exceeded quota. Downloads are not tried again then (P23).
var ErrDiskFull = errors.New("disk full")

// brokenTransfer is a transfer that another attempt can resume. After any other error the bytes on the disk are not trusted.
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

// lengthError is a file whose size is not the one in Steam's metadata.
type lengthError struct{ got, want int64 }

func (e *lengthError) Error() string { return fmt.Sprintf("length %d of %d bytes", e.got, e.want) }

// sha1Error is a file whose SHA-1 is not the one in its link.
type sha1Error struct{ got, want string }

func (e *sha1Error) Error() string {
	return fmt.Sprintf("SHA-1 differs: the content's is %s, the link names %s", e.got, e.want)
}

// IsWrongFile reports whether an error of Fetch means that the server sent another file than Steam's metadata describes.
func IsWrongFile(err error) bool {
	var length *lengthError
	var content *sha1Error
	return errors.As(err, &length) || errors.As(err, &content) || errors.Is(err, vpk.ErrNotVPK)
}

// brief prepares an error of the disk for job logs: it removes directories from paths, and wraps ErrDiskFull if the disk is full.
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
