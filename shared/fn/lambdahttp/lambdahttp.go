// Package lambdahttp lets an http.Handler answer Lambda Function URL events of payload format 2.0. It turns the event into a
// request, and the handler's buffered response into the result, compressed if that helps. If the handler panics or its response
// exceeds Lambda's limit, the result is an error page.
//
// Settings, logs and whatever else left4me's pages have in common are in shared/fn. The format is documented in
// docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html and in aws-lambda-go's events package.
package lambdahttp

import (
	"bytes"
	"cmp"
	"compress/gzip"
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

// MaxAnswer is the size in bytes of the largest result, as JSON, that Lambda accepts from a function.
const MaxAnswer = 6 << 20

// Adapter is a lambda.Handler that calls an http.Handler. All exported fields except Host must be set.
type Adapter struct {
	// Handler answers the requests, one at a time.
	Handler http.Handler
	// Host is the host, with an optional port, of the pages' public address. If it is empty, the event's host is used; on AWS that
	// would be wrong, because the viewer's Host header is not forwarded.
	Host string
	// Failed answers with status 500 after Handler has panicked or written too large a response. The cause has been logged.
	Failed http.Handler
	// Log receives those causes.
	Log *slog.Logger

	zip *gzip.Writer // reused, because to create one takes longer than to compress a page
}

// reserve is the longest time between the end of a request's context and the deadline of its invocation. It leaves time to
// answer with an error page: Lambda kills a function that misses its deadline, and answers with its own text.
const reserve = time.Second

// Invoke takes a Function URL event and returns the answer to it. It fails only if payload is not such an event, which
// Lambda reports as a failure of the function. The request's context ends before ctx does: by a tenth of the remaining time,
// or by reserve if that is shorter.
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

func (a *Adapter) report(r *http.Request, message string, err error) {
	attrs := []any{"error", err, "method", r.Method, "path", r.URL.Path}
	if p, ok := errors.AsType[*panicError](err); ok {
		attrs = append(attrs, "stack", p.stack)
	}
	a.Log.ErrorContext(r.Context(), message, attrs...)
}

type panicError struct {
	cause any
	stack string
}

func (e *panicError) Error() string { return fmt.Sprintf("panic: %v", e.cause) }

// serve returns the handler's answer to r, encoded for Lambda. The error is a *panicError, or errTooLarge, or says that the
// answer cannot be encoded.
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
	w.finish()
	if err := a.compress(w, r); err != nil {
		return nil, fmt.Errorf("compress the answer: %w", err)
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

// RequestID returns the id of the request that ctx belongs to, or "" if it belongs to none.
func RequestID(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey{}).(string)
	return id
}

// NewRequest returns the request that a Function URL event describes. payload is the event's JSON. The request's Host is host, or that of
// the event if host is empty; its RemoteAddr is the event's source address with port 0; its context is ctx with the request's id.
//
// The path of an event is exactly what the browser sent. If it is not well-formed (`/%zz`), that is no error: URL.Path is that
// text, which no route matches.
func NewRequest(ctx context.Context, payload []byte, host string) (*http.Request, error) {
	var e events.LambdaFunctionURLRequest
	if err := json.Unmarshal(payload, &e); err != nil {
		return nil, fmt.Errorf("read the Function URL event: %w", err)
	}
	meta := e.RequestContext.HTTP
	if meta.Method == "" {
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
		Method:        meta.Method,
		URL:           parseURL(e.RawPath, e.RawQueryString),
		Proto:         "HTTP/1.1",
		ProtoMajor:    1,
		ProtoMinor:    1,
		Header:        make(http.Header, len(e.Headers)+1),
		Body:          http.NoBody,
		ContentLength: int64(len(body)),
		Host:          cmp.Or(host, e.Headers["host"]),
		RemoteAddr:    net.JoinHostPort(meta.SourceIP, "0"),
	}
	if major, minor, ok := http.ParseHTTPVersion(meta.Protocol); ok {
		r.Proto, r.ProtoMajor, r.ProtoMinor = meta.Protocol, major, minor
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
		// The same cookies as in headers.cookie, but reliably separated.
		r.Header.Set("Cookie", strings.Join(e.Cookies, "; "))
	}
	return r.WithContext(context.WithValue(ctx, requestIDKey{}, id)), nil
}

// parseURL is url.ParseRequestURI for a path that may be malformed.
func parseURL(rawPath, rawQuery string) *url.URL {
	if !strings.HasPrefix(rawPath, "/") {
		rawPath = "/" + rawPath
	}
	u := &url.URL{Path: rawPath, RawQuery: rawQuery}
	if path, err := url.PathUnescape(rawPath); err == nil {
		u.Path = path
		if u.EscapedPath() != rawPath {
			u.RawPath = rawPath // the browser escapes other characters than Go
		}
	}
	return u
}

// response is an http.ResponseWriter that keeps everything in memory.
type response struct {
	header   http.Header
	status   int         // 0 until WriteHeader
	sent     http.Header // the copy of header that WriteHeader makes
	body     bytes.Buffer
	overflow bool
}

func (w *response) Header() http.Header { return w.header }

// WriteHeader implements http.ResponseWriter. Only the first final status counts. Lambda has no way to send a 1xx status.
func (w *response) WriteHeader(status int) {
	if w.status != 0 || status < 200 {
		return
	}
	w.status = status
	w.sent = w.header.Clone()
}

// Write implements io.Writer. When the body gets too large to be sent, it is dropped.
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
		w.body.Grow(32 << 10) // a page is written in many small pieces
	}
	return w.body.Write(b)
}

func hasBody(status int) bool {
	return status != http.StatusNoContent && status != http.StatusNotModified
}

// finish completes the header. As in net/http, a missing Content-Type is detected from the body.
func (w *response) finish() {
	w.WriteHeader(http.StatusOK)
	if w.body.Len() > 0 && w.sent.Get("Content-Type") == "" {
		w.sent.Set("Content-Type", http.DetectContentType(w.body.Bytes()))
	}
}

// encode returns the response as Lambda expects it.
func (w *response) encode() ([]byte, error) {
	body := w.body.Bytes()
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
	enc.SetEscapeHTML(false) // escaping would make a page 1.5 times as large
	if err := enc.Encode(answer); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// isText reports whether to send the body as text. Base64 works for every body, but is longer.
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
