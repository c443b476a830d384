package main_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"left4me/localrun/lambdahost"
	"left4me/shared/route"
)

// builtFunctions runs the real function binaries as Lambda does, on a database of their own.
func builtFunctions(t *testing.T, env ...string) *lambdahost.Host {
	t.Helper()
	env = append([]string{"LEFT4ME_ROOT=" + t.TempDir()}, env...)
	migrate := exec.Command(filepath.Join(bin, "localrun"), "migrate", "up")
	migrate.Env = env
	if out, err := migrate.CombinedOutput(); err != nil {
		t.Fatalf("migrate: %v\n%s", err, out)
	}
	var functions []lambdahost.Function
	for _, r := range route.All() {
		functions = append(functions, lambdahost.Function{
			Name: r.Name, Path: filepath.Join(bin, "functions", r.Name), Env: env, MaxProcesses: 1, TimeLimit: r.TimeLimit,
		})
	}
	h, err := lambdahost.New(lambdahost.Config{Functions: functions})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Shutdown(t.Context()) })
	return h
}

// lambdaAnswer is what a function answers to a Function URL event.
type lambdaAnswer struct {
	StatusCode      int
	Headers         map[string]string
	Cookies         []string
	Body            string
	IsBase64Encoded bool
}

func invoke(t *testing.T, h *lambdahost.Host, function string, event []byte) lambdaAnswer {
	t.Helper()
	payload, err := h.Invoke(t.Context(), function, "request-1", event)
	if err != nil {
		t.Fatal(err)
	}
	var a lambdaAnswer
	if err := json.Unmarshal(payload.Payload, &a); err != nil {
		t.Fatalf("%v: %s", err, payload.Payload)
	}
	return a
}

// TestRecordedEvents gives events as AWS sends them to the built binaries, over the Runtime API.
func TestRecordedEvents(t *testing.T) {
	t.Parallel()
	h := builtFunctions(t)
	sum := sha256.Sum256([]byte("left4me csrf secret"))
	token := base64.RawURLEncoding.EncodeToString(sum[:])
	files, err := filepath.Glob("testdata/events/*.json")
	if err != nil || len(files) == 0 {
		t.Fatal("no events: ", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".json"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var c struct {
				Function string
				Event    json.RawMessage
				Status   int
				Location string
				Cookies  []string
				Says     string
			}
			if err := json.Unmarshal(bytes.ReplaceAll(text, []byte("%CSRF%"), []byte(token)), &c); err != nil {
				t.Fatal(err)
			}
			got := invoke(t, h, c.Function, c.Event)
			if got.StatusCode != c.Status || got.Headers["Location"] != c.Location || !strings.Contains(got.Body, c.Says) || got.IsBase64Encoded {
				t.Errorf("status %d to %q: %s", got.StatusCode, got.Headers["Location"], got.Body)
			}
			for _, name := range c.Cookies {
				if all := strings.Join(got.Cookies, "\n"); !strings.Contains(all, name+"=") || !strings.Contains(all, "HttpOnly") {
					t.Errorf("cookies %q, want %s", got.Cookies, name)
				}
			}
			if got.Headers["Content-Security-Policy"] == "" {
				t.Errorf("no policy among %v", got.Headers)
			}
		})
	}
}

// What is no event at all is the function's failure, and the next event is served as if nothing had been.
func TestWhatIsNoEventHarmsNobody(t *testing.T) {
	t.Parallel()
	h := builtFunctions(t)
	home, err := os.ReadFile("testdata/events/head.json")
	if err != nil {
		t.Fatal(err)
	}
	var good struct{ Event json.RawMessage }
	if err := json.Unmarshal(home, &good); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{`{}`, `null`, `"x"`, `{"job_id":7}`, strings.Repeat("[", 1000)} {
		var failed *lambdahost.FunctionError
		if _, err := h.Invoke(t.Context(), "home", "bad", []byte(bad)); !errors.As(err, &failed) {
			t.Errorf("%.20s: %v", bad, err)
		}
		if got := invoke(t, h, "home", good.Event); got.StatusCode != 303 {
			t.Errorf("after %.20s: %d", bad, got.StatusCode)
		}
	}
	var tooLarge *lambdahost.TooLargeError
	if _, err := h.Invoke(t.Context(), "home", "large", make([]byte, lambdahost.MaxPayload+1)); !errors.As(err, &tooLarge) {
		t.Errorf("an event of more than 6 MiB: %v", err)
	}
}

// A setting that is wrong ends the process with a sentence, not with a page that half works.
func TestAWrongSettingIsSaidAtStart(t *testing.T) {
	t.Parallel()
	h, err := lambdahost.New(lambdahost.Config{StartLimit: 20 * time.Second, Functions: []lambdahost.Function{{
		Name: "home", Path: filepath.Join(bin, "functions", "home"), Env: []string{"DATABASE_URL=postgres://x", "DOWNLOAD_PARALLEL=many"},
		MaxProcesses: 1, TimeLimit: time.Second,
	}}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = h.Shutdown(t.Context()) }()
	var exit *lambdahost.ExitError
	_, err = h.Invoke(t.Context(), "home", "r", []byte(`{}`))
	if !errors.As(err, &exit) || !strings.Contains(err.Error(), "DATABASE_URL: ") || !strings.Contains(err.Error(), "DOWNLOAD_PARALLEL: ") {
		t.Errorf("%v", err)
	}
}
