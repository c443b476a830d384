package main

import (
	"slices"
	"testing"

	"left4me/shared/workshop"
)

// BenchmarkRefresh is measures.md's M8: 10,000 items, 100 ms before each answer of Steam, beside the same work one batch
// after another. Run it with -benchtime 1x.
func BenchmarkRefresh(b *testing.B) {
	const items = 10_000
	w := setUp(b, catalogOf(items), numbers(items)...)
	w.steam.Tell(b, "details delay=100ms\n")
	b.Run("as it is", func(b *testing.B) {
		w.steam.Forget()
		for b.Loop() {
			if err := w.run(b.Context(), &report{}); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(w.steam.Peak("details")), "requests-at-once")
	})
	b.Run("one batch after another", func(b *testing.B) {
		for b.Loop() {
			for batch := range slices.Chunk(numbers(items), 100) {
				if err := w.fetcher.Items.Refresh(b.Context(), w.runner.steam, batch, func(workshop.Refreshed) {}); err != nil {
					b.Fatal(err)
				}
			}
		}
	})
}
