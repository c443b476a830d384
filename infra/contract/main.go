// Command contract prints what left4me promises, P1 to P43, each with the tests that show it, and fails when no test that
// goes through the built programs shows one.
//
// A script of localrun/testdata/script shows the promises in its name (p12-collections.txtar) and those in a line
// `# shows: P5 P10` of its comments; a Go test those in a line `// shows: P38` of the comment above it. What is promised is
// said in one line here; the tests say it in full. Whether they pass is for `go test` to say.
package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
)

func main() {
	if err := run(".", os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "contract:", err)
		os.Exit(1)
	}
}

// run prints the table for the tree at root.
func run(root string, out io.Writer) error {
	found, err := find(root)
	if err != nil {
		return err
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	var missing []string
	for i, title := range promises {
		p := promise(i + 1)
		fmt.Fprintf(table, "%s\t%s\t%s\n", p, title, strings.Join(found.names(p), "  "))
		if !found.throughPrograms(p) {
			missing = append(missing, p.String())
		}
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if len(missing) > 0 {
		return fmt.Errorf("no test that goes through the built programs shows %s", strings.Join(missing, ", "))
	}
	return nil
}
