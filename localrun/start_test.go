package main_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// initialised is a line that Go's runtime prints about a package with GODEBUG=inittrace=1.
var initialised = regexp.MustCompile(`(?m)^init (\S+) @.* (\d+) bytes, \d+ allocs$`)

// What a program allocates before its main is a measure of its start that is the same on every machine. A regular expression
// of a package's own, even a short one, has taken more than all the rest together.
func TestFunctionsDoLittleBeforeTheyStart(t *testing.T) {
	t.Parallel()
	const (
		most = 160 << 10 // for one program
		ours = 4 << 10   // for one package of left4me among them
	)
	functions, err := os.ReadDir(filepath.Join(bin, "functions"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range functions {
		function := f.Name()
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
