package dbtest

import (
	_ "embed"
	"strings"
	"testing"
)

//go:embed testdata/client.js
var client string

// The other client that people use has other habits: several requests at once, stored SQL, sequences, conditions.
func TestNpmsClientIsContent(t *testing.T) {
	t.Parallel()
	s := ServeEmpty(t, func(s *Server) { s.Token = "a token" })
	out := string(node(t, "@libsql/client", client, nil, s.URL, s.Token))
	if n := strings.Count(out, "PASS"); n != 8 {
		t.Errorf("%d checks passed:\n%s", n, out)
	}
}
