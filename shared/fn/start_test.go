package fn

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestStarting is the process that the next test starts: a start that fails ends its process.
func TestStarting(t *testing.T) {
	if os.Getenv("LEFT4ME_TEST_START") == "" {
		return
	}
	s := Start("page").Settings
	fmt.Printf("started with %q and %q\n", s.OriginSecret, s.DatabaseAuthToken)
}

func TestAFunctionStartsWithTheSecretOrExitsWithAnError(t *testing.T) {
	for name, c := range map[string]struct {
		status       int
		answer, want string
		fails        bool
	}{
		"read":        {200, `{"SecretString":"{\"ORIGIN_SECRET\":\"0123456789abcdef\",\"DATABASE_AUTH_TOKEN\":\"token\"}"}`, `started with "0123456789abcdef" and "token"`, false},
		"not allowed": {400, `{"__type":"AccessDeniedException","Message":"no"}`, `"msg":"cannot start","error":"read secret arn:aws:secretsmanager:eu-central-1:1:secret:x: 400 Bad Request: AccessDeniedException no"`, true},
		"wrong":       {200, `{"SecretString":"{\"ORIGIN_SECRET\":\"short\"}"}`, `cannot start","error":"ORIGIN_SECRET: it has 5 characters`, true},
	} {
		manager := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(c.status)
			_, _ = io.WriteString(w, c.answer)
		}))
		defer manager.Close()
		child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestStarting$", "-test.v")
		child.Env = append(os.Environ(), "LEFT4ME_TEST_START=1", "AWS_LAMBDA_RUNTIME_API=127.0.0.1:1", "LEFT4ME_ROOT="+t.TempDir(),
			"SECRETS_ARN=arn:aws:secretsmanager:eu-central-1:1:secret:x", "AWS_ENDPOINT_URL_SECRETS_MANAGER="+manager.URL,
			"AWS_ACCESS_KEY_ID=key", "AWS_SECRET_ACCESS_KEY=secret")
		out, err := child.CombinedOutput()
		if (err != nil) != c.fails || !strings.Contains(string(out), c.want) {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}
