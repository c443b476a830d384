package vpk

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// BenchmarkContents reads what is in 5,000 files, compared with one pread of each index.
func BenchmarkContents(b *testing.B) {
	const files, length = 5000, 64 << 10
	dir := b.TempDir()
	all := []packed{{path: "missions/harbour.txt", content: harbour}, {path: "addoninfo.txt", content: "AddonInfo { addontitle x }"}}
	for n := range 150 {
		all = append(all, packed{path: fmt.Sprintf("materials/models/harbour/crate_%d.vmt", n)})
	}
	raw := pack(1, all...)
	raw = append(raw, make([]byte, length-len(raw))...)
	for n := range files {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprint(n)), raw, 0o644); err != nil {
			b.Fatal(err)
		}
	}
	each := func(b *testing.B, read func(f *os.File) error) {
		for b.Loop() {
			for n := range files {
				f, err := os.Open(filepath.Join(dir, fmt.Sprint(n)))
				if err != nil {
					b.Fatal(err)
				}
				if err := read(f); err != nil {
					b.Fatal(err)
				}
				f.Close()
			}
		}
	}
	b.Run("vpk", func(b *testing.B) {
		each(b, func(f *os.File) error {
			_, err := Read(f, length)
			return err
		})
	})
	header, index, err := Header(bytes.NewReader(raw), length)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("pread", func(b *testing.B) {
		content := make([]byte, index)
		each(b, func(f *os.File) error {
			_, err := f.ReadAt(content, header)
			return err
		})
	})
}
