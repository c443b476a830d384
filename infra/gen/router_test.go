package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"left4me/localrun/gateway"
	"left4me/localrun/lambdahost"
	"left4me/shared/route"
)

// request is one request to the router.
type request struct {
	Method  string                       `json:"method"`
	URI     string                       `json:"uri"`
	Headers map[string]map[string]string `json:"headers,omitempty"`
}

type outcome struct {
	// Host is the origin that the request was sent to. Passed reports whether the router returned the request itself.
	Host   string
	Passed bool
	Answer struct {
		StatusCode int
		Headers    map[string]json.RawMessage
		Body       struct{ Encoding, Data string }
		Method     string
		URI        string
	}
}

func (o outcome) header(name string) string {
	var h struct{ Value string }
	_ = json.Unmarshal(o.Answer.Headers[name], &h)
	return h.Value
}

// String returns the name of the function, or the status with the allowed methods.
func (o outcome) String() string {
	if o.Host != "" {
		return o.Host
	}
	return strings.TrimSpace(fmt.Sprint(o.Answer.StatusCode, " ", o.header("allow")))
}

// placeholders are replaced by CloudFormation.
var placeholders = regexp.MustCompile(`\$\{([A-Za-z]+)\}`)

// runRouter runs the router as CloudFront does, with the functions' names as their hosts.
func runRouter(t *testing.T, routes []route.Route, requests []request) []outcome {
	t.Helper()
	code, err := router(routes)
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]string{"${UrlDomain}": "aws"}
	for _, r := range routes {
		names["${"+logicalID(r.Name)+"Host}"] = r.Name
	}
	input, err := json.Marshal(map[string]any{
		"code":     placeholders.ReplaceAllStringFunc(string(code), func(p string) string { return names[p] }),
		"requests": requests,
	})
	if err != nil {
		t.Fatal(err)
	}
	var outcomes []outcome
	if err := json.Unmarshal(node(t, "route.mjs", input), &outcomes); err != nil {
		t.Fatal(err)
	}
	for i := range outcomes {
		outcomes[i].Host = strings.TrimSuffix(outcomes[i].Host, ".aws")
	}
	return outcomes
}

// node runs a script of infra/aws with input.
func node(t *testing.T, script string, input []byte) []byte {
	t.Helper()
	run := exec.CommandContext(t.Context(), "node", "../aws/"+script)
	run.Stdin = bytes.NewReader(input)
	run.Stderr = os.Stderr
	out, err := run.Output()
	if err != nil {
		t.Fatalf("node %s: %v", script, err)
	}
	return out
}

// runGateway returns what the host's gateway does with a request, in the format of outcome.String.
func runGateway(t *testing.T, g http.Handler, v request) string {
	t.Helper()
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(v.Method + " " + v.URI + " HTTP/1.1\r\nHost: left4me.example.org\r\n\r\n")))
	if err != nil {
		return "400" // net/http's server refuses it
	}
	w := httptest.NewRecorder()
	g.ServeHTTP(w, r)
	if w.Code == http.StatusOK {
		return w.Header().Get("Function")
	}
	return strings.TrimSpace(fmt.Sprint(w.Code, " ", w.Header().Get("Allow")))
}

// nameTeller is a fake of all functions. It answers with the function's name.
type nameTeller struct{}

func (nameTeller) Invoke(_ context.Context, function, _ string, _ []byte) (lambdahost.Answer, error) {
	return lambdahost.Answer{Payload: fmt.Appendf(nil, `{"statusCode":200,"headers":{"Function":%q}}`, function)}, nil
}

func newGateway(t *testing.T, routes []route.Route) http.Handler {
	t.Helper()
	g, err := gateway.New(gateway.Config{
		Limits:    gateway.DefaultLimits(),
		Routes:    routes,
		Functions: nameTeller{},
		ErrorPage: func(w http.ResponseWriter, _ *http.Request, p gateway.Problem) { w.WriteHeader(p.Status) },
		Log:       slog.New(slog.DiscardHandler),
		Now:       time.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

var wildcard = regexp.MustCompile(`\{[^/]*\}`)

// paths returns ordinary and malicious paths for each route.
func paths(routes []route.Route) []string {
	fillers := []string{
		"1", "0", "-1", "007", "app.css", "a%2Fb", "a%2fb", "%2F", "%2e%2e", "%2E", "..", ".", "...", "%zz", "%", "%4", "%25", "%252F",
		"%00", "%ff", "%C3%A9", "é", "{", "a{%2Fb", "a{%2e", "{%2E%2E", "a|%2F..%2Fb", "~", "!$&'()*+,;=:@", "[x]", "a%20b", "a+b", "a;b=c", "__proto__", "constructor", "toString", "hasOwnProperty",
		"null", "undefined", "\x7f", "\\", "a\\..\\b", "%5c..%5c", "#x", strings.Repeat("9", 8000),
	}
	all := []string{
		"//", "///", "/.", "/..", "/./", "/../", "/%2F", "/%2f", "/%2e", "/%2E%2e", "/%", "/%zz", "/%%", "//overlays", "/overlays//", "/overlays/",
		"/overlays/./1", "/overlays/../login", "/assets/../overlays/1", "/assets/%2e%2e/overlays/1", "/assets/..%2foverlays%2f1", "/overlays/1/..%2f..%2fassets/app.css",
		"/%6fverlays", "/%6Fverlays/1", "/OVERLAYS", "/Overlays/1", "/overlays%2F1", "/overlays%2f1%2fbuild", "/overlays;x=1", "/overlays.", "/overlays%00", "/overlays%20", "/ove%72lays/1/%62uild",
		"/overlays/1/build/", "/overlays/1//build", "/overlays/1/build/x", "/overlays//items", "/overlays/1/items//delete", "/l%C3%B6gin", "/löschen", "/favicon.ico", "/robots.txt", "/admin/", "/admin/nothing",
		"/constructor", "/__proto__/1", "/" + strings.Repeat("a/", 4000), "/" + strings.Repeat("%2F", 2700), "/overlays/" + strings.Repeat("%41", 330), "/overlays/" + strings.Repeat("%41", 331), "/" + strings.Repeat("../", 2000) + "overlays",
	}
	for _, r := range routes {
		path := strings.ReplaceAll(r.Pattern, "{$}", "")
		for _, filler := range fillers {
			filled := wildcard.ReplaceAllLiteralString(path, filler)
			if slices.Contains(all, filled) {
				break // a pattern without wildcards
			}
			all = append(all, filled, filled+"/", filled+filler)
		}
	}
	return all
}

func TestRouterAgreesWithTheGateway(t *testing.T) {
	routes := route.All()
	host := newGateway(t, routes)
	var requests []request
	for _, path := range paths(routes) {
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"} {
			requests = append(requests, request{Method: method, URI: path})
		}
	}
	reached := map[string]bool{}
	for i, got := range runRouter(t, routes, requests) {
		v := requests[i]
		want := runGateway(t, host, v)
		if len(v.URI) > 1000 {
			want = "414" // which the gateway leaves to the function
		}
		if got.String() != want {
			t.Errorf("%s %.80s: %s, want %s", v.Method, v.URI, got, want)
		}
		if got.Host != "" && (!got.Passed || got.Answer.URI != v.URI || got.Answer.Method != v.Method) {
			t.Errorf("%s %.80s: was changed", v.Method, v.URI)
		}
		if (got.Answer.Body.Data == "") != (got.Host != "" || v.Method == "HEAD") {
			t.Errorf("%s %.80s: body %q", v.Method, v.URI, got.Answer.Body.Data)
		}
		reached[got.String()] = true
	}
	for _, r := range routes {
		if !reached[r.Name] {
			t.Errorf("no request reached %s", r.Name)
		}
	}
	for _, status := range []string{"400", "404", "414", "405 GET, HEAD", "405 POST", "405 GET, HEAD, POST"} {
		if !reached[status] {
			t.Errorf("no request was answered with %s", status)
		}
	}
	t.Logf("%d requests", len(requests))
}

// The route table has no word and wildcard in the same place today.
func TestRouterPrefersWordsToWildcards(t *testing.T) {
	r := func(name, method, pattern string) route.Route {
		return route.Route{Name: name, Method: method, Pattern: pattern}
	}
	routes := []route.Route{
		r("any", "GET", "/a/{id}"), r("word", "GET", "/a/new"), r("any-post", "POST", "/a/{id}"), r("word-below", "POST", "/a/new/x"),
		r("any-below", "GET", "/a/{id}/x"), r("deep", "GET", "/a/{id}/{other}"), r("second", "GET", "/a/{id}/z"), r("root", "GET", "/{$}"),
	}
	host := newGateway(t, routes)
	var requests []request
	for _, path := range []string{"/", "/a", "/a/new", "/a/1", "/a/new/x", "/a/1/x", "/a/1/z", "/a/new/z", "/a/1/2"} {
		for _, method := range []string{"GET", "HEAD", "POST", "PUT"} {
			requests = append(requests, request{Method: method, URI: path})
		}
	}
	for i, got := range runRouter(t, routes, requests) {
		if want := runGateway(t, host, requests[i]); got.String() != want {
			t.Errorf("%s %s: %s, want %s", requests[i].Method, requests[i].URI, got, want)
		}
	}
}

func TestRouterRemovesTheSecretHeader(t *testing.T) {
	headers := map[string]map[string]string{"x-origin-secret": {"value": "guessed"}, "cookie-like": {"value": "kept"}}
	got := runRouter(t, route.All(), []request{{Method: "GET", URI: "/login", Headers: headers}})[0]
	if got.header("x-origin-secret") != "" || got.header("cookie-like") != "kept" {
		t.Errorf("headers sent on: %s", got.Answer.Headers)
	}
}

func TestErrorPagesOfTheRouter(t *testing.T) {
	got := runRouter(t, route.All(), []request{{Method: "GET", URI: "/<script>alert(1)</script>"}})[0]
	if got.header("cache-control") != "no-store" || !strings.HasPrefix(got.header("content-security-policy"), "default-src 'none';") || got.header("content-type") != "text/html; charset=utf-8" {
		t.Errorf("headers: %s", got.Answer.Headers)
	}
	if strings.Contains(got.Answer.Body.Data, "script") || !strings.Contains(got.Answer.Body.Data, `href="/overlays"`) || got.Answer.Body.Encoding != "text" {
		t.Errorf("body: %+v", got.Answer.Body)
	}
}

func TestUnsupportedRoutesAreRefused(t *testing.T) {
	for name, r := range map[string]route.Route{
		"another method":    {Name: "x", Method: "PUT", Pattern: "/x"},
		"the rest":          {Name: "x", Method: "GET", Pattern: "/x/{rest...}"},
		"everything below":  {Name: "x", Method: "GET", Pattern: "/x/"},
		"an escape":         {Name: "x", Method: "GET", Pattern: "/x%20y"},
		"a part of a word":  {Name: "x", Method: "GET", Pattern: "/x{id}"},
		"code":              {Name: "x", Method: "GET", Pattern: "/x'"},
		"no slash in front": {Name: "x", Method: "GET", Pattern: "x"},
	} {
		if code, err := router([]route.Route{r}); err == nil {
			t.Errorf("%s: %s", name, code)
		}
	}
}

func TestRouterSyntaxIsSupportedByCloudFront(t *testing.T) {
	needsPackages(t)
	code, err := router(route.All())
	if err != nil {
		t.Fatal(err)
	}
	if problem := node(t, "syntax.mjs", code); len(problem) > 0 {
		t.Errorf("%s", problem)
	}
	if problem := node(t, "syntax.mjs", append(code, "const f = ({ a }) => a?.b;\n"...)); len(problem) == 0 {
		t.Error("newer JavaScript was accepted")
	}
}

// CloudFront accepts 10 KB of code, including the functions' host names.
func TestRouterSize(t *testing.T) {
	code, err := router(route.All())
	if err != nil {
		t.Fatal(err)
	}
	longest := strings.Repeat("x", 32) // as is the domain, once
	whole := placeholders.ReplaceAllLiteralString(string(code), longest)
	t.Logf("%d bytes", len(whole))
	if len(whole) > 10_000 {
		t.Errorf("the router has %d bytes", len(whole))
	}
}
