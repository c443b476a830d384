// Package gateway serves the route table over HTTP. It turns each request into a Function URL event for the function of its
// route, and the function's answer into the response, as CloudFront and Function URLs do on AWS.
//
// It also answers by itself if there is no page, the method is wrong, the request is too large, or the function is busy, fails
// or is too slow. Package lambdahost runs the processes. The functions check sessions and permissions.
package gateway

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"

	"left4me/localrun/lambdahost"
	"left4me/shared/route"
)

// Invoker runs functions. It is a *lambdahost.Host except in tests.
type Invoker interface {
	Invoke(ctx context.Context, function, requestID string, payload []byte) (lambdahost.Answer, error)
}

// Problem is an error that the gateway itself answers with.
type Problem struct {
	// Status is the HTTP status.
	Status int
	// Sentence tells the person what to do.
	Sentence string
	// RequestID is also in the log and in the header X-Request-Id.
	RequestID string
}

// Config configures a Gateway. Fields are required unless they say otherwise.
type Config struct {
	// Routes is the route table.
	Routes []route.Route
	// Functions runs the functions, which have the names of their routes.
	Functions Invoker
	// ErrorPage writes p as a complete response, including the status. The request may be for a fragment.
	ErrorPage func(w http.ResponseWriter, r *http.Request, p Problem)
	// TrustedProxies are the addresses of proxies whose X-Forwarded-For is trusted. It may be empty.
	TrustedProxies []netip.Prefix
	// Limits are those of requests and memory.
	Limits Limits
	// Served is called after each request with its function, the status and the duration. function is empty if there is no
	// such page. Served may be nil.
	Served func(function string, status int, took time.Duration)
	// Log receives one record for each request, and one warning if a proxy may be missing in TrustedProxies.
	Log *slog.Logger
	// Now is the clock.
	Now func() time.Time
}

// Gateway is an http.Handler.
type Gateway struct {
	cfg      Config
	mux      *http.ServeMux
	requests requests
	uploads  memory
	answers  memory
	warned   sync.Once // of warnOfProxy
}

// endpoint is the mux's handler for a route.
type endpoint struct{ route.Route }

// ServeHTTP does nothing: the gateway uses the mux only to find routes.
func (endpoint) ServeHTTP(http.ResponseWriter, *http.Request) {}

// New returns a Gateway. The error names a route whose pattern is malformed or conflicts with another one.
func New(cfg Config) (*Gateway, error) {
	g := &Gateway{
		cfg:      cfg,
		mux:      http.NewServeMux(),
		requests: requests{most: cfg.Limits.Requests, mostEach: cfg.Limits.RequestsEach, each: map[netip.Prefix]int{}},
		uploads:  memory{most: cfg.Limits.Uploads},
		answers:  memory{most: cfg.Limits.Answers},
	}
	for _, r := range cfg.Routes {
		if err := g.register(r); err != nil {
			return nil, err
		}
	}
	return g, nil
}

func (g *Gateway) register(r route.Route) (err error) {
	defer func() { // ServeMux reports errors only by a panic
		if cause := recover(); cause != nil {
			err = fmt.Errorf("route %s: %v", r.Name, cause)
		}
	}()
	g.mux.Handle(r.Method+" "+r.Pattern, endpoint{r})
	return nil
}

// access has the details of a request for its log record.
type access struct {
	function string
	status   int
	cold     bool
	err      error
}

// ServeHTTP answers and logs r.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	begun := g.cfg.Now()
	id := newRequestID()
	w.Header().Set("X-Request-Id", id)
	g.warnOfProxy(r)
	if len(g.cfg.TrustedProxies) > 0 {
		r = fromClient(r, g.cfg.TrustedProxies)
	}
	a := g.serve(w, r, id, begun)
	took := g.cfg.Now().Sub(begun)
	if g.cfg.Served != nil {
		g.cfg.Served(a.function, a.status, took)
	}

	path, _ := target(r) // without the query, which may be private
	attrs := []slog.Attr{
		slog.String("request_id", id),
		slog.String("client", clientAddress(r)),
		slog.String("method", r.Method),
		slog.String("path", path),
		slog.Int("status", a.status),
		slog.Float64("duration_ms", float64(took.Microseconds())/1000),
	}
	if a.function != "" {
		attrs = append(attrs, slog.String("function", a.function), slog.Bool("cold", a.cold))
	}
	level := slog.LevelInfo
	if a.err != nil {
		attrs = append(attrs, slog.Any("error", a.err))
		level = slog.LevelError
	}
	g.cfg.Log.LogAttrs(r.Context(), level, "request", attrs...)
}

func newRequestID() string {
	id, err := uuid.NewV7()
	if err != nil {
		id = uuid.New()
	}
	return id.String()
}

func (g *Gateway) serve(w http.ResponseWriter, r *http.Request, id string, begun time.Time) access {
	to, allow, ok := g.find(r)
	if !ok {
		if allow != "" {
			w.Header().Set("Allow", allow)
			return g.problem(w, r, id, http.StatusMethodNotAllowed, "This address cannot be used in that way. Go back, and use the links and buttons of the page.")
		}
		return g.problem(w, r, id, http.StatusNotFound, "There is no page at this address. Check it, or start again from the list of overlays.")
	}
	a := g.invoke(w, r, to, id, begun)
	a.function = to.Name
	return a
}

// find returns the route of r. If there is none, allow lists the methods of r's path, if it has any. A path that net/http would
// redirect to a cleaner form has no route, as on AWS.
func (g *Gateway) find(r *http.Request) (to route.Route, allow string, ok bool) {
	handler, _ := g.mux.Handler(r)
	if e, ok := handler.(endpoint); ok {
		return e.Route, "", true
	}
	refusal := headerOnly{}
	handler.ServeHTTP(refusal, r)
	return route.Route{}, http.Header(refusal).Get("Allow"), false
}

// headerOnly is an http.ResponseWriter that keeps only the header.
type headerOnly http.Header

func (h headerOnly) Header() http.Header         { return http.Header(h) }
func (h headerOnly) Write(b []byte) (int, error) { return len(b), nil }
func (h headerOnly) WriteHeader(int)             {}

const (
	// pause is how long a client is asked to wait if a limit is reached.
	pause = 10 * time.Second
	// sendTime and sendRate say how long an answer may take to be sent: sendTime, and a second for each sendRate bytes.
	sendTime = 30 * time.Second
	sendRate = 8 << 10
)

// past is a deadline that ends reading or writing.
var past = time.Unix(1, 0)

func (g *Gateway) invoke(w http.ResponseWriter, r *http.Request, to route.Route, id string, begun time.Time) access {
	client, connection := limitedClient(r.RemoteAddr, g.cfg.TrustedProxies), http.NewResponseController(w)
	size := to.MaxBody
	if r.ContentLength >= 0 {
		size = min(size, r.ContentLength)
	}
	upload := g.uploads.take(client, 2*size, func() { _ = connection.SetReadDeadline(past) }) // 2*: the body, then the event
	if upload == nil {
		return g.busy(w, r, id, pause)
	}
	defer upload.release()
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, to.MaxBody))
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return g.tooLarge(w, r, id, to.MaxBody)
	}
	if err != nil || !upload.keep() { // the browser closed the connection, or was too slow
		return g.problem(w, r, id, http.StatusBadRequest, "The request did not arrive whole. Send it again.")
	}
	payload, err := Event(r, body, to.Name, id, begun)
	if err != nil {
		a := g.problem(w, r, id, http.StatusBadGateway, failed)
		a.err = err
		return a
	}
	answer, err := g.call(r, to.Name, id, payload, client)
	upload.release()
	if err != nil {
		return g.notInvoked(w, r, id, err)
	}
	resp, err := parseAnswer(answer.Payload)
	if err != nil {
		a := g.problem(w, r, id, http.StatusBadGateway, failed)
		a.err = fmt.Errorf("function %s: %w", to.Name, err)
		a.cold = answer.Cold
		return a
	}
	_ = connection.SetWriteDeadline(time.Now().Add(sendTime + time.Duration(len(resp.body)/sendRate)*time.Second))
	defer g.answers.take(client, int64(len(resp.body)), func() { _ = connection.SetWriteDeadline(past) }).release()
	resp.write(w)
	return access{status: resp.status, cold: answer.Cold}
}

// call calls the function for r.
func (g *Gateway) call(r *http.Request, function, id string, payload []byte, client netip.Prefix) (lambdahost.Answer, error) {
	if !g.requests.begin(client) {
		return lambdahost.Answer{}, &lambdahost.BusyError{Function: function, RetryAfter: pause}
	}
	defer g.requests.end(client)
	defer keepConnection(r)()
	// The function continues if the browser closes the connection, as on AWS: to stop a form half-way would be worse.
	return g.cfg.Functions.Invoke(context.WithoutCancel(r.Context()), function, id, payload)
}

const failed = "This page failed. Try again in a moment."

// notInvoked answers r after Invoke failed with err.
func (g *Gateway) notInvoked(w http.ResponseWriter, r *http.Request, id string, err error) access {
	var (
		busy     *lambdahost.BusyError
		timeout  *lambdahost.TimeoutError
		tooLarge *lambdahost.TooLargeError
		a        access
	)
	switch {
	case errors.As(err, &busy):
		a = g.busy(w, r, id, busy.RetryAfter)
	case errors.Is(err, lambdahost.ErrClosed):
		w.Header().Set("Retry-After", "10")
		a = g.problem(w, r, id, http.StatusServiceUnavailable, "left4me is restarting. Try again in 10 seconds.")
	case errors.As(err, &timeout):
		a = g.problem(w, r, id, http.StatusGatewayTimeout, "This took too long and was stopped. Look whether it was done after all before you try again.")
	case errors.As(err, &tooLarge) && !tooLarge.Answer:
		return g.tooLarge(w, r, id, lambdahost.MaxPayload)
	default:
		a = g.problem(w, r, id, http.StatusBadGateway, failed)
	}
	a.err = err
	return a
}

// busy answers that the client should try again after a while.
func (g *Gateway) busy(w http.ResponseWriter, r *http.Request, id string, after time.Duration) access {
	seconds := max(1, int(math.Ceil(after.Seconds())))
	w.Header().Set("Retry-After", strconv.Itoa(seconds))
	w.Header().Set("Connection", "close") // makes room for others
	return g.problem(w, r, id, http.StatusServiceUnavailable, fmt.Sprintf("Too many people are here at once. Try again in %d seconds.", seconds))
}

func (g *Gateway) tooLarge(w http.ResponseWriter, r *http.Request, id string, limit int64) access {
	return g.problem(w, r, id, http.StatusRequestEntityTooLarge, fmt.Sprintf("That is too much at once: at most %d KiB fit. Send it in smaller parts.", limit>>10))
}

func (g *Gateway) problem(w http.ResponseWriter, r *http.Request, id string, status int, sentence string) access {
	w.Header().Set("Cache-Control", "no-store")
	g.cfg.ErrorPage(w, r, Problem{Status: status, Sentence: sentence, RequestID: id})
	return access{status: status}
}

// response is a function's answer.
type response struct {
	status  int
	headers map[string]string
	cookies []string
	body    []byte
}

// parseAnswer parses a function's answer to a Function URL event. As on AWS, a JSON value without a status code is itself the
// body of a response with status 200.
func parseAnswer(payload []byte) (response, error) {
	var raw struct {
		StatusCode      *int              `json:"statusCode"`
		Headers         map[string]string `json:"headers"`
		Cookies         []string          `json:"cookies"`
		Body            string            `json:"body"`
		IsBase64Encoded bool              `json:"isBase64Encoded"`
	}
	// encoding/json would take three times as long for a page of 20 KiB, and be the slowest step of a warm request.
	err := json.Unmarshal(payload, &raw)
	if mismatch := (*json.SemanticError)(nil); err == nil && raw.StatusCode == nil || errors.As(err, &mismatch) && !hasStatus(payload) {
		return response{status: http.StatusOK, headers: map[string]string{"Content-Type": "application/json"}, body: bytes.TrimSpace(payload)}, nil
	}
	if err != nil {
		return response{}, fmt.Errorf("its answer is not a response: %w", err)
	}
	if *raw.StatusCode < 200 || *raw.StatusCode > 599 {
		return response{}, fmt.Errorf("its answer has the status code %d", *raw.StatusCode)
	}
	resp := response{status: *raw.StatusCode, headers: raw.Headers, cookies: raw.Cookies, body: []byte(raw.Body)}
	if raw.IsBase64Encoded {
		if resp.body, err = base64.StdEncoding.DecodeString(raw.Body); err != nil {
			return response{}, fmt.Errorf("the body of its answer: %w", err)
		}
	}
	return resp, nil
}

// hasStatus reports whether payload is a JSON object with a status code.
func hasStatus(payload []byte) bool {
	var object map[string]jsontext.Value
	return json.Unmarshal(payload, &object) == nil && object["statusCode"] != nil
}

// write sends resp. It ignores the function's Content-Length, X-Request-Id and hop-by-hop headers.
func (resp response) write(w http.ResponseWriter) {
	h := w.Header()
	h["Content-Type"] = nil // keeps net/http from detecting one
	for name, value := range resp.headers {
		if key := strings.ToLower(name); !isHopByHop(key) && key != "content-length" && key != "x-request-id" {
			h.Set(name, value)
		}
	}
	for _, c := range resp.cookies {
		h.Add("Set-Cookie", c)
	}
	hasBody := resp.status != http.StatusNoContent && resp.status != http.StatusNotModified
	if hasBody {
		h.Set("Content-Length", strconv.Itoa(len(resp.body)))
	}
	w.WriteHeader(resp.status)
	if hasBody {
		w.Write(resp.body) // fails if the browser has closed the connection, or for HEAD
	}
}
