// Package lambdahttp lets an ordinary http.Handler answer Lambda Function URL events of payload format 2.0: the event
// becomes a request, the handler's answer is buffered and becomes the result.
//
// It owns that translation, and what a server would do around a handler: a panic becomes an error page, an answer beyond
// Lambda's limit too. It leaves out settings, logs and everything that left4me's pages have in common, which is shared/fn.
// The format is that of docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html and of aws-lambda-go's events package.
package lambdahttp

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"runtime/debug"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambdacontext"
)

// MaxAnswer is the largest result in bytes, JSON included, that Lambda takes from a function.
const MaxAnswer = 6 << 20

// Adapter is a lambda.Handler that has an http.Handler answer. All fields must be set.
type Adapter struct {
	// Handler answers the requests. It sees one at a time.
	Handler http.Handler
	// Host is the host, with its port if any, under which browsers see the pages. The event's own is of no use, because on
	// AWS the viewer's Host header is not forwarded.
	Host string
	// Failed answers in place of Handler with status 500 when Handler panicked, or answered more than fits. The cause is
	// logged already.
	Failed http.Handler
	// Log gets those causes.
	Log *slog.Logger
}

// reserve is how long before the deadline of its invocation, at most, a request's context ends, so that there is time left to
// answer with a page: who is late is killed, and then Lambda answers with its own words.
const reserve = time.Second

// Invoke takes a Function URL event and returns the answer to it. It fails only if payload is not such an event, which
// Lambda reports as a failure of the function. The request's context ends a tenth of its time before ctx does, or reserve.
func (a *Adapter) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	if deadline, ok := ctx.Deadline(); ok {
		var stop context.CancelFunc
		ctx, stop = context.WithDeadline(ctx, deadline.Add(-min(reserve, time.Until(deadline)/10)))
		defer stop()
	}
	r, err := NewRequest(ctx, payload, a.Host)
	if err != nil {
		return nil, err
	}
	answer, err := a.serve(a.Handler, r)
	if err == nil {
		return answer, nil
	}
	a.report(r, "the page failed", err)
	if answer, err = a.serve(a.Failed, r); err == nil {
		return answer, nil
	}
	a.report(r, "the error page failed, too", err)
	return []byte(`{"statusCode":500,"headers":{"Content-Type":"text/plain; charset=utf-8"},"body":"Internal Server Error\n"}`), nil
}

func (a *Adapter) report(r *http.Request, what string, err error) {
	attrs := []any{"error", err, "method", r.Method, "path", r.URL.Path}
	if p := (*panicError)(nil); errors.As(err, &p) {
		attrs = append(attrs, "stack", p.stack)
	}
	a.Log.ErrorContext(r.Context(), what, attrs...)
}

type panicError struct {
	cause any
	stack string
}

func (e *panicError) Error() string { return fmt.Sprintf("panic: %v", e.cause) }

// serve returns what handler answers, or why that is not fit to be sent.
func (a *Adapter) serve(handler http.Handler, r *http.Request) (answer []byte, err error) {
	w := &response{header: http.Header{}}
	defer func() {
		if cause := recover(); cause != nil {
			answer, err = nil, &panicError{cause, string(debug.Stack())}
		}
	}()
	handler.ServeHTTP(w, r)
	if w.overflow {
		return nil, errTooLarge
	}
	if answer, err = w.encode(); err != nil {
		return nil, fmt.Errorf("encode the answer: %w", err)
	}
	if len(answer) > MaxAnswer {
		return nil, errTooLarge
	}
	return answer, nil
}

var errTooLarge = fmt.Errorf("the answer is larger than %d bytes", MaxAnswer)

type requestIDKey struct{}

// RequestID returns the id of the request that ctx belongs to, or "" outside of one.
func RequestID(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey{}).(string)
	return id
}

// NewRequest makes the request that payload, a Function URL event, describes, as if it had come to host. Its RemoteAddr is
// the address that the event names, with port 0, and its context is ctx with the request id.
//
// The path of an event is as the browser sent it. Where it is not well-formed (`/%zz`), URL.Path is that text itself, which
// no route matches; it is no error.
func NewRequest(ctx context.Context, payload []byte, host string) (*http.Request, error) {
	var e events.LambdaFunctionURLRequest
	if err := json.Unmarshal(payload, &e); err != nil {
		return nil, fmt.Errorf("read the Function URL event: %w", err)
	}
	about := e.RequestContext.HTTP
	if about.Method == "" {
		return nil, errors.New("read the Function URL event: it has no requestContext.http.method")
	}
	body := []byte(e.Body)
	if e.IsBase64Encoded {
		var err error
		if body, err = base64.StdEncoding.DecodeString(e.Body); err != nil {
			return nil, fmt.Errorf("read the Function URL event: body: %w", err)
		}
	}
	id := e.RequestContext.RequestID
	if lc, ok := lambdacontext.FromContext(ctx); ok {
		id = lc.AwsRequestID
	}
	r := &http.Request{
		Method:        about.Method,
		URL:           location(e.RawPath, e.RawQueryString),
		Proto:         "HTTP/1.1",
		ProtoMajor:    1,
		ProtoMinor:    1,
		Header:        make(http.Header, len(e.Headers)+1),
		Body:          http.NoBody,
		ContentLength: int64(len(body)),
		Host:          host,
		RemoteAddr:    net.JoinHostPort(about.SourceIP, "0"),
	}
	if major, minor, ok := http.ParseHTTPVersion(about.Protocol); ok {
		r.Proto, r.ProtoMajor, r.ProtoMinor = about.Protocol, major, minor
	}
	r.RequestURI = e.RawPath
	if e.RawQueryString != "" {
		r.RequestURI += "?" + e.RawQueryString
	}
	if len(body) > 0 {
		r.Body = io.NopCloser(bytes.NewReader(body))
	}
	for name, value := range e.Headers {
		r.Header.Set(name, value)
	}
	r.Header.Del("Host") // as net/http's server does
	if len(e.Cookies) > 0 {
		// The same cookies as in headers.cookie, but well separated.
		r.Header.Set("Cookie", strings.Join(e.Cookies, "; "))
	}
	return r.WithContext(context.WithValue(ctx, requestIDKey{}, id)), nil
}

// location is url.ParseRequestURI for a path that may be malformed.
func location(rawPath, rawQuery string) *url.URL {
	if !strings.HasPrefix(rawPath, "/") {
		rawPath = "/" + rawPath
	}
	u := &url.URL{Path: rawPath, RawQuery: rawQuery}
	if path, err := url.PathUnescape(rawPath); err == nil {
		u.Path = path
		if u.EscapedPath() != rawPath {
			u.RawPath = rawPath // escaped in another way than Go would
		}
	}
	return u
}

// response is an http.ResponseWriter that keeps everything.
type response struct {
	header   http.Header
	status   int         // 0 until WriteHeader
	sent     http.Header // a copy of header from that moment
	body     bytes.Buffer
	overflow bool
}

func (w *response) Header() http.Header { return w.header }

// WriteHeader implements http.ResponseWriter. Only the first final status counts; 1xx cannot be passed on.
func (w *response) WriteHeader(status int) {
	if w.status != 0 || status < 200 {
		return
	}
	w.status = status
	w.sent = w.header.Clone()
}

// Write implements io.Writer. Once the answer is too large to be sent, nothing is kept.
func (w *response) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	if !hasBody(w.status) {
		return 0, http.ErrBodyNotAllowed
	}
	if w.overflow || w.body.Len()+len(b) > MaxAnswer {
		w.overflow = true
		w.body = bytes.Buffer{}
		return 0, errTooLarge
	}
	if w.body.Cap() == 0 {
		w.body.Grow(32 << 10) // a page comes in many small pieces
	}
	return w.body.Write(b)
}

func hasBody(status int) bool {
	return status != http.StatusNoContent && status != http.StatusNotModified
}

// encode makes the event's answer. As in net/http, a body without a type gets the one that it looks like.
func (w *response) encode() ([]byte, error) {
	w.WriteHeader(http.StatusOK)
	body := w.body.Bytes()
	if len(body) > 0 && w.sent.Get("Content-Type") == "" {
		w.sent.Set("Content-Type", http.DetectContentType(body))
	}
	answer := events.LambdaFunctionURLResponse{
		StatusCode: w.status,
		Headers:    make(map[string]string, len(w.sent)),
		Cookies:    w.sent["Set-Cookie"],
	}
	for name, values := range w.sent {
		switch {
		case name == "Set-Cookie", name == "Content-Length", strings.HasPrefix(name, http.TrailerPrefix):
		case len(values) > 0:
			answer.Headers[name] = strings.Join(values, ", ")
		}
	}
	if isText(w.sent) && utf8.Valid(body) {
		answer.Body = string(body)
	} else {
		answer.Body, answer.IsBase64Encoded = base64.StdEncoding.EncodeToString(body), true
	}
	var out bytes.Buffer
	out.Grow(len(answer.Body) + len(answer.Body)/8 + 1<<10)
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false) // a page would become half as large again
	if err := enc.Encode(answer); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// isText says whether a body of this kind is worth sending as text: anything may be sent in base64, it is only longer.
func isText(h http.Header) bool {
	if h.Get("Content-Encoding") != "" {
		return false
	}
	kind, _, _ := strings.Cut(h.Get("Content-Type"), ";")
	switch kind = strings.ToLower(strings.TrimSpace(kind)); kind {
	case "", "application/json", "application/javascript", "application/xml", "image/svg+xml":
		return true
	}
	return strings.HasPrefix(kind, "text/")
}
