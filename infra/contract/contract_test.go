package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Each promise has a test that runs the built programs.
func TestEveryPromiseHasAProgramTest(t *testing.T) {
	var out strings.Builder
	if err := run("../..", &out); err != nil {
		t.Errorf("%v\n%s", err, out.String())
	}
	for p := promise(1); p <= 48; p++ {
		if promises[p] == "" {
			t.Errorf("there is no %s", p)
		}
	}
}

// tree returns a directory with the files, given as alternating paths and contents.
func tree(t *testing.T, files ...string) string {
	t.Helper()
	root := t.TempDir()
	for i := 0; i+1 < len(files); i += 2 {
		name := filepath.Join(root, files[i])
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(files[i+1]), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

const package1 = "package x\n\nimport \"testing\"\n\n"

func TestMarksAreFound(t *testing.T) {
	found, err := find(tree(t,
		"localrun/testdata/script/p12-collections.txtar", "# A collection.\n# shows: P13 P14\nexec true\n-- x --\n# shows: P15\n",
		"localrun/testdata/script/p03-p7-who.txtar", "exec true\n",
		"localrun/testdata/script/other.txtar", "exec true\n",
		"localrun/other/testdata/script/p20-x.txtar", "exec true\n",
		"localrun/a_test.go", package1+"// TestA is a test.\n//\n// shows: P20\nfunc TestA(t *testing.T) {}\n",
		"shared/b_test.go", package1+"// shows: P21\nfunc TestB(t *testing.T) {}\n",
		"node_modules/c_test.go", "not Go",
	))
	if err != nil {
		t.Fatal(err)
	}
	for p, want := range map[promise]string{
		3: "p03-p7-who.txtar", 7: "p03-p7-who.txtar", 12: "p12-collections.txtar", 13: "p12-collections.txtar", 14: "p12-collections.txtar",
		15: "", 20: "localrun.TestA", 21: "shared.TestB",
	} {
		if got := strings.Join(found.names(p), " "); got != want {
			t.Errorf("%s is shown by %q, want %q", p, got, want)
		}
		if got := found.hasProgramTest(p); got != (want != "" && p != 21) {
			t.Errorf("%s is shown by the programs: %v", p, got)
		}
	}
}

func TestInvalidMarks(t *testing.T) {
	for name, c := range map[string]struct{ file, text, says string }{
		"an unknown number in a name":    {"localrun/testdata/script/p99-x.txtar", "", "no promise P99"},
		"an unknown number in a script":  {"localrun/testdata/script/x.txtar", "# shows: P0\n", "no promise P0"},
		"an unknown number above a test": {"shared/x_test.go", package1 + "// shows: P1 99\nfunc TestA(t *testing.T) {}\n", "no promise 99"},
		"no number":                      {"localrun/testdata/script/x.txtar", "# shows:\n", "names no promise"},
		"no test":                        {"shared/x_test.go", package1 + "// shows: P1\nfunc testA(t *testing.T) {}\n", "x_test.go:5:1: \"// shows: P1\" is not the comment of a test"},
	} {
		if _, err := find(tree(t, c.file, c.text)); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", name, err, c.says)
		}
	}
}

func TestPromiseWithoutAProgramTest(t *testing.T) {
	var out strings.Builder
	err := run(tree(t, "shared/b_test.go", package1+"// shows: P1\nfunc TestB(t *testing.T) {}\n"), &out)
	if err == nil || !strings.Contains(err.Error(), "shows P1, P2, ") || !strings.Contains(out.String(), "shared.TestB") {
		t.Errorf("%v\n%s", err, out.String())
	}
}
