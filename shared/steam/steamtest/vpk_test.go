package steamtest

import (
	"bytes"
	"crypto/md5"
	"crypto/sha1"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"testing"
)

type vpkEntry struct {
	crc            uint32
	preload        []byte
	offset, length uint32
}

// readVPK reads a whole VPK as Valve's documentation describes it, sharing nothing with the code that writes it.
func readVPK(t *testing.T, b []byte) (version uint32, files map[string]vpkEntry, data []byte) {
	t.Helper()
	u32 := func(at int) uint32 { return binary.LittleEndian.Uint32(b[at:]) }
	if u32(0) != 0x55AA1234 {
		t.Fatalf("signature %#x", u32(0))
	}
	version, treeLen, at := u32(4), int(u32(8)), 12
	dataLen := len(b) - at - treeLen
	if version == 2 {
		at = 28
		dataLen = int(u32(12))
		if u32(16) != 0 || u32(20) != 48 || u32(24) != 0 || at+treeLen+dataLen+48 != len(b) {
			t.Fatalf("sections %d %d %d %d in %d bytes", dataLen, u32(16), u32(20), u32(24), len(b))
		}
	}
	tree := bytes.NewBuffer(b[at : at+treeLen])
	word := func() string {
		s, err := tree.ReadString(0)
		if err != nil {
			t.Fatalf("tree: %v", err)
		}
		return s[:len(s)-1]
	}
	files = map[string]vpkEntry{}
	for ext := word(); ext != ""; ext = word() {
		for dir := word(); dir != ""; dir = word() {
			for name := word(); name != ""; name = word() {
				h := tree.Next(18)
				preload := tree.Next(int(binary.LittleEndian.Uint16(h[4:])))
				if binary.LittleEndian.Uint16(h[6:]) != 0x7FFF || binary.LittleEndian.Uint16(h[16:]) != 0xFFFF {
					t.Fatalf("entry %s: % x", name, h)
				}
				files[dir+"/"+name+"."+ext] = vpkEntry{
					binary.LittleEndian.Uint32(h), preload, binary.LittleEndian.Uint32(h[8:]), binary.LittleEndian.Uint32(h[12:]),
				}
			}
		}
	}
	if tree.Len() != 0 {
		t.Fatalf("%d bytes behind the tree's end", tree.Len())
	}
	return version, files, b[at+treeLen : at+treeLen+dataLen]
}

func TestFilesAreValidVPKs(t *testing.T) {
	for _, version := range []int{1, 2} {
		t.Run(fmt.Sprint("version ", version), func(t *testing.T) {
			f, err := newFile(Item{ID: "1", Title: `A "quoted" title`, Size: 100_001, Version: version, Campaign: "Harbour", Maps: []string{"h1_docks", "h2_pier"}, Chapters: []string{"h1_docks", "h3_mill"},
				Modes: []string{"coop"}, Mutation: "holdout", Files: []string{"scripts/weapons.txt"}}, 7)
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(io.NewSectionReader(f, 0, f.Size))
			if err != nil || len(b) != 100_001 {
				t.Fatalf("%d bytes, %v", len(b), err)
			}
			if got := fmt.Sprintf("%X", sha1.Sum(b)); got != f.SHA1() {
				t.Errorf("SHA-1 is %s, content's is %s", f.SHA1(), got)
			}
			gotVersion, files, data := readVPK(t, b)
			if int(gotVersion) != version || len(files) != 8 {
				t.Errorf("version %d, %d files", gotVersion, len(files))
			}
			covered := 0
			for name, e := range files {
				content := append(bytes.Clone(e.preload), data[e.offset:e.offset+e.length]...)
				if crc := crc32.ChecksumIEEE(content); crc != e.crc {
					t.Errorf("%s: CRC %08x, entry says %08x", name, crc, e.crc)
				}
				covered += int(e.length)
			}
			if covered != len(data) {
				t.Errorf("files cover %d of %d bytes", covered, len(data))
			}
			if version == 2 {
				if whole := md5.Sum(b[:len(b)-16]); !bytes.Equal(whole[:], b[len(b)-16:]) {
					t.Error("the whole file's MD5 is wrong")
				}
			}
		})
	}
}

// Ranges are read from any offset by several connections: they must be pieces of one file.
func TestPiecesAreOfOneFile(t *testing.T) {
	f, err := newFile(Item{ID: "1", Size: 20_000, Version: 2, Files: []string{"sound/a.wav"}}, 7)
	if err != nil {
		t.Fatal(err)
	}
	whole, err := io.ReadAll(io.NewSectionReader(f, 0, f.Size))
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		from := random.Int64N(f.Size)
		piece := make([]byte, random.Int64N(f.Size-from)+1)
		if n, err := f.ReadAt(piece, from); err != nil || !bytes.Equal(piece[:n], whole[from:from+int64(n)]) || n != len(piece) {
			t.Fatalf("%d bytes from %d: %d, %v", len(piece), from, n, err)
		}
	}
	if n, err := f.ReadAt(make([]byte, 10), f.Size-4); n != 4 || err != io.EOF {
		t.Errorf("over the end: %d, %v", n, err)
	}
}

func TestContentDependsOnItsSeedOnly(t *testing.T) {
	sum := func(seed uint64) string {
		f, err := newFile(Item{ID: "1", Size: 20_000, Version: 1}, seed)
		if err != nil {
			t.Fatal(err)
		}
		return f.SHA1()
	}
	if sum(1) != sum(1) || sum(1) == sum(2) {
		t.Error("content is not a function of its seed")
	}
}
