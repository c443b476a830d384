// Command measures reads the output of `go test -bench` and prints a table: for each measure our figure, the figure of the
// compared program, the ratio, and whether the ratio is allowed. `make bench` runs all benchmarks. Those that were not run have
// no figures.
//
// It does not fail if a figure is too high: a person must judge whether the machine was busy.
package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
)

func main() {
	found, err := read(os.Stdin)
	if err == nil {
		err = write(os.Stdout, found)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "measures:", err)
		os.Exit(1)
	}
}

// results are the values of benchmarks by package, benchmark and unit, such as `shared/vpkcache ManyItems/aria2c ns/op`.
type results map[string]float64

// read parses the output of one or more runs of `go test -bench`.
func read(r io.Reader) (results, error) {
	found := results{}
	pkg := ""
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		word := strings.Fields(lines.Text())
		if len(word) == 2 && word[0] == "pkg:" {
			pkg = strings.TrimPrefix(word[1], "left4me/")
		}
		if len(word) < 4 || !strings.HasPrefix(word[0], "Benchmark") {
			continue
		}
		name := strings.TrimPrefix(word[0], "Benchmark")
		if i := strings.LastIndex(name, "-"); i > 0 { // GOMAXPROCS follows, unless it is 1
			if _, err := strconv.Atoi(name[i+1:]); err == nil {
				name = name[:i]
			}
		}
		for i := 2; i+1 < len(word); i += 2 {
			value, err := strconv.ParseFloat(word[i], 64)
			if err != nil {
				return nil, fmt.Errorf("%q is not a line of a benchmark", lines.Text())
			}
			found[pkg+" "+name+" "+word[i+1]] = value
		}
	}
	return found, lines.Err()
}

// write prints the table.
func write(w io.Writer, found results) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "measure\tours\tcompared\tresult\tallowed\t")
	for _, m := range table {
		ours, ok := found.sum(m.ours)
		peer, peerOK := found.sum(m.peer)
		if !ok || m.peer != nil && !peerOK {
			fmt.Fprintf(t, "%s\t\t\t\t%s %g\tnot measured\n", m.title, m.relation(), m.limit)
			continue
		}
		ours, peer = ours*m.scale, peer*m.scale
		result, compared := ours, ""
		if m.peer != nil {
			compared = fmt.Sprintf("%.4g %s", peer, m.unit)
			result = ours / peer
			if m.difference {
				result = ours - peer
			}
		}
		verdict := "met"
		if result > m.limit {
			verdict = "MISSED"
		}
		fmt.Fprintf(t, "%s\t%.4g %s\t%s\t%.3g\t%s %g\t%s\n", m.title, ours, m.unit, compared, result, m.relation(), m.limit, verdict)
	}
	return t.Flush()
}

// sum returns the sum of the named results, and false if one of them is missing.
func (r results) sum(names []string) (float64, bool) {
	total := 0.0
	for _, name := range names {
		value, ok := r[name]
		if !ok {
			return 0, false
		}
		total += value
	}
	return total, len(names) > 0
}
