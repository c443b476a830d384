package steamtest

import (
	"bytes"
	"cmp"
	"crypto/md5"
	"crypto/sha1"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"image"
	"image/color"
	"image/png"
	"io"
	"maps"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"sync"
)

// File is the content of one workshop item: a whole, valid VPK that is generated as it is read, so that one of 800 MB
// costs no memory. It holds addoninfo.txt, which lies in the tree as preload data, the texts and maps of its Item, of which one map
// takes what room there is, and a material.
type File struct {
	// Size is in bytes.
	Size int64

	version uint32
	parts   []part
	data    noise
	garbled bool
	// sealed gives the parts that depend on sums over all of the data.
	sealed func() seal
}

// part is a file in the VPK. Its content is preload, then text, then length bytes of noise.
type part struct {
	ext, dir, name string
	preload, text  []byte
	length         int64
}

type seal struct {
	sha1 string
	head []byte // header, tree and texts
	tail []byte // version 2's checksums
}

const (
	vpkSignature = 0x55AA1234
	// embedded is the archive index of an entry whose data follows the tree.
	embedded  = 0x7FFF
	entryEnds = 0xFFFF
	// smallLen is the length of the material, and of the maps but the first.
	smallLen = 200
)

// newFile lays out the VPK of an item, of exactly its size.
func newFile(i Item, seed uint64) (*File, error) {
	if i.Version != 1 && i.Version != 2 {
		return nil, fmt.Errorf("VPK version %d is neither 1 nor 2", i.Version)
	}
	name := "item" + i.ID
	f := &File{Size: i.Size, version: uint32(i.Version), data: noise(seed), garbled: i.Garbled}
	f.parts = []part{{ext: "txt", dir: " ", name: "addoninfo", preload: fmt.Appendf(nil, "\"AddonInfo\"\n{\n\taddontitle %q\n\taddonversion 1\n}\n", i.Title)}}
	texts := map[string]string{}
	if i.Campaign != "" {
		texts["missions/"+name+".txt"] = i.mission()
	}
	if i.Mutation != "" {
		texts["modes/"+i.Mutation+".txt"] = fmt.Sprintf("%q { base coop maxplayers 4 }\n", i.Mutation)
		texts["scripts/vscripts/"+i.Mutation+".nut"] = "// " + i.Title + "\n"
	}
	for _, p := range i.Files {
		texts[p] = fmt.Sprintf("// %s of item %s, revision %d\n", p, i.ID, i.Revision)
	}
	for _, p := range slices.Sorted(maps.Keys(texts)) {
		dir, base := path.Split(p)
		ext := path.Ext(base)
		f.parts = append(f.parts, part{ext: strings.TrimPrefix(ext, "."), dir: cmp.Or(strings.TrimSuffix(dir, "/"), " "), name: strings.TrimSuffix(base, ext), text: []byte(texts[p])})
	}
	large := len(f.parts)
	switch {
	case len(i.Maps) > 0:
		for _, m := range i.Maps {
			f.parts = append(f.parts, part{ext: "bsp", dir: "maps", name: m, length: smallLen})
		}
	case len(i.Files) > 0 || i.Mutation != "":
		f.parts = append(f.parts, part{ext: "vtf", dir: "materials/" + name, name: "wall"})
	default:
		f.parts = append(f.parts, part{ext: "bsp", dir: "maps", name: name})
	}
	f.parts = append(f.parts, part{ext: "vmt", dir: "materials/" + name, name: "wall", length: smallLen})
	f.parts[large].length = 0
	f.parts[large].length = i.Size - f.headerLen() - int64(len(f.tree(make([]uint32, len(f.parts))))) - f.dataLen() - f.tailLen()
	if f.parts[large].length < 1 || i.Size > 1<<32-1 {
		return nil, fmt.Errorf("a VPK of this title cannot have %d bytes", i.Size)
	}
	f.sealed = sync.OnceValue(f.seal)
	return f, nil
}

// mission is the text of a campaign's mission file. A map fh1_old_pier has the title Old Pier.
func (i Item) mission() string {
	chapters := i.Chapters
	if len(chapters) == 0 {
		chapters = i.Maps
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\"mission\"\n{\n\t\"Name\" %q // %s\n\t\"DisplayTitle\" %q\n\t\"modes\"\n\t{\n", "item"+i.ID, i.Title, i.Campaign)
	for _, mode := range i.Modes {
		fmt.Fprintf(&b, "\t\t%q\n\t\t{\n", mode)
		for n, m := range chapters {
			var words []string
			_, rest, _ := strings.Cut(m, "_")
			for word := range strings.SplitSeq(cmp.Or(rest, m), "_") {
				words = append(words, strings.ToUpper(word[:min(1, len(word))])+word[min(1, len(word)):])
			}
			fmt.Fprintf(&b, "\t\t\t\"%d\" { \"Map\" %q \"DisplayName\" %q }\n", n+1, m, strings.Join(words, " "))
		}
		b.WriteString("\t\t}\n")
	}
	b.WriteString("\t}\n}\n")
	return b.String()
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

// dataLen is the length of what follows the tree, without checksums.
func (f *File) dataLen() (length int64) {
	for _, p := range f.parts {
		length += int64(len(p.text)) + p.length
	}
	return length
}

// tree is the directory, whose length does not depend on the sums.
func (f *File) tree(sums []uint32) []byte {
	le := binary.LittleEndian
	var b []byte
	offset := int64(0)
	for n, p := range f.parts {
		length := int64(len(p.text)) + p.length
		b = append(b, p.ext+"\x00"+p.dir+"\x00"+p.name+"\x00"...)
		b = le.AppendUint32(b, sums[n])
		b = le.AppendUint16(b, uint16(len(p.preload)))
		b = le.AppendUint16(b, embedded)
		if length == 0 {
			b = le.AppendUint32(b, 0)
		} else {
			b = le.AppendUint32(b, uint32(offset))
		}
		b = le.AppendUint32(b, uint32(length))
		if f.garbled {
			b = le.AppendUint16(b, 0)
		} else {
			b = le.AppendUint16(b, entryEnds)
		}
		b = append(b, p.preload...)
		// No further file in this directory, no further directory with this extension.
		b = append(b, 0, 0)
		offset += length
	}
	return append(b, 0)
}

// seal reads all of the data twice: the tree lies before it and holds its checksums, and the SHA-1 is over both.
func (f *File) seal() seal {
	dataLen := f.dataLen()
	sums := make([]uint32, len(f.parts))
	var texts []byte
	from := int64(0) // in the noise, which follows all texts
	for n, p := range f.parts {
		sum := crc32.NewIEEE()
		sum.Write(p.preload)
		sum.Write(p.text)
		copyAll(sum, io.NewSectionReader(f.data, from, p.length))
		sums[n] = sum.Sum32()
		texts = append(texts, p.text...)
		from += p.length
	}
	tree := f.tree(sums)

	header := []uint32{vpkSignature, f.version, uint32(len(tree))}
	if f.version == 2 {
		header = append(header, uint32(dataLen), 0, uint32(f.tailLen()), 0)
	}
	var head []byte
	for _, v := range header {
		head = binary.LittleEndian.AppendUint32(head, v)
	}
	head = append(append(head, tree...), texts...)

	whole, sum := sha1.New(), md5.New()
	to := io.Writer(whole)
	if f.version == 2 {
		to = io.MultiWriter(whole, sum)
	}
	to.Write(head)
	copyAll(to, io.NewSectionReader(f.data, 0, from))
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
