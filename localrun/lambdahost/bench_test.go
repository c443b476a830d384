package lambdahost

import (
	"slices"
	"testing"
	"time"
)

// BenchmarkWarm is one call of a process that waits for it.
func BenchmarkWarm(b *testing.B) {
	h := benchmarkHost(b, false)
	for b.Loop() {
		if _, err := h.Invoke(b.Context(), "f", "r", []byte(`{"do":"echo"}`)); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkCold is from the spawn of a process to its answer.
func BenchmarkCold(b *testing.B) {
	h := benchmarkHost(b, true)
	var times []time.Duration
	for b.Loop() {
		begun := time.Now()
		if _, err := h.Invoke(b.Context(), "f", "r", []byte(`{"do":"echo"}`)); err != nil {
			b.Fatal(err)
		}
		times = append(times, time.Since(begun))
	}
	slices.Sort(times)
	b.ReportMetric(float64(times[len(times)/2].Microseconds())/1000, "ms-median")
}

func benchmarkHost(b *testing.B, singleShot bool) *Host {
	h, err := New(Config{Functions: []Function{fn("f")}, SingleShot: singleShot})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { h.Shutdown(b.Context()) })
	if _, err := h.Invoke(b.Context(), "f", "r", []byte(`{"do":"echo"}`)); err != nil {
		b.Fatal(err)
	}
	return h
}
