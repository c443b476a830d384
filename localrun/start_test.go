package main_test

import (
	"bytes"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"left4me/shared/job"
	"left4me/shared/route"
)

// initialised is a line that Go's runtime prints about a package with GODEBUG=inittrace=1.
var initialised = regexp.MustCompile(`(?m)^init (\S+) @.* (\d+) bytes, \d+ allocs$`)

// What a program allocates before its main is a measure of its start that is the same on every machine. A regular expression
// of a package's own, even a short one, has taken more than all the rest together.
func TestFunctionsDoLittleBeforeTheyStart(t *testing.T) {
	t.Parallel()
	const (
		ours = 4 << 10   // for one package of left4me
		all  = 160 << 10 // for one program
		sdk  = 320 << 10 // and this more for AWS's client for its queues
	)
	allowed := map[string]int{}
	for _, r := range route.All() {
		allowed[r.Name] = all
		if r.Rings {
			allowed[r.Name] += sdk
		}
	}
	for _, o := range job.Runnable() {
		allowed[o.Function] = all + sdk
	}
	for _, s := range job.Schedules() {
		allowed[s.Function] = all + sdk
	}
	for function, most := range allowed {
		var said bytes.Buffer
		cmd := exec.CommandContext(t.Context(), filepath.Join(bin, "functions", function))
		cmd.Env = []string{"GODEBUG=inittrace=1"}
		cmd.Stderr = &said
		_ = cmd.Run() // it ends with a sentence, since nothing hands it work
		total := 0
		for _, m := range initialised.FindAllStringSubmatch(said.String(), -1) {
			bytes, err := strconv.Atoi(m[2])
			if err != nil {
				t.Fatal(err)
			}
			total += bytes
			if strings.HasPrefix(m[1], "left4me/") && bytes > ours {
				t.Errorf("%s: package %s allocates %d bytes before main", function, m[1], bytes)
			}
		}
		if total == 0 || total > most {
			t.Errorf("%s allocates %d bytes before main, want at most %d", function, total, most)
		}
	}
}
