package lambdahttp

import (
	"compress/gzip"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// ask returns the event of a request with headers, given as alternating names and values.
func ask(method string, headers ...string) string {
	var list []string
	for i := 0; i < len(headers); i += 2 {
		list = append(list, fmt.Sprintf("%q:%q", headers[i], headers[i+1]))
	}
	return fmt.Sprintf(`{"rawPath":"/","headers":{%s},"requestContext":{"http":{"method":%q}}}`, strings.Join(list, ","), method)
}

// plain returns the body of a as the client sees it.
func (a answer) plain(t *testing.T) string {
	t.Helper()
	if a.Headers["Content-Encoding"] == "" {
		return a.body(t)
	}
	r, err := gzip.NewReader(strings.NewReader(a.body(t)))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func page(contentType, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", contentType)
		io.WriteString(w, body)
	}
}

func TestWhatIsCompressed(t *testing.T) {
	long := strings.Repeat("<p>left4me</p>\n", 100)
	for name, c := range map[string]struct {
		handler    http.HandlerFunc
		compressed bool
		varies     bool
	}{
		"HTML":                 {page("text/html; charset=utf-8", long), true, true},
		"CSS":                  {page("text/css", long), true, true},
		"a script":             {page("text/javascript", long), true, true},
		"JSON":                 {page("application/json", long), true, true},
		"text of unknown type": {func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, long) }, true, true},
		"an error page": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			w.WriteHeader(http.StatusNotFound)
			io.WriteString(w, long)
		}, true, true},
		"a small page":    {page("text/html", long[:minCompressed-1]), false, true},
		"random text":     {page("text/plain", random(3<<10)), false, true},
		"a picture":       {page("image/png", long), false, false},
		"an unknown type": {page("application/octet-stream", long), false, false},
		"what is compressed": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/css")
			w.Header().Set("Content-Encoding", "br")
			io.WriteString(w, long)
		}, false, false},
		"a part of a file": {func(w http.ResponseWriter, r *http.Request) {
			r.Header.Set("Range", "bytes=0-1400")
			w.Header().Set("Content-Type", "text/css")
			http.ServeContent(w, r, "a.css", time.Time{}, strings.NewReader(long))
		}, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			want, _ := serve(t, ask("GET"), c.handler, failedPage)
			got, _ := serve(t, ask("GET", "accept-encoding", "gzip, deflate, br, zstd"), c.handler, failedPage)
			if compressed := got.Headers["Content-Encoding"] == "gzip"; compressed != c.compressed {
				t.Errorf("compressed: %v", compressed)
			}
			if got.StatusCode != want.StatusCode || c.compressed && got.plain(t) != want.body(t) || !c.compressed && got.body(t) != want.body(t) {
				t.Errorf("status %d, %q; without compression %d, %q", got.StatusCode, got.body(t), want.StatusCode, want.body(t))
			}
			if c.compressed && (!got.IsBase64Encoded || len(got.Body) >= len(want.Body)) {
				t.Errorf("in base64: %v, %d bytes instead of %d", got.IsBase64Encoded, len(got.Body), len(want.Body))
			}
			for _, a := range []answer{want, got} {
				if varies := a.Headers["Vary"] == "Accept-Encoding"; varies != c.varies {
					t.Errorf("headers %v", a.Headers)
				}
			}
		})
	}
}

// random returns a text that gzip and base64 together do not make shorter.
func random(size int) string {
	b := make([]byte, size/4*3)
	rand.Read(b)
	return base64.StdEncoding.EncodeToString(b)
}

func TestWhoGetsCompressedAnswers(t *testing.T) {
	for accepted, want := range map[string]bool{
		"":                              false,
		"gzip":                          true,
		"GZIP":                          true,
		"br;q=1.0, gzip;q=0.8, *;q=0.1": true,
		"gzip ; q=0.001":                true,
		"*":                             true,
		"deflate, *;q=0.5":              true,
		"gzip;q=0":                      false,
		"gzip;q=0.000, *":               false,
		"*;q=0":                         false,
		"gzip;q=many":                   false,
		"identity":                      false,
		"br":                            false,
		"xgzip":                         false,
		"identity;q=1, gzip;q=0.5":      false,
		"identity;q=0.5, gzip;q=1":      true,
		"identity;q=0, gzip;q=0.1":      true,
		",;,=;q":                        false,
	} {
		if got := acceptsGzip(accepted); got != want {
			t.Errorf("%q: %v", accepted, got)
		}
	}
}

// A file must be found unchanged whether the browser has its compressed or its plain form, and both must be known as the same.
func TestFilesKeepTheirTag(t *testing.T) {
	style := strings.Repeat("p { color: red }\n", 100)
	file := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/css")
		w.Header().Set("ETag", `"1"`)
		http.ServeContent(w, r, "a.css", time.Time{}, strings.NewReader(style))
	}
	for _, accepted := range []string{"gzip", ""} {
		got, _ := serve(t, ask("GET", "accept-encoding", accepted), file, failedPage)
		if got.StatusCode != 200 || got.plain(t) != style || got.Headers["Etag"] != `W/"1"` {
			t.Errorf("GET: %+v", got)
		}
		if _, ranges := got.Headers["Accept-Ranges"]; ranges != (accepted == "") {
			t.Errorf("parts are offered: %v", ranges)
		}
		again, _ := serve(t, ask("GET", "accept-encoding", accepted, "if-none-match", got.Headers["Etag"]), file, failedPage)
		if again.StatusCode != 304 || again.Body != "" || again.Headers["Etag"] != `W/"1"` || again.Headers["Vary"] != "Accept-Encoding" {
			t.Errorf("GET again: %+v", again)
		}
		head, _ := serve(t, ask("HEAD", "accept-encoding", accepted), file, failedPage)
		if head.StatusCode != 200 || head.Body != "" || head.Headers["Etag"] != `W/"1"` || head.Headers["Vary"] != "Accept-Encoding" {
			t.Errorf("HEAD: %+v", head)
		}
	}
}

// Lambda's limit counts the encoded answer, and compression must not make one too large.
func TestLargePagesFit(t *testing.T) {
	for name, body := range map[string]string{
		"a page that compresses well":   strings.Repeat(`x"`, MaxAnswer/2-1000), // too large once its quotes are escaped
		"a page that hardly compresses": random(MaxAnswer - 1000),
	} {
		got, log := serve(t, ask("GET", "accept-encoding", "gzip"), page("text/html", body), failedPage)
		if got.StatusCode != 200 || got.plain(t) != body {
			t.Errorf("%s: status %d, %d bytes; %s", name, got.StatusCode, len(got.Body), log)
		}
	}
}
