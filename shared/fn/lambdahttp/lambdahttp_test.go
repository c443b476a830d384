package lambdahttp

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
)

// lambda.Start must accept it.
var _ lambda.Handler = (*Adapter)(nil)

type answer struct {
	StatusCode      int
	Headers         map[string]string
	Cookies         []string
	Body            string
	IsBase64Encoded bool
}

func (a answer) body(t *testing.T) string {
	t.Helper()
	if !a.IsBase64Encoded {
		return a.Body
	}
	b, err := base64.StdEncoding.DecodeString(a.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

const plainEvent = `{"rawPath":"/","requestContext":{"requestId":"r1","http":{"method":"GET"}}}`

// serve returns the answer to event, and what was logged.
func serve(t *testing.T, event string, handler, failed http.HandlerFunc) (answer, string) {
	t.Helper()
	var log bytes.Buffer
	a := &Adapter{Handler: handler, Host: "left4me.example", Failed: failed, Log: slog.New(slog.NewTextHandler(&log, nil))}
	b, err := a.Invoke(t.Context(), []byte(event))
	if err != nil {
		t.Fatal(err)
	}
	if len(b) > MaxAnswer {
		t.Errorf("the answer has %d bytes", len(b))
	}
	var got answer
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	return got, log.String()
}

func failedPage(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/html")
	w.WriteHeader(500)
	io.WriteString(w, "sorry "+RequestID(r.Context()))
}

func TestRequestFromEvent(t *testing.T) {
	type want struct {
		method, uri, path, escaped, query string
		host, remote, cookie, body        string
	}
	for name, c := range map[string]struct {
		event string
		want  want
	}{
		"a form": {
			`{"version":"2.0","rawPath":"/overlays/7/items","rawQueryString":"a=1&a=%32","headers":{"host":"other","content-type":"application/x-www-form-urlencoded"},
			"requestContext":{"http":{"method":"POST","sourceIp":"192.0.2.1","protocol":"HTTP/1.1"}},"body":"aW5wdXQ9MQ==","isBase64Encoded":true}`,
			want{method: "POST", uri: "/overlays/7/items?a=1&a=%32", path: "/overlays/7/items", query: "a=1&a=%32", remote: "192.0.2.1:0", body: "input=1"},
		},
		"an escaped slash": {
			`{"rawPath":"/a%2Fb","requestContext":{"http":{"method":"GET","sourceIp":"2001:db8::1"}}}`,
			want{method: "GET", uri: "/a%2Fb", path: "/a/b", escaped: "/a%2Fb", remote: "[2001:db8::1]:0"},
		},
		"a path that is not well-formed": {
			`{"rawPath":"/overlays/%zz","rawQueryString":"%zz;=","requestContext":{"http":{"method":"GET"}}}`,
			want{method: "GET", uri: "/overlays/%zz?%zz;=", path: "/overlays/%zz", escaped: "/overlays/%25zz", query: "%zz;="},
		},
		"no path": {
			`{"rawPath":"","requestContext":{"http":{"method":"GET"}}}`,
			want{method: "GET", uri: "", path: "/"},
		},
		"a path that looks like a host": {
			`{"rawPath":"//evil.example/x","requestContext":{"http":{"method":"GET"}}}`,
			want{method: "GET", uri: "//evil.example/x", path: "//evil.example/x"},
		},
		"cookies in both places": {
			`{"rawPath":"/","cookies":["a=1","b=2, 3"],"headers":{"cookie":"a=1,b=2, 3"},"requestContext":{"http":{"method":"GET"}}}`,
			want{method: "GET", uri: "/", path: "/", cookie: "a=1; b=2, 3"},
		},
		"cookies in the header alone": {
			`{"rawPath":"/","headers":{"cookie":"a=1; b=2"},"requestContext":{"http":{"method":"GET"}}}`,
			want{method: "GET", uri: "/", path: "/", cookie: "a=1; b=2"},
		},
		"a body as text": {
			`{"rawPath":"/","requestContext":{"http":{"method":"POST"}},"body":"grüß"}`,
			want{method: "POST", uri: "/", path: "/", body: "grüß"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := NewRequest(t.Context(), []byte(c.event), "left4me.example:8080")
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(r.Body)
			if err != nil {
				t.Fatal(err)
			}
			got := want{r.Method, r.RequestURI, r.URL.Path, r.URL.EscapedPath(), r.URL.RawQuery, r.Host, r.RemoteAddr, r.Header.Get("Cookie"), string(body)}
			c.want.host = "left4me.example:8080"
			if c.want.remote == "" {
				c.want.remote = ":0"
			}
			if c.want.escaped == "" {
				c.want.escaped = c.want.path
			}
			if got != c.want {
				t.Errorf("\ngot  %+v\nwant %+v", got, c.want)
			}
			if len(r.Header["Host"]) > 0 || len(r.Header["Cookie"]) > 1 || r.ContentLength != int64(len(body)) {
				t.Errorf("headers %v, length %d", r.Header, r.ContentLength)
			}
		})
	}
}

func TestInvalidEvents(t *testing.T) {
	a := &Adapter{Handler: http.NotFoundHandler(), Failed: http.NotFoundHandler(), Log: slog.New(slog.DiscardHandler)}
	for _, event := range []string{
		``, `null`, `{}`, `[]`, `"x"`, `{"job_id":1}`, `{"rawPath":1}`,
		`{"rawPath":"/","requestContext":{"http":{"method":"POST"}},"body":"%","isBase64Encoded":true}`,
	} {
		if b, err := a.Invoke(t.Context(), []byte(event)); err == nil {
			t.Errorf("%s: answered %s", event, b)
		}
	}
}

func TestRequestID(t *testing.T) {
	var got string
	a := &Adapter{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { got = RequestID(r.Context()) })}
	if _, err := a.Invoke(t.Context(), []byte(plainEvent)); err != nil || got != "r1" {
		t.Errorf("from the event: %q, %v", got, err)
	}
	ctx := lambdacontext.NewContext(t.Context(), &lambdacontext.LambdaContext{AwsRequestID: "r2"})
	if _, err := a.Invoke(ctx, []byte(plainEvent)); err != nil || got != "r2" {
		t.Errorf("from Lambda: %q, %v", got, err)
	}
	if id := RequestID(context.Background()); id != "" {
		t.Errorf("outside: %q", id)
	}
}

func TestAnswer(t *testing.T) {
	png := "\x89PNG\r\n\x1a\n"
	for name, c := range map[string]struct {
		handler http.HandlerFunc
		status  int
		headers map[string]string
		cookies []string
		body    string
		base64  bool
	}{
		"nothing": {func(w http.ResponseWriter, r *http.Request) {}, 200, nil, nil, "", false},
		"a page": {
			func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "text/html; charset=utf-8")
				w.Header().Set("Content-Length", "5")
				io.WriteString(w, "<p>é")
			},
			200, map[string]string{"Content-Type": "text/html; charset=utf-8", "Vary": "Accept-Encoding"}, nil, "<p>é", false,
		},
		"a page without a type": {
			func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "<!DOCTYPE html>") },
			200, map[string]string{"Content-Type": "text/html; charset=utf-8", "Vary": "Accept-Encoding"}, nil, "<!DOCTYPE html>", false,
		},
		"a picture": {
			func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, png) },
			200, map[string]string{"Content-Type": "image/png"}, nil, png, true,
		},
		"text that is not UTF-8": {
			func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "text/plain")
				io.WriteString(w, "\xff")
			},
			200, map[string]string{"Content-Type": "text/plain", "Vary": "Accept-Encoding"}, nil, "\xff", true,
		},
		"compressed text": {
			func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "text/css")
				w.Header().Set("Content-Encoding", "br")
				io.WriteString(w, "abc")
			},
			200, map[string]string{"Content-Type": "text/css", "Content-Encoding": "br"}, nil, "abc", true,
		},
		"a redirect with cookies": {
			func(w http.ResponseWriter, r *http.Request) {
				http.SetCookie(w, &http.Cookie{Name: "a", Value: "1"})
				http.SetCookie(w, &http.Cookie{Name: "b", Value: "2"})
				w.Header().Add("Vary", "Cookie")
				w.Header().Add("Vary", "HX-Request")
				w.Header().Set("Location", "/overlays")
				w.WriteHeader(303)
				w.WriteHeader(500)                // too late
				w.Header().Set("X-Too-Late", "1") // too
			},
			303, map[string]string{"Vary": "Cookie, HX-Request", "Location": "/overlays"}, []string{"a=1", "b=2"}, "", false,
		},
		"a status that allows no body": {
			func(w http.ResponseWriter, r *http.Request) {
				w.WriteHeader(103)
				w.WriteHeader(304)
				if _, err := io.WriteString(w, "x"); !errors.Is(err, http.ErrBodyNotAllowed) {
					panic(err)
				}
			},
			304, map[string]string{"Vary": "Accept-Encoding"}, nil, "", false,
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, log := serve(t, plainEvent, c.handler, failedPage)
			if got.StatusCode != c.status || got.body(t) != c.body || got.IsBase64Encoded != c.base64 {
				t.Errorf("status %d, body %q, base64 %v; %s", got.StatusCode, got.body(t), got.IsBase64Encoded, log)
			}
			if len(got.Headers) != len(c.headers) {
				t.Errorf("headers %v", got.Headers)
			}
			for name, value := range c.headers {
				if got.Headers[name] != value {
					t.Errorf("%s: %q", name, got.Headers[name])
				}
			}
			if strings.Join(got.Cookies, "|") != strings.Join(c.cookies, "|") {
				t.Errorf("cookies %q", got.Cookies)
			}
		})
	}
}

func TestErrorPageAfterAFailedHandler(t *testing.T) {
	overflow := bytes.Repeat([]byte("x"), MaxAnswer/4)
	for name, c := range map[string]struct {
		handler http.HandlerFunc
		logged  string
		stack   bool
	}{
		"panic after a part of the page": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Set-Cookie", "half=done")
			io.WriteString(w, "half a page")
			panic("oh no")
		}, "panic: oh no", true},
		"panic to abort":   {func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) }, "panic: net/http: abort", true},
		"a panic with nil": {func(w http.ResponseWriter, r *http.Request) { panic(nil) }, "panic: panic called with nil", true},
		"too much": {func(w http.ResponseWriter, r *http.Request) {
			if _, err := w.Write(make([]byte, MaxAnswer+1)); err == nil {
				panic("all of it was kept")
			}
		}, "larger than 6291456", false},
		"too much in parts": {func(w http.ResponseWriter, r *http.Request) { writeTimes(w, overflow, 8) }, "larger than 6291456", false},
		"too much only once it is in base64": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/octet-stream")
			writeTimes(w, overflow, 4)
		}, "larger than 6291456", false},
	} {
		t.Run(name, func(t *testing.T) {
			got, log := serve(t, plainEvent, c.handler, failedPage)
			if got.StatusCode != 500 || got.Body != "sorry r1" || len(got.Cookies) != 0 {
				t.Errorf("got %+v", got)
			}
			if !strings.Contains(log, c.logged) || strings.Contains(log, "lambdahttp_test.go") != c.stack {
				t.Errorf("logged %s", log)
			}
		})
	}
	t.Run("and so does the error page", func(t *testing.T) {
		bad := func(w http.ResponseWriter, r *http.Request) { panic("again") }
		got, log := serve(t, plainEvent, bad, bad)
		if got.StatusCode != 500 || got.Body != "Internal Server Error\n" || strings.Count(log, "panic: again") != 2 {
			t.Errorf("got %+v, logged %s", got, log)
		}
	})
}

func writeTimes(w io.Writer, b []byte, times int) {
	for range times {
		w.Write(b)
	}
}

func TestLargestAnswer(t *testing.T) {
	page := strings.Repeat("x", MaxAnswer-1000)
	got, log := serve(t, plainEvent, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, page) }, failedPage)
	if got.StatusCode != 200 || got.Body != page {
		t.Errorf("status %d, %d bytes; %s", got.StatusCode, len(got.Body), log)
	}
}

func FuzzEvent(f *testing.F) {
	f.Add(plainEvent)
	f.Add(`{"rawPath":"/%zz","headers":{"cookie":"x","\u0000":"y"},"requestContext":{"http":{"method":" "}}}`)
	f.Fuzz(func(t *testing.T, event string) {
		r, err := NewRequest(t.Context(), []byte(event), "h")
		if err != nil {
			return
		}
		if !strings.HasPrefix(r.URL.Path, "/") || r.URL.Host != "" {
			t.Errorf("URL %#v", r.URL)
		}
		mux := http.NewServeMux()
		mux.HandleFunc("GET /overlays/{id}", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.PathValue("id")) })
		a := &Adapter{Handler: mux, Host: "h", Failed: http.NotFoundHandler(), Log: slog.New(slog.NewTextHandler(io.Discard, nil))}
		b, err := a.Invoke(t.Context(), []byte(event))
		var got answer
		if err != nil || json.Unmarshal(b, &got) != nil || got.StatusCode < 200 || got.StatusCode == 500 {
			t.Errorf("%s: %v, %s", event, err, b)
		}
	})
}

// A handler that waits for its context must still have time to answer.
func TestRequestContextEndsBeforeTheInvocation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for limit, reserve := range map[time.Duration]time.Duration{30 * time.Second: time.Second, time.Second: 100 * time.Millisecond} {
			ctx, stop := context.WithTimeout(t.Context(), limit)
			a := &Adapter{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				<-r.Context().Done()
				if err := r.Context().Err(); err != context.DeadlineExceeded {
					t.Error(err)
				}
			})}
			begun := time.Now()
			if _, err := a.Invoke(ctx, []byte(plainEvent)); err != nil || ctx.Err() != nil {
				t.Errorf("%v, %v", err, ctx.Err())
			}
			if left := limit - time.Since(begun); left != reserve {
				t.Errorf("%v of %v were left", left, limit)
			}
			stop()
		}
	})
}
