// Command contract prints left4me's promises, such as P43, with the tests that show each. It fails if a promise has no test that
// runs the built programs. It does not run the tests.
//
// A script in localrun/testdata/script shows the promises in its name (p12-collections.txtar) and in its comment lines
// `# shows: P5 P10`. A Go test shows those in a line `// shows: P38` of its comment.
package main

import (
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
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
	for _, p := range slices.Sorted(maps.Keys(promises)) {
		fmt.Fprintf(table, "%s\t%s\t%s\n", p, promises[p], strings.Join(found.names(p), "  "))
		if !found.hasProgramTest(p) {
			missing = append(missing, p.String())
		}
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if len(missing) > 0 {
		return fmt.Errorf("no test that runs the built programs shows %s", strings.Join(missing, ", "))
	}
	return nil
}
