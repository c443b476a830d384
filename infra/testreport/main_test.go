package main

import (
	"strings"
	"testing"
)

const events = `{"Action":"start","Package":"a"}
{"Action":"output","Package":"a","Test":"TestWell","Output":"=== RUN   TestWell\n"}
{"Action":"output","Package":"a","Test":"TestWell","Output":"    a_test.go:3: noise\n"}
{"Action":"pass","Package":"a","Test":"TestWell"}
{"Action":"output","Package":"a","Test":"TestBrowser","Output":"    a_test.go:5: no Chromium: not installed\n"}
{"Action":"output","Package":"a","Test":"TestBrowser","Output":"printed by another test\n"}
{"Action":"output","Package":"a","Test":"TestBrowser","Output":"--- SKIP: TestBrowser (0.00s)\n"}
{"Action":"skip","Package":"a","Test":"TestBrowser"}
{"Action":"output","Package":"a","Output":"PASS\n"}
{"Action":"output","Package":"a","Output":"ok  \ta\t0.1s\n"}
{"Action":"pass","Package":"a"}
{"Action":"build-output","ImportPath":"c","Output":"c.go:1: syntax error\n"}
{"Action":"output","Package":"b","Test":"TestBad/one","Output":"    b_test.go:7: 1, want 2\n"}
{"Action":"output","Package":"b","Test":"TestBad/one","Output":"    --- FAIL: TestBad/one (0.00s)\n"}
{"Action":"fail","Package":"b","Test":"TestBad/one"}
{"Action":"output","Package":"b","Test":"TestCrash","Output":"panic: crash\n"}
{"Action":"output","Package":"b","Output":"FAIL\tb\t0.1s\n"}
{"Action":"fail","Package":"b"}
{"Action":"skip","Package":"d"}
go: something else
`

func TestFailuresAndSkippedTestsAreShown(t *testing.T) {
	var out strings.Builder
	if err := report(&out, strings.NewReader(events), []string{"the race detector: there is no C compiler"}); err != nil {
		t.Fatal(err)
	}
	want := `ok  	a	0.1s
c.go:1: syntax error
    b_test.go:7: 1, want 2
    --- FAIL: TestBad/one (0.00s)
FAIL	b	0.1s
panic: crash
go: something else

Not run (2):
  the race detector: there is no C compiler
  a TestBrowser: no Chromium: not installed
`
	if out.String() != want {
		t.Errorf("got:\n%s", &out)
	}
}
