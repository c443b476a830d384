package dbtest_test

import (
	"os"
	"os/exec"
	"regexp"
	"testing"

	"left4me/shared/db/dbtest"
)

const driver = "github.com/tursodatabase/libsql-client-go"

// The tests are those of the version in go.mod.
func TestTestsOfTheDriver(t *testing.T) {
	t.Parallel()
	s := dbtest.ServeEmpty(t, func(s *dbtest.Server) { s.Token = "a token" })
	cmd := exec.CommandContext(t.Context(), "go", "test", "-v", driver+"/tests/http")
	cmd.Env = append(os.Environ(), "LIBSQL_TEST_HTTP_DB_URL="+s.URL, "LIBSQL_TEST_HTTP_AUTH_TOKEN="+s.Token)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	passed := regexp.MustCompile(`(?m)^--- PASS`).FindAll(out, -1)
	if len(passed) < 10 {
		t.Errorf("only %d tests ran:\n%s", len(passed), out)
	}
	t.Logf("%d tests of the driver passed", len(passed))
}
