package main

import (
	"testing"

	"left4me/shared/job"
	"left4me/shared/route"
	"left4me/templates/fntest"
)

func TestAFormAsksForTheRemoval(t *testing.T) {
	fntest.TestAsksOnce(t, route.AdminGC, build, job.CollectGarbage)
}
