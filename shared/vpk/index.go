package vpk

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
)

// Limits of an index. The largest campaigns have some ten thousand files.
const (
	maxIndex   = 16 << 20 // bytes
	maxEntries = 250_000
	maxPath    = 8 << 10 // bytes of each of the three parts of a path
)

const (
	// sameFile is the archive index of an entry whose data follows the index.
	sameFile = 0x7FFF
	entryEnd = 0xFFFF
	// fixedLength is the length of what follows a name, without the preload bytes.
	fixedLength = 18
)

// entry is one file of a VPK. Its slices are valid until the next entry.
type entry struct {
	// path is in lower case, with slashes, as the game looks for it.
	path    []byte
	crc     uint32
	preload []byte // the beginning of its content
	// offset and length are those of the rest of its content. The length is 0 if that is in another file.
	offset, length int64
}

var errBroken = errors.New("its index is broken")

// walk calls each with every file in the index of a VPK of size bytes, in order. The error says what is wrong with the index: what was
// found before may be wrong, too. Errors of r are returned as they are.
func walk(r io.ReaderAt, size int64, each func(entry)) error {
	header, index, err := Header(r, size)
	if err != nil {
		return err
	}
	w := walkers.Get().(*walker)
	defer walkers.Put(w)
	w.in.Reset(io.NewSectionReader(r, header, min(index, maxIndex)))
	w.data, w.each, w.entries = header+index, each, 0
	err = cut(w.walk())
	if index > maxIndex && errors.Is(err, errBroken) {
		return fmt.Errorf("its index is larger than %d MiB", maxIndex>>20)
	}
	return err
}

// cut turns the end of the index in the middle of an entry into errBroken.
func cut(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errBroken
	}
	return err
}

// walkers are reused: their buffers are larger than most indexes.
var walkers = sync.Pool{New: func() any { return &walker{in: bufio.NewReaderSize(nil, maxPath+1)} }}

type walker struct {
	in      *bufio.Reader
	data    int64 // where the content begins that follows the index
	each    func(entry)
	entries int
	path    []byte
	preload []byte
}

// walk reads the tree: extensions with directories with names.
func (w *walker) walk() error {
	var extension, directory []byte
	for {
		word, err := w.word()
		if err != nil || len(word) == 0 {
			return err
		}
		extension = append(extension[:0], word...)
		for {
			if word, err = w.word(); err != nil {
				return err
			}
			if len(word) == 0 {
				break
			}
			directory = append(directory[:0], word...)
			for {
				if word, err = w.word(); err != nil {
					return err
				}
				if len(word) == 0 {
					break
				}
				w.join(directory, word, extension)
				if err := w.entry(); err != nil {
					return err
				}
			}
		}
	}
}

// word reads a string that ends with a zero byte. It is valid until the next read.
func (w *walker) word() ([]byte, error) {
	word, err := w.in.ReadSlice(0)
	if errors.Is(err, bufio.ErrBufferFull) {
		return nil, errBroken
	}
	if err != nil {
		return nil, err
	}
	return word[:len(word)-1], nil
}

// join sets the path. A space means none: no directory, or no extension.
func (w *walker) join(directory, name, extension []byte) {
	w.path = w.path[:0]
	if string(directory) != " " {
		w.path = append(append(w.path, directory...), '/')
	}
	w.path = append(w.path, name...)
	if string(extension) != " " {
		w.path = append(append(w.path, '.'), extension...)
	}
	for i, c := range w.path {
		switch {
		case c == '\\':
			w.path[i] = '/'
		case 'A' <= c && c <= 'Z':
			w.path[i] += 'a' - 'A'
		}
	}
}

// entry reads what follows a name.
func (w *walker) entry() error {
	if w.entries++; w.entries > maxEntries {
		return fmt.Errorf("it has more than %d files", maxEntries)
	}
	fixed, err := w.in.Peek(fixedLength)
	if err != nil {
		return err
	}
	le := binary.LittleEndian
	if le.Uint16(fixed[16:]) != entryEnd {
		return errBroken
	}
	preload := int(le.Uint16(fixed[4:]))
	e := entry{path: w.path, crc: le.Uint32(fixed)}
	if le.Uint16(fixed[6:]) == sameFile {
		e.offset, e.length = w.data+int64(le.Uint32(fixed[8:])), int64(le.Uint32(fixed[12:]))
	}
	if _, err := w.in.Discard(fixedLength); err != nil {
		return err
	}
	if preload > 0 {
		w.preload = slices.Grow(w.preload[:0], preload)[:preload]
		if _, err := io.ReadFull(w.in, w.preload); err != nil {
			return err
		}
		e.preload = w.preload
	}
	w.each(e)
	return nil
}
