package assets_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"left4me/shared/route"
	"left4me/templates/assets"
)

func get(t *testing.T, target string, header http.Header) *http.Response {
	t.Helper()
	return ask(t, http.MethodGet, target, header)
}

func ask(t *testing.T, method, target string, header http.Header) *http.Response {
	t.Helper()
	mux := http.NewServeMux()
	missing := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "nothing", http.StatusNotFound) })
	mux.Handle(route.Asset.Method+" "+route.Asset.Pattern, assets.Handler(missing))
	r := httptest.NewRequest(method, target, nil)
	for k, v := range header {
		r.Header[k] = v
	}
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, r)
	return w.Result()
}

// Browsers may cache a file only under the URL with its version, so that an upgrade takes effect at once.
func TestCaching(t *testing.T) {
	current := assets.URL(assets.Stylesheet)
	if !strings.HasPrefix(current, "/assets/app.css?v=") {
		t.Fatalf("the stylesheet's URL is %q", current)
	}
	for target, want := range map[string]string{
		current:                 "public, max-age=31536000, immutable",
		"/assets/app.css":       "no-cache",
		"/assets/app.css?v=old": "no-cache",
	} {
		if got := get(t, target, nil).Header.Get("Cache-Control"); got != want {
			t.Errorf("%s: Cache-Control is %q, want %q", target, got, want)
		}
	}
	again := get(t, "/assets/app.css", http.Header{"If-None-Match": {get(t, current, nil).Header.Get("ETag")}})
	if again.StatusCode != http.StatusNotModified {
		t.Errorf("asking again for what is known answers %d", again.StatusCode)
	}
}

// A transport must be able to answer a HEAD request with the header of the GET request, also if it compresses the body.
func TestHeadHasTheLengthOfTheBody(t *testing.T) {
	f, _ := assets.Lookup(assets.Stylesheet)
	r := ask(t, http.MethodHead, assets.URL(assets.Stylesheet), nil)
	body, err := io.ReadAll(r.Body)
	if err != nil || r.Header.Get("Content-Length") != strconv.Itoa(len(f.Content)) || len(body) != len(f.Content) {
		t.Errorf("%v, %d bytes, %v", r.Header, len(body), err)
	}
}

// Assets have the right content type, because browsers must not guess it.
func TestContentTypes(t *testing.T) {
	for name, want := range map[string]string{assets.Stylesheet: "text/css; charset=utf-8", assets.Mark: "image/svg+xml", assets.Unavailable: "text/html; charset=utf-8"} {
		r := get(t, assets.URL(name), nil)
		if r.StatusCode != http.StatusOK || r.Header.Get("Content-Type") != want {
			t.Errorf("%s: %d, %q", name, r.StatusCode, r.Header.Get("Content-Type"))
		}
	}
	if f, ok := assets.Lookup(assets.Htmx); ok && f.ContentType != "text/javascript; charset=utf-8" {
		t.Errorf("htmx is %q", f.ContentType)
	}
}

// Only the assets are served.
func TestNothingElseIsServed(t *testing.T) {
	for _, target := range []string{"/assets/none.css", "/assets/..%2Fassets.go", "/assets/%2e", "/assets/%2e%2e", "/assets/static%2Fapp.css"} {
		if status := get(t, target, nil).StatusCode; status != http.StatusNotFound {
			t.Errorf("%s answers %d", target, status)
		}
	}
	if assets.Has("none.css") || assets.URL("none.css") != "/assets/none.css" {
		t.Error("an asset that is not there has a version")
	}
}

// The first page waits for the stylesheet, so it must be small, as it is sent: compressed. So must left4me's script.
func TestStylesheetAndScriptStaySmall(t *testing.T) {
	for name, limit := range map[string]int{assets.Stylesheet: 6 << 10, assets.Script: 4 << 10} {
		f, _ := assets.Lookup(name)
		var sent bytes.Buffer
		z := gzip.NewWriter(&sent)
		_, err := z.Write(f.Content)
		if err := errors.Join(err, z.Close()); err != nil {
			t.Fatal(err)
		}
		if n := sent.Len(); len(f.Content) == 0 || n > limit {
			t.Errorf("%s has %d bytes, want at most %d", name, n, limit)
		}
	}
}
