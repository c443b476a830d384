package vpk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// The header of a VPK (steam.md, Content), little-endian: signature, version, length of the index.
const (
	signature = 0x55AA1234
	headerV1  = 12
	headerV2  = 28
)

// ErrNotVPK is wrapped by errors about a header.
var ErrNotVPK = errors.New("not a VPK file")

// Header reads the header of a file of size bytes, and returns its length and that of the index that follows it. It does not check the
// index. The error wraps ErrNotVPK, or is r's.
func Header(r io.ReaderAt, size int64) (header, index int64, err error) {
	if size < headerV1 {
		return 0, 0, ErrNotVPK
	}
	var head [headerV1]byte
	if _, err := r.ReadAt(head[:], 0); err != nil {
		return 0, 0, err
	}
	if binary.LittleEndian.Uint32(head[0:]) != signature {
		return 0, 0, ErrNotVPK
	}
	header = headerV1
	switch version := binary.LittleEndian.Uint32(head[4:]); version {
	case 1:
	case 2:
		header = headerV2
	default:
		return 0, 0, fmt.Errorf("%w: version %d", ErrNotVPK, version)
	}
	// Even an empty index has the byte that ends it.
	index = int64(binary.LittleEndian.Uint32(head[8:]))
	if index == 0 || header+index > size {
		return 0, 0, fmt.Errorf("%w: a tree of %d bytes in a file of %d", ErrNotVPK, index, size)
	}
	return header, index, nil
}
