package gateway

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"left4me/localrun/lambdahost"
	"left4me/shared/route"
)

// binary is testdata/page, built once.
var binary string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "gateway")
	if err != nil {
		panic(err)
	}
	binary = filepath.Join(dir, "page")
	build := exec.Command("go", "build", "-trimpath", "-tags", "lambda.norpc", "-ldflags", "-s -w", "-o", binary, "./testdata/page")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build testdata/page: %v\n%s", err, out)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// answers is an Invoker that does what its function says.
type answers func(ctx context.Context, function, requestID string, payload []byte) (lambdahost.Answer, error)

func (f answers) Invoke(ctx context.Context, function, requestID string, payload []byte) (lambdahost.Answer, error) {
	return f(ctx, function, requestID, payload)
}

func always(payload string, err error) answers {
	return func(context.Context, string, string, []byte) (lambdahost.Answer, error) {
		return lambdahost.Answer{Payload: []byte(payload), Cold: true}, err
	}
}

type log struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *log) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func newGateway(t testing.TB, routes []route.Route, functions Invoker) (*Gateway, *log) {
	t.Helper()
	l := &log{}
	g, err := New(Config{
		Routes:    routes,
		Functions: functions,
		ErrorPage: func(w http.ResponseWriter, r *http.Request, p Problem) {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			w.WriteHeader(p.Status)
			fmt.Fprintf(w, "<p>%s <code>%s</code>", p.Sentence, p.RequestID)
		},
		Limits: Limits{Requests: 100, RequestsEach: 100, Uploads: 64 << 20, Answers: 64 << 20},
		Log:    slog.New(slog.NewJSONHandler(l, nil)),
		Now:    func() time.Time { return arrival },
	})
	if err != nil {
		t.Fatal(err)
	}
	return g, l
}

func get(g http.Handler, method, target, body string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	g.ServeHTTP(w, httptest.NewRequest(method, target, strings.NewReader(body)))
	return w
}

func TestEachRouteGoesToItsFunction(t *testing.T) {
	var function string
	g, _ := newGateway(t, route.All(), answers(func(_ context.Context, f, _ string, payload []byte) (lambdahost.Answer, error) {
		function = f
		return lambdahost.Answer{Payload: []byte(`{"statusCode":200}`)}, nil
	}))
	wildcard := regexp.MustCompile(`\{[^}]*\}`)
	for _, r := range route.All() {
		methods := []string{r.Method}
		if r.Method == "GET" {
			methods = append(methods, "HEAD")
		}
		for _, method := range methods {
			for _, value := range []string{"7", "a%2Fb", "%C3%BC"} {
				path := wildcard.ReplaceAllString(strings.TrimSuffix(r.Pattern, "{$}"), value)
				function = ""
				if w := get(g, method, path, ""); w.Code != 200 || function != r.Name {
					t.Errorf("%s %s: status %d from %q, not %s", method, path, w.Code, function, r.Name)
				}
			}
		}
	}
}

func TestRoutesThatClashAreRefused(t *testing.T) {
	for name, patterns := range map[string][]string{
		"a clash":           {"/a/{x}", "/{y}/b"},
		"twice":             {"/a", "/a"},
		"no pattern at all": {"a b"},
	} {
		var routes []route.Route
		for _, p := range patterns {
			routes = append(routes, route.Route{Name: p, Method: "GET", Pattern: p})
		}
		if _, err := New(Config{Routes: routes}); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestProblems(t *testing.T) {
	small := route.Route{Name: "f", Method: "POST", Pattern: "/form", MaxBody: 8 << 10}
	page := route.Route{Name: "p", Method: "GET", Pattern: "/page"}
	fine := always(`{"statusCode":200}`, nil)
	for name, c := range map[string]struct {
		method, target, body string
		functions            Invoker
		status               int
		header, value        string
		sentence             string
		logged               string
	}{
		"no such page":          {"GET", "/nothing", "", fine, 404, "", "", "There is no page at this address", ""},
		"not quite the address": {"GET", "/page/", "", fine, 404, "", "", "There is no page", ""},
		"a path to be cleaned":  {"GET", "//page", "", fine, 404, "", "", "There is no page", ""},
		"an odd method":         {"BREW", "/page", "", fine, 405, "Allow", "GET, HEAD", "cannot be used in that way", ""},
		"a form's address":      {"GET", "/form", "", fine, 405, "Allow", "POST", "cannot be used in that way", ""},
		"a form too large":      {"POST", "/form", strings.Repeat("x", 8<<10+1), fine, 413, "", "", "at most 8 KiB", ""},
		"a page with a body":    {"GET", "/page", "x", fine, 413, "", "", "at most 0 KiB", ""},
		"an event too large": {"GET", "/page", "", always("", &lambdahost.TooLargeError{}), 413, "", "",
			"at most 6144 KiB", ""},
		"busy": {"GET", "/page", "", always("", &lambdahost.BusyError{RetryAfter: 1500 * time.Millisecond}), 503, "Retry-After", "2",
			"Try again in 2 seconds", "busy"},
		"shutting down": {"GET", "/page", "", always("", lambdahost.ErrClosed), 503, "Retry-After", "10", "is restarting", "shutting down"},
		"too slow":      {"GET", "/page", "", always("", &lambdahost.TimeoutError{}), 504, "", "", "took too long", "no answer within"},
		"failed":        {"GET", "/page", "", always("", &lambdahost.FunctionError{Type: "SECRET"}), 502, "", "", "This page failed", "SECRET"},
		"exited":        {"GET", "/page", "", always("", &lambdahost.ExitError{Reason: "SECRET"}), 502, "", "", "This page failed", "SECRET"},
		"no function":   {"GET", "/page", "", always("", &lambdahost.UnknownFunctionError{}), 502, "", "", "This page failed", "unknown"},
		"an answer too large": {"GET", "/page", "", always("", &lambdahost.TooLargeError{Answer: true}), 502, "", "",
			"This page failed", "larger than"},
		"no answer":             {"GET", "/page", "", always("", nil), 502, "", "", "This page failed", "not a response"},
		"rubbish":               {"GET", "/page", "", always("<html>SECRET", nil), 502, "", "", "This page failed", "not a response"},
		"half an answer":        {"GET", "/page", "", always(`{"statusCode":200,"bo`, nil), 502, "", "", "This page failed", "not a response"},
		"a status that is text": {"GET", "/page", "", always(`{"statusCode":"200"}`, nil), 502, "", "", "This page failed", "not a response"},
		"a body that is a list": {"GET", "/page", "", always(`{"statusCode":200,"body":[]}`, nil), 502, "", "", "This page failed", "not a response"},
		"no status at all":      {"GET", "/page", "", always(`{"statusCode":0}`, nil), 502, "", "", "This page failed", "status code 0"},
		"an interim status":     {"GET", "/page", "", always(`{"statusCode":100}`, nil), 502, "", "", "This page failed", "status code 100"},
		"not in base64":         {"GET", "/page", "", always(`{"statusCode":200,"body":"%","isBase64Encoded":true}`, nil), 502, "", "", "This page failed", "base64"},
	} {
		t.Run(name, func(t *testing.T) {
			g, log := newGateway(t, []route.Route{small, page}, c.functions)
			served := ""
			g.cfg.Served = func(function string, status int, took time.Duration) {
				served += fmt.Sprintf("%s %d %s", function, status, took)
			}
			w := get(g, c.method, c.target+"?token=HIDDEN", c.body)
			id := w.Header().Get("X-Request-Id")
			if w.Code != c.status || w.Header().Get(c.header) != c.value {
				t.Errorf("status %d, %v", w.Code, w.Header())
			}
			if b := w.Body.String(); !strings.Contains(b, c.sentence) || !strings.Contains(b, id) || strings.Contains(b, "SECRET") {
				t.Errorf("body %s", b)
			}
			if w.Header().Get("Cache-Control") != "no-store" {
				t.Error("it may be cached")
			}
			if function, _, _ := strings.Cut(served, " "); served != fmt.Sprintf("%s %d 0s", function, c.status) || (function == "") != (c.status == 404 || c.status == 405) {
				t.Errorf("told of %q", served)
			}
			var record map[string]any
			if err := json.Unmarshal([]byte(log.String()), &record); err != nil {
				t.Fatalf("%v: %s", err, log)
			}
			logged, _ := record["error"].(string)
			if len(id) != 36 || record["request_id"] != id || record["status"] != float64(c.status) || record["path"] != c.target ||
				!strings.Contains(logged, c.logged) || (logged == "") != (c.logged == "") {
				t.Errorf("logged %s", log)
			}
			if strings.Contains(log.String(), "HIDDEN") {
				t.Errorf("the query is in the log: %s", log)
			}
		})
	}
}

func TestAFormOfTheLimitIsAccepted(t *testing.T) {
	body := strings.Repeat("x", 8<<10)
	var got event
	g, _ := newGateway(t, []route.Route{{Name: "f", Method: "POST", Pattern: "/form", MaxBody: 8 << 10}},
		answers(func(_ context.Context, _, _ string, payload []byte) (lambdahost.Answer, error) {
			return lambdahost.Answer{Payload: []byte(`{"statusCode":204}`)}, json.Unmarshal(payload, &got)
		}))
	if w := get(g, "POST", "/form", body); w.Code != 204 || len(got.Body) != (len(body)+2)/3*4 {
		t.Errorf("status %d, event %+v", w.Code, got)
	}
}

func TestAnswersOfFunctions(t *testing.T) {
	for name, c := range map[string]struct {
		payload string
		status  int
		headers http.Header
		body    string
	}{
		"a page": {
			`{"statusCode":201,"headers":{"content-type":"text/html","x-a":"1","Connection":"close","Transfer-Encoding":"chunked","content-length":"99","X-Request-Id":"forged"},"cookies":["a=1","b=2; Path=/"],"body":"<p>é"}`,
			201, http.Header{"Content-Type": {"text/html"}, "X-A": {"1"}, "Set-Cookie": {"a=1", "b=2; Path=/"}, "Content-Length": {"5"}}, "<p>é",
		},
		"a picture": {
			`{"statusCode":200,"headers":{"Content-Type":"image/png"},"body":"iVBORw==","isBase64Encoded":true}`,
			200, http.Header{"Content-Type": {"image/png"}, "Content-Length": {"4"}}, "\x89PNG",
		},
		"no type":            {`{"statusCode":200,"body":"<script>"}`, 200, http.Header{"Content-Length": {"8"}}, "<script>"},
		"nulls":              {`{"statusCode":303,"headers":null,"cookies":null,"body":null}`, 303, http.Header{"Content-Length": {"0"}}, ""},
		"not modified":       {`{"statusCode":304,"body":"x"}`, 304, http.Header{}, ""},
		"a cookie as header": {`{"statusCode":200,"headers":{"set-cookie":"a=1"},"cookies":["b=2"]}`, 200, http.Header{"Set-Cookie": {"a=1", "b=2"}, "Content-Length": {"0"}}, ""},
		"an object":          {`{"message":"hello","body":{"x":1}}`, 200, http.Header{"Content-Type": {"application/json"}, "Content-Length": {"34"}}, `{"message":"hello","body":{"x":1}}`},
		"a text":             {`"hello"`, 200, http.Header{"Content-Type": {"application/json"}, "Content-Length": {"7"}}, `"hello"`},
		"a list":             {"[1,2]\n", 200, http.Header{"Content-Type": {"application/json"}, "Content-Length": {"5"}}, `[1,2]`},
		"null":               {`null`, 200, http.Header{"Content-Type": {"application/json"}, "Content-Length": {"4"}}, `null`},
	} {
		t.Run(name, func(t *testing.T) {
			g, log := newGateway(t, []route.Route{{Name: "p", Method: "GET", Pattern: "/page"}}, always(c.payload, nil))
			server := httptest.NewServer(g)
			defer server.Close()
			for _, method := range []string{"GET", "HEAD"} {
				resp, body := fetch(t, method, server.URL+"/page", nil)
				want := c.body
				if method == "HEAD" {
					want = ""
				}
				if resp.StatusCode != c.status || body != want {
					t.Errorf("%s: status %d, body %q", method, resp.StatusCode, body)
				}
				if id := resp.Header.Get("X-Request-Id"); len(id) != 36 || !strings.Contains(log.String(), id) {
					t.Errorf("request id %q", id)
				}
				resp.Header.Del("X-Request-Id")
				resp.Header.Del("Date")
				if fmt.Sprint(resp.Header) != fmt.Sprint(c.headers) {
					t.Errorf("%s: headers %v", method, resp.Header)
				}
			}
			if !strings.Contains(log.String(), `"function":"p","cold":true`) {
				t.Errorf("logged %s", log)
			}
		})
	}
}

func fetch(t *testing.T, method, url string, body io.Reader) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(b)
}

func TestABrowserThatGoesAwayStopsNothing(t *testing.T) {
	invoked, gone, done := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	g, _ := newGateway(t, []route.Route{{Name: "p", Method: "GET", Pattern: "/page"}},
		answers(func(ctx context.Context, _, _ string, _ []byte) (lambdahost.Answer, error) {
			close(invoked)
			<-gone
			done <- ctx.Err()
			return lambdahost.Answer{Payload: []byte(`{}`)}, nil
		}))
	noticed := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		go func() {
			<-r.Context().Done()
			close(noticed)
		}()
		g.ServeHTTP(w, r)
	}))
	defer server.Close()
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-invoked
		cancel()
	}()
	req, err := http.NewRequestWithContext(ctx, "GET", server.URL+"/page", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := http.DefaultTransport.RoundTrip(req); !errors.Is(err, context.Canceled) {
		t.Errorf("the browser got %v", err)
	}
	<-noticed
	close(gone)
	if err := <-done; err != nil {
		t.Errorf("the function was stopped: %v", err)
	}
}

func TestABodyThatDoesNotArriveWhole(t *testing.T) {
	g, log := newGateway(t, []route.Route{{Name: "f", Method: "POST", Pattern: "/form", MaxBody: 100}}, always(`{}`, nil))
	server := httptest.NewServer(g)
	defer server.Close()
	c, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, "POST /form HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\nhalf")
	if err := c.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if b, _ := io.ReadAll(resp.Body); resp.StatusCode != 400 || !strings.Contains(string(b), "Send it again") {
		t.Errorf("status %d: %s; %s", resp.StatusCode, b, log)
	}
}

// serve makes a real host with the functions page, slow and raw, and a server in front of it.
func serve(t testing.TB, singleShot bool) (url string, g *log) {
	t.Helper()
	f := func(name string, env ...string) lambdahost.Function {
		return lambdahost.Function{Name: name, Path: binary, Env: env, MaxProcesses: 4, TimeLimit: time.Minute}
	}
	slow := f("slow")
	slow.TimeLimit = 200 * time.Millisecond
	host, err := lambdahost.New(lambdahost.Config{
		Functions:  []lambdahost.Function{f("page"), f("form"), f("raw", "TEST_RAW=1"), slow},
		SingleShot: singleShot,
	})
	if err != nil {
		t.Fatal(err)
	}
	gw, l := newGateway(t, []route.Route{
		{Name: "page", Method: "GET", Pattern: "/page/{id}"},
		{Name: "form", Method: "POST", Pattern: "/page/{id}", MaxBody: 7 << 20},
		{Name: "raw", Method: "GET", Pattern: "/raw"},
		{Name: "slow", Method: "GET", Pattern: "/slow"},
	}, host)
	server := httptest.NewServer(gw)
	t.Cleanup(func() {
		server.Close()
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := host.Shutdown(ctx); err != nil {
			t.Error(err)
		}
	})
	return server.URL, l
}

func TestThroughARealFunction(t *testing.T) {
	url, log := serve(t, false)

	req, err := http.NewRequestWithContext(t.Context(), "POST", url+"/page/a%2Fb?x=%zz&y=1", strings.NewReader("input=1%202"))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Add("Cookie", "s=1; t=2")
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var seen struct {
		Method, URI, Path, Host, Remote, Body, ID string
		Header                                    http.Header
	}
	if err := json.NewDecoder(resp.Body).Decode(&seen); err != nil {
		t.Fatal(err)
	}
	if seen.Method != "POST" || seen.URI != "/page/a%2Fb?x=%zz&y=1" || seen.Path != "/page/a/b" || seen.Host != "left4me.example" ||
		seen.Remote != "127.0.0.1:0" || seen.Body != "input=1%202" || seen.Header.Get("Cookie") != "s=1; t=2" || len(seen.Header["Cookie"]) != 1 {
		t.Errorf("the function saw %+v", seen)
	}
	if resp.StatusCode != 202 || fmt.Sprint(resp.Header["Set-Cookie"]) != "[a=1; HttpOnly b=2]" {
		t.Errorf("the browser saw %d, %v", resp.StatusCode, resp.Header)
	}
	if seen.ID != resp.Header.Get("X-Request-Id") || !strings.Contains(log.String(), `"request_id":"`+seen.ID+`","client":"127.0.0.1","method":"POST","path":"/page/a%2Fb","status":202`) {
		t.Errorf("id %s; %s", seen.ID, log)
	}

	for name, c := range map[string]struct {
		method, target string
		body           io.Reader
		status         int
		want           string
	}{
		"a page":              {"GET", "/page/1?do=page", nil, 200, "an overlay with a name"},
		"its head":            {"HEAD", "/page/1?do=page", nil, 200, ""},
		"a large page":        {"GET", "/page/1?do=large", nil, 200, "xxxxx"},
		"a large form":        {"POST", "/page/1", strings.NewReader(strings.Repeat("x", 4<<20)), 202, "xxxxx"},
		"a form over 6 MiB":   {"POST", "/page/1", strings.NewReader(strings.Repeat("x", 6<<20)), 413, "at most 6144 KiB"},
		"a panic":             {"GET", "/page/1?do=panic", nil, 500, "the function's own error page"},
		"an exit":             {"GET", "/page/1?do=exit", nil, 502, "This page failed"},
		"a hang":              {"GET", "/slow?do=hang", nil, 504, "took too long"},
		"rubbish":             {"GET", "/raw?raw=%7Brubbish", nil, 502, "This page failed"},
		"a bare value":        {"GET", "/raw?raw=[1]", nil, 200, "[1]"},
		"a redirect":          {"GET", `/raw?raw={"statusCode":303,"headers":{"Location":"/login"}}`, nil, 303, ""},
		"a wrong status code": {"GET", `/raw?raw={"statusCode":42}`, nil, 502, "This page failed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			resp, body := fetch(t, c.method, url+c.target, c.body)
			if resp.StatusCode != c.status || !strings.Contains(body, c.want) {
				t.Errorf("status %d: %.300s", resp.StatusCode, body)
			}
			if c.method == "HEAD" && (body != "" || resp.ContentLength < 10000) {
				t.Errorf("%d bytes, length %d", len(body), resp.ContentLength)
			}
		})
	}
}
