// Command testreport reads the output of `go test -json` and prints what `go test` would print. At the end it lists the skipped
// tests and why they were skipped, after its arguments, which describe other omissions. It does not fail if tests have failed:
// go test does.
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

// test is a test of a package. Test is empty for the package itself.
type test struct{ Package, Test string }

// event is a line of `go test -json`. See `go doc test2json`.
type event struct {
	test
	Action, Output string
}

func report(w io.Writer, r io.Reader, omissions []string) error {
	out := bufio.NewWriter(w)
	running := map[test]string{} // the output of running tests
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
			e = event{Action: "output", Output: line} // printed by the go command itself
		}
		switch {
		case e.Action == "build-output", e.Action == "output" && e.Test == "" && e.Output != "PASS\n":
			out.WriteString(e.Output)
		case e.Action == "output":
			if !strings.HasPrefix(e.Output, "=== ") {
				running[e.test] += e.Output
			}
		case e.Action == "fail" && e.Test == "": // after a crash, its tests have no events of their own
			for t, output := range running {
				if t.Package == e.Package {
					out.WriteString(output)
					delete(running, t)
				}
			}
		case e.Action == "fail":
			out.WriteString(running[e.test])
			delete(running, e.test)
		case e.Action == "skip" && e.Test != "":
			omissions = append(omissions, fmt.Sprintf("%s %s: %s", e.Package, e.Test, reason(running[e.test])))
			delete(running, e.test)
		case e.Action == "pass":
			delete(running, e.test)
		}
		if err := out.Flush(); err != nil {
			return err
		}
	}
	if len(omissions) > 0 {
		fmt.Fprintf(out, "\nNot run (%d):\n", len(omissions))
		for _, s := range omissions {
			fmt.Fprintf(out, "  %s\n", s)
		}
	}
	return out.Flush()
}

// reason returns the last message that a skipped test has logged, the why of `file_test.go:12: why`.
func reason(output string) (why string) {
	for line := range strings.Lines(output) {
		if _, after, ok := strings.Cut(line, ".go:"); ok {
			_, why, _ = strings.Cut(strings.TrimSpace(after), ": ")
		}
	}
	return why
}
