package vpkcache

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// The header of a VPK (steam.md, Content), little-endian: signature, version, length of the tree.
const (
	vpkSignature = 0x55AA1234
	vpkHeader    = 12
	vpkHeaderV2  = 28
)

var errNotVPK = errors.New("not a VPK file")

// checkVPK returns an error if r, a file of size bytes, does not begin with a valid VPK header. It does not check the tree.
func checkVPK(r io.ReaderAt, size int64) error {
	if size < vpkHeader {
		return errNotVPK
	}
	var head [vpkHeader]byte
	if _, err := r.ReadAt(head[:], 0); err != nil {
		return err
	}
	if binary.LittleEndian.Uint32(head[0:]) != vpkSignature {
		return errNotVPK
	}
	header := int64(vpkHeader)
	switch version := binary.LittleEndian.Uint32(head[4:]); version {
	case 1:
	case 2:
		header = vpkHeaderV2
	default:
		return fmt.Errorf("%w: version %d", errNotVPK, version)
	}
	// Even an empty tree has the byte that ends it.
	tree := int64(binary.LittleEndian.Uint32(head[8:]))
	if tree == 0 || header+tree > size {
		return fmt.Errorf("%w: a tree of %d bytes in a file of %d", errNotVPK, tree, size)
	}
	return nil
}
