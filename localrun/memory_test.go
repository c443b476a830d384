package main

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func TestMemoryIsReleasedAfterARush(t *testing.T) {
	const rush = 256 << 20
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		if b := make([]byte, rush); usedMemory() < uint64(len(b)) {
			t.Fatal("no memory was used")
		}
		go releaseMemory(ctx)
		time.Sleep(memoryPause + 1)
		synctest.Wait()
		if used := usedMemory(); used >= rush {
			t.Errorf("%d MiB are in use", used>>20)
		}
	})
}
