package dbtest

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

//go:embed engine.js
var engine string

// Step is a statement for Engine. Do is `exec`, `prepare` or `query`.
type Step struct{ Do, SQL string }

// Result is the result of a Step: the rows of a query, or the engine's error.
type Result struct {
	Rows  [][]any
	Error string
}

// Engine runs the steps on a new, empty database of the engine of real libSQL servers, which npm's package `libsql` contains.
// If that is not installed (`make test` installs it), the test is skipped, or fails if CI=true.
func Engine(t testing.TB, steps []Step) []Result {
	t.Helper()
	input, err := json.Marshal(steps)
	if err != nil {
		t.Fatal(err)
	}
	var results []Result
	if err := json.Unmarshal(node(t, "libsql", engine, input), &results); err != nil {
		t.Fatal(err)
	}
	return results
}

// node runs a script that needs the npm package pkg, and returns its output.
func node(t testing.TB, pkg, script string, input []byte, args ...string) []byte {
	t.Helper()
	_, file, _, _ := runtime.Caller(0)
	dir := filepath.Join(filepath.Dir(file), "..", "..", "..", "infra", "aws")
	if _, err := os.Stat(filepath.Join(dir, "node_modules", pkg)); err != nil {
		why := fmt.Sprintf("%s DID NOT RUN: npm's %s is not installed; `make test` does that", t.Name(), pkg)
		if os.Getenv("CI") == "true" {
			t.Fatal(why)
		}
		fmt.Fprintln(os.Stderr, why)
		t.Skip(why)
	}
	cmd := exec.CommandContext(t.Context(), "node", append([]string{"-e", script, "--"}, args...)...)
	cmd.Dir = dir // the script's require looks for packages here
	cmd.Stdin = bytes.NewReader(input)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("node: %v\n%s", err, out)
	}
	return out
}

// Schema returns the statements of all migrations as steps for Engine.
func Schema(t testing.TB) []Step {
	t.Helper()
	s := ServeEmpty(t)
	migrate(t, s.Open(t))
	return s.ReceivedSteps()
}

// ReceivedSteps returns the statements of Received as steps for Engine, without SELECT, BEGIN, COMMIT, ROLLBACK and goose's own.
func (s *Server) ReceivedSteps() []Step {
	var steps []Step
	for _, text := range slices.Concat(s.takeReceived()...) {
		switch scan(text).verb() {
		case "SELECT", "BEGIN", "COMMIT", "ROLLBACK":
			continue
		}
		if !strings.Contains(text, "goose_db_version") {
			steps = append(steps, Step{Do: "exec", SQL: text})
		}
	}
	return steps
}
