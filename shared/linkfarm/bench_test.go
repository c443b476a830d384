package linkfarm

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// BenchmarkNothingToDo is the links' part of measure M3: 5,000 unchanged links, compared with only readdir and readlink.
func BenchmarkNothingToDo(b *testing.B) {
	root := overlay(b)
	var wanted []string
	for i := range 5000 {
		wanted = append(wanted, fmt.Sprintf("%d.vpk", 2_000_000_000+i))
	}
	if _, err := build(b.Context(), root, wanted); err != nil {
		b.Fatal(err)
	}
	b.Run("linkfarm", func(b *testing.B) {
		for b.Loop() {
			if done, err := build(b.Context(), root, wanted); err != nil || done.Unchanged != len(wanted) {
				b.Fatal(done, err)
			}
		}
	})
	b.Run("bare", func(b *testing.B) {
		dir := filepath.Join(root.Name(), Dir)
		for b.Loop() {
			entries, err := os.ReadDir(dir)
			if err != nil {
				b.Fatal(err)
			}
			for _, e := range entries {
				if _, err := os.Readlink(filepath.Join(dir, e.Name())); err != nil {
					b.Fatal(err)
				}
			}
		}
	})
}
