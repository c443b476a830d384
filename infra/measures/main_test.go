package main

import (
	"strings"
	"testing"
)

func TestTable(t *testing.T) {
	found, err := read(strings.NewReader(`goos: linux
pkg: left4me/shared/vpkcache
BenchmarkManyItems/vpkcache-2         	       1	1360000000 ns/op	 150 MB/s	        24.00 peak-MiB
BenchmarkManyItems/aria2c-2           	       1	2000000000 ns/op	 100 MB/s
PASS
ok  	left4me/shared/vpkcache	5.0s
pkg: left4me/localrun/gateway
BenchmarkPage/in-process 	   10000	    100000 ns/op	         0.1000 ms-median
BenchmarkPage/warm 	    2000	    600000 ns/op	         0.5100 ms-median
pkg: left4me/localrun
BenchmarkIdle-16   	       1	        25.40 MiB	         0 processes
`))
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := write(&out, found); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"M1 build of 200 items of 1 MiB, 50 ms before each, by aria2c 1360 ms 2000 ms 0.68 times 1 met",
		"M4 warm page, by the same in-process 0.51 ms 0.1 ms 0.41 more by 0.3 MISSED",
		"M9 localrun up, idle for a minute: processes of functions 0 0 at most 0 met",
		"M9 its memory 25.4 MiB 25.4 at most 30 met",
		"M2 its memory at most 48 not measured",
	} {
		if got := strings.Join(strings.Fields(out.String()), " "); !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
}
