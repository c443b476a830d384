package main

import (
	"testing"

	"left4me/shared/fn/fntest"
	"left4me/shared/job"
	"left4me/shared/route"
)

func TestAFormAsksForTheRemoval(t *testing.T) {
	fntest.TestAsksOnce(t, route.AdminGC, build, job.CollectGarbage)
}
