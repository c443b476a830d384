// Command measures reads what `go test -bench` prints and says what the measures come to: ours, the peer that was run beside
// it, the ratio, and whether that is allowed. `make bench` runs all that it wants; what was not run has no figures.
//
// It fails only when it cannot read: a figure that is missed is for a person to judge, who knows what else the machine did.
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

// results are the values of benchmarks: package, benchmark and unit, such as
// `shared/vpkcache ManyItems/aria2c ns/op`.
type results map[string]float64

// read reads the output of one or many `go test -bench`.
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
		if i := strings.LastIndex(name, "-"); i > 0 { // GOMAXPROCS, which is missing where it is 1
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
	fmt.Fprintln(t, "measure\tours\tbeside it\tcomes to\tallowed\t")
	for _, m := range table {
		ours, ok := found.sum(m.ours)
		beside, besideOK := found.sum(m.beside)
		if !ok || m.beside != nil && !besideOK {
			fmt.Fprintf(t, "%s\t\t\t\t%s %g\tnot measured\n", m.what, m.sign(), m.limit)
			continue
		}
		ours, beside = ours*m.scale, beside*m.scale
		comes, peer := ours, ""
		if m.beside != nil {
			peer = fmt.Sprintf("%.4g %s", beside, m.unit)
			comes = ours / beside
			if m.minus {
				comes = ours - beside
			}
		}
		verdict := "met"
		if comes > m.limit {
			verdict = "MISSED"
		}
		fmt.Fprintf(t, "%s\t%.4g %s\t%s\t%.3g\t%s %g\t%s\n", m.what, ours, m.unit, peer, comes, m.sign(), m.limit, verdict)
	}
	return t.Flush()
}

// sum adds up results; false when one of them is not there.
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
