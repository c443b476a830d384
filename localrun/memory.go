package main

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	// memoryPause is how often releaseMemory looks.
	memoryPause = 5 * time.Second
	// enoughMemory is how many bytes this process may keep. It needs about half of it when nothing happens.
	enoughMemory = 24 << 20
)

// releaseMemory is a service that returns memory to the operating system after a rush. Go by itself would keep it for minutes: it
// looks for garbage when more is allocated, or every two minutes.
func releaseMemory(ctx context.Context) error {
	every := time.NewTicker(memoryPause)
	defer every.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-every.C:
			if usedMemory() > enoughMemory {
				debug.FreeOSMemory()
			}
		}
	}
}

// usedMemory returns the bytes that this process has from the operating system.
func usedMemory() uint64 {
	samples := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(samples)
	return samples[0].Value.Uint64() - samples[1].Value.Uint64()
}
