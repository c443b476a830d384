package main_test

import (
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"left4me/localrun/lambdahost"
	"left4me/shared/account"
	"left4me/shared/db"
	"left4me/shared/db/dbtest"
	"left4me/shared/db/migrations"
	"left4me/shared/jobstore"
	"left4me/shared/overlay"
	"left4me/shared/route"
	"left4me/shared/steam/steamtest"
	"left4me/templates/assets"
)

// builtFunctions runs the real function binaries as Lambda does, on a database of their own.
func builtFunctions(t *testing.T) *lambdahost.Host {
	t.Helper()
	root := t.TempDir()
	migrated(t, root)
	return hosted(t, nil, 0, "LEFT4ME_ROOT="+root)
}

// migrated returns the database of root, with its tables.
func migrated(t *testing.T, root string) *db.DB {
	t.Helper()
	d := dbtest.Open(t, db.FileURL(filepath.Join(root, "left4me.db")))
	if _, err := migrations.Up(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	return d
}

// hosted runs the real function binaries in the environment env, each with its own time limit, or all with limit.
func hosted(t *testing.T, log *slog.Logger, limit time.Duration, env ...string) *lambdahost.Host {
	t.Helper()
	var functions []lambdahost.Function
	for _, r := range route.All() {
		functions = append(functions, lambdahost.Function{
			Name: r.Name, Path: filepath.Join(bin, "functions", r.Name), Env: env, MaxProcesses: 1, TimeLimit: cmp.Or(limit, r.TimeLimit),
		})
	}
	h, err := lambdahost.New(lambdahost.Config{Functions: functions, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Shutdown(t.Context()) })
	return h
}

// tokenOf is the csrf_token of who has this session or visit.
func tokenOf(secret string) string {
	sum := sha256.Sum256([]byte("left4me csrf salt" + secret))
	return "salt." + base64.RawURLEncoding.EncodeToString(sum[:16])
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
	stylesheet, _ := assets.Lookup(assets.Stylesheet)
	known := strings.NewReplacer("%CSRF%", tokenOf("secret"), "%STYLESHEET%", stylesheet.Version)
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
			if err := json.Unmarshal([]byte(known.Replace(string(text))), &c); err != nil {
				t.Fatal(err)
			}
			got := invoke(t, h, c.Function, c.Event)
			if got.StatusCode != c.Status || got.Headers["Location"] != c.Location || !strings.Contains(got.Body, c.Says) || got.IsBase64Encoded || got.StatusCode == 304 && got.Body != "" {
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
	for _, bad := range []string{`{}`, `null`, `"x"`, `{"job_id":7}`,
		`{"rawPath":"/","requestContext":{"http":{"method":"GET"}},"body":"%","isBase64Encoded":true}`, strings.Repeat("[", 1000)} {
		var failed *lambdahost.FunctionError
		if _, err := h.Invoke(t.Context(), "home", "bad", []byte(bad)); !errors.As(err, &failed) {
			t.Errorf("%.20s: %v", bad, err)
		}
		if got := invoke(t, h, "home", good.Event); got.StatusCode != 303 {
			t.Errorf("after %.20s: %d", bad, got.StatusCode)
		}
	}
}

// The largest event that Lambda hands over is read, and its form refused; one byte more does not get that far.
func TestAnEventOfSixMiB(t *testing.T) {
	t.Parallel()
	h := builtFunctions(t)
	const frame = `{"rawPath":"/login","requestContext":{"http":{"method":"POST","sourceIp":"198.51.100.7"}},"headers":{"content-type":"application/x-www-form-urlencoded"},"body":"name=%s"}`
	event := fmt.Appendf(nil, frame, strings.Repeat("x", lambdahost.MaxPayload-len(frame)+len("%s")))
	if got := invoke(t, h, "login", event); got.StatusCode != http.StatusRequestEntityTooLarge || !strings.Contains(got.Body, "more than left4me takes at once") {
		t.Errorf("an event of %d bytes: %d %s", len(event), got.StatusCode, got.Body)
	}
	var tooLarge *lambdahost.TooLargeError
	if _, err := h.Invoke(t.Context(), "login", "large", append(event, ' ')); !errors.As(err, &tooLarge) {
		t.Errorf("an event of more than 6 MiB: %v", err)
	}
}

// TestAProcessThatEndsOrHangsHarmsNobody has a function wait for Steam, in vain. It gives up in time to say so; when it
// cannot, because it is halted, it is killed; and when somebody else kills it, that is noticed. The next event gets another
// process.
func TestAProcessThatEndsOrHangsHarmsNobody(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	d := migrated(t, root)
	accounts := account.NewStore(d, time.Now)
	anna, err := accounts.Create(t.Context(), "anna", "a long password", false)
	if err != nil {
		t.Fatal(err)
	}
	_, tokens, err := accounts.SignIn(t.Context(), "anna", "a long password", account.Client{})
	if err != nil {
		t.Fatal(err)
	}
	id, err := overlay.NewStore(d, time.Now, jobstore.NewStore(d, time.Now)).Create(t.Context(), anna, "maps", overlay.Workshop.Name)
	if err != nil {
		t.Fatal(err)
	}
	path := route.ItemAdd.URL(id)
	event := fmt.Appendf(nil, `{"rawPath":%q,"requestContext":{"http":{"method":"POST","path":%q,"sourceIp":"198.51.100.7"}},"cookies":["left4me_session=%s"],
		"headers":{"content-type":"application/x-www-form-urlencoded"},"body":"input=1&csrf_token=%s"}`, path, path, tokens.Session, tokenOf(tokens.Session))
	const limit = 10 * time.Second
	for name, c := range map[string]struct {
		signal syscall.Signal // 0 sends none
		fails  func(error) bool
	}{
		"in time": {0, nil},
		"halted":  {syscall.SIGSTOP, is[*lambdahost.TimeoutError]},
		"killed":  {syscall.SIGKILL, is[*lambdahost.ExitError]},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			steam := steamtest.Start(t, "item 1\ncollections delay=1h\n")
			said := &lines{changed: make(chan struct{}, 1)}
			h := hosted(t, slog.New(slog.NewJSONHandler(said, &slog.HandlerOptions{Level: slog.LevelDebug})), limit, "LEFT4ME_ROOT="+root, "STEAM_API_URL="+steam.URL)
			go func() {
				err := steam.Await(t.Context(), "api", 1)
				var pid int
				if err == nil {
					pid, err = strconv.Atoi(startedAs.FindStringSubmatch(said.String())[1])
				}
				if err == nil {
					err = syscall.Kill(pid, c.signal)
				}
				if err != nil {
					t.Error(err)
				}
			}()
			if c.fails == nil {
				if got := invoke(t, h, "item-add", event); got.StatusCode != http.StatusGatewayTimeout || !strings.Contains(got.Body, "took too long") {
					t.Errorf("%d %s", got.StatusCode, got.Body)
				}
			} else if _, err := h.Invoke(t.Context(), "item-add", "r", event); !c.fails(err) {
				t.Error(err)
			}
			steam.Reset()
			if got := invoke(t, h, "item-add", event); got.StatusCode != http.StatusSeeOther {
				t.Errorf("the next one: %d %s", got.StatusCode, got.Body)
			}
		})
	}
}

// startedAs is what the host logs of a new process.
var startedAs = regexp.MustCompile(`"msg":"function process started".*"pid":(\d+)`)

func is[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
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
