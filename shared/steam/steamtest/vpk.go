package steamtest

import (
	"bytes"
	"crypto/md5"
	"crypto/sha1"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"image"
	"image/color"
	"image/png"
	"io"
	"math/rand/v2"
	"sync"
)

// File is the content of one workshop item: a whole, valid VPK that is generated as it is read, so that one of 800 MB
// costs no memory. It holds addoninfo.txt, which lies in the tree as preload data, a map that takes what room there is,
// and a material.
type File struct {
	// Size is in bytes.
	Size int64

	version     uint32
	name, title string
	mapLen      int64
	data        noise
	// sealed gives the parts that depend on sums over all of the data.
	sealed func() seal
}

type seal struct {
	sha1 string
	head []byte // header and tree
	tail []byte // version 2's checksums
}

const (
	vpkSignature = 0x55AA1234
	// embedded is the archive index of an entry whose data follows the tree.
	embedded  = 0x7FFF
	entryEnds = 0xFFFF
	// materialLen is the length of the material beside the map.
	materialLen = 200
)

// newFile lays out a VPK of exactly size bytes.
func newFile(name, title string, size int64, version int, seed uint64) (*File, error) {
	if version != 1 && version != 2 {
		return nil, fmt.Errorf("VPK version %d is neither 1 nor 2", version)
	}
	f := &File{Size: size, version: uint32(version), name: name, title: title, data: noise(seed)}
	f.mapLen = size - f.headerLen() - int64(len(f.tree(0, 0))) - materialLen - f.tailLen()
	if f.mapLen < 1 || size > 1<<32-1 {
		return nil, fmt.Errorf("a VPK of this title cannot have %d bytes", size)
	}
	f.sealed = sync.OnceValue(f.seal)
	return f, nil
}

// SHA1 is of the whole content, in 40 upper-case hex digits, as Steam's links have it.
func (f *File) SHA1() string { return f.sealed().sha1 }

func (f *File) headerLen() int64 {
	if f.version == 2 {
		return 28
	}
	return 12
}

func (f *File) tailLen() int64 {
	if f.version == 2 {
		return 3 * md5.Size
	}
	return 0
}

// tree is the directory, whose length does not depend on the sums.
func (f *File) tree(mapCRC, materialCRC uint32) []byte {
	le := binary.LittleEndian
	var b []byte
	entry := func(ext, dir, file string, crc uint32, preload []byte, offset, length int64) {
		b = append(b, ext+"\x00"+dir+"\x00"+file+"\x00"...)
		b = le.AppendUint32(b, crc)
		b = le.AppendUint16(b, uint16(len(preload)))
		b = le.AppendUint16(b, embedded)
		b = le.AppendUint32(b, uint32(offset))
		b = le.AppendUint32(b, uint32(length))
		b = le.AppendUint16(b, entryEnds)
		b = append(b, preload...)
		// No further file in this directory, no further directory with this extension.
		b = append(b, 0, 0)
	}
	info := fmt.Appendf(nil, "\"AddonInfo\"\n{\n\taddontitle %q\n\taddonversion 1\n}\n", f.title)
	entry("txt", " ", "addoninfo", crc32.ChecksumIEEE(info), info, 0, 0)
	entry("bsp", "maps", f.name, mapCRC, nil, 0, f.mapLen)
	entry("vmt", "materials/"+f.name, "wall", materialCRC, nil, f.mapLen, materialLen)
	return append(b, 0)
}

// seal reads all of the data twice: the tree lies before it and holds its checksums, and the SHA-1 is over both.
func (f *File) seal() seal {
	dataLen := f.mapLen + materialLen
	mapCRC, materialCRC := crc32.NewIEEE(), crc32.NewIEEE()
	copyAll(mapCRC, io.NewSectionReader(f.data, 0, f.mapLen))
	copyAll(materialCRC, io.NewSectionReader(f.data, f.mapLen, materialLen))
	tree := f.tree(mapCRC.Sum32(), materialCRC.Sum32())

	header := []uint32{vpkSignature, f.version, uint32(len(tree))}
	if f.version == 2 {
		header = append(header, uint32(dataLen), 0, uint32(f.tailLen()), 0)
	}
	var head []byte
	for _, v := range header {
		head = binary.LittleEndian.AppendUint32(head, v)
	}
	head = append(head, tree...)

	whole, sum := sha1.New(), md5.New()
	to := io.Writer(whole)
	if f.version == 2 {
		to = io.MultiWriter(whole, sum)
	}
	to.Write(head)
	copyAll(to, io.NewSectionReader(f.data, 0, dataLen))
	var tail []byte
	if f.version == 2 {
		treeSum, noArchives := md5.Sum(tree), md5.Sum(nil)
		tail = append(treeSum[:], noArchives[:]...)
		sum.Write(tail)
		tail = sum.Sum(tail)
		whole.Write(tail)
	}
	return seal{sha1: fmt.Sprintf("%X", whole.Sum(nil)), head: head, tail: tail}
}

// copyAll copies between hashes and generated data, neither of which can fail.
func copyAll(to io.Writer, from io.Reader) {
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		to.Write(buf[:n])
		if err != nil {
			return
		}
	}
}

// ReadAt implements io.ReaderAt.
func (f *File) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("read at %d", off)
	}
	parts := f.sealed()
	var n int
	dataEnd := f.Size - int64(len(parts.tail))
	for n < len(p) && off < f.Size {
		var c int
		switch head := int64(len(parts.head)); {
		case off < head:
			c = copy(p[n:], parts.head[off:])
		case off < dataEnd:
			c, _ = f.data.ReadAt(p[n:n+int(min(int64(len(p)-n), dataEnd-off))], off-head)
		default:
			c = copy(p[n:], parts.tail[off-dataEnd:])
		}
		n, off = n+c, off+int64(c)
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// noise is an endless file of bytes that depend on the seed and their position only.
type noise uint64

func (seed noise) ReadAt(p []byte, off int64) (int, error) {
	for rest := p; len(rest) > 0; {
		word := seed.word(off / 8)
		if off%8 == 0 && len(rest) >= 8 {
			binary.LittleEndian.PutUint64(rest, word)
			rest, off = rest[8:], off+8
			continue
		}
		n := copy(rest, binary.LittleEndian.AppendUint64(nil, word)[off%8:])
		rest, off = rest[n:], off+int64(n)
	}
	return len(p), nil
}

// word is splitmix64.
func (seed noise) word(i int64) uint64 {
	z := uint64(seed) + uint64(i+1)*0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// encoder makes haste, as a catalog may have thousands of pictures; most of the work would be to make room for each anew.
var encoder = png.Encoder{CompressionLevel: png.BestSpeed, BufferPool: &buffers{}}

type buffers struct{ sync.Pool }

func (p *buffers) Get() *png.EncoderBuffer {
	b, _ := p.Pool.Get().(*png.EncoderBuffer)
	return b // nil asks for a new one
}

func (p *buffers) Put(b *png.EncoderBuffer) { p.Pool.Put(b) }

// picture is a small PNG: a sky over hills in colours that depend on the seed.
func picture(seed uint64) []byte {
	const width, height = 268, 151
	random := rand.New(rand.NewPCG(seed, seed))
	hue := func() color.RGBA {
		return color.RGBA{uint8(random.IntN(128)), uint8(random.IntN(128)), uint8(random.IntN(128)), 255}
	}
	palette := color.Palette{}
	low, high := hue(), hue()
	for i := range 64 {
		mix := func(a, b uint8) uint8 { return uint8((int(a)*(63-i) + int(b)*i) / 63) }
		palette = append(palette, color.RGBA{mix(low.R, high.R) + 64, mix(low.G, high.G) + 64, mix(low.B, high.B) + 64, 255})
	}
	palette = append(palette, hue())
	img := image.NewPaletted(image.Rect(0, 0, width, height), palette)
	hill := height / 2
	for x := range width {
		hill = min(max(hill+random.IntN(5)-2, height/4), height-10)
		for y := range height {
			index := y * 63 / height
			if y > hill {
				index = 64
			}
			img.Pix[img.PixOffset(x, y)] = uint8(index)
		}
	}
	var b bytes.Buffer
	// A bytes.Buffer takes everything.
	_ = encoder.Encode(&b, img)
	return b.Bytes()
}
