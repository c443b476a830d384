package main

import (
	"testing"

	"left4me/shared/job"
	"left4me/shared/route"
	"left4me/templates/fntest"
)

func TestAFormAsksForTheJobOnThatHost(t *testing.T) {
	fntest.TestAsksOnHost(t, route.HostInstall, build, job.Install)
}
