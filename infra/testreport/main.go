// Command testreport reads what `go test -json` prints, prints what `go test` would, and at the end which tests were skipped
// and why. Its arguments are sentences about what else was left out. It fails only when it cannot write: whether the tests
// have failed is go test's to say.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
)

func main() {
	if err := report(os.Stdout, os.Stdin, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "testreport:", err)
		os.Exit(1)
	}
}

// test is one test of one package; the package itself has no name.
type test struct{ Package, Test string }

// event is a line of `go test -json`: see `go doc test2json`.
type event struct {
	test
	Action, Output string
}

func report(w io.Writer, r io.Reader, leftOut []string) error {
	out := bufio.NewWriter(w)
	running := map[test]string{} // what tests have printed so far
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadString('\n')
		if err == io.EOF && line == "" {
			break
		}
		if err != nil && err != io.EOF {
			return err
		}
		var e event
		if json.Unmarshal([]byte(line), &e) != nil {
			e = event{Action: "output", Output: line} // go itself prints some
		}
		switch {
		case e.Action == "build-output", e.Action == "output" && e.Test == "" && e.Output != "PASS\n":
			out.WriteString(e.Output)
		case e.Action == "output":
			if !strings.HasPrefix(e.Output, "=== ") {
				running[e.test] += e.Output
			}
		case e.Action == "fail" && e.Test == "": // tests that a crash has ended have no end of their own
			for t, said := range running {
				if t.Package == e.Package {
					out.WriteString(said)
					delete(running, t)
				}
			}
		case e.Action == "fail":
			out.WriteString(running[e.test])
			delete(running, e.test)
		case e.Action == "skip" && e.Test != "":
			leftOut = append(leftOut, fmt.Sprintf("%s %s: %s", e.Package, e.Test, reason(running[e.test])))
			delete(running, e.test)
		case e.Action == "pass":
			delete(running, e.test)
		}
		if err := out.Flush(); err != nil {
			return err
		}
	}
	if len(leftOut) > 0 {
		fmt.Fprintf(out, "\nNot run (%d):\n", len(leftOut))
		for _, s := range leftOut {
			fmt.Fprintf(out, "  %s\n", s)
		}
	}
	return out.Flush()
}

// reason is what a skipped test has logged last, as in `file_test.go:12: why`.
func reason(said string) (why string) {
	for line := range strings.Lines(said) {
		if _, after, ok := strings.Cut(line, ".go:"); ok {
			_, why, _ = strings.Cut(strings.TrimSpace(after), ": ")
		}
	}
	return why
}
