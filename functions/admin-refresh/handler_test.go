package main

import (
	"testing"

	"left4me/shared/job"
	"left4me/shared/route"
	"left4me/templates/fntest"
)

func TestAFormAsksForTheRefresh(t *testing.T) {
	fntest.TestAsksOnce(t, route.AdminRefresh, build, job.RefreshWorkshopItems)
}
