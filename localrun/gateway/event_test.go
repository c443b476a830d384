package gateway

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/rogpeppe/go-internal/txtar"

	"left4me/shared/fn/lambdahttp"
)

var arrival = time.Date(2020, 3, 12, 19, 3, 58, 0, time.UTC)

// parseRequest reads a request as net/http's server does.
func parseRequest(raw string) (*http.Request, []byte, error) {
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(raw)))
	if err != nil {
		return nil, nil, err
	}
	r.RemoteAddr = "192.0.2.7:54321"
	body, err := io.ReadAll(r.Body)
	return r, body, err
}

func TestEventsAreThoseOfFunctionURLs(t *testing.T) {
	files, err := filepath.Glob("testdata/events/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no fixtures: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			parts := map[string][]byte{}
			for _, f := range txtar.Parse(b).Files {
				parts[f.Name] = f.Data
			}
			head, rest, _ := strings.Cut(string(parts["request"]), "\n\n")
			if strings.Contains(head, "chunked") {
				rest = strings.ReplaceAll(rest, "\n", "\r\n")
			}
			r, body, err := parseRequest(strings.ReplaceAll(head, "\n", "\r\n") + "\r\n\r\n" + rest)
			if err != nil {
				t.Fatal(err)
			}
			got, err := Event(r, body, "overlay-list", "0196-id", arrival)
			if err != nil {
				t.Fatal(err)
			}
			if !sameJSON(t, got, parts["event.json"]) {
				var pretty bytes.Buffer
				json.Indent(&pretty, got, "", "  ")
				t.Errorf("got %s", &pretty)
			}
		})
	}
}

func sameJSON(t *testing.T, a, b []byte) bool {
	t.Helper()
	var x, y any
	if err := json.Unmarshal(a, &x); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &y); err != nil {
		t.Fatal(err)
	}
	return reflect.DeepEqual(x, y)
}

func TestEventKeepsAMalformedPath(t *testing.T) {
	r := &http.Request{Method: "GET", RequestURI: "/overlays/%zz?x=%", URL: &url.URL{Path: "/overlays/%zz"}, RemoteAddr: "[fe80::1%eth0]:1"}
	b, err := Event(r, nil, "f", "id", arrival)
	if err != nil {
		t.Fatal(err)
	}
	var e event
	if err := json.Unmarshal(b, &e); err != nil || e.RawPath != "/overlays/%zz" || e.RawQueryString != "x=%" || e.RequestContext.HTTP.SourceIP != "fe80::1" {
		t.Errorf("%v: %s", err, b)
	}
}

func TestEventOfARequestThatCameOverNoWire(t *testing.T) {
	for uri, want := range map[string]string{"http://left4me.example/a%2Fb?c=d": "/a%2Fb", "http://left4me.example": "/"} {
		r, err := http.NewRequestWithContext(t.Context(), "GET", uri, nil)
		if err != nil {
			t.Fatal(err)
		}
		b, err := Event(r, nil, "f", "id", arrival)
		if err != nil {
			t.Fatal(err)
		}
		var e event
		if err := json.Unmarshal(b, &e); err != nil || e.RawPath != want {
			t.Errorf("%v: %s", err, b)
		}
	}
}

func TestBodiesThatJSONCannotHold(t *testing.T) {
	for name, c := range map[string]struct {
		kind, encoding, body string
		base64               bool
	}{
		"text":            {"text/plain", "", "ü", false},
		"not UTF-8":       {"text/plain", "", "\xff", true},
		"compressed":      {"text/plain", "gzip", "x", true},
		"no type":         {"", "", "x", true},
		"a form":          {"application/x-www-form-urlencoded", "", "a=b", true},
		"a form of parts": {"multipart/form-data; boundary=x", "", "--x--", true},
		"JSON":            {"Application/JSON ; charset=utf-8", "", "{}", false},
		"empty":           {"text/plain", "", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			r := &http.Request{Method: "POST", RequestURI: "/", URL: &url.URL{}, Header: http.Header{"Content-Type": {c.kind}, "Content-Encoding": {c.encoding}}}
			b, err := Event(r, []byte(c.body), "f", "id", arrival)
			if err != nil {
				t.Fatal(err)
			}
			var e event
			if err := json.Unmarshal(b, &e); err != nil || e.IsBase64Encoded != c.base64 || bytes.Contains(b, []byte(`"body"`)) != (c.body != "") {
				t.Errorf("%v: %s", err, b)
			}
			back, err := lambdahttp.NewRequest(t.Context(), b, "")
			if err != nil {
				t.Fatal(err)
			}
			if got, _ := io.ReadAll(back.Body); string(got) != c.body {
				t.Errorf("came back as %q", got)
			}
		})
	}
}

// FuzzRoundTrip sends requests through Event and lambdahttp: the function must see what the browser sent.
func FuzzRoundTrip(f *testing.F) {
	f.Add("GET", "/overlays/a%2Fb?x=1&x=%32", "Accept: a\r\nAccept: b\r\n", "a=1; b=2", "")
	f.Add("POST", "/%C3%BC//x;y?%zz", "Content-Type: text/plain\r\n", "a=\"1,2\"", "ü")
	f.Add("POST", "/?", "Content-Type: application/x-www-form-urlencoded\r\nConnection: close, X\r\nX: 1\r\n", " ; =;", "a=b\xff")
	f.Add("HEAD", "http://other/x?y", "Host: twice\r\n", "", "")
	f.Fuzz(func(t *testing.T, method, uri, header, cookie, body string) {
		raw := method + " " + uri + " HTTP/1.1\r\nHost: left4me.example\r\n" + header + "Cookie: " + cookie + "\r\n\r\n"
		r, _, err := parseRequest(raw)
		if err != nil || !utf8.ValidString(raw) {
			return // net/http answers 400; JSON cannot hold it
		}
		payload, err := Event(r, []byte(body), "f", "id", arrival)
		if err != nil {
			t.Fatal(err)
		}
		got, err := lambdahttp.NewRequest(t.Context(), payload, r.Host)
		if err != nil {
			t.Fatal(err)
		}
		if got.Method != r.Method || got.Host != r.Host || got.Proto != r.Proto || got.RemoteAddr != "192.0.2.7:0" {
			t.Errorf("%s %s %s from %s", got.Method, got.Host, got.Proto, got.RemoteAddr)
		}
		if strings.HasPrefix(uri, "/") {
			if want := strings.TrimSuffix(uri, "?"); strings.TrimSuffix(got.RequestURI, "?") != want {
				t.Errorf("RequestURI %q, not %q", got.RequestURI, want)
			}
			if got.URL.Path != r.URL.Path || got.URL.EscapedPath() != r.URL.EscapedPath() || got.URL.RawQuery != r.URL.RawQuery {
				t.Errorf("URL %#v, not %#v", got.URL, r.URL)
			}
			if !reflect.DeepEqual(got.URL.Query(), r.URL.Query()) {
				t.Errorf("query %v, not %v", got.URL.Query(), r.URL.Query())
			}
		}
		if b, err := io.ReadAll(got.Body); err != nil || string(b) != body {
			t.Errorf("body %q, %v", b, err)
		}
		if a, b := got.CookiesNamed("a"), r.CookiesNamed("a"); len(a) != len(b) || len(a) > 0 && a[0].Value != b[0].Value {
			t.Errorf("cookie a: %v, not %v", a, b)
		}
		dropped := map[string]bool{}
		for _, line := range r.Header["Connection"] {
			for name := range strings.SplitSeq(line, ",") {
				dropped[http.CanonicalHeaderKey(strings.TrimSpace(name))] = true
			}
		}
		for name, values := range r.Header {
			key := strings.ToLower(name)
			if isHopByHop(key) || isSpoofable(key) || dropped[name] || key == "cookie" || key == "host" || key == "content-length" {
				continue
			}
			if name != http.CanonicalHeaderKey(key) {
				continue // a name that has no canonical form does not come back as it was
			}
			if got := got.Header.Get(name); got != strings.Join(values, ",") {
				t.Errorf("%s: %q, not %q", name, got, values)
			}
		}
	})
}
