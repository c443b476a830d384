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
	"strings"
	"testing"
)

//go:embed engine.js
var engine string

// Step is something to do in Engine: `exec`, `prepare` or `query` a statement.
type Step struct{ Do, SQL string }

// Result is what came of a Step: rows of a query, or the engine's error.
type Result struct {
	Rows  [][]any
	Error string
}

// Engine carries out the steps on a new, empty database of the real engine of libSQL's servers, as npm's package `libsql` has
// it. Where that is not installed (`make test` does that), the test is skipped, and fails under CI=true.
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

// node runs a script that requires a package of npm's, and returns what it prints.
func node(t testing.TB, needs, script string, input []byte, args ...string) []byte {
	t.Helper()
	_, file, _, _ := runtime.Caller(0)
	dir := filepath.Join(filepath.Dir(file), "..", "..", "..", "infra", "aws")
	if _, err := os.Stat(filepath.Join(dir, "node_modules", needs)); err != nil {
		why := fmt.Sprintf("%s DID NOT RUN: npm's %s is not installed; `make test` does that", t.Name(), needs)
		if os.Getenv("CI") == "true" {
			t.Fatal(why)
		}
		fmt.Fprintln(os.Stderr, why)
		t.Skip(why)
	}
	cmd := exec.CommandContext(t.Context(), "node", append([]string{"-e", script, "--"}, args...)...)
	cmd.Dir = dir // where the script's require begins to look
	cmd.Stdin = bytes.NewReader(input)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("node: %v\n%s", err, out)
	}
	return out
}

// Schema returns the steps that give Engine left4me's tables: what the migrations make a server do.
func Schema(t testing.TB) []Step {
	t.Helper()
	s := ServeEmpty(t)
	migrate(t, s.Open(t))
	return s.AskedSteps()
}

// AskedSteps returns, as steps for Engine, what Asked does, without transactions and what concerns only goose.
func (s *Server) AskedSteps() []Step {
	var steps []Step
	for _, text := range s.Asked() {
		switch scan(text).verb() {
		case "BEGIN", "COMMIT", "ROLLBACK":
			continue
		}
		if !strings.Contains(text, "goose_db_version") {
			steps = append(steps, Step{Do: "exec", SQL: text})
		}
	}
	return steps
}
