// Package durable changes files and directories so that the change survives a crash, and so that a crash in between leaves
// either the old state or the new one.
package durable

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Cause returns an error of the file system without the operation and the paths, which must not appear in job logs.
func Cause(err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err
	}
	if l, ok := errors.AsType[*os.LinkError](err); ok {
		return l.Err
	}
	return err
}

// Sync waits until the file or directory at path is on the disk. For a directory that means the names in it, not the contents
// of the files.
func Sync(path string) error {
	f, err := os.Open(path)
	return sync(f, err)
}

// SyncIn is Sync for a file or directory in root.
func SyncIn(root *os.Root, name string) error {
	f, err := root.Open(name)
	return sync(f, err)
}

func sync(f *os.File, err error) error {
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// Rename gives a file or directory, whose content is already on the disk, another name in the same directory. A file of that
// name is replaced.
func Rename(from, to string) error { return rename(from, to, 0) }

// RenameNew is Rename, but replaces nothing: when the new name is in use, the error is fs.ErrExist.
func RenameNew(from, to string) error { return rename(from, to, unix.RENAME_NOREPLACE) }

func rename(from, to string, flags uint) error {
	if err := unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, flags); err != nil {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
	}
	return Sync(filepath.Dir(to))
}

// Copy makes the new file at to with the mode of the file at from, and has fill copy the content. It does not wait until that is on the disk.
func Copy(from, to string, fill func(to, from *os.File) error) error {
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer source.Close()
	info, err := source.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is no file", filepath.Base(from))
	}
	target, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, info.Mode().Perm())
	if err != nil {
		return err
	}
	return errors.Join(fill(target, source), target.Close())
}

// CopyContent copies what is left of from to to, until ctx ends; then the error is its cause. It uses copy_file_range where the kernel can,
// and calls copied, unless that is nil, with the bytes of each part.
func CopyContent(ctx context.Context, to, from *os.File, copied func(bytes int64)) error {
	const part = 16 << 20
	for {
		n, err := io.CopyN(to, from, part)
		if copied != nil {
			copied(n)
		}
		if err == io.EOF {
			return nil
		}
		if err == nil {
			err = context.Cause(ctx)
		}
		if err != nil {
			return err
		}
	}
}

// WriteNew writes a new file (0644). There is never an incomplete file at path. When there is a file already, the error is
// fs.ErrExist. Only one WriteNew of a path may run at a time: a crash may leave path+".new", which the next one removes.
func WriteNew(path, content string) error {
	temp := path + ".new"
	if err := os.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = f.WriteString(content)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = RenameNew(temp, path)
	}
	if err != nil {
		_ = os.Remove(temp) // gone already if only the directory could not be synced
	}
	return err
}
